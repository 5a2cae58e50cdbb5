//! Panels of blocks of 32 weights.
//!
//! A unit is two blocks (MXFP4: four). "Quants" are chunks: bytes 4 r to 4 r + 3 of chunk c are
//! `qs[4 c..4 c + 4]` of row r, as stored.
//!
//! | type | bytes of a unit, in order |
//! |---|---|
//! | Q4_0, IQ4_NL | scales `[2 blocks][16 rows] f16`; for each block quants, 4 chunks |
//! | Q4_1 | scales, minimums: `[2][16] f16` each; quants as Q4_0 |
//! | Q5_0 | scales; for each block a chunk of high bits, quants as Q4_0 |
//! | Q5_1 | scales, minimums; blocks as Q5_0 |
//! | Q8_0 | scales; for each block quants, 8 chunks, every byte with its sign bit flipped |
//! | MXFP4 | exponents `[4 blocks][16 rows] u8`; quants as Q4_0 |
//!
//! High bits of byte 4 r + i: bit c belongs to element 4 c + i of the block, bit 4 + c to element
//! 16 + 4 c + i.
#![expect(non_camel_case_types, reason = "the field's names")]

use tensor::block::{iq4, mxfp4};

use super::layout::{
    Blocks, Layout, chunks, field, gather, get, get_half, nibbles, part, put, put_half, spread,
};
use crate::isa::{Simd, UpTo};

/// 4 bits, zero point 8.
pub(crate) struct Q4_0;

/// 4 bits and a minimum.
pub(crate) struct Q4_1;

/// 5 bits, zero point 16.
pub(crate) struct Q5_0;

/// 5 bits and a minimum.
pub(crate) struct Q5_1;

/// 8 bits, signed; in panels with zero point 128.
pub(crate) struct Q8_0;

/// 4 bits, index of a table; in registers with zero point 128.
pub(crate) struct IQ4_NL;

/// 4 bits, a tiny float; in registers with zero point 12.
pub(crate) struct MXFP4;

/// [`IQ4_NL`]'s values above −128.
pub(crate) const IQ4_TABLE: [u8; 16] = table(iq4::VALUES, 128);

/// [`MXFP4`]'s doubled values above −12.
const MXFP4_TABLE: [u8; 16] = table(mxfp4::VALUES, 12);

/// A table of signed values made unsigned by adding `zero`.
const fn table(values: [i8; 16], zero: i16) -> [u8; 16] {
    let mut table = [0; 16];
    let mut i = 0;
    while i < 16 {
        table[i] = (values[i] as i16 + zero).to_le_bytes()[0];
        i += 1;
    }
    table
}

/// Bit `of` of `word`, as bit `to` of a byte.
#[inline(always)]
fn bit(word: u32, of: usize, to: usize) -> u8 {
    if (word >> of) & 1 == 1 { 1 << to } else { 0 }
}

/// The four bytes of a row in the chunk of high bits.
#[inline(always)]
fn high_bits(qh: [u8; 4]) -> [u8; 4] {
    let qh = u32::from_le_bytes(qh);
    core::array::from_fn(|i| {
        let mut byte = 0;
        for c in 0..4 {
            byte |= bit(qh, 4 * c + i, c) | bit(qh, 16 + 4 * c + i, 4 + c);
        }
        byte
    })
}

/// What [`high_bits`] was made of.
#[inline(always)]
fn stored_high_bits(bytes: [u8; 4]) -> [u8; 4] {
    let mut qh = 0u32;
    for (i, byte) in bytes.into_iter().enumerate() {
        for c in 0..4 {
            qh |= u32::from((byte >> c) & 1) << (4 * c + i);
            qh |= u32::from((byte >> (4 + c)) & 1) << (16 + 4 * c + i);
        }
    }
    qh.to_le_bytes()
}

