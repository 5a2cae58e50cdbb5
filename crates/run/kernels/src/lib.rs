//! SIMD kernels over slices: quantised products, integer networks, attention, norms and elementwise functions.
//!
//! Slices in, slices out: no threads, no allocation, no clock. Instruction sets are tokens
//! ([`isa`]) that only detection makes; every kernel is one generic body over [`isa::Simd`], whose
//! sixteen lanes and order of operations are the same everywhere, so that results agree bit for
//! bit between instruction sets (those with fused multiply-add), tile widths and threads.
//!
//! This crate is internal to Ledge.
#![cfg_attr(not(any(feature = "std", test)), no_std)]

pub mod isa;
pub mod panel;
pub mod acts;
pub mod product;
pub mod attention;
pub mod window;
pub mod gemm;
pub mod winograd;
pub mod slide;
pub mod weave;
pub mod map;
pub mod reduce;
pub mod logits;
pub mod resize;
pub mod response;
pub mod recurrent;
pub mod elementwise;
pub mod exp;
pub mod norm;
pub mod rope;
pub mod probe;
pub mod int8;

#[cfg(test)]
mod samples;

pub use acts::{ActKind, Acts, DENSE_MIN};
pub use isa::Isa;
pub use panel::Panels;
pub use product::{product, product_each, product_gated};
