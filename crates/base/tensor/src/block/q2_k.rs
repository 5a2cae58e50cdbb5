//! Q2_K: 256 weights of 2 bits; every 16 have a 4-bit scale and a 4-bit minimum.
//!
//! Sub-block s is elements 16 s to 16 s + 15. The scales of all are multiples of `d`, the minimums
//! multiples of `dmin`.

use super::{Fields, Store, bit_pairs, join_bit_pairs, search::finite, superblock::with_mins};
use crate::F16;

/// 256 weights: `d · scale · q − dmin · min`, q of 2 bits.
///
/// | bytes | field | |
/// |---|---|---|
/// | 0–15 | `scales` | byte s: scale of sub-block s low, minimum high |
/// | 16–79 | `qs` | byte 32 h + j, h = 0, 1: bits 2 i are element 128 h + 32 i + j, i = 0..3 |
/// | 80–81 | `d` | scale of scales, f16 |
/// | 82–83 | `dmin` | scale of minimums, f16 |
#[derive(Clone, Copy, Debug)]
#[expect(non_camel_case_types, reason = "the field's name")]
pub struct Q2_K<'a> {
    /// Scale (low nibble) and minimum (high nibble) of the 16 sub-blocks, as stored.
    pub scales: &'a [u8; 16],
    /// Four elements a byte.
    pub qs: &'a [u8; 64],
    /// The scale of scales.
    pub d: F16,
    /// The scale of minimums.
    pub dmin: F16,
}

impl<'a> Q2_K<'a> {
    /// Binds a stored block.
    #[inline]
    pub fn read(block: &'a [u8; 84]) -> Self {
        let mut fields = Fields(block);
        Self { scales: fields.take(), qs: fields.take(), d: fields.f16(), dmin: fields.f16() }
    }

    /// The factors of the sub-blocks' scales, 0 to 3.
    #[inline]
    pub fn quants(&self) -> [u8; 256] {
        bit_pairs(self.qs)
    }

    /// The values.
    #[inline]
    pub fn decode(&self, out: &mut [f32; 256]) {
        let (d, dmin) = (self.d.to_f32(), self.dmin.to_f32());
        let quants = self.quants();
        let subs = out.as_chunks_mut::<16>().0.iter_mut().zip(quants.as_chunks::<16>().0);
        for ((out, quants), scale) in subs.zip(self.scales) {
            let (scale, min) = (d * f32::from(scale & 0xf), dmin * f32::from(scale >> 4));
            *out = quants.map(|q| scale * f32::from(q) - min);
        }
    }
}

/// Codes 256 weights.
pub(super) fn encode(x: &[f32; 256], out: &mut [u8; 84]) {
    let coded = with_mins::<16, 16>(&finite(x, F16::MAX.to_f32() * 15.0), 3.0, 15.0);
    let scales: [u8; 16] = core::array::from_fn(|s| coded.scales[s] | (coded.mins[s] << 4));
    Store(out).put(&scales).put(&join_bit_pairs(&coded.quants)).f16(coded.d).f16(coded.dmin);
}
