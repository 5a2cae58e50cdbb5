//! Scaling sums to the numbers of a result, in the ways in which other runtimes round.
//!
//! A factor `r` is held as `q · 2^(e − 31)` with `q` of 31 bits, as TFLite does. [`exact`] is the
//! specification, for sums of up to 64 bits; sixteen lanes of 32 bits take a way that gives the
//! same integers, or go through it one by one where that is not known to fit (factors of 1 and
//! more, results of 32 bits, the two rare ways of rounding).

use crate::isa::{LANES, Simd};

/// How a scaled sum is rounded to a whole number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// The high half of the doubled product, halves up; then a shift, halves away from zero.
    Double,
    /// The same with both halves up.
    DoubleUp,
    /// One product of 64 bits and one shift, halves away from zero.
    SingleAway,
    /// The product of the sum and the factor as singles, halves to even.
    Fp32Even,
    /// `(x · round(256 · r) + 128) >> 8`.
    Q8,
    /// The product with the upper 16 bits of `q`, rounded, and one shift, halves up.
    Reduced,
}

/// What scaled numbers are stored as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// Signed bytes.
    I8,
    /// Unsigned bytes.
    U8,
    /// Signed 16-bit integers.
    I16,
    /// Signed 32-bit integers.
    I32,
}

impl To {
    /// Bytes of a number.
    pub const fn bytes(self) -> usize {
        match self {
            Self::I8 | Self::U8 => 1,
            Self::I16 => 2,
            Self::I32 => 4,
        }
    }
}

/// A channel's factor as the way of rounding holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word {
    /// `q`, the bits of a single, or `round(256 · r)`.
    pub(super) factor: i32,
    /// `−e`; 0 for the ways that have no exponent.
    pub(super) shift: i32,
}

impl Word {
    /// A factor of nothing.
    pub const NONE: Self = Self { factor: 0, shift: 0 };

    /// The factor for a way of rounding.
    #[expect(clippy::cast_possible_truncation, reason = "singles round once; clamping is wanted")]
    pub fn new(rounding: Rounding, factor: f64) -> Self {
        match rounding {
            Rounding::Fp32Even => {
                Self { factor: (factor as f32).to_bits().cast_signed(), shift: 0 }
            }
            Rounding::Q8 => {
                // Halves away from zero: a double this small has its fraction in full.
                let whole = 256.0 * factor;
                let below = whole as i64;
                let rest = whole - below as f64;
                let up = i64::from(rest >= 0.5) - i64::from(rest <= -0.5);
                let held = below.saturating_add(up).clamp(i32::MIN.into(), i32::MAX.into());
                Self { factor: held as i32, shift: 0 }
            }
            Rounding::Double | Rounding::DoubleUp | Rounding::SingleAway | Rounding::Reduced => {
                let bits = factor.to_bits();
                let exponent = (bits >> 52 & 0x7ff) as i32 - 1022;
                if !factor.is_finite() || factor <= 0.0 || exponent < -31 {
                    return Self::NONE;
                }
                // 53 bits of fraction, of which 31 stay; halves go up.
                let fraction = bits & ((1 << 52) - 1) | 1 << 52;
                let q = (fraction + (1 << 21)) >> 22;
                let (q, exponent) =
                    if q == 1 << 31 { (q / 2, exponent + 1) } else { (q, exponent) };
                Self { factor: q as i32, shift: -exponent.min(30) }
            }
        }
    }

    /// The bits that a shift loses.
    pub(super) fn mask(self) -> i32 {
        if (1..=31).contains(&self.shift) { i32::MAX >> (31 - self.shift) } else { 0 }
    }

    /// Whether lanes of 32 bits give what [`exact`] gives.
    fn is_narrow(self, rounding: Rounding) -> bool {
        match rounding {
            Rounding::Double | Rounding::DoubleUp | Rounding::SingleAway => {
                (0..=31).contains(&self.shift)
            }
            Rounding::Fp32Even => f32::from_bits(self.factor.cast_unsigned()).is_finite(),
            Rounding::Q8 | Rounding::Reduced => false,
        }
    }
}

/// A sum times a factor, rounded: the specification.
#[expect(clippy::cast_possible_truncation, reason = "what does not fit is clamped by the caller")]
pub fn exact(rounding: Rounding, x: i64, word: Word) -> i64 {
    let (wide, q) = (i128::from(x), i128::from(word.factor));
    let half = |bits: u32| 1i128 << bits >> 1;
    let (left, right) = ((-word.shift).max(0).unsigned_abs(), word.shift.max(0).unsigned_abs());
    let result = match rounding {
        Rounding::Fp32Even => {
            let product = x as f32 * f32::from_bits(word.factor.cast_unsigned());
            return round_even(product);
        }
        Rounding::Q8 => (wide * q + 128) >> 8,
        Rounding::Double => {
            let high = ((wide << left) * q + (1 << 30)) >> 31;
            (high + half(right) - i128::from(high < 0 && right > 0)) >> right
        }
        Rounding::DoubleUp => ((((wide << left) * q + (1 << 30)) >> 31) + half(right)) >> right,
        Rounding::Reduced => {
            let q = ((q + (1 << 15)) >> 16).min(0x7fff);
            let bits = (15 + word.shift).max(0).unsigned_abs();
            (wide * q + half(bits)) >> bits
        }
        Rounding::SingleAway => {
            let bits = (31 + word.shift).unsigned_abs();
            let product = wide * q;
            product.signum() * ((product.abs() + half(bits)) >> bits)
        }
    };
    result.clamp(i64::MIN.into(), i64::MAX.into()) as i64
}

