//! Generation: what happens between a row of logits and the next token.
//!
//! Nothing here knows a file, a backend or an instruction set: logits come in as slices and
//! tokens go out as values.

pub mod sampler;
