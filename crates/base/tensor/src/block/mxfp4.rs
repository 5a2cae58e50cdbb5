//! MXFP4: 32 four-bit floats with one power-of-two scale.
//!
//! OCP Microscaling Formats 1.0 (E2M1 elements, E8M0 scale) in GGUF's order of nibbles. Values are
//! kept doubled so that they are whole numbers; the scale is halved to match.

use super::{
    Fields, Store, join_nibbles, nibbles,
    search::{finite, inverse, peak},
};

/// Twice the E2M1 values of the codes 0 to 15; bit 3 is the sign.
pub const VALUES: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

/// 32 weights: `2^(e − 128) · VALUES[q]`, q of 4 bits.
///
/// | bytes | field | |
/// |---|---|---|
/// | 0 | `e` | exponent, biased by 127 (and by 1 more for the doubled values) |
/// | 1–16 | `qs` | byte j: element j low, element 16 + j high |
#[derive(Clone, Copy, Debug)]
pub struct MXFP4<'a> {
    /// The biased exponent.
    pub e: u8,
    /// Two codes a byte.
    pub qs: &'a [u8; 16],
}

impl<'a> MXFP4<'a> {
    /// Binds a stored block.
    #[inline]
    pub fn read(block: &'a [u8; 17]) -> Self {
        let mut fields = Fields(block);
        let [e] = *fields.take();
        Self { e, qs: fields.take() }
    }

    /// The scale of the doubled values: `2^(e − 128)`, exact down to the subnormal 2^-128.
    #[inline]
    pub fn scale(&self) -> f32 {
        scale(self.e)
    }

    /// The factors of the scale: members of [`VALUES`].
    #[inline]
    pub fn quants(&self) -> [i8; 32] {
        nibbles(self.qs).map(|q| VALUES[usize::from(q)])
    }

    /// The values.
    #[inline]
    pub fn decode(&self, out: &mut [f32; 32]) {
        let d = self.scale();
        *out = self.quants().map(|q| d * f32::from(q));
    }
}

/// `2^(e − 128)`: bits of a subnormal for the two smallest exponents. The specification's NaN
/// (e = 255) is not special in GGUF files.
#[inline]
pub(super) fn scale(e: u8) -> f32 {
    f32::from_bits(match e {
        0 | 1 => 0x0020_0000 << e,
        _ => (u32::from(e) - 1) << 23,
    })
}

/// The code whose doubled value is nearest to `v`.
fn code(v: f32) -> u8 {
    /// Middles between the doubled magnitudes 0, 1, 2, 3, 4, 6, 8, 12.
    const MIDDLES: [f32; 7] = [0.5, 1.5, 2.5, 3.5, 5.0, 7.0, 10.0];
    let magnitude = MIDDLES.iter().fold(0, |code, &middle| code + u8::from(v.abs() > middle));
    if v < 0.0 && magnitude > 0 { magnitude | 8 } else { magnitude }
}

/// The largest magnitude whose code does not overflow: 12 · 2^124.
const LIMIT: f32 = 2.552_117_8e38;

/// Codes 32 weights: of the exponents around the one that spans the block, the best.
pub(super) fn encode(x: &[f32; 32], out: &mut [u8; 17]) {
    let x = finite(x, LIMIT);
    // The exponent with which the largest magnitude lies in [4, 8) before doubling.
    let spanning = (peak(&x).to_bits() >> 23 & 0xff).saturating_sub(2).to_le_bytes()[0];
    let mut best = (f64::INFINITY, 0, [0; 32]);
    for e in [spanning, spanning.saturating_add(1).min(254), spanning.saturating_sub(1)] {
        let d = scale(e);
        let per_scale = inverse(d);
        let q = x.map(|v| code(v * per_scale));
        let error = x.iter().zip(q).fold(0.0, |error, (&v, q)| {
            let miss = f64::from(v) - f64::from(d) * f64::from(VALUES[usize::from(q)]);
            error + miss * miss
        });
        if error < best.0 {
            best = (error, e, q);
        }
    }
    Store(out).put(&[best.1]).put(&join_nibbles(&best.2));
}
