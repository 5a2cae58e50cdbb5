//! The text form of a graph: prints, and reads back to an equal graph.
//!
//! ```text
//! symbol tokens 512
//! weight w0 "token_embd.weight" Q4_0 [32000, 2048]
//! weight w1 "blk.0.attn_qkv.weight" +2048 F32 [512, 2048]
//! state s0 kv_heads=8 head_dim=64 v_head_dim=64 ty=f16 positions=4096
//! input v0 "tokens" U32 [%0]
//! v1 = embed(v0, w0) scale=1
//! v2 = norm(v1, w1, _) kind=rms eps=0.00001 offset=0 group=2048 @0
//! output v2 "hidden"
//! ```
//!
//! `%0` is the first symbol, `_` an absent operand, `+2048` the elements of a stored
//! tensor that precede the operand, `@0` the layer. Types of results are derived, not written.

mod array;
mod attributes;
mod parse;
mod print;

pub use parse::{ParseError, parse};
pub use print::print;
