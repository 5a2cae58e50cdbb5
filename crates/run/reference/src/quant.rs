//! Scaled sums rounded in the ways of other runtimes, and functions of a code as tables.
//!
//! What the ways are is told by `plan::array::Rounding`; each was identified bit for bit on sums
//! that force ties. Sums are those of 32-bit accumulators; wider ones take the same way without
//! overflow.

use crate::number::{Numbers, Wide, by_domain, limits};
use crate::walk::{Out, dense, place, repeated};
use crate::{Inputs, dtype};
use plan::array::{CodePairs, Requant, Rounding, Scaled, Zip};
use tensor::DType;
use tensor::shape::RANK_MAX;

pub(crate) fn requant(op: &Requant, inputs: &Inputs<'_, '_>, out: &mut Out<'_>) {
    let (x, factor) = (inputs.at(0), inputs.at(1));
    let mut along = [0; RANK_MAX];
    if !factor.shape().is_empty() {
        along[usize::from(op.axis)] = 1;
    }
    let steps = [dense(&out.dims), along];
    let factor: Numbers<'_, f64> = Numbers::of(factor);
    let (low, high) = (i128::from(op.low), i128::from(op.high));
    let (zero, op) = (i128::from(op.zero), *op);
    if dtype(&x) == DType::F32 {
        let x: Numbers<'_, f64> = Numbers::of(x);
        return out.fill(&steps, |[i, c]| {
            let rounded = round(op.rounding, x.at(place(i)), factor.at(place(c)));
            i128::of_float(rounded).saturating_add(zero).clamp(low, high)
        });
    }
    let x: Numbers<'_, i128> = Numbers::of(x);
    out.fill(&steps, |[i, c]| code(&op, x.at(place(i)), factor.at(place(c))));
}

/// The code that a sum becomes.
pub(crate) fn code(op: &Requant, sum: i128, factor: f64) -> i128 {
    let scaled = scale(op.rounding, sum, factor);
    scaled.saturating_add(op.zero.into()).clamp(op.low.into(), op.high.into())
}

/// A single scaled and rounded.
#[expect(clippy::cast_possible_truncation, reason = "the product is one of singles")]
fn round(rounding: Rounding, x: f64, factor: f64) -> f64 {
    let product = x as f32 * factor as f32;
    f64::from(match rounding {
        Rounding::Fp32Even => product.round_ties_even(),
        Rounding::Double
        | Rounding::DoubleUp
        | Rounding::SingleAway
        | Rounding::Q8
        | Rounding::Reduced => product.round(),
    })
}

/// A sum scaled and rounded.
#[expect(clippy::cast_possible_truncation, reason = "rounded numbers fit the wider type")]
fn scale(rounding: Rounding, x: i128, factor: f64) -> i128 {
    let fraction = |bits: u32| 1i128 << bits >> 1;
    match rounding {
        Rounding::Fp32Even => i128::of_float((x as f32 * factor as f32).round_ties_even().into()),
        Rounding::Q8 => {
            let factor = i128::of_float((256.0 * factor).round());
            x.saturating_mul(factor).saturating_add(128) >> 8
        }
        Rounding::Double => {
            let (q, exponent) = fixed(factor);
            let (left, right) = (exponent.max(0).unsigned_abs(), exponent.min(0).unsigned_abs());
            let product = (x << left) * q;
            let nudge = if product >= 0 { 1 << 30 } else { 1 - (1 << 30) };
            let high = (product + nudge) / (1 << 31);
            let mask = (1i128 << right) - 1;
            let threshold = (mask >> 1) + i128::from(high < 0);
            (high >> right) + i128::from(high & mask > threshold)
        }
        Rounding::DoubleUp => {
            let (q, exponent) = fixed(factor);
            let (left, right) = (exponent.max(0).unsigned_abs(), exponent.min(0).unsigned_abs());
            let high = ((x << left) * q + (1 << 30)) >> 31;
            (high + fraction(right)) >> right
        }
        Rounding::Reduced => {
            let (q, exponent) = fixed(factor);
            let q = ((q + (1 << 15)) >> 16).min(0x7fff);
            let bits = (15 - exponent).max(0).unsigned_abs();
            (x * q + fraction(bits)) >> bits
        }
        Rounding::SingleAway => {
            let (q, exponent) = fixed(factor);
            let bits = (31 - exponent).unsigned_abs();
            let product = x * q;
            product.signum() * ((product.abs() + fraction(bits)) >> bits)
        }
    }
}

