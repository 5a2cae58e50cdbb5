//! Q8_0: 32 weights of 8 bits with one scale.
//!
//! The simplest block: the bytes are the factors.

use super::{
    Fields, Store,
    search::{finite, half, inverse, peak, round, signed},
};
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

/// Codes 32 weights: the largest becomes 127, which is within a few 1e-4 of the best scale.
pub(super) fn encode(x: &[f32; 32], out: &mut [u8; 34]) {
    let x = finite(x, F16::MAX.to_f32() * 127.0);
    let d = half(peak(&x).abs() / 127.0);
    let per_scale = inverse(d.to_f32());
    let q = x.map(|v| signed(round((v * per_scale).clamp(-127.0, 127.0))).cast_unsigned());
    Store(out).f16(d).put(&q);
}
