//! Q4_0 and Q4_1: 32 weights of 4 bits with one scale, or a scale and a minimum.
//!
//! A byte of `qs` always holds element j in its low and element 16 + j in its high half.

use super::{
    Fields, Store, join_nibbles, nibbles,
    search::{self, Levels, Min, Whole, byte, finite, half, inverse, round},
};
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

/// Codes 32 weights as Q4_0.
pub(super) fn encode_0(x: &[f32; 32], out: &mut [u8; 18]) {
    let levels = Whole { lo: -8.0, hi: 7.0 };
    let (d, q) = code_0(x, levels);
    Store(out).f16(d).put(&join_nibbles(&q));
}

/// Codes 32 weights as Q4_1.
pub(super) fn encode_1(x: &[f32; 32], out: &mut [u8; 20]) {
    let (d, m, q) = code_1(x, 15.0);
    Store(out).f16(d).f16(m).put(&join_nibbles(&q));
}

/// The scale and the quants, counted from the lowest level.
pub(super) fn code_0(x: &[f32; 32], levels: Whole) -> (F16, [u8; 32]) {
    let x = finite(x, F16::MAX.to_f32() * levels.hi);
    let d = half(search::scale(&x, levels));
    let per_scale = inverse(d.to_f32());
    (d, x.map(|v| byte(levels.nearest(v * per_scale) - levels.lo)))
}

/// The scale, the minimum and the quants, 0 to `q_max`.
pub(super) fn code_1(x: &[f32; 32], q_max: f32) -> (F16, F16, [u8; 32]) {
    let x = finite(x, F16::MAX.to_f32());
    let (scale, min) = search::scale_and_min(&x, q_max, Min::Any);
    let (d, m) = (half(scale), half(min));
    let (per_scale, min) = (inverse(d.to_f32()), m.to_f32());
    (d, m, x.map(|v| byte(round(((v - min) * per_scale).clamp(0.0, q_max)))))
}