/// A factor as `q * 2^(e - 31)`, `q` of 31 bits; what is too small to count is 0, and what is
/// beyond 2^30 is held there.
fn fixed(factor: f64) -> (i128, i32) {
    let bits = factor.to_bits();
    let exponent = i32::try_from(bits >> 52 & 0x7ff).unwrap_or(0) - 1022;
    if !factor.is_finite() || factor <= 0.0 || exponent < -31 {
        return (0, 0);
    }
    let fraction = f64::from_bits(bits & !(0x7ff << 52) | 1022 << 52);
    let q = i128::of_float((fraction * f64::from(1u32 << 31)).round());
    let (q, exponent) = if q == 1 << 31 { (q / 2, exponent + 1) } else { (q, exponent) };
    (q, exponent.min(30))
}

pub(crate) fn lookup(inputs: &Inputs<'_, '_>, out: &mut Out<'_>) {
    let (x, table) = (inputs.at(0), inputs.at(1));
    let least = limits(dtype(&x)).0;
    let steps = [dense(&out.dims)];
    let x: Numbers<'_, i128> = Numbers::of(x);
    by_domain!(out.dtype, W => {
        let table: Numbers<'_, W> = Numbers::of(table);
        out.fill(&steps, |[i]| {
            let code = x.at(place(i)) - least;
            table.at(usize::try_from(code).expect("codes count from the least one"))
        });
    });
}

pub(crate) fn code_pairs(op: &CodePairs, inputs: &Inputs<'_, '_>, out: &mut Out<'_>) {
    let (a, b) = (inputs.at(0), inputs.at(1));
    let steps = [repeated(&a.shape(), &out.dims), repeated(&b.shape(), &out.dims)];
    let (a, b): (Numbers<'_, i128>, Numbers<'_, i128>) = (Numbers::of(a), Numbers::of(b));
    let op = *op;
    out.fill(&steps, |[i, j]| code_pair(&op, a.at(place(i)), b.at(place(j))));
}

/// The code of a sum, a difference or a product of what two codes stand for; each step is one of singles.
fn code_pair(op: &CodePairs, a: i128, b: i128) -> i128 {
    let [a, b] = [(a, op.operands[0]), (b, op.operands[1])]
        .map(|(code, Scaled { scale, zero })| (code - i128::from(zero)) as f32 * scale);
    let real = match op.zip {
        Zip::Add => a + b,
        Zip::Subtract => a - b,
        Zip::Multiply => a * b,
        other => unreachable!("the graph's rules refuse {other:?} of codes"),
    };
    let code = i128::of_float((real / op.result.scale).round_ties_even().into());
    code.saturating_add(op.result.zero.into()).clamp(op.low.into(), op.high.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_go_where_each_way_sends_them() {
        use Rounding::{Double, DoubleUp, Fp32Even, SingleAway};
        // x, factor, and the results of the four ways.
        let cases = [
            (3, 0.5, [2, 2, 2, 2]),
            (-3, 0.5, [-1, -1, -2, -2]),
            (1, 0.5, [1, 1, 1, 0]),
            (-1, 0.5, [0, 0, -1, 0]),
            (5, 0.25, [2, 2, 1, 1]),
            (6, 0.25, [2, 2, 2, 2]),
            (-6, 0.25, [-2, -1, -2, -2]),
            (7, 3.0, [21, 21, 21, 21]),
            (100, 0.0, [0, 0, 0, 0]),
        ];
        for (x, factor, want) in cases {
            let got = [Double, DoubleUp, SingleAway, Fp32Even].map(|way| scale(way, x, factor));
            assert_eq!(got, want, "{x} * {factor}");
        }
        assert_eq!(scale(Rounding::Q8, 10, 0.55), 6);
        // Factors out of a hostile file end at the bounds.
        let to = Requant {
            rounding: Rounding::Q8,
            axis: 0,
            zero: 100,
            low: -128,
            high: 127,
            to: DType::I8,
        };
        for rounding in [Rounding::Q8, Fp32Even, Double, DoubleUp, SingleAway] {
            let to = Requant { rounding, ..to };
            assert!((-128..=127).contains(&code(&to, i128::from(i64::MAX), f64::INFINITY)));
            assert!((-128..=127).contains(&code(&to, i128::from(i64::MIN), f64::MAX)));
        }
    }
}
