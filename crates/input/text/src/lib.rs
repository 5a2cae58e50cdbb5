//! Tokenizers, chat templates and stop strings: text in, text out, no tensors.
//!
//! Everything here takes bytes or values and gives values back; no file is opened, no clock is
//! read and nothing is kept between calls but what the caller holds.

#![forbid(unsafe_code)]

pub mod decode;
pub mod gguf;
pub mod json;
pub mod sentencepiece;
pub mod stop;
pub mod template;
pub mod token;
pub mod tokenizer;

mod added;
mod bytelevel;
mod charsmap;
mod cut;
mod error;
mod models;
mod normalize;
mod pattern;
mod pretokenizers;
mod unicode;
mod vocab;

pub use added::Special;
pub use decode::{Controls, StreamDecoder};
pub use error::VocabularyError;
pub use gguf::{SourceIds, VocabularySource};
pub use token::TokenId;
pub use tokenizer::{Part, SpecialIds, Tokenizer};
pub use vocab::{TOKEN_BYTES_MAX, TOKENS_MAX, TokenKind};