/// A single rounded to nearest, halves to even; what is beyond 64 bits is held there.
#[expect(clippy::cast_possible_truncation, reason = "clamping is wanted")]
fn round_even(x: f32) -> i64 {
    const STEP_ONE: f32 = 8_388_608.0;
    if x.abs() >= STEP_ONE {
        return x as i64;
    }
    let step = if x < 0.0 { -STEP_ONE } else { STEP_ONE };
    ((x + step) - step) as i64
}

/// How sums become numbers of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    rounding: Option<Rounding>,
    zero: i32,
    low: i32,
    high: i32,
    pub(super) to: To,
    /// Lanes of 32 bits give what [`exact`] gives.
    narrow: bool,
}

impl Scale {
    /// Sums as they are.
    pub const SUMS: Self =
        Self { rounding: None, zero: 0, low: 0, high: 0, to: To::I32, narrow: true };

    /// Scaled by a factor, moved by `zero`, held from `low` to `high`, which the type must hold.
    pub fn new(rounding: Rounding, zero: i32, (low, high): (i32, i32), to: To) -> Self {
        let (least, most) = match to {
            To::I8 => (-128, 127),
            To::U8 => (0, 255),
            To::I16 => (-32_768, 32_767),
            To::I32 => (i32::MIN, i32::MAX),
        };
        let (low, high) = (low.clamp(least, most), high.clamp(least, most));
        // What is rounded in singles has to be a whole number there, bounds included.
        let small = |n: i32| n.unsigned_abs() < 1 << 22;
        let narrow = low <= high && small(low) && small(high) && small(zero);
        Self { rounding: Some(rounding), zero, low, high, to, narrow }
    }

    /// The same for these factors: whether lanes of 32 bits hold them is found out here.
    #[must_use]
    pub fn of(mut self, words: impl IntoIterator<Item = Word>) -> Self {
        if let Some(rounding) = self.rounding {
            self.narrow &= words.into_iter().all(|word| word.is_narrow(rounding));
        }
        self
    }

    /// What numbers are stored as.
    pub fn to(&self) -> To {
        self.to
    }

    /// A sum's number, one at a time: the specification.
    #[expect(clippy::cast_possible_truncation, reason = "clamped to 32 bits")]
    pub fn number(&self, x: i64, word: Word) -> i32 {
        let Some(rounding) = self.rounding else { return x as i32 };
        let scaled = exact(rounding, x, word).saturating_add(self.zero.into());
        // Bounds that exclude each other: the upper one, as a minimum after a maximum gives.
        scaled.max(self.low.into()).min(self.high.into()) as i32
    }

    /// The two ways of two steps, where lanes of 32 bits hold them.
    #[inline(always)]
    pub(super) fn steps<S: Simd>(&self, s: S) -> Option<Steps<S>> {
        let away = match self.rounding {
            Some(Rounding::Double) if self.narrow => -1,
            Some(Rounding::DoubleUp) if self.narrow => 0,
            _ => return None,
        };
        Some(Steps {
            away: s.splat_i(away),
            low: s.splat_i(self.low - self.zero),
            high: s.splat_i(self.high - self.zero),
            zero: s.splat_i(self.zero),
        })
    }

    /// Sixteen sums as numbers; `word` are factors, shifts and masks.
    #[inline(always)]
    pub(super) fn numbers<S: Simd>(&self, s: S, x: S::I, word: [S::I; 3]) -> S::I {
        let [q, shift, _] = word;
        let rounded = match self.rounding {
            None => return x,
            Some(_) if !self.narrow => return self.each(s, x, q, shift),
            Some(Rounding::Fp32Even) => {
                let product = s.mul(s.to_f(x), s.of_bits(q));
                let low = s.splat((self.low - self.zero) as f32);
                let high = s.splat((self.high - self.zero) as f32);
                return s
                    .add_i(s.round_to_i(s.min(s.max(product, low), high)), s.splat_i(self.zero));
            }
            Some(Rounding::SingleAway) => single_away(s, x, q, shift),
            Some(_) => match self.steps(s) {
                Some(way) => return way.numbers(s, x, word),
                None => x,
            },
        };
        let held = s.max_i(rounded, s.splat_i(self.low - self.zero));
        s.add_i(s.min_i(held, s.splat_i(self.high - self.zero)), s.splat_i(self.zero))
    }

