//! Q5_K: 256 weights of 5 bits; every 32 have a 6-bit scale and a 6-bit minimum.
//!
//! Q4_K with a fifth bit: the low four bits, scales and minimums are stored alike.

use super::{
    Fields, Store, bit_planes, join_bit_planes, join_nibbles_k, nibbles_k,
    q4_k::{self, ScalesAndMins},
    search::finite,
    superblock::with_mins,
};
use crate::F16;

/// 256 weights: `d · scale · q − dmin · min`, q of 5 bits.
///
/// | bytes | field | |
/// |---|---|---|
/// | 0–1 | `d` | scale of scales, f16 |
/// | 2–3 | `dmin` | scale of minimums, f16 |
/// | 4–15 | `scales`, `mins` | see [`ScalesAndMins::unpack`] |
/// | 16–47 | `qh` | bit s of byte j: fifth bit of element 32 s + j |
/// | 48–175 | `qs` | byte 32 p + j, p = 0..3: element 64 p + j low, element 64 p + 32 + j high |
#[derive(Clone, Copy, Debug)]
#[expect(non_camel_case_types, reason = "the field's name")]
pub struct Q5_K<'a> {
    /// The scale of scales.
    pub d: F16,
    /// The scale of minimums.
    pub dmin: F16,
    /// Scales of the sub-blocks, 0 to 63.
    pub scales: [u8; 8],
    /// Minimums of the sub-blocks, 0 to 63.
    pub mins: [u8; 8],
    /// The fifth bits, one plane of 32 elements a bit.
    pub qh: &'a [u8; 32],
    /// The low four bits, two elements a byte.
    pub qs: &'a [u8; 128],
}

impl<'a> Q5_K<'a> {
    /// Binds a stored block.
    #[inline]
    pub fn read(block: &'a [u8; 176]) -> Self {
        let mut fields = Fields(block);
        let (d, dmin) = (fields.f16(), fields.f16());
        let ScalesAndMins { scales, mins } = ScalesAndMins::unpack(fields.take());
        Self { d, dmin, scales, mins, qh: fields.take(), qs: fields.take() }
    }

    /// The factors of the sub-blocks' scales, 0 to 31.
    #[inline]
    pub fn quants(&self) -> [u8; 256] {
        let mut quants = nibbles_k(self.qs);
        for (q, bit) in quants.iter_mut().zip(bit_planes(self.qh)) {
            *q |= bit << 4;
        }
        quants
    }

    /// The values.
    #[inline]
    pub fn decode(&self, out: &mut [f32; 256]) {
        q4_k::decode(self.d, self.dmin, self.scales, self.mins, &self.quants(), out);
    }
}

/// Codes 256 weights.
pub(super) fn encode(x: &[f32; 256], out: &mut [u8; 176]) {
    let coded = with_mins::<8, 32>(&finite(x, F16::MAX.to_f32() * 63.0), 31.0, 63.0);
    let units = ScalesAndMins { scales: coded.scales, mins: coded.mins };
    Store(out)
        .f16(coded.d)
        .f16(coded.dmin)
        .put(&units.pack())
        .put(&join_bit_planes(&coded.quants, 4))
        .put(&join_nibbles_k(&coded.quants));
}
