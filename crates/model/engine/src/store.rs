//! Where a model's bytes come from: files that are only ever read, or memory in the program.
//!
//! A model's files are read by position and never mapped: a file that shrinks or changes while it is in
//! use gives an error that names it, where a mapping would give a signal. Only regular files are
//! opened, so that a FIFO or a device cannot hang a reader. Packed weights that are kept between
//! starts are files of our own and are mapped.
#![expect(clippy::disallowed_methods, reason = "the library opens files here")]

mod file;
mod map;
mod packs;
mod weights;

pub use file::{Origin, StoreError};
pub use packs::{Fallback, Packs};
pub use weights::{Place, Weights};
