//! IQ4_NL and IQ4_XS: 4-bit indices into a fixed table that is denser near zero.
//!
//! IQ4_NL has one scale for 32 weights; IQ4_XS a 6-bit scale for 32 and one f16 for 256.

use super::{
    Fields, Store, join_nibbles, nibbles,
    search::{self, Levels, finite, half, inverse},
    superblock::with_scales,
};
use crate::F16;

/// The values that the indices 0 to 15 stand for, ascending.
pub const VALUES: [i8; 16] =
    [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/// 32 weights: `d · VALUES[q]`, q of 4 bits.
///
/// | bytes | field | |
/// |---|---|---|
/// | 0–1 | `d` | scale, f16 |
/// | 2–17 | `qs` | byte j: element j low, element 16 + j high |
#[derive(Clone, Copy, Debug)]
#[expect(non_camel_case_types, reason = "the field's name")]
pub struct IQ4_NL<'a> {
    /// The scale.
    pub d: F16,
    /// Two indices a byte.
    pub qs: &'a [u8; 16],
}

impl<'a> IQ4_NL<'a> {
    /// Binds a stored block.
    #[inline]
    pub fn read(block: &'a [u8; 18]) -> Self {
        let mut fields = Fields(block);
        Self { d: fields.f16(), qs: fields.take() }
    }

    /// The factors of `d`: members of [`VALUES`].
    #[inline]
    pub fn quants(&self) -> [i8; 32] {
        nibbles(self.qs).map(|q| VALUES[usize::from(q)])
    }

    /// The values.
    #[inline]
    pub fn decode(&self, out: &mut [f32; 32]) {
        let d = self.d.to_f32();
        *out = self.quants().map(|q| d * f32::from(q));
    }
}

/// 256 weights: `d · (scale − 32) · VALUES[q]`, q of 4 bits, scale of 6.
///
/// | bytes | field | |
/// |---|---|---|
/// | 0–1 | `d` | scale of scales, f16 |
/// | 2–3 | `scales_h` | u16, bits 2 s: high two bits of scale s |
/// | 4–7 | `scales_l` | byte s / 2: low four bits of scale s, even s low, odd s high |
/// | 8–135 | `qs` | byte 16 s + j: element 32 s + j low, element 32 s + 16 + j high |
#[derive(Clone, Copy, Debug)]
#[expect(non_camel_case_types, reason = "the field's name")]
pub struct IQ4_XS<'a> {
    /// The scale of scales.
    pub d: F16,
    /// The scales as stored, 0 to 63: their zero is 32.
    pub scales: [u8; 8],
    /// Two indices a byte, 16 bytes a sub-block.
    pub qs: &'a [u8; 128],
}

impl<'a> IQ4_XS<'a> {
    /// Binds a stored block.
    #[inline]
    pub fn read(block: &'a [u8; 136]) -> Self {
        let mut fields = Fields(block);
        let d = fields.f16();
        let high = u16::from_le_bytes(*fields.take());
        let low: &[u8; 4] = fields.take();
        let scales = core::array::from_fn(|s| {
            let high = if (high >> (2 * s)) & 1 == 1 { 16 } else { 0 }
                | if (high >> (2 * s + 1)) & 1 == 1 { 32 } else { 0 };
            (low[s / 2] >> (4 * (s % 2))) & 0xf | high
        });
        Self { d, scales, qs: fields.take() }
    }

    /// The factors of the sub-blocks' scales: members of [`VALUES`].
    #[inline]
    pub fn quants(&self) -> [i8; 256] {
        let mut out = [0; 256];
        for (out, qs) in out.as_chunks_mut::<32>().0.iter_mut().zip(self.qs.as_chunks::<16>().0) {
            *out = nibbles(qs).map(|q| VALUES[usize::from(q)]);
        }
        out
    }

    /// The values.
    #[inline]
    pub fn decode(&self, out: &mut [f32; 256]) {
        let d = self.d.to_f32();
        let quants = self.quants();
        let subs = out.as_chunks_mut::<32>().0.iter_mut().zip(quants.as_chunks::<32>().0);
        for ((out, quants), scale) in subs.zip(self.scales) {
            let scale = d * f32::from(scale.cast_signed() - 32);
            *out = quants.map(|q| scale * f32::from(q));
        }
    }
}

/// [`VALUES`] as what a quant can stand for.
#[derive(Clone, Copy, Debug)]
struct Table;

/// The level nearest to each multiple of one half from −128 to 127.5. All middles between
/// neighbours are such multiples, so that the level changes nowhere else.
const NEAREST: [f32; 512] = {
    let mut nearest = [0.0; 512];
    let mut at = 0;
    let mut index = 0;
    while at < 512 {
        // Twice the value at the middle of this step, doubled again to stay whole.
        let value = 2 * at - 512 + 1;
        if index < 15 && value > 2 * (VALUES[index] as i32 + VALUES[index + 1] as i32) {
            index += 1;
        }
        nearest[at as usize] = VALUES[index] as f32;
        at += 1;
    }
    nearest
};

impl Levels for Table {
    #[inline(always)]
    fn extreme(self) -> f32 {
        -127.0
    }

    #[inline(always)]
    fn spacing(self) -> f32 {
        16.0
    }

    #[inline(always)]
    fn nearest(self, v: f32) -> f32 {
        // Rounded to a whole number of halves below; singles from 2^23 on are one apart.
        const SHIFT: f32 = 8_388_608.0;
        let halves = v.clamp(-127.0, 113.0) * 2.0 + 255.5;
        NEAREST[((halves + SHIFT).to_bits() & 0x1ff) as usize]
    }
}

/// The index of a level.
fn index(level: f32) -> u8 {
    VALUES.partition_point(|&value| f32::from(value) < level).to_le_bytes()[0]
}

/// Codes 32 weights as IQ4_NL.
pub(super) fn encode_nl(x: &[f32; 32], out: &mut [u8; 18]) {
    let x = finite(x, F16::MAX.to_f32() * 113.0);
    let d = half(search::scale(&x, Table));
    let per_scale = inverse(d.to_f32());
    let q = x.map(|v| index(Table.nearest(v * per_scale)));
    Store(out).f16(d).put(&join_nibbles(&q));
}

/// Codes 256 weights as IQ4_XS.
pub(super) fn encode_xs(x: &[f32; 256], out: &mut [u8; 136]) {
    let x = finite(x, F16::MAX.to_f32() * 31.0 * 113.0);
    let coded = with_scales::<_, 8, 32>(&x, Table, -32.0);
    let scales = coded.scales.map(|scale| (scale + 32).cast_unsigned());
    let low: [u8; 4] =
        core::array::from_fn(|at| (scales[2 * at] & 0xf) | (scales[2 * at + 1] << 4));
    let high = scales.iter().rev().fold(0u16, |high, scale| (high << 2) | u16::from(scale >> 4));
    let mut qs = [0; 128];
    for (qs, levels) in qs.as_chunks_mut::<16>().0.iter_mut().zip(coded.levels.as_chunks::<32>().0)
    {
        *qs = join_nibbles(&levels.map(index));
    }
    Store(out).f16(coded.d).put(&high.to_le_bytes()).put(&low).put(&qs);
}
