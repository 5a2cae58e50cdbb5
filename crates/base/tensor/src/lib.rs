//! Element types, shapes, quantised blocks and their scalar codecs.
//!
//! Everything else in Ledge agrees on numbers through this crate: a block's byte layout and its
//! scalar decode are written here once and are the specification that every kernel is tested
//! against. It knows no file format, no graph and no device, and needs no `std`.
//!
//! Shapes are written outermost dimension first; the last dimension is contiguous (row-major).
#![no_std]

extern crate alloc;

pub mod bytes;
pub mod dtype;
pub mod shape;
pub mod view;
pub mod half;
pub mod float8;
pub mod cast;
pub mod block;

pub use block::{decode_row, encode_row};
pub use bytes::Bytes;
pub use dtype::{BlockType, DType, TensorType};
pub use float8::{F8E4M3, F8E5M2};
pub use half::{BF16, F16};
pub use shape::Shape;
pub use view::TensorRef;
