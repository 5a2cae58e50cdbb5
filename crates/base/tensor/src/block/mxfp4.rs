//! MXFP4: 32 four-bit floats with one power-of-two scale.
//!
//! OCP Microscaling Formats 1.0 (E2M1 elements, E8M0 scale) in GGUF's order of nibbles. Values are
//! kept doubled so that they are whole numbers; the scale is halved to match.

use super::{Fields, nibbles};

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
