//! Panels of super-blocks with signed scales and a zero point: Q3_K, Q6_K and IQ4_XS.
//!
//! | type | bytes of a unit (256 elements), in order |
//! |---|---|
//! | Q6_K | scales `[16 rows] f16`, 32 zero bytes; sub-block scales `[16][16 rows] i8`; for half h and c = 0..7 chunks `qh[32 h + 4 c..]`, `ql[64 h + 4 c..]`, `ql[64 h + 32 + 4 c..]` |
//! | Q3_K | scales, 32 zero bytes; 128 bytes of nibbles, 64 of bit pairs; 8 chunks `hmask[4 c..]`; 16 chunks `qs[4 c..]` |
//! | IQ4_XS | scales; 64 bytes of nibbles, 32 of bit pairs; 8 sub-blocks × 4 chunks `qs[16 s + 4 c..]` |
//!
//! Q3_K's 6-bit scales: nibbles, byte 16 j + r, j = 0..7: low 4 bits of scale j low, of j + 8
//! high; bit pairs, byte 16 j + r, j = 0..3: from the lowest on, high bits of scales j, j + 4,
//! j + 8, j + 12. IQ4_XS's: nibbles, j = 0..3: scale j low, j + 4 high; bit pairs, j = 0, 1:
//! scales j, j + 2, j + 4, j + 6.
#![expect(non_camel_case_types, reason = "the field's names")]

use tensor::block;

use super::{
    blocks::IQ4_TABLE,
    layout::{
        Layout, SubScales, SuperBlocks, chunks, field, gather, get_half, nibbles, part, put_half,
        spread,
    },
};
use crate::{
    acts::Terms,
    isa::{Simd, UpTo},
};

/// 3 bits, zero point 4; every 16 have a 6-bit scale.
pub(crate) struct Q3_K;

/// 6 bits, zero point 32; every 16 have an 8-bit scale.
pub(crate) struct Q6_K;

/// 4 bits, index of a table, in registers with zero point 128; every 32 have a 6-bit scale.
pub(crate) struct IQ4_XS;

impl Layout for Q6_K {
    const BLOCK_K: usize = 256;
    const BLOCKS: usize = 1;
    type Block = [u8; 210];
    type Unit = [u8; 3392];

    #[inline(always)]
    fn pack(block: &[u8; 210], _b: usize, row: usize, unit: &mut [u8; 3392]) {
        put_half(unit, 0, row, *part(block, 208));
        for j in 0..16 {
            unit[64 + 16 * j + row] = block[192 + j];
        }
        for h in 0..2 {
            for c in 0..8 {
                let at = 320 + 1536 * h + 192 * c;
                spread(unit, at, row, &block[128 + 32 * h + 4 * c..][..4]);
                spread(unit, at + 64, row, &block[64 * h + 4 * c..][..4]);
                spread(unit, at + 128, row, &block[64 * h + 32 + 4 * c..][..4]);
            }
        }
    }

    #[inline(always)]
    fn unpack(unit: &[u8; 3392], _b: usize, row: usize) -> [u8; 210] {
        let mut block = [0; 210];
        for h in 0..2 {
            for c in 0..8 {
                let at = 320 + 1536 * h + 192 * c;
                gather(unit, at, row, &mut block[128 + 32 * h + 4 * c..][..4]);
                gather(unit, at + 64, row, &mut block[64 * h + 4 * c..][..4]);
                gather(unit, at + 128, row, &mut block[64 * h + 32 + 4 * c..][..4]);
            }
        }
        for j in 0..16 {
            block[192 + j] = unit[64 + 16 * j + row];
        }
        block[208..].copy_from_slice(&get_half(unit, 0, row));
        block
    }
}

impl SuperBlocks for Q6_K {
    type Range = UpTo<63>;
    const TERMS: Terms = Terms::Zero16(32);
    const VARIANTS: u32 = 4;