/// Four chunks of nibbles with the fifth bits of the chunk before them.
#[inline(always)]
fn five_bits<S: Simd, const HALF: usize, const LEN: usize>(
    s: S,
    unit: &[u8; LEN],
    at: usize,
) -> [S::B; 4] {
    let high = s.load_b(part(unit, at));
    let low = nibbles::<S, HALF>(s, chunks(s, unit, at + 64, 64));
    // Bit c (c + 4 in the upper half) moves to bit 4.
    let from = if HALF == 0 { 0 } else { 4 };
    [
        s.or_b(low[0], field(s, high, from, 4, 16)),
        s.or_b(low[1], field(s, high, from + 1, 4, 16)),
        s.or_b(low[2], field(s, high, from + 2, 4, 16)),
        s.or_b(low[3], field(s, high, from + 3, 4, 16)),
    ]
}

/// Nibbles replaced by a table's entries.
#[inline(always)]
fn entries<S: Simd>(s: S, table: &[u8; 16], idx: [S::B; 4]) -> [S::B; 4] {
    [
        s.lookup(table, idx[0]),
        s.lookup(table, idx[1]),
        s.lookup(table, idx[2]),
        s.lookup(table, idx[3]),
    ]
}

impl Layout for Q4_0 {
    const BLOCK_K: usize = 32;
    const BLOCKS: usize = 2;
    type Block = [u8; 18];
    type Unit = [u8; 576];

    #[inline(always)]
    fn pack(block: &[u8; 18], b: usize, row: usize, unit: &mut [u8; 576]) {
        put_half(unit, 32 * b, row, *part(block, 0));
        spread(unit, 64 + 256 * b, row, &block[2..]);
    }

    #[inline(always)]
    fn unpack(unit: &[u8; 576], b: usize, row: usize) -> [u8; 18] {
        let mut block = [0; 18];
        block[..2].copy_from_slice(&get_half(unit, 32 * b, row));
        gather(unit, 64 + 256 * b, row, &mut block[2..]);
        block
    }
}

impl Blocks for Q4_0 {
    type Range = UpTo<15>;
    const MINIMUM: bool = false;

    #[inline(always)]
    fn quad<S: Simd, const HALF: usize>(s: S, unit: &[u8; 576], b: usize) -> [S::B; 4] {
        nibbles::<S, HALF>(s, chunks(s, unit, 64 + 256 * b, 64))
    }

    #[inline(always)]
    fn scale<S: Simd>(s: S, unit: &[u8; 576], b: usize) -> S::F {
        s.load_f16(part(unit, 32 * b))
    }
}

impl Layout for IQ4_NL {
    const BLOCK_K: usize = 32;
    const BLOCKS: usize = 2;
    type Block = [u8; 18];
    type Unit = [u8; 576];

    #[inline(always)]
    fn pack(block: &[u8; 18], b: usize, row: usize, unit: &mut [u8; 576]) {
        Q4_0::pack(block, b, row, unit);
    }

    #[inline(always)]
    fn unpack(unit: &[u8; 576], b: usize, row: usize) -> [u8; 18] {
        Q4_0::unpack(unit, b, row)
    }
}

impl Blocks for IQ4_NL {
    type Range = UpTo<241>;
    const MINIMUM: bool = false;

    #[inline(always)]
    fn quad<S: Simd, const HALF: usize>(s: S, unit: &[u8; 576], b: usize) -> [S::B; 4] {
        entries(s, &IQ4_TABLE, Q4_0::quad::<S, HALF>(s, unit, b))
    }

    #[inline(always)]
    fn scale<S: Simd>(s: S, unit: &[u8; 576], b: usize) -> S::F {
        Q4_0::scale(s, unit, b)
    }
}

impl Layout for Q4_1 {
    const BLOCK_K: usize = 32;
    const BLOCKS: usize = 2;
    type Block = [u8; 20];
    type Unit = [u8; 640];

    #[inline(always)]
    fn pack(block: &[u8; 20], b: usize, row: usize, unit: &mut [u8; 640]) {
        put_half(unit, 32 * b, row, *part(block, 0));
        put_half(unit, 64 + 32 * b, row, *part(block, 2));
        spread(unit, 128 + 256 * b, row, &block[4..]);
    }

