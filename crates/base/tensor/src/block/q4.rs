//! Q4_0 and Q4_1: 32 weights of 4 bits with one scale, or a scale and a minimum.
//!
//! A byte of `qs` always holds element j in its low and element 16 + j in its high half.

use super::{Fields, nibbles};
use crate::F16;

/// 32 weights: `d · (q − 8)`, q of 4 bits.
///
/// | bytes | field | |
/// |---|---|---|
/// | 0–1 | `d` | scale, f16 |
/// | 2–17 | `qs` | byte j: element j low, element 16 + j high |
#[derive(Clone, Copy, Debug)]
pub struct Q4_0<'a> {
    /// The scale.
    pub d: F16,
    /// Two elements a byte.
    pub qs: &'a [u8; 16],
}

impl<'a> Q4_0<'a> {
    /// Binds a stored block.
    #[inline]
    pub fn read(block: &'a [u8; 18]) -> Self {
        let mut fields = Fields(block);
        Self { d: fields.f16(), qs: fields.take() }
    }

    /// The factors of `d`, −8 to 7.
    #[inline]
    pub fn quants(&self) -> [i8; 32] {
        nibbles(self.qs).map(|q| q.cast_signed() - 8)
    }

    /// The values.
    #[inline]
    pub fn decode(&self, out: &mut [f32; 32]) {
        let d = self.d.to_f32();
        *out = self.quants().map(|q| d * f32::from(q));
    }
}

/// 32 weights: `d · q + m`, q of 4 bits.
///
/// | bytes | field | |
/// |---|---|---|
/// | 0–1 | `d` | scale, f16 |
/// | 2–3 | `m` | minimum, f16 |
/// | 4–19 | `qs` | byte j: element j low, element 16 + j high |
#[derive(Clone, Copy, Debug)]
pub struct Q4_1<'a> {
    /// The scale.
    pub d: F16,
    /// The minimum, added to every weight.
    pub m: F16,
    /// Two elements a byte.
    pub qs: &'a [u8; 16],
}

impl<'a> Q4_1<'a> {
    /// Binds a stored block.
    #[inline]
    pub fn read(block: &'a [u8; 20]) -> Self {
        let mut fields = Fields(block);
        Self { d: fields.f16(), m: fields.f16(), qs: fields.take() }
    }

    /// The factors of `d`, 0 to 15.
    #[inline]
    pub fn quants(&self) -> [u8; 32] {
        nibbles(self.qs)
    }

    /// The values.
    #[inline]
    pub fn decode(&self, out: &mut [f32; 32]) {
        let (d, m) = (self.d.to_f32(), self.m.to_f32());
        *out = self.quants().map(|q| d * f32::from(q) + m);
    }
}