    #[inline(always)]
    fn quad<S: Simd, const VARIANT: u32, const HALF: usize>(
        s: S,
        unit: &[u8; 3392],
        outer: usize,
    ) -> [S::B; 4] {
        let at = 320 + 1536 * outer + 768 * HALF;
        let high = chunks(s, unit, at, 192);
        let low = chunks(s, unit, at + 64 + 64 * (VARIANT % 2) as usize, 192);
        let low = if VARIANT < 2 { nibbles::<S, 0>(s, low) } else { nibbles::<S, 1>(s, low) };
        [
            s.or_b(low[0], field(s, high[0], 2 * VARIANT, 4, 0x30)),
            s.or_b(low[1], field(s, high[1], 2 * VARIANT, 4, 0x30)),
            s.or_b(low[2], field(s, high[2], 2 * VARIANT, 4, 0x30)),
            s.or_b(low[3], field(s, high[3], 2 * VARIANT, 4, 0x30)),
        ]
    }

    #[inline(always)]
    fn scale<S: Simd>(s: S, unit: &[u8; 3392]) -> S::F {
        s.load_f16(part(unit, 0))
    }

    #[inline(always)]
    fn sub_scales<S: Simd>(_s: S, unit: &[u8; 3392], out: &mut SubScales) {
        *out = *part(unit, 64);
    }
}

impl Layout for Q3_K {
    const BLOCK_K: usize = 256;
    const BLOCKS: usize = 1;
    type Block = [u8; 110];
    type Unit = [u8; 1792];

    #[inline(always)]
    fn pack(stored: &[u8; 110], _b: usize, row: usize, unit: &mut [u8; 1792]) {
        let block = block::Q3_K::read(stored);
        put_half(unit, 0, row, block.d.to_le_bytes());
        for j in 0..8 {
            unit[64 + 16 * j + row] = block.scales[j] & 15 | block.scales[j + 8] << 4;
        }
        for j in 0..4 {
            unit[192 + 16 * j + row] = block.scales[j] >> 4
                | block.scales[j + 4] >> 4 << 2
                | block.scales[j + 8] >> 4 << 4
                | block.scales[j + 12] >> 4 << 6;
        }
        spread(unit, 256, row, block.hmask);
        spread(unit, 768, row, block.qs);
    }

    #[inline(always)]
    fn unpack(unit: &[u8; 1792], _b: usize, row: usize) -> [u8; 110] {
        let mut block = [0; 110];
        gather(unit, 256, row, &mut block[..32]);
        gather(unit, 768, row, &mut block[32..96]);
        // The stored order of both the nibbles and the bit pairs is ours.
        for j in 0..8 {
            block[96 + j] = unit[64 + 16 * j + row];
        }
        for j in 0..4 {
            block[104 + j] = unit[192 + 16 * j + row];
        }
        block[108..].copy_from_slice(&get_half(unit, 0, row));
        block
    }
}

impl SuperBlocks for Q3_K {
    type Range = UpTo<7>;
    const TERMS: Terms = Terms::Zero16(4);
    const VARIANTS: u32 = 8;

    #[inline(always)]
    fn quad<S: Simd, const VARIANT: u32, const HALF: usize>(
        s: S,
        unit: &[u8; 1792],
        _outer: usize,
    ) -> [S::B; 4] {
        let low = chunks(s, unit, 768 + 512 * (VARIANT / 4) as usize + 256 * HALF, 64);
        let high = chunks(s, unit, 256 + 256 * HALF, 64);
        let pair = 2 * (VARIANT % 4);
        [
            s.or_b(field(s, low[0], pair, 0, 3), field(s, high[0], VARIANT, 2, 4)),
            s.or_b(field(s, low[1], pair, 0, 3), field(s, high[1], VARIANT, 2, 4)),
            s.or_b(field(s, low[2], pair, 0, 3), field(s, high[2], VARIANT, 2, 4)),
            s.or_b(field(s, low[3], pair, 0, 3), field(s, high[3], VARIANT, 2, 4)),
        ]
    }

    #[inline(always)]
    fn scale<S: Simd>(s: S, unit: &[u8; 1792]) -> S::F {
        s.load_f16(part(unit, 0))
    }

