//! The search for scales: which scales and quants reproduce a block with the least squared error.
//!
//! All searches alternate two closed steps, as Lloyd's algorithm does (Lloyd 1982, "Least squares
//! quantization in PCM"): the nearest levels for given scales, and the least-squares scales for
//! given levels. They start from several scales around the one that just spans the block, because
//! the alternation ends in the nearest local minimum. Scales are rounded as they will be stored
//! before the final quants are chosen. Input is finite; sums run in eight fixed lanes, so that the
//! result does not depend on the machine.

use crate::F16;

/// Elements summed side by side.
const LANES: usize = 8;
/// Starts of a scale search, in levels beyond the outermost one: below zero leaves levels unused,
/// above zero clips.
const STARTS: [f32; 12] = [-0.9, -0.6, -0.4, -0.2, 0.0, 0.2, 0.4, 0.6, 0.8, 1.1, 1.5, 2.0];
/// Alternations after the best start.
const ROUNDS: usize = 4;

/// The values that a quant can stand for, in units of the scale.
pub(super) trait Levels: Copy {
    /// The level of largest magnitude.
    fn extreme(self) -> f32;
    /// The distance between the outermost levels.
    fn spacing(self) -> f32;
    /// The level nearest to `v`.
    fn nearest(self, v: f32) -> f32;
}

/// All whole numbers from `lo` to `hi`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Whole {
    pub(super) lo: f32,
    pub(super) hi: f32,
}

impl Levels for Whole {
    #[inline(always)]
    fn extreme(self) -> f32 {
        self.lo
    }

    #[inline(always)]
    fn spacing(self) -> f32 {
        1.0
    }

    #[inline(always)]
    fn nearest(self, v: f32) -> f32 {
        round(v.max(self.lo).min(self.hi))
    }
}

/// The nearest whole number, ties to even; exact for |v| ≤ 2^22.
#[inline(always)]
pub(super) fn round(v: f32) -> f32 {
    // At 1.5 · 2^23 singles are one apart, so that the addition rounds.
    const SHIFT: f32 = 12_582_912.0;
    (v + SHIFT) - SHIFT
}

/// A whole number held in a float as a byte; saturates.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "whole numbers within a byte")]
pub(super) fn byte(v: f32) -> u8 {
    v as u8
}

/// A whole number held in a float as a signed byte; saturates.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "whole numbers within a byte")]
pub(super) fn signed(v: f32) -> i8 {
    v as i8
}

/// `1 / v`, or zero where that is no finite number.
#[inline(always)]
pub(super) fn inverse(v: f32) -> f32 {
    let inverse = 1.0 / v;
    if inverse.is_finite() { inverse } else { 0.0 }
}

/// Elements made finite: NaN becomes zero, what exceeds `limit` in magnitude is clamped to it.
#[inline]
pub(super) fn finite<const N: usize>(x: &[f32; N], limit: f32) -> [f32; N] {
    x.map(|v| if v.is_nan() { 0.0 } else { v.clamp(-limit, limit) })
}

/// The half nearest to a scale, which stays finite.
#[inline]
pub(super) fn half(scale: f32) -> F16 {
    F16::from_f32(scale.clamp(-F16::MAX.to_f32(), F16::MAX.to_f32()))
}

/// The element of largest magnitude, with its sign.
#[inline]
pub(super) fn peak(x: &[f32]) -> f32 {
    x.iter().fold(0.0, |peak, &v| if v.abs() > peak.abs() { v } else { peak })
}

/// Adds the lanes up in a fixed order.
#[inline(always)]
fn sum(lanes: [f32; LANES]) -> f32 {
    let [a, b, c, d, e, f, g, h] = lanes;
    ((a + e) + (c + g)) + ((b + f) + (d + h))
}

/// Sums over the elements of a block of what `term` gives for each, `T` terms at a time.
#[inline(always)]
pub(super) fn sums<const N: usize, const T: usize>(
    x: &[f32; N],
    term: impl Fn(f32) -> [f32; T],
) -> [f32; T] {
    const { assert!(N.is_multiple_of(LANES)) };
    let mut lanes = [[0.0; LANES]; T];
    for chunk in x.as_chunks::<LANES>().0 {
        for lane in 0..LANES {
            let terms = term(chunk[lane]);
            for t in 0..T {
                lanes[t][lane] += terms[t];
            }
        }
    }
    lanes.map(sum)
}

