//! Panels of super-blocks with minimums: Q2_K, Q4_K and Q5_K.
//!
//! | type | bytes of a unit (256 elements), in order |
//! |---|---|
//! | Q4_K | scales, scales of minimums: `[16 rows] f16` each; planes A, B, C; quants: 4 × 8 chunks, chunk (j, c) is `qs[32 j + 4 c..]` |
//! | Q5_K | as Q4_K up to C; 8 chunks `qh[4 c..]`; quants as Q4_K |
//! | Q2_K | scales, scales of minimums; 128 bytes of scales, 128 bytes of minimums; 16 chunks `qs[4 c..]` |
//!
//! Plane A, byte 16 j + r, j = 0..3: low nibble the low 4 bits of row r's scale j, high nibble of
//! scale j + 4. Plane B, byte 32 p + 2 r + e (p, e = 0, 1): the same of minimums 2 p + e and
//! 4 + 2 p + e, so that widening gives the pairs that products take. Plane C, byte x, from the
//! lowest two bits on: high bits for A's byte x low, A's high, B's low, B's high.
//! Q2_K's scales, byte 16 j + r, j = 0..7: scale j low, j + 8 high; its minimums, byte
//! 32 p + 2 r + e, p = 0..3: minimum 2 p + e low, 8 + 2 p + e high.
#![expect(non_camel_case_types, reason = "the field's names")]

use super::layout::{
    Layout, SubScales, SuperBlocks, chunks, field, gather, get_half, nibbles, part, put_half,
    spread,
};
use crate::{
    acts::Terms,
    isa::{Simd, UpTo},
};
use tensor::block::q4_k::ScalesAndMins;

/// 2 bits; every 16 have a 4-bit scale and minimum.
pub(crate) struct Q2_K;

/// 4 bits; every 32 have a 6-bit scale and minimum.
pub(crate) struct Q4_K;

/// 5 bits; every 32 have a 6-bit scale and minimum.
pub(crate) struct Q5_K;

/// Moves the twelve bytes of scales and minimums into planes A, B and C.
#[inline(always)]
fn pack_six_bits<const LEN: usize>(packed: &[u8; 12], row: usize, unit: &mut [u8; LEN]) {
    let ScalesAndMins { scales, mins } = ScalesAndMins::unpack(packed);
    for j in 0..4 {
        let a = 16 * j + row;
        unit[64 + a] = scales[j] & 15 | scales[j + 4] << 4;
        unit[192 + a] |= scales[j] >> 4 | scales[j + 4] >> 4 << 2;
        let b = 32 * (j / 2) + 2 * row + j % 2;
        unit[128 + b] = mins[j] & 15 | mins[j + 4] << 4;
        unit[192 + b] |= mins[j] >> 4 << 4 | mins[j + 4] >> 4 << 6;
    }
}

/// The twelve bytes that [`pack_six_bits`] moved.
#[inline(always)]
fn unpack_six_bits<const LEN: usize>(unit: &[u8; LEN], row: usize) -> [u8; 12] {
    let mut packed = [0; 12];
    for j in 0..4 {
        let a = 16 * j + row;
        let (nibbles, high) = (unit[64 + a], unit[192 + a]);
        let scale = nibbles & 15 | (high & 3) << 4;
        let later_scale = nibbles >> 4 | (high >> 2 & 3) << 4;
        let b = 32 * (j / 2) + 2 * row + j % 2;
        let (nibbles, high) = (unit[128 + b], unit[192 + b]);
        let min = nibbles & 15 | (high >> 4 & 3) << 4;
        let later_min = nibbles >> 4 | (high >> 6) << 4;
        packed[j] = scale | later_scale >> 4 << 6;
        packed[4 + j] = min | later_min >> 4 << 6;
        packed[8 + j] = later_scale & 15 | later_min << 4;
    }
    packed
}

/// Scales of eight sub-blocks out of planes A and C.
#[inline(always)]
fn six_bit_scales<S: Simd, const LEN: usize>(s: S, unit: &[u8; LEN], out: &mut SubScales) {
    let (a, c) = (s.load_b(part(unit, 64)), s.load_b(part(unit, 192)));
    let [first, second, ..] = out.as_chunks_mut().0 else { return };
    s.store_b(s.or_b(field(s, a, 0, 0, 15), field(s, c, 0, 4, 0x30)), first);
    s.store_b(s.or_b(field(s, a, 4, 0, 15), field(s, c, 0, 2, 0x30)), second);
}

