//! Q3_K: 256 weights of 3 bits; every 16 have a 6-bit scale.
//!
//! Sub-block s is elements 16 s to 16 s + 15. The third bit of all elements stands in `hmask`.

use super::{
    Fields, Store, bit_pairs, bit_planes, join_bit_pairs, join_bit_planes,
    search::{Whole, byte, finite},
    superblock::with_scales,
};
use crate::F16;

/// 256 weights: `d · (scale − 32) · (q − 4)`, q of 3 bits, scale of 6.
///
/// | bytes | field | |
/// |---|---|---|
/// | 0–31 | `hmask` | bit i of byte j: third bit of element 32 i + j |
/// | 32–95 | `qs` | byte 32 h + j, h = 0, 1: bits 2 i are element 128 h + 32 i + j, i = 0..3 |
/// | 96–107 | `scales` | bytes 0–7, s: low four bits of scale s low, of scale 8 + s high; bytes 8–11, s: bits 2 i are the high two bits of scale 4 i + s, i = 0..3 |
/// | 108–109 | `d` | scale of scales, f16 |
#[derive(Clone, Copy, Debug)]
#[expect(non_camel_case_types, reason = "the field's name")]
pub struct Q3_K<'a> {
    /// The third bits, one plane of 32 elements a bit.
    pub hmask: &'a [u8; 32],
    /// The low two bits, four elements a byte.
    pub qs: &'a [u8; 64],
    /// The scales as stored, 0 to 63: their zero is 32.
    pub scales: [u8; 16],
    /// The scale of scales.
    pub d: F16,
}

impl<'a> Q3_K<'a> {
    /// Binds a stored block.
    #[inline]
    pub fn read(block: &'a [u8; 110]) -> Self {
        let mut fields = Fields(block);
        Self {
            hmask: fields.take(),
            qs: fields.take(),
            scales: unpack_scales(fields.take()),
            d: fields.f16(),
        }
    }

    /// The factors of the sub-blocks' scales, −4 to 3.
    #[inline]
    pub fn quants(&self) -> [i8; 256] {
        let mut quants = bit_pairs(self.qs);
        for (q, bit) in quants.iter_mut().zip(bit_planes(self.hmask)) {
            *q |= bit << 2;
        }
        quants.map(|q| q.cast_signed() - 4)
    }

    /// The values.
    #[inline]
    pub fn decode(&self, out: &mut [f32; 256]) {
        let d = self.d.to_f32();
        let quants = self.quants();
        let subs = out.as_chunks_mut::<16>().0.iter_mut().zip(quants.as_chunks::<16>().0);
        for ((out, quants), scale) in subs.zip(self.scales) {
            let scale = d * f32::from(scale.cast_signed() - 32);
            *out = quants.map(|q| scale * f32::from(q));
        }
    }
}

/// The sixteen 6-bit scales, 0 to 63, of their twelve bytes.
#[inline]
fn unpack_scales(packed: &[u8; 12]) -> [u8; 16] {
    core::array::from_fn(|s| {
        let low = packed[s % 8] >> (4 * (s / 8)) & 0xf;
        let high = packed[8 + s % 4] >> (2 * (s / 4)) & 3;
        low | high << 4
    })
}

/// Codes 256 weights.
pub(super) fn encode(x: &[f32; 256], out: &mut [u8; 110]) {
    let x = finite(x, F16::MAX.to_f32() * 31.0 * 3.0);
    let coded = with_scales::<_, 16, 16>(&x, Whole { lo: -4.0, hi: 3.0 }, -32.0);
    let quants = coded.levels.map(|q| byte(q + 4.0));
    Store(out)
        .put(&join_bit_planes(&quants, 2))
        .put(&join_bit_pairs(&quants))
        .put(&pack_scales(coded.scales.map(|scale| (scale + 32).cast_unsigned())))
        .f16(coded.d);
}

/// The twelve bytes of sixteen 6-bit scales.
fn pack_scales(scales: [u8; 16]) -> [u8; 12] {
    core::array::from_fn(|at| match at {
        0..8 => (scales[at] & 0xf) | (scales[at + 8] << 4),
        _ => (0..4).fold(0, |byte, i| byte | ((scales[4 * i + at - 8] >> 4) << (2 * i))),
    })
}
