//! Q8_0: 32 weights of 8 bits with one scale.
//!
//! The simplest block: the bytes are the factors.

use super::Fields;
use crate::F16;

/// 32 weights: `d · q`, q a signed byte.
///
/// | bytes | field | |
/// |---|---|---|
/// | 0–1 | `d` | scale, f16 |
/// | 2–33 | `qs` | i8, byte j is element j |
#[derive(Clone, Copy, Debug)]
pub struct Q8_0<'a> {
    /// The scale.
    pub d: F16,
    /// One element a byte, two's complement.
    pub qs: &'a [u8; 32],
}

impl<'a> Q8_0<'a> {
    /// Binds a stored block.
    #[inline]
    pub fn read(block: &'a [u8; 34]) -> Self {
        let mut fields = Fields(block);
        Self { d: fields.f16(), qs: fields.take() }
    }

    /// The factors of `d`, −128 to 127.
    #[inline]
    pub fn quants(&self) -> [i8; 32] {
        self.qs.map(u8::cast_signed)
    }

    /// The values.
    #[inline]
    pub fn decode(&self, out: &mut [f32; 32]) {
        let d = self.d.to_f32();
        *out = self.quants().map(|q| d * f32::from(q));
    }
}