/// The squared error of `x` coded as `scale · level − min`.
#[inline(always)]
pub(super) fn error<L: Levels, const N: usize>(
    x: &[f32; N],
    levels: L,
    scale: f32,
    min: f32,
) -> f32 {
    let per_scale = inverse(scale);
    let [error] = sums(x, |v| {
        let miss = scale * levels.nearest((v + min) * per_scale) - min - v;
        [miss * miss]
    });
    error
}

/// The scale with which `x ≈ scale · level` has the least squared error.
pub(super) fn scale<L: Levels, const N: usize>(x: &[f32; N], levels: L) -> f32 {
    let peak = peak(x);
    if peak == 0.0 {
        return 0.0;
    }
    // With the scale s, levels q lower the error from Σx² to Σx² − (Σxq)²/Σq² at s = Σxq/Σq².
    let fit = |per_scale: f32| {
        let [xq, qq] = sums(x, |v| {
            let q = levels.nearest(v * per_scale);
            [v * q, q * q]
        });
        let scale = xq * inverse(qq);
        (scale * xq, scale)
    };
    let mut best = (0.0, peak / levels.extreme());
    for start in STARTS {
        let levels_used = levels.extreme().abs() + start * levels.spacing();
        for per_scale in [levels_used / peak, -levels_used / peak] {
            let found = fit(per_scale);
            if found.0 > best.0 {
                best = found;
            }
        }
    }
    for _ in 0..ROUNDS {
        let found = fit(inverse(best.1));
        if found.0 <= best.0 {
            break;
        }
        best = found;
    }
    best.1
}

/// Where the minimum of `scale · q + min` may lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Min {
    /// Anywhere.
    Any,
    /// At or below zero, as the K types store it.
    NotPositive,
}

/// Scale and minimum with which `x ≈ scale · q + min`, q = 0..=`q_max`, has the least squared error.
pub(super) fn scale_and_min<const N: usize>(x: &[f32; N], q_max: f32, rule: Min) -> (f32, f32) {
    let (mut lo, mut hi) = x.iter().fold((x[0], x[0]), |(lo, hi), &v| (lo.min(v), hi.max(v)));
    if rule == Min::NotPositive {
        (lo, hi) = (lo.min(0.0), hi.max(0.0));
    }
    if hi <= lo {
        return (0.0, lo);
    }
    let levels = Whole { lo: 0.0, hi: q_max };
    // Relative to `lo`, so that a large common offset costs no precision.
    let n = N as f32;
    let [sum_x] = sums(x, |v| [v - lo]);
    let fit = |scale: f32, min: f32| {
        let per_scale = inverse(scale);
        let [q, qq, xq] = sums(x, |v| {
            let q = levels.nearest((v - min) * per_scale);
            [q, q * q, (v - lo) * q]
        });
        let determinant = n * qq - q * q;
        let mut scale = (n * xq - sum_x * q) * inverse(determinant);
        let mut min = (sum_x - scale * q) / n;
        if rule == Min::NotPositive && min + lo > 0.0 {
            min = -lo;
            scale = (xq - min * q) * inverse(qq);
        }
        // What the fit takes off Σ(x − lo)².
        let gain = 2.0 * (scale * xq + min * sum_x)
            - (scale * scale * qq + 2.0 * scale * min * q + min * min * n);
        (gain, scale, min + lo)
    };
    let spacing = (hi - lo) / q_max;
    let mut best = (f32::NEG_INFINITY, spacing, lo);
    for below in [-0.4, 0.0, 0.4, 0.8] {
        for above in [-0.4, 0.0, 0.4, 0.8] {
            let min = lo + below * spacing;
            let found = fit((hi - above * spacing - min) / q_max, min);
            if found.0 > best.0 {
                best = found;
            }
        }
    }
    for _ in 0..ROUNDS {
        let found = fit(best.1, best.2);
        if found.0 <= best.0 {
            break;
        }
        best = found;
    }
    (best.1, best.2)
}
