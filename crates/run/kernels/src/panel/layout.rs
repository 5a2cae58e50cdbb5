//! What a panel layout is: blocks of the stored format, moved into units of sixteen rows.
//!
//! A layout is a pair of inverse moves of bits and, for products, the way back from chunks to
//! weights in registers. Everything else (sizes, packing, rows, kernels) is generic over these.

use core::cmp::Ordering;

use crate::{
    acts::Terms,
    isa::{Bound, LANES, Simd},
};

/// A byte array, which slices of bytes can be cut into.
pub(crate) trait Bytes: Copy {
    /// Bytes of the array.
    const LEN: usize;
    /// The whole arrays in `bytes`.
    fn split(bytes: &[u8]) -> &[Self];
    /// The whole arrays in `bytes`.
    fn split_mut(bytes: &mut [u8]) -> &mut [Self];
    /// The array as a slice.
    fn as_slice(&self) -> &[u8];
}

impl<const N: usize> Bytes for [u8; N] {
    const LEN: usize = N;
    #[inline(always)]
    fn split(bytes: &[u8]) -> &[Self] {
        bytes.as_chunks().0
    }
    #[inline(always)]
    fn split_mut(bytes: &mut [u8]) -> &mut [Self] {
        bytes.as_chunks_mut().0
    }
    #[inline(always)]
    fn as_slice(&self) -> &[u8] {
        self
    }
}

/// Where the bits of a stored type go in a panel.
pub(crate) trait Layout {
    /// Elements of a stored block.
    const BLOCK_K: usize;
    /// Blocks of a row in one unit.
    const BLOCKS: usize;
    /// A stored block.
    type Block: Bytes;
    /// A unit of sixteen rows.
    type Unit: Bytes;

    /// Moves a row's block `b` of the unit, which is zero there, into place.
    fn pack(block: &Self::Block, b: usize, row: usize, unit: &mut Self::Unit);

    /// The block that was packed.
    fn unpack(unit: &Self::Unit, b: usize, row: usize) -> Self::Block;
}

/// Blocks of 32 weights with a scale, for [`ActKind::Q8`](crate::acts::ActKind::Q8).
pub(crate) trait Blocks: Layout {
    /// What weight bytes do not exceed.
    type Range: Bound;
    /// A minimum is added to every weight of a block.
    const MINIMUM: bool;
    /// Weights are stored as the bytes that are multiplied.
    const WHOLE: bool = false;

    /// Weight bytes of 16 elements, from 16 `HALF` of block `b` on.
    fn quad<S: Simd, const HALF: usize>(s: S, unit: &Self::Unit, b: usize) -> [S::B; 4];

    /// Scales of the sixteen rows.
    fn scale<S: Simd>(s: S, unit: &Self::Unit, b: usize) -> S::F;

    /// Minimums of the sixteen rows, where there are such.
    #[inline(always)]
    fn minimum<S: Simd>(s: S, _unit: &Self::Unit, _b: usize) -> S::F {
        s.splat(0.0)
    }
}

/// Super-blocks of 256 weights, for [`ActKind::Q8K`](crate::acts::ActKind::Q8K): scales are small
/// integers a sub-block, times one scale a super-block.
pub(crate) trait SuperBlocks: Layout {
    /// What weight bytes do not exceed.
    type Range: Bound;
    /// What stands for zero point or minimums: tells the sub-block's length too.
    const TERMS: Terms;
    /// The 32 elements `VARIANTS · outer + variant` are unpacked by code made for the variant.
    const VARIANTS: u32;

    /// Weight bytes of 16 elements, from 16 `HALF` of the 32 elements on.
    fn quad<S: Simd, const VARIANT: u32, const HALF: usize>(
        s: S,
        unit: &Self::Unit,
        outer: usize,
    ) -> [S::B; 4];

    /// The super-block's scales of the sixteen rows.
    fn scale<S: Simd>(s: S, unit: &Self::Unit) -> S::F;

    /// Scales of the sub-blocks as signed bytes: `[sub-block][row]`.
    fn sub_scales<S: Simd>(s: S, unit: &Self::Unit, out: &mut SubScales);

    /// The super-block's scales of minimums, where there are such.
    #[inline(always)]
    fn min_scale<S: Simd>(s: S, _unit: &Self::Unit) -> S::F {
        s.splat(0.0)
    }