    #[inline(always)]
    fn unpack(unit: &[u8; 640], b: usize, row: usize) -> [u8; 20] {
        let mut block = [0; 20];
        block[..2].copy_from_slice(&get_half(unit, 32 * b, row));
        block[2..4].copy_from_slice(&get_half(unit, 64 + 32 * b, row));
        gather(unit, 128 + 256 * b, row, &mut block[4..]);
        block
    }
}

impl Blocks for Q4_1 {
    type Range = UpTo<15>;
    const MINIMUM: bool = true;

    #[inline(always)]
    fn quad<S: Simd, const HALF: usize>(s: S, unit: &[u8; 640], b: usize) -> [S::B; 4] {
        nibbles::<S, HALF>(s, chunks(s, unit, 128 + 256 * b, 64))
    }

    #[inline(always)]
    fn scale<S: Simd>(s: S, unit: &[u8; 640], b: usize) -> S::F {
        s.load_f16(part(unit, 32 * b))
    }

    #[inline(always)]
    fn minimum<S: Simd>(s: S, unit: &[u8; 640], b: usize) -> S::F {
        s.load_f16(part(unit, 64 + 32 * b))
    }
}

impl Layout for Q5_0 {
    const BLOCK_K: usize = 32;
    const BLOCKS: usize = 2;
    type Block = [u8; 22];
    type Unit = [u8; 704];

    #[inline(always)]
    fn pack(block: &[u8; 22], b: usize, row: usize, unit: &mut [u8; 704]) {
        put_half(unit, 32 * b, row, *part(block, 0));
        put(unit, 64 + 320 * b, row, high_bits(*part(block, 2)));
        spread(unit, 128 + 320 * b, row, &block[6..]);
    }

    #[inline(always)]
    fn unpack(unit: &[u8; 704], b: usize, row: usize) -> [u8; 22] {
        let mut block = [0; 22];
        block[..2].copy_from_slice(&get_half(unit, 32 * b, row));
        block[2..6].copy_from_slice(&stored_high_bits(get(unit, 64 + 320 * b, row)));
        gather(unit, 128 + 320 * b, row, &mut block[6..]);
        block
    }
}

impl Blocks for Q5_0 {
    type Range = UpTo<31>;
    const MINIMUM: bool = false;

    #[inline(always)]
    fn quad<S: Simd, const HALF: usize>(s: S, unit: &[u8; 704], b: usize) -> [S::B; 4] {
        five_bits::<S, HALF, 704>(s, unit, 64 + 320 * b)
    }

    #[inline(always)]
    fn scale<S: Simd>(s: S, unit: &[u8; 704], b: usize) -> S::F {
        s.load_f16(part(unit, 32 * b))
    }
}

impl Layout for Q5_1 {
    const BLOCK_K: usize = 32;
    const BLOCKS: usize = 2;
    type Block = [u8; 24];
    type Unit = [u8; 768];

    #[inline(always)]
    fn pack(block: &[u8; 24], b: usize, row: usize, unit: &mut [u8; 768]) {
        put_half(unit, 32 * b, row, *part(block, 0));
        put_half(unit, 64 + 32 * b, row, *part(block, 2));
        put(unit, 128 + 320 * b, row, high_bits(*part(block, 4)));
        spread(unit, 192 + 320 * b, row, &block[8..]);
    }

    #[inline(always)]
    fn unpack(unit: &[u8; 768], b: usize, row: usize) -> [u8; 24] {
        let mut block = [0; 24];
        block[..2].copy_from_slice(&get_half(unit, 32 * b, row));
        block[2..4].copy_from_slice(&get_half(unit, 64 + 32 * b, row));
        block[4..8].copy_from_slice(&stored_high_bits(get(unit, 128 + 320 * b, row)));
        gather(unit, 192 + 320 * b, row, &mut block[8..]);
        block
    }
}

impl Blocks for Q5_1 {
    type Range = UpTo<31>;
    const MINIMUM: bool = true;