    /// Sixteen sums as numbers, one by one.
    #[inline(always)]
    fn each<S: Simd>(&self, s: S, x: S::I, q: S::I, shift: S::I) -> S::I {
        let (mut sums, mut factors, mut shifts) = ([0; LANES], [0; LANES], [0; LANES]);
        s.store_i(x, &mut sums);
        s.store_i(q, &mut factors);
        s.store_i(shift, &mut shifts);
        for i in 0..LANES {
            let word = Word { factor: factors[i], shift: shifts[i] };
            sums[i] = self.number(sums[i].into(), word);
        }
        s.load_i(&sums)
    }

    /// Stores sixteen sums' numbers, or as many as there is room for.
    #[inline(always)]
    pub(super) fn store<S: Simd>(&self, s: S, x: S::I, word: [S::I; 3], out: &mut [u8]) {
        write(s, self.to, self.numbers(s, x, word), out);
    }
}

/// A product's high half, then a shift, with what all lanes share.
#[derive(Clone, Copy)]
pub(super) struct Steps<S: Simd> {
    /// All bits set where halves below zero go down.
    away: S::I,
    low: S::I,
    high: S::I,
    zero: S::I,
}

impl<S: Simd> Steps<S> {
    /// Sixteen sums as numbers.
    #[inline(always)]
    pub(super) fn numbers(self, s: S, x: S::I, [q, shift, mask]: [S::I; 3]) -> S::I {
        let high = s.mul_high(x, q);
        let negative = s.and_i(s.shr_i(high, 31), self.away);
        let threshold = s.sub_i(s.shr_i(mask, 1), negative);
        let up = s.greater_i(s.and_i(high, mask), threshold);
        let rounded = s.sub_i(s.shr_each(high, shift), up);
        s.add_i(s.min_i(s.max_i(rounded, self.low), self.high), self.zero)
    }
}

/// Stores sixteen numbers within the type's bounds, or as many as there is room for.
#[inline(always)]
pub(super) fn write<S: Simd>(s: S, to: To, numbers: S::I, out: &mut [u8]) {
    match to {
        To::I8 => {
            if let Some(all) = out.first_chunk_mut::<LANES>() {
                s.store_i8(numbers, all);
            } else {
                let mut bytes = [0; LANES];
                s.store_i8(numbers, &mut bytes);
                copy(&bytes, out);
            }
        }
        To::U8 => {
            let mut bytes = [0; LANES];
            s.store_i8(s.sub_i(numbers, s.splat_i(128)), &mut bytes);
            for byte in &mut bytes {
                *byte ^= 0x80;
            }
            copy(&bytes, out);
        }
        To::I16 => {
            let mut lanes = [0; LANES];
            s.store_i(numbers, &mut lanes);
            for (out, lane) in out.as_chunks_mut().0.iter_mut().zip(&lanes) {
                let [a, b, ..] = lane.to_le_bytes();
                *out = [a, b];
            }
        }
        To::I32 => {
            let mut lanes = [0; LANES];
            s.store_i(numbers, &mut lanes);
            for (out, lane) in out.as_chunks_mut().0.iter_mut().zip(&lanes) {
                *out = lane.to_le_bytes();
            }
        }
    }
}

/// The first bytes that there is room for, in pieces that may overlap.
#[inline(always)]
fn copy(bytes: &[u8; LANES], out: &mut [u8]) {
    let count = out.len().min(LANES);
    if let Some(all) = out.first_chunk_mut::<LANES>() {
        *all = *bytes;
    } else if count >= 8 {
        out[..8].copy_from_slice(&bytes[..8]);
        out[count - 8..].copy_from_slice(&bytes[count - 8..count]);
    } else if count >= 4 {
        out[..4].copy_from_slice(&bytes[..4]);
        out[count - 4..].copy_from_slice(&bytes[count - 4..count]);
    } else {
        for (out, byte) in out.iter_mut().zip(bytes) {
            *out = *byte;
        }
    }
}

/// One product of 64 bits and one shift, halves away from zero, in every lane.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "factors below 1 do not lengthen a number")]
fn single_away<S: Simd>(s: S, x: S::I, q: S::I, shift: S::I) -> S::I {
    let (mut sums, mut factors, mut shifts) = ([0; LANES], [0; LANES], [0; LANES]);
    s.store_i(x, &mut sums);
    s.store_i(q, &mut factors);
    s.store_i(shift, &mut shifts);
    for i in 0..LANES {
        let product = i64::from(sums[i]) * i64::from(factors[i]);
        let bits = 31 + shifts[i];
        sums[i] = ((product + (1 << (bits - 1)) - i64::from(product < 0)) >> bits) as i32;
    }
    s.load_i(&sums)
}
