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
mod search;
mod superblock;

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

/// Encodes a row: `dst` holds the elements of `src` as type `ty` stores them.
///
/// `src`: `[k] f32`; `dst`: whole blocks. Block types search for the scales with the least squared
/// error. The result is defined for all numbers: plain floats keep NaN and infinity; blocks code a
/// NaN as zero and clamp to what their scales can reach; integers round to the nearest, saturate
/// and code a NaN as zero; booleans are false for zero alone.
///
/// # Panics
/// If `dst` is not exactly the `ty.row_bytes` of `src.len()` elements.
pub fn encode_row(ty: TensorType, src: &[f32], dst: &mut [u8]) {
    assert_eq!(ty.row_bytes(src.len() as u64), Some(dst.len() as u64), "a whole {ty} row");
    match ty {
        TensorType::Plain(dtype) => plain::encode(dtype, src, dst),
        TensorType::Block(block) => match block {
            BlockType::Q4_0 => each_block(src, dst, q4::encode_0),
            BlockType::Q4_1 => each_block(src, dst, q4::encode_1),
            BlockType::Q5_0 => each_block(src, dst, q5::encode_0),
            BlockType::Q5_1 => each_block(src, dst, q5::encode_1),
            BlockType::Q8_0 => each_block(src, dst, q8::encode),
            BlockType::Q2_K => each_block(src, dst, q2_k::encode),
            BlockType::Q3_K => each_block(src, dst, q3_k::encode),
            BlockType::Q4_K => each_block(src, dst, q4_k::encode),
            BlockType::Q5_K => each_block(src, dst, q5_k::encode),
            BlockType::Q6_K => each_block(src, dst, q6_k::encode),
            BlockType::IQ4_NL => each_block(src, dst, iq4::encode_nl),
            BlockType::IQ4_XS => each_block(src, dst, iq4::encode_xs),
            BlockType::MXFP4 => each_block(src, dst, mxfp4::encode),
        },
    }
}

/// Walks a row block by block: `N` elements there are `B` bytes here.
#[inline]
fn each_block<const N: usize, const B: usize>(
    src: &[f32],
    dst: &mut [u8],
    encode: impl Fn(&[f32; N], &mut [u8; B]),
) {
    for (x, out) in src.as_chunks().0.iter().zip(dst.as_chunks_mut().0) {
        encode(x, out);
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

/// Fills the fields of a block in the order in which they are stored.
struct Store<'a>(&'a mut [u8]);

impl Store<'_> {
    /// The next bytes.
    #[inline]
    fn put(&mut self, bytes: &[u8]) -> &mut Self {
        let (head, tail) = core::mem::take(&mut self.0).split_at_mut(bytes.len());
        head.copy_from_slice(bytes);
        self.0 = tail;
        self
    }

    /// The next half.
    #[inline]
    fn f16(&mut self, half: F16) -> &mut Self {
        self.put(&half.to_le_bytes())
    }
}

/// Undoes [`nibbles`].
#[inline]
fn join_nibbles(q: &[u8; 32]) -> [u8; 16] {
    core::array::from_fn(|j| (q[j] & 0xf) | (q[j + 16] << 4))
}

/// Undoes [`nibbles_k`].
#[inline]
fn join_nibbles_k(q: &[u8; 256]) -> [u8; 128] {
    let mut out = [0; 128];
    for (pair, bytes) in q.as_chunks::<64>().0.iter().zip(out.as_chunks_mut::<32>().0) {
        for (j, byte) in bytes.iter_mut().enumerate() {
            *byte = (pair[j] & 0xf) | (pair[j + 32] << 4);
        }
    }
    out
}

/// Undoes [`bit_pairs`].
#[inline]
fn join_bit_pairs(q: &[u8; 256]) -> [u8; 64] {
    let mut out = [0; 64];
    for (half, bytes) in q.as_chunks::<128>().0.iter().zip(out.as_chunks_mut::<32>().0) {
        for (shift, row) in half.as_chunks::<32>().0.iter().enumerate() {
            for (q, byte) in row.iter().zip(bytes.iter_mut()) {
                *byte |= (q & 3) << (2 * shift);
            }
        }
    }
    out
}

/// Undoes [`bit_planes`], from bit `bit` of every element.
#[inline]
fn join_bit_planes(q: &[u8; 256], bit: u32) -> [u8; 32] {
    let mut out = [0; 32];
    for (plane, row) in q.as_chunks::<32>().0.iter().enumerate() {
        for (q, byte) in row.iter().zip(&mut out) {
            *byte |= ((q >> bit) & 1) << plane;
        }
    }
    out
}
