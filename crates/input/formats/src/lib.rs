//! GGUF, safetensors, npy, ONNX and TFLite: bytes to tables, and some of them back.
//!
//! A reader of weights is given the first bytes of a file and its length, and returns a table of
//! settings and tensor places that it owns; a reader of networks ([`onnx`], [`tflite`]) is given the
//! whole file, as mapped, and borrows names and weights from it. Whatever the bytes are,
//! the answer is a table or a [`FormatError`] that names the place: counts and sizes are checked
//! against the file's length before anything is allocated, and what is allocated stays below
//! 4 × the header + 16 MiB. Panics are ruled out by lint in this crate, `unsafe` by the compiler.
//!
//! Errors name the place inside a file; the caller, who opened it, adds the file's name.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::panic,
        clippy::expect_used
    )
)]

pub mod error;
pub mod gguf;
pub mod json;
pub mod layout;
pub mod limits;
pub mod npy;
pub mod onnx;
pub mod safetensors;
pub mod sniff;
pub mod table;
pub mod tflite;

mod budget;
mod cursor;
mod flatbuffer;
pub mod flexbuffer;
mod location;
mod memory;
mod protobuf;

pub use error::{FormatError, Label, Place};
pub use layout::{Layout, TensorSink};
pub use sniff::{Kind, sniff};
pub use table::{StoredTensor, StoredType, TensorTable};
