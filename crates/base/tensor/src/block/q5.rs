//! Q5_0 and Q5_1: 32 weights of 5 bits with one scale, or a scale and a minimum.
//!
//! The low four bits are stored as in Q4_0; the fifth bits of all elements stand together in `qh`.

use super::{
    Fields, Store, join_nibbles, nibbles,
    q4::{code_0, code_1},
    search::Whole,
};
use crate::F16;

/// Joins the low nibbles and the fifth bits: values of 0 to 31.
#[inline]
fn join(qs: &[u8; 16], qh: u32) -> [u8; 32] {
    let mut out = nibbles(qs);
    for (j, q) in out.iter_mut().enumerate() {
        *q |= u8::from((qh >> j) & 1 == 1) << 4;
    }
    out
}

/// 32 weights: `d · (q − 16)`, q of 5 bits.
///
/// | bytes | field | |
/// |---|---|---|
/// | 0–1 | `d` | scale, f16 |
/// | 2–5 | `qh` | u32, bit j: fifth bit of element j |
/// | 6–21 | `qs` | byte j: element j low, element 16 + j high |
#[derive(Clone, Copy, Debug)]
pub struct Q5_0<'a> {
    /// The scale.
    pub d: F16,
    /// Bit j is the fifth bit of element j.
    pub qh: u32,
    /// The low four bits, two elements a byte.
    pub qs: &'a [u8; 16],
}

impl<'a> Q5_0<'a> {
    /// Binds a stored block.
    #[inline]
    pub fn read(block: &'a [u8; 22]) -> Self {
        let mut fields = Fields(block);
        Self { d: fields.f16(), qh: u32::from_le_bytes(*fields.take()), qs: fields.take() }
    }

    /// The factors of `d`, −16 to 15.
    #[inline]
    pub fn quants(&self) -> [i8; 32] {
        join(self.qs, self.qh).map(|q| q.cast_signed() - 16)
    }

    /// The values.
    #[inline]
    pub fn decode(&self, out: &mut [f32; 32]) {
        let d = self.d.to_f32();
        *out = self.quants().map(|q| d * f32::from(q));
    }
}

/// 32 weights: `d · q + m`, q of 5 bits.
///
/// | bytes | field | |
/// |---|---|---|
/// | 0–1 | `d` | scale, f16 |
/// | 2–3 | `m` | minimum, f16 |
/// | 4–7 | `qh` | u32, bit j: fifth bit of element j |
/// | 8–23 | `qs` | byte j: element j low, element 16 + j high |
#[derive(Clone, Copy, Debug)]
pub struct Q5_1<'a> {
    /// The scale.
    pub d: F16,
    /// The minimum, added to every weight.
    pub m: F16,
    /// Bit j is the fifth bit of element j.
    pub qh: u32,
    /// The low four bits, two elements a byte.
    pub qs: &'a [u8; 16],
}

impl<'a> Q5_1<'a> {
    /// Binds a stored block.
    #[inline]
    pub fn read(block: &'a [u8; 24]) -> Self {
        let mut fields = Fields(block);
        Self {
            d: fields.f16(),
            m: fields.f16(),
            qh: u32::from_le_bytes(*fields.take()),
            qs: fields.take(),
        }
    }

    /// The factors of `d`, 0 to 31.
    #[inline]
    pub fn quants(&self) -> [u8; 32] {
        join(self.qs, self.qh)
    }

    /// The values.
    #[inline]
    pub fn decode(&self, out: &mut [f32; 32]) {
        let (d, m) = (self.d.to_f32(), self.m.to_f32());
        *out = self.quants().map(|q| d * f32::from(q) + m);
    }
}

/// Codes 32 weights as Q5_0.
pub(super) fn encode_0(x: &[f32; 32], out: &mut [u8; 22]) {
    let (d, q) = code_0(x, Whole { lo: -16.0, hi: 15.0 });
    Store(out).f16(d).put(&fifth_bits(&q)).put(&join_nibbles(&q));
}

/// Codes 32 weights as Q5_1.
pub(super) fn encode_1(x: &[f32; 32], out: &mut [u8; 24]) {
    let (d, m, q) = code_1(x, 31.0);
    Store(out).f16(d).f16(m).put(&fifth_bits(&q)).put(&join_nibbles(&q));
}

/// The fifth bits of all elements, as `qh` stores them.
fn fifth_bits(q: &[u8; 32]) -> [u8; 4] {
    q.iter().rev().fold(0u32, |qh, q| (qh << 1) | u32::from((q >> 4) & 1)).to_le_bytes()
}
