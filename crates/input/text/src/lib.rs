//! Tokenizers, chat templates and stop strings: text in, text out, no tensors.
//!
//! Everything here takes bytes or values and gives values back; no file is opened, no clock is
//! read and nothing is kept between calls but what the caller holds.

pub mod template;
pub mod stop;
pub mod token;

pub use token::TokenId;
