//! Stored rows as numbers: the scalar codec of every element type, block layouts byte by byte.
//!
//! Each block type is a view struct whose fields are the stored ones (scales unpacked to a byte
//! each), so that packing for kernels never touches a layout; `quants` gives the integer factors in
//! element order, `decode` the values. Decoding is bit-exact with gguf-py 0.19 `gguf.quants`: each
//! value is one f32 product, or a product less a product, never fused. All stored numbers are
//! little endian; quants of a block are numbered in element order.

pub mod q4;
pub mod q5;
pub mod q8;
pub mod q2_k;
pub mod q3_k;
pub mod q4_k;
pub mod q5_k;
pub mod q6_k;
pub mod iq4;
pub mod mxfp4;
mod plain;

pub use iq4::{IQ4_NL, IQ4_XS};
pub use mxfp4::MXFP4;
pub use q2_k::Q2_K;
pub use q3_k::Q3_K;
pub use q4::{Q4_0, Q4_1};
pub use q4_k::Q4_K;
pub use q5::{Q5_0, Q5_1};
pub use q5_k::Q5_K;
pub use q6_k::Q6_K;
pub use q8::Q8_0;

use crate::{BlockType, F16, TensorType};

/// Decodes a stored row: `dst[k]` is the value of element k, in single precision.
///
/// `src`: whole blocks of type `ty`; `dst`: `[k] f32`, one number an element. 64-bit integers and
/// doubles are rounded to the nearest single; booleans are 0 and 1.
///
/// # Panics
/// If `src` is not exactly the `ty.row_bytes` of `dst.len()` elements, which whoever made the
/// tensor view has checked.
pub fn decode_row(ty: TensorType, src: &[u8], dst: &mut [f32]) {
    assert_eq!(ty.row_bytes(dst.len() as u64), Some(src.len() as u64), "a whole {ty} row");
    match ty {
        TensorType::Plain(dtype) => plain::decode(dtype, src, dst),
        TensorType::Block(block) => match block {
            BlockType::Q4_0 => blocks(src, dst, |b, out| Q4_0::read(b).decode(out)),
            BlockType::Q4_1 => blocks(src, dst, |b, out| Q4_1::read(b).decode(out)),
            BlockType::Q5_0 => blocks(src, dst, |b, out| Q5_0::read(b).decode(out)),
            BlockType::Q5_1 => blocks(src, dst, |b, out| Q5_1::read(b).decode(out)),
            BlockType::Q8_0 => blocks(src, dst, |b, out| Q8_0::read(b).decode(out)),
            BlockType::Q2_K => blocks(src, dst, |b, out| Q2_K::read(b).decode(out)),
            BlockType::Q3_K => blocks(src, dst, |b, out| Q3_K::read(b).decode(out)),
            BlockType::Q4_K => blocks(src, dst, |b, out| Q4_K::read(b).decode(out)),
            BlockType::Q5_K => blocks(src, dst, |b, out| Q5_K::read(b).decode(out)),
            BlockType::Q6_K => blocks(src, dst, |b, out| Q6_K::read(b).decode(out)),
            BlockType::IQ4_NL => blocks(src, dst, |b, out| IQ4_NL::read(b).decode(out)),
            BlockType::IQ4_XS => blocks(src, dst, |b, out| IQ4_XS::read(b).decode(out)),
            BlockType::MXFP4 => blocks(src, dst, |b, out| MXFP4::read(b).decode(out)),
        },
    }
}

/// Walks a row block by block: `B` bytes there are `N` elements here.
#[inline]
fn blocks<const B: usize, const N: usize>(
    src: &[u8],
    dst: &mut [f32],
    decode: impl Fn(&[u8; B], &mut [f32; N]),
) {
    let (src, src_rest) = src.as_chunks();
    let (dst, dst_rest) = dst.as_chunks_mut();
    debug_assert!(src_rest.is_empty() && dst_rest.is_empty() && src.len() == dst.len());
    for (block, out) in src.iter().zip(dst) {
        decode(block, out);
    }
}

/// Takes the fields of a block in the order in which they are stored.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// The next `N` bytes.
    #[inline]
    fn take<const N: usize>(&mut self) -> &'a [u8; N] {
        let (head, tail) = self.0.split_first_chunk().expect("a layout's fields fill its block");
        self.0 = tail;
        head
    }

    /// The next two bytes as a half.
    #[inline]
    fn f16(&mut self) -> F16 {
        F16::from_le_bytes(*self.take())
    }
}

/// Splits 16 bytes into 32 nibbles: byte j holds element j in its low, 16 + j in its high half.
#[inline]
fn nibbles(qs: &[u8; 16]) -> [u8; 32] {
    let mut out = [0; 32];
    for (j, byte) in qs.iter().enumerate() {
        out[j] = byte & 0xf;
        out[j + 16] = byte >> 4;
    }
    out
}

/// Splits 128 bytes into 256 nibbles: of each 32 bytes, first the low halves, then the high ones.
#[inline]
fn nibbles_k(qs: &[u8; 128]) -> [u8; 256] {
    let mut out = [0; 256];
    for (pair, bytes) in out.as_chunks_mut::<64>().0.iter_mut().zip(qs.as_chunks::<32>().0) {
        for (j, byte) in bytes.iter().enumerate() {
            pair[j] = byte & 0xf;
            pair[j + 32] = byte >> 4;
        }
    }
    out
}

/// Splits 64 bytes into 256 pairs of bits: of each 32 bytes, bits 0–1 of all, then bits 2–3, …
#[inline]
fn bit_pairs(qs: &[u8; 64]) -> [u8; 256] {
    let mut out = [0; 256];
    for (half, bytes) in out.as_chunks_mut::<128>().0.iter_mut().zip(qs.as_chunks::<32>().0) {
        for (shift, row) in half.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            for (q, byte) in row.iter_mut().zip(bytes) {
                *q = (byte >> (2 * shift)) & 3;
            }
        }
    }
    out
}

/// Spreads 32 bytes into 256 bits: bit s of byte j belongs to element 32 s + j.
#[inline]
fn bit_planes(qh: &[u8; 32]) -> [u8; 256] {
    let mut out = [0; 256];
    for (plane, row) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        for (bit, byte) in row.iter_mut().zip(qh) {
            *bit = (byte >> plane) & 1;
        }
    }
    out
}
