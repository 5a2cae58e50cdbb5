//! Panels of plain numbers: F32, F16 and BF16.
//!
//! F32 and F16 stand `[k][16 rows]`; BF16 stands `[k / 2][16 rows][2]`, the pairs that bfloat16
//! dot products take.

use super::layout::{Layout, Numbers, get, get_half, part, put, put_half};
use crate::isa::Simd;

/// Single precision: a unit is one element of sixteen rows.
pub(crate) struct F32;

/// Half precision: a unit is one element of sixteen rows.
pub(crate) struct F16;

/// Bfloat16: a unit is two elements of sixteen rows.
pub(crate) struct BF16;

impl Layout for F32 {
    const BLOCK_K: usize = 1;
    const BLOCKS: usize = 1;
    type Block = [u8; 4];
    type Unit = [u8; 64];

    #[inline(always)]
    fn pack(block: &[u8; 4], _b: usize, row: usize, unit: &mut [u8; 64]) {
        put(unit, 0, row, *block);
    }

    #[inline(always)]
    fn unpack(unit: &[u8; 64], _b: usize, row: usize) -> [u8; 4] {
        get(unit, 0, row)
    }
}

impl Numbers for F32 {
    #[inline(always)]
    fn widen<S: Simd>(s: S, unit: &[u8; 64], _b: usize) -> S::F {
        s.of_bits(s.as_i(s.load_b(unit)))
    }
}

impl Layout for F16 {
    const BLOCK_K: usize = 1;
    const BLOCKS: usize = 1;
    type Block = [u8; 2];
    type Unit = [u8; 32];

    #[inline(always)]
    fn pack(block: &[u8; 2], _b: usize, row: usize, unit: &mut [u8; 32]) {
        put_half(unit, 0, row, *block);
    }

    #[inline(always)]
    fn unpack(unit: &[u8; 32], _b: usize, row: usize) -> [u8; 2] {
        get_half(unit, 0, row)
    }
}

impl Numbers for F16 {
    #[inline(always)]
    fn widen<S: Simd>(s: S, unit: &[u8; 32], _b: usize) -> S::F {
        s.load_f16(unit)
    }
}

impl Layout for BF16 {
    const BLOCK_K: usize = 1;
    const BLOCKS: usize = 2;
    type Block = [u8; 2];
    type Unit = [u8; 64];

    #[inline(always)]
    fn pack(block: &[u8; 2], b: usize, row: usize, unit: &mut [u8; 64]) {
        unit[4 * row + 2 * b..4 * row + 2 * b + 2].copy_from_slice(block);
    }

    #[inline(always)]
    fn unpack(unit: &[u8; 64], b: usize, row: usize) -> [u8; 2] {
        *part(unit, 4 * row + 2 * b)
    }
}

impl Numbers for BF16 {
    #[inline(always)]
    fn widen<S: Simd>(s: S, unit: &[u8; 64], b: usize) -> S::F {
        let pairs = s.as_i(s.load_b(unit));
        // The number in the upper half of the lane needs only its neighbour cleared.
        s.of_bits(if b == 0 { s.shl_i(pairs, 16) } else { s.and_i(pairs, s.splat_i(-0x1_0000)) })
    }
}
