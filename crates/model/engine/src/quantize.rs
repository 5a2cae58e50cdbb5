//! Writing a model anew in other types.
//!
//! [`mix`] says which tensor gets which type.

pub mod mix;