    #[inline(always)]
    fn quad<S: Simd, const HALF: usize>(s: S, unit: &[u8; 768], b: usize) -> [S::B; 4] {
        five_bits::<S, HALF, 768>(s, unit, 128 + 320 * b)
    }

    #[inline(always)]
    fn scale<S: Simd>(s: S, unit: &[u8; 768], b: usize) -> S::F {
        s.load_f16(part(unit, 32 * b))
    }

    #[inline(always)]
    fn minimum<S: Simd>(s: S, unit: &[u8; 768], b: usize) -> S::F {
        s.load_f16(part(unit, 64 + 32 * b))
    }
}

impl Layout for Q8_0 {
    const BLOCK_K: usize = 32;
    const BLOCKS: usize = 2;
    type Block = [u8; 34];
    type Unit = [u8; 1088];

    #[inline(always)]
    fn pack(block: &[u8; 34], b: usize, row: usize, unit: &mut [u8; 1088]) {
        put_half(unit, 32 * b, row, *part(block, 0));
        let quants: &[u8; 32] = part(block, 2);
        spread(unit, 64 + 512 * b, row, &quants.map(|q| q ^ 0x80));
    }

    #[inline(always)]
    fn unpack(unit: &[u8; 1088], b: usize, row: usize) -> [u8; 34] {
        let mut block = [0; 34];
        gather(unit, 64 + 512 * b, row, &mut block[2..]);
        block = block.map(|q| q ^ 0x80);
        block[..2].copy_from_slice(&get_half(unit, 32 * b, row));
        block
    }
}

impl Blocks for Q8_0 {
    type Range = UpTo<255>;
    const MINIMUM: bool = false;
    const WHOLE: bool = true;

    #[inline(always)]
    fn quad<S: Simd, const HALF: usize>(s: S, unit: &[u8; 1088], b: usize) -> [S::B; 4] {
        chunks(s, unit, 64 + 512 * b + 256 * HALF, 64)
    }

    #[inline(always)]
    fn scale<S: Simd>(s: S, unit: &[u8; 1088], b: usize) -> S::F {
        s.load_f16(part(unit, 32 * b))
    }
}

impl Layout for MXFP4 {
    const BLOCK_K: usize = 32;
    const BLOCKS: usize = 4;
    type Block = [u8; 17];
    type Unit = [u8; 1088];

    #[inline(always)]
    fn pack(block: &[u8; 17], b: usize, row: usize, unit: &mut [u8; 1088]) {
        unit[16 * b + row] = block[0];
        spread(unit, 64 + 256 * b, row, &block[1..]);
    }

    #[inline(always)]
    fn unpack(unit: &[u8; 1088], b: usize, row: usize) -> [u8; 17] {
        let mut block = [0; 17];
        block[0] = unit[16 * b + row];
        gather(unit, 64 + 256 * b, row, &mut block[1..]);
        block
    }
}

impl Blocks for MXFP4 {
    type Range = UpTo<24>;
    const MINIMUM: bool = false;

    #[inline(always)]
    fn quad<S: Simd, const HALF: usize>(s: S, unit: &[u8; 1088], b: usize) -> [S::B; 4] {
        let idx = nibbles::<S, HALF>(s, chunks(s, unit, 64 + 256 * b, 64));
        entries(s, &MXFP4_TABLE, idx)
    }

    /// `2^(e − 128)`: the bits are those of a normal number, (e − 1) · 2²³, or for e of 0 and 1
    /// of a subnormal one, (e + 1) · 2²¹; the larger of the two is the right one.
    #[inline(always)]
    fn scale<S: Simd>(s: S, unit: &[u8; 1088], b: usize) -> S::F {
        let e = s.load_u8(part(unit, 16 * b));
        let normal = s.shl_i(s.sub_i(e, s.splat_i(1)), 23);
        let subnormal = s.shl_i(s.add_i(e, s.splat_i(1)), 21);
        s.of_bits(s.max_i(normal, subnormal))
    }
}