/// Minimums of eight sub-blocks in pairs out of planes B and C.
#[inline(always)]
fn six_bit_pairs<S: Simd, const LEN: usize>(s: S, unit: &[u8; LEN]) -> [S::B; 8] {
    let (b, c) = (s.load_b(part(unit, 128)), s.load_b(part(unit, 192)));
    let first = s.or_b(field(s, b, 0, 0, 15), field(s, c, 0, 0, 0x30));
    let second = s.or_b(field(s, b, 4, 0, 15), field(s, c, 2, 0, 0x30));
    let none = s.splat_b(0);
    [
        s.widen_lo(first),
        s.widen_hi(first),
        s.widen_lo(second),
        s.widen_hi(second),
        none,
        none,
        none,
        none,
    ]
}

impl Layout for Q4_K {
    const BLOCK_K: usize = 256;
    const BLOCKS: usize = 1;
    type Block = [u8; 144];
    type Unit = [u8; 2304];

    #[inline(always)]
    fn pack(block: &[u8; 144], _b: usize, row: usize, unit: &mut [u8; 2304]) {
        put_half(unit, 0, row, *part(block, 0));
        put_half(unit, 32, row, *part(block, 2));
        pack_six_bits(part(block, 4), row, unit);
        spread(unit, 256, row, &block[16..]);
    }

    #[inline(always)]
    fn unpack(unit: &[u8; 2304], _b: usize, row: usize) -> [u8; 144] {
        let mut block = [0; 144];
        block[..2].copy_from_slice(&get_half(unit, 0, row));
        block[2..4].copy_from_slice(&get_half(unit, 32, row));
        block[4..16].copy_from_slice(&unpack_six_bits(unit, row));
        gather(unit, 256, row, &mut block[16..]);
        block
    }
}

impl SuperBlocks for Q4_K {
    type Range = UpTo<15>;
    const TERMS: Terms = Terms::Pairs32;
    const VARIANTS: u32 = 2;

    #[inline(always)]
    fn quad<S: Simd, const VARIANT: u32, const HALF: usize>(
        s: S,
        unit: &[u8; 2304],
        outer: usize,
    ) -> [S::B; 4] {
        let quants = chunks(s, unit, 256 + 512 * outer + 256 * HALF, 64);
        if VARIANT == 0 { nibbles::<S, 0>(s, quants) } else { nibbles::<S, 1>(s, quants) }
    }

    #[inline(always)]
    fn scale<S: Simd>(s: S, unit: &[u8; 2304]) -> S::F {
        s.load_f16(part(unit, 0))
    }

    #[inline(always)]
    fn sub_scales<S: Simd>(s: S, unit: &[u8; 2304], out: &mut SubScales) {
        six_bit_scales(s, unit, out);
    }

    #[inline(always)]
    fn min_scale<S: Simd>(s: S, unit: &[u8; 2304]) -> S::F {
        s.load_f16(part(unit, 32))
    }

    #[inline(always)]
    fn min_pairs<S: Simd>(s: S, unit: &[u8; 2304]) -> [S::B; 8] {
        six_bit_pairs(s, unit)
    }
}

impl Layout for Q5_K {
    const BLOCK_K: usize = 256;
    const BLOCKS: usize = 1;
    type Block = [u8; 176];
    type Unit = [u8; 2816];

    #[inline(always)]
    fn pack(block: &[u8; 176], _b: usize, row: usize, unit: &mut [u8; 2816]) {
        put_half(unit, 0, row, *part(block, 0));
        put_half(unit, 32, row, *part(block, 2));
        pack_six_bits(part(block, 4), row, unit);
        spread(unit, 256, row, &block[16..]);
    }

    #[inline(always)]
    fn unpack(unit: &[u8; 2816], _b: usize, row: usize) -> [u8; 176] {
        let mut block = [0; 176];
        block[..2].copy_from_slice(&get_half(unit, 0, row));
        block[2..4].copy_from_slice(&get_half(unit, 32, row));
        block[4..16].copy_from_slice(&unpack_six_bits(unit, row));
        gather(unit, 256, row, &mut block[16..]);
        block
    }
}

impl SuperBlocks for Q5_K {
    type Range = UpTo<31>;
    const TERMS: Terms = Terms::Pairs32;
    const VARIANTS: u32 = 8;

    #[inline(always)]
    fn quad<S: Simd, const VARIANT: u32, const HALF: usize>(
        s: S,
        unit: &[u8; 2816],
        _outer: usize,
    ) -> [S::B; 4] {
        let quants = chunks(s, unit, 768 + 512 * (VARIANT / 2) as usize + 256 * HALF, 64);
        let low = if VARIANT.is_multiple_of(2) {
            nibbles::<S, 0>(s, quants)
        } else {
            nibbles::<S, 1>(s, quants)
        };
        let high = chunks(s, unit, 256 + 256 * HALF, 64);
        [
            s.or_b(low[0], field(s, high[0], VARIANT, 4, 16)),
            s.or_b(low[1], field(s, high[1], VARIANT, 4, 16)),
            s.or_b(low[2], field(s, high[2], VARIANT, 4, 16)),
            s.or_b(low[3], field(s, high[3], VARIANT, 4, 16)),
        ]
    }