    #[inline(always)]
    fn sub_scales<S: Simd>(s: S, unit: &[u8; 1792], out: &mut SubScales) {
        let (first, second) = (s.load_b(part(unit, 64)), s.load_b(part(unit, 128)));
        let high = s.load_b(part(unit, 192));
        let centre = s.splat_b(32);
        let [a, b, c, d] = out.as_chunks_mut().0 else { return };
        let six = s.or_b(field(s, first, 0, 0, 15), field(s, high, 0, 4, 0x30));
        s.store_b(s.sub_b(six, centre), a);
        let six = s.or_b(field(s, second, 0, 0, 15), field(s, high, 0, 2, 0x30));
        s.store_b(s.sub_b(six, centre), b);
        let six = s.or_b(field(s, first, 4, 0, 15), field(s, high, 0, 0, 0x30));
        s.store_b(s.sub_b(six, centre), c);
        let six = s.or_b(field(s, second, 4, 0, 15), field(s, high, 2, 0, 0x30));
        s.store_b(s.sub_b(six, centre), d);
    }
}

impl Layout for IQ4_XS {
    const BLOCK_K: usize = 256;
    const BLOCKS: usize = 1;
    type Block = [u8; 136];
    type Unit = [u8; 2176];

    #[inline(always)]
    fn pack(stored: &[u8; 136], _b: usize, row: usize, unit: &mut [u8; 2176]) {
        let block = block::IQ4_XS::read(stored);
        put_half(unit, 0, row, block.d.to_le_bytes());
        for j in 0..4 {
            unit[32 + 16 * j + row] = block.scales[j] & 15 | block.scales[j + 4] << 4;
        }
        for j in 0..2 {
            unit[96 + 16 * j + row] = block.scales[j] >> 4
                | block.scales[j + 2] >> 4 << 2
                | block.scales[j + 4] >> 4 << 4
                | block.scales[j + 6] >> 4 << 6;
        }
        spread(unit, 128, row, block.qs);
    }

    #[inline(always)]
    fn unpack(unit: &[u8; 2176], _b: usize, row: usize) -> [u8; 136] {
        let mut block = [0; 136];
        block[..2].copy_from_slice(&get_half(unit, 0, row));
        for s in 0..8 {
            let low = unit[32 + 16 * (s % 4) + row] >> (4 * (s / 4)) & 15;
            let high = unit[96 + 16 * (s % 2) + row] >> (2 * (s / 2)) & 3;
            block[2 + s / 4] |= high << (2 * (s % 4));
            block[4 + s / 2] |= low << (4 * (s % 2));
        }
        gather(unit, 128, row, &mut block[8..]);
        block
    }
}

impl SuperBlocks for IQ4_XS {
    type Range = UpTo<241>;
    const TERMS: Terms = Terms::Zero32(128);
    const VARIANTS: u32 = 1;

    #[inline(always)]
    fn quad<S: Simd, const VARIANT: u32, const HALF: usize>(
        s: S,
        unit: &[u8; 2176],
        outer: usize,
    ) -> [S::B; 4] {
        let idx = nibbles::<S, HALF>(s, chunks(s, unit, 128 + 256 * outer, 64));
        [
            s.lookup(&IQ4_TABLE, idx[0]),
            s.lookup(&IQ4_TABLE, idx[1]),
            s.lookup(&IQ4_TABLE, idx[2]),
            s.lookup(&IQ4_TABLE, idx[3]),
        ]
    }

    #[inline(always)]
    fn scale<S: Simd>(s: S, unit: &[u8; 2176]) -> S::F {
        s.load_f16(part(unit, 0))
    }

    #[inline(always)]
    fn sub_scales<S: Simd>(_s: S, unit: &[u8; 2176], out: &mut SubScales) {
        let low: &[u8; 64] = part(unit, 32);
        let high: &[u8; 32] = part(unit, 96);
        for x in 0..32 {
            let high = high[x];
            out[x] = (low[x] & 15 | (high & 3) << 4).wrapping_sub(32);
            out[32 + x] = (low[32 + x] & 15 | (high >> 2 & 3) << 4).wrapping_sub(32);
            out[64 + x] = (low[x] >> 4 | (high >> 4 & 3) << 4).wrapping_sub(32);
            out[96 + x] = (low[32 + x] >> 4 | (high >> 6) << 4).wrapping_sub(32);
        }
    }
}
