//! Q4_K: 256 weights of 4 bits; every 32 have a 6-bit scale and a 6-bit minimum.
//!
//! Sub-block s is elements 32 s to 32 s + 31. The packing of scales and minimums is shared with
//! Q5_K.

use super::{Fields, Store, join_nibbles_k, nibbles_k, search::finite, superblock::with_mins};
use crate::F16;

/// The 6-bit scales and minimums of eight sub-blocks, one byte each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScalesAndMins {
    /// Scales, 0 to 63.
    pub scales: [u8; 8],
    /// Minimums, 0 to 63.
    pub mins: [u8; 8],
}

impl ScalesAndMins {
    /// Unpacks twelve bytes.
    ///
    /// | bytes | low bits | high bits |
    /// |---|---|---|
    /// | 0–3, s | 0–5: scale s | 6–7: high two bits of scale 4 + s |
    /// | 4–7, s | 0–5: minimum s | 6–7: high two bits of minimum 4 + s |
    /// | 8–11, s | 0–3: low four bits of scale 4 + s | 4–7: low four bits of minimum 4 + s |
    #[inline]
    pub fn unpack(packed: &[u8; 12]) -> Self {
        let mut unpacked = Self::default();
        for s in 0..4 {
            let (scale, min, low) = (packed[s], packed[4 + s], packed[8 + s]);
            unpacked.scales[s] = scale & 0x3f;
            unpacked.mins[s] = min & 0x3f;
            unpacked.scales[4 + s] = low & 0xf | scale >> 6 << 4;
            unpacked.mins[4 + s] = low >> 4 | min >> 6 << 4;
        }
        unpacked
    }

    /// Undoes [`unpack`](Self::unpack).
    pub fn pack(&self) -> [u8; 12] {
        let mut packed = [0; 12];
        for s in 0..4 {
            let (scale, min) = (self.scales[4 + s], self.mins[4 + s]);
            packed[s] = self.scales[s] | ((scale >> 4) << 6);
            packed[4 + s] = self.mins[s] | ((min >> 4) << 6);
            packed[8 + s] = (scale & 0xf) | (min << 4);
        }
        packed
    }
}

/// 256 weights: `d · scale · q − dmin · min`, q of 4 bits.
///
/// | bytes | field | |
/// |---|---|---|
/// | 0–1 | `d` | scale of scales, f16 |
/// | 2–3 | `dmin` | scale of minimums, f16 |
/// | 4–15 | `scales`, `mins` | see [`ScalesAndMins::unpack`] |
/// | 16–143 | `qs` | byte 32 p + j, p = 0..3: element 64 p + j low, element 64 p + 32 + j high |
#[derive(Clone, Copy, Debug)]
#[expect(non_camel_case_types, reason = "the field's name")]
pub struct Q4_K<'a> {
    /// The scale of scales.
    pub d: F16,
    /// The scale of minimums.
    pub dmin: F16,
    /// Scales of the sub-blocks, 0 to 63.
    pub scales: [u8; 8],
    /// Minimums of the sub-blocks, 0 to 63.
    pub mins: [u8; 8],
    /// Two elements a byte.
    pub qs: &'a [u8; 128],
}

impl<'a> Q4_K<'a> {
    /// Binds a stored block.
    #[inline]
    pub fn read(block: &'a [u8; 144]) -> Self {
        let mut fields = Fields(block);
        let (d, dmin) = (fields.f16(), fields.f16());
        let ScalesAndMins { scales, mins } = ScalesAndMins::unpack(fields.take());
        Self { d, dmin, scales, mins, qs: fields.take() }
    }

    /// The factors of the sub-blocks' scales, 0 to 15.
    #[inline]
    pub fn quants(&self) -> [u8; 256] {
        nibbles_k(self.qs)
    }

    /// The values.
    #[inline]
    pub fn decode(&self, out: &mut [f32; 256]) {
        decode(self.d, self.dmin, self.scales, self.mins, &self.quants(), out);
    }
}

/// The values of a block with eight scales and minimums.
#[inline]
pub(super) fn decode(
    d: F16,
    dmin: F16,
    scales: [u8; 8],
    mins: [u8; 8],
    quants: &[u8; 256],
    out: &mut [f32; 256],
) {
    let (d, dmin) = (d.to_f32(), dmin.to_f32());
    let subs = out.as_chunks_mut::<32>().0.iter_mut().zip(quants.as_chunks::<32>().0);
    for ((out, quants), (scale, min)) in subs.zip(scales.into_iter().zip(mins)) {
        let (scale, min) = (d * f32::from(scale), dmin * f32::from(min));
        *out = quants.map(|q| scale * f32::from(q) - min);
    }
}

/// Codes 256 weights.
pub(super) fn encode(x: &[f32; 256], out: &mut [u8; 144]) {
    let coded = with_mins::<8, 32>(&finite(x, F16::MAX.to_f32() * 63.0), 15.0, 63.0);
    let units = ScalesAndMins { scales: coded.scales, mins: coded.mins };
    Store(out).f16(coded.d).f16(coded.dmin).put(&units.pack()).put(&join_nibbles_k(&coded.quants));
}