    #[inline(always)]
    fn scale<S: Simd>(s: S, unit: &[u8; 2816]) -> S::F {
        s.load_f16(part(unit, 0))
    }

    #[inline(always)]
    fn sub_scales<S: Simd>(s: S, unit: &[u8; 2816], out: &mut SubScales) {
        six_bit_scales(s, unit, out);
    }

    #[inline(always)]
    fn min_scale<S: Simd>(s: S, unit: &[u8; 2816]) -> S::F {
        s.load_f16(part(unit, 32))
    }

    #[inline(always)]
    fn min_pairs<S: Simd>(s: S, unit: &[u8; 2816]) -> [S::B; 8] {
        six_bit_pairs(s, unit)
    }
}

impl Layout for Q2_K {
    const BLOCK_K: usize = 256;
    const BLOCKS: usize = 1;
    type Block = [u8; 84];
    type Unit = [u8; 1344];

    #[inline(always)]
    fn pack(block: &[u8; 84], _b: usize, row: usize, unit: &mut [u8; 1344]) {
        put_half(unit, 0, row, *part(block, 80));
        put_half(unit, 32, row, *part(block, 82));
        // A stored byte: scale low, minimum high.
        for j in 0..8 {
            unit[64 + 16 * j + row] = block[j] & 15 | block[j + 8] << 4;
            unit[192 + 32 * (j / 2) + 2 * row + j % 2] = block[j] >> 4 | block[j + 8] & 0xf0;
        }
        spread(unit, 320, row, &block[16..80]);
    }

    #[inline(always)]
    fn unpack(unit: &[u8; 1344], _b: usize, row: usize) -> [u8; 84] {
        let mut block = [0; 84];
        for j in 0..8 {
            let scales = unit[64 + 16 * j + row];
            let mins = unit[192 + 32 * (j / 2) + 2 * row + j % 2];
            block[j] = scales & 15 | mins << 4;
            block[j + 8] = scales >> 4 | mins & 0xf0;
        }
        gather(unit, 320, row, &mut block[16..80]);
        block[80..82].copy_from_slice(&get_half(unit, 0, row));
        block[82..].copy_from_slice(&get_half(unit, 32, row));
        block
    }
}

impl SuperBlocks for Q2_K {
    type Range = UpTo<3>;
    const TERMS: Terms = Terms::Pairs16;
    const VARIANTS: u32 = 4;

    #[inline(always)]
    fn quad<S: Simd, const VARIANT: u32, const HALF: usize>(
        s: S,
        unit: &[u8; 1344],
        outer: usize,
    ) -> [S::B; 4] {
        let q = chunks(s, unit, 320 + 512 * outer + 256 * HALF, 64);
        [
            field(s, q[0], 2 * VARIANT, 0, 3),
            field(s, q[1], 2 * VARIANT, 0, 3),
            field(s, q[2], 2 * VARIANT, 0, 3),
            field(s, q[3], 2 * VARIANT, 0, 3),
        ]
    }

    #[inline(always)]
    fn scale<S: Simd>(s: S, unit: &[u8; 1344]) -> S::F {
        s.load_f16(part(unit, 0))
    }

    #[inline(always)]
    fn sub_scales<S: Simd>(s: S, unit: &[u8; 1344], out: &mut SubScales) {
        let (first, second) = (s.load_b(part(unit, 64)), s.load_b(part(unit, 128)));
        let [a, b, c, d] = out.as_chunks_mut().0 else { return };
        s.store_b(field(s, first, 0, 0, 15), a);
        s.store_b(field(s, second, 0, 0, 15), b);
        s.store_b(field(s, first, 4, 0, 15), c);
        s.store_b(field(s, second, 4, 0, 15), d);
    }

    #[inline(always)]
    fn min_scale<S: Simd>(s: S, unit: &[u8; 1344]) -> S::F {
        s.load_f16(part(unit, 32))
    }

    #[inline(always)]
    fn min_pairs<S: Simd>(s: S, unit: &[u8; 1344]) -> [S::B; 8] {
        let (first, second) = (s.load_b(part(unit, 192)), s.load_b(part(unit, 256)));
        let (a, b) = (field(s, first, 0, 0, 15), field(s, second, 0, 0, 15));
        let (c, d) = (field(s, first, 4, 0, 15), field(s, second, 4, 0, 15));
        [
            s.widen_lo(a),
            s.widen_hi(a),
            s.widen_lo(b),
            s.widen_hi(b),
            s.widen_lo(c),
            s.widen_hi(c),
            s.widen_lo(d),
            s.widen_hi(d),
        ]
    }
}
