//! Generation: what happens between a row of logits and the next token.
//!
//! Nothing here knows a file, a backend or an instruction set: a [`session::Session`] runs tokens
//! through a plan's state, a [`sampler::Sampler`] chooses the next one, [`generate`] ties both to
//! text.

pub mod generate;
pub mod sampler;
pub mod session;