    /// Minimums of sub-blocks 2 p and 2 p + 1 as two 16-bit integers a row, for p of 0 to 3 or 7.
    #[inline(always)]
    fn min_pairs<S: Simd>(s: S, _unit: &Self::Unit) -> [S::B; 8] {
        [s.splat_b(0); 8]
    }
}

/// Up to sixteen sub-blocks' scales of sixteen rows.
pub(crate) type SubScales = [u8; 256];

/// Numbers stored plainly, for [`ActKind::F32`](crate::acts::ActKind::F32).
pub(crate) trait Numbers: Layout {
    /// Element `b` of the unit in the sixteen rows.
    fn widen<S: Simd>(s: S, unit: &Self::Unit, b: usize) -> S::F;
}

/// `N` bytes from `at` on.
#[inline(always)]
pub(crate) fn part<const N: usize, const LEN: usize>(unit: &[u8; LEN], at: usize) -> &[u8; N] {
    unit[at..].first_chunk().expect("parts of a unit lie within it")
}

/// The four bytes of a row in the chunk at `at`.
#[inline(always)]
pub(crate) fn put<const LEN: usize>(unit: &mut [u8; LEN], at: usize, row: usize, bytes: [u8; 4]) {
    unit[at + 4 * row..at + 4 * row + 4].copy_from_slice(&bytes);
}

/// The four bytes of a row in the chunk at `at`.
#[inline(always)]
pub(crate) fn get<const LEN: usize>(unit: &[u8; LEN], at: usize, row: usize) -> [u8; 4] {
    *part(unit, at + 4 * row)
}

/// Moves bytes into a row's places in the chunks from `at` on, four to a chunk.
#[inline(always)]
pub(crate) fn spread<const LEN: usize>(unit: &mut [u8; LEN], at: usize, row: usize, bytes: &[u8]) {
    for (c, &four) in bytes.as_chunks().0.iter().enumerate() {
        put(unit, at + 64 * c, row, four);
    }
}

/// Gathers what [`spread`] moved.
#[inline(always)]
pub(crate) fn gather<const LEN: usize>(unit: &[u8; LEN], at: usize, row: usize, bytes: &mut [u8]) {
    for (c, four) in bytes.as_chunks_mut().0.iter_mut().enumerate() {
        *four = get(unit, at + 64 * c, row);
    }
}

/// Writes a row's two bytes of a plane of halves.
#[inline(always)]
pub(crate) fn put_half<const LEN: usize>(
    unit: &mut [u8; LEN],
    at: usize,
    row: usize,
    half: [u8; 2],
) {
    unit[at + 2 * row..at + 2 * row + 2].copy_from_slice(&half);
}

/// A row's two bytes of a plane of halves.
#[inline(always)]
pub(crate) fn get_half<const LEN: usize>(unit: &[u8; LEN], at: usize, row: usize) -> [u8; 2] {
    *part(unit, at + 2 * row)
}

/// Four chunks from `at` on.
#[inline(always)]
pub(crate) fn chunks<S: Simd, const LEN: usize>(
    s: S,
    unit: &[u8; LEN],
    at: usize,
    step: usize,
) -> [S::B; 4] {
    [
        s.load_b(part(unit, at)),
        s.load_b(part(unit, at + step)),
        s.load_b(part(unit, at + 2 * step)),
        s.load_b(part(unit, at + 3 * step)),
    ]
}

/// Bits of each byte moved from bit `from` on to bit `to` on, others cleared.
#[inline(always)]
pub(crate) fn field<S: Simd>(s: S, a: S::B, from: u32, to: u32, mask: u8) -> S::B {
    let moved = match to.cmp(&from) {
        Ordering::Greater => s.shl_b(a, to - from),
        Ordering::Less => s.shr_b(a, from - to),
        Ordering::Equal => a,
    };
    s.and_b(moved, s.splat_b(mask))
}

/// The low (`HALF` 0) or high nibbles of four chunks.
#[inline(always)]
pub(crate) fn nibbles<S: Simd, const HALF: usize>(s: S, q: [S::B; 4]) -> [S::B; 4] {
    let from = if HALF == 0 { 0 } else { 4 };
    [
        field(s, q[0], from, 0, 15),
        field(s, q[1], from, 0, 15),
        field(s, q[2], from, 0, 15),
        field(s, q[3], from, 0, 15),
    ]
}

const _: () = assert!(LANES == 16, "layouts are made for sixteen rows");
