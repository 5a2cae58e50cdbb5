//! Q6_K: 256 weights of 6 bits; every 16 have an 8-bit scale.
//!
//! Sub-block s is elements 16 s to 16 s + 15.

use super::{
    Fields, Store, bit_pairs, join_bit_pairs,
    search::{Whole, byte, finite},
    superblock::with_scales,
};
use crate::F16;

/// 256 weights: `d · scale · (q − 32)`, q of 6 bits.
///
/// | bytes | field | |
/// |---|---|---|
/// | 0–127 | `ql` | byte 64 h + j, h = 0, 1, j = 0..63: low four bits of element 128 h + j low, of element 128 h + 64 + j high |
/// | 128–191 | `qh` | byte 32 h + j, j = 0..31: bits 2 i are the high two bits of element 128 h + 32 i + j, i = 0..3 |
/// | 192–207 | `scales` | i8, byte s is the scale of sub-block s |
/// | 208–209 | `d` | scale of scales, f16 |
#[derive(Clone, Copy, Debug)]
#[expect(non_camel_case_types, reason = "the field's name")]
pub struct Q6_K<'a> {
    /// The low four bits, two elements a byte.
    pub ql: &'a [u8; 128],
    /// The high two bits, four elements a byte.
    pub qh: &'a [u8; 64],
    /// Scales of the sub-blocks, two's complement.
    pub scales: &'a [u8; 16],
    /// The scale of scales.
    pub d: F16,
}

impl<'a> Q6_K<'a> {
    /// Binds a stored block.
    #[inline]
    pub fn read(block: &'a [u8; 210]) -> Self {
        let mut fields = Fields(block);
        Self { ql: fields.take(), qh: fields.take(), scales: fields.take(), d: fields.f16() }
    }

    /// The factors of the sub-blocks' scales, −32 to 31.
    #[inline]
    pub fn quants(&self) -> [i8; 256] {
        let mut quants = bit_pairs(self.qh);
        for (half, low) in
            quants.as_chunks_mut::<128>().0.iter_mut().zip(self.ql.as_chunks::<64>().0)
        {
            for (j, byte) in low.iter().enumerate() {
                half[j] = half[j] << 4 | byte & 0xf;
                half[j + 64] = half[j + 64] << 4 | byte >> 4;
            }
        }
        quants.map(|q| q.cast_signed() - 32)
    }

    /// The values.
    #[inline]
    pub fn decode(&self, out: &mut [f32; 256]) {
        let d = self.d.to_f32();
        let quants = self.quants();
        let subs = out.as_chunks_mut::<16>().0.iter_mut().zip(quants.as_chunks::<16>().0);
        for ((out, quants), scale) in subs.zip(self.scales) {
            let scale = d * f32::from(scale.cast_signed());
            *out = quants.map(|q| scale * f32::from(q));
        }
    }
}

/// Codes 256 weights.
pub(super) fn encode(x: &[f32; 256], out: &mut [u8; 210]) {
    let x = finite(x, F16::MAX.to_f32() * 127.0 * 31.0);
    let coded = with_scales::<_, 16, 16>(&x, Whole { lo: -32.0, hi: 31.0 }, -128.0);
    let quants = coded.levels.map(|q| byte(q + 32.0));
    let mut ql = [0; 128];
    for (half, low) in quants.as_chunks::<128>().0.iter().zip(ql.as_chunks_mut::<64>().0) {
        for (j, byte) in low.iter_mut().enumerate() {
            *byte = (half[j] & 0xf) | (half[j + 64] << 4);
        }
    }
    Store(out)
        .put(&ql)
        .put(&join_bit_pairs(&quants.map(|q| q >> 4)))
        .put(&coded.scales.map(i8::cast_unsigned))
        .f16(coded.d);
}
