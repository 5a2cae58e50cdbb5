//! Coding of 256 weights whose sub-blocks have quantised scales: what Q2_K to Q6_K and IQ4_XS share.
//!
//! First every sub-block's scale is searched alone; then the scale of scales is fixed and each
//! sub-block takes the stored scale (and minimum) next to its own that errs least; then the scale
//! of scales is fitted to all 256 weights. The last two steps are repeated from a few starts, and
//! the candidate with the least squared error wins, measured on the values as they decode.

use super::search::{self, Levels, Min, Whole, byte, half, inverse, round, scale_and_min, signed};
use crate::F16;

/// Starts of the scale of scales: the largest scale is stored as `1 / start` of the largest number.
const STARTS: [f32; 3] = [1.0, 1.025, 0.97];
/// Alternations between stored scales and the scale of scales.
const ROUNDS: usize = 2;

/// Weights coded as `d · scale · q − dmin · min`.
#[derive(Clone, Copy, Debug)]
pub(super) struct WithMins<const SUBS: usize> {
    pub(super) d: F16,
    pub(super) dmin: F16,
    pub(super) scales: [u8; SUBS],
    pub(super) mins: [u8; SUBS],
    pub(super) quants: [u8; 256],
}

/// Codes with scales and minimums of 0..=`unit_max` and quants of 0..=`q_max`.
pub(super) fn with_mins<const SUBS: usize, const LEN: usize>(
    x: &[f32; 256],
    q_max: f32,
    unit_max: f32,
) -> WithMins<SUBS> {
    const { assert!(SUBS * LEN == 256) };
    let levels = Whole { lo: 0.0, hi: q_max };
    let subs = x.as_chunks::<LEN>().0;
    let mut wanted = [(0.0f32, 0.0f32); SUBS];
    for (wanted, x) in wanted.iter_mut().zip(subs) {
        let (scale, min) = scale_and_min(x, q_max, Min::NotPositive);
        *wanted = (scale.max(0.0), -min);
    }
    let largest = wanted.iter().fold((0.0f32, 0.0f32), |m, w| (m.0.max(w.0), m.1.max(w.1)));
    let mut best = (f32::INFINITY, F16(0), F16(0), [(0.0, 0.0); SUBS]);
    for start in STARTS {
        let (mut d, mut dmin) = (half(largest.0 * start / unit_max), half(largest.1 / unit_max));
        for _ in 0..=ROUNDS {
            let mut units = [(0.0, 0.0); SUBS];
            let mut total = 0.0;
            for ((unit, x), wanted) in units.iter_mut().zip(subs).zip(wanted) {
                let (error, found) = nearby(x, levels, unit_max, (d, dmin), wanted);
                *unit = found;
                total += error;
            }
            if total >= best.0 {
                break;
            }
            best = (total, d, dmin, units);
            (d, dmin) = refit(subs, levels, (d, dmin), &units);
        }
    }
    let (_, d, dmin, units) = best;
    let mut quants = [0; 256];
    for ((quants, x), unit) in quants.as_chunks_mut::<LEN>().0.iter_mut().zip(subs).zip(units) {
        let (scale, min) = (d.to_f32() * unit.0, dmin.to_f32() * unit.1);
        let per_scale = inverse(scale);
        *quants = x.map(|v| byte(levels.nearest((v + min) * per_scale)));
    }
    let scales = units.map(|unit| byte(unit.0));
    WithMins { d, dmin, scales, mins: units.map(|unit| byte(unit.1)), quants }
}

/// The stored scale and minimum around the wanted ones that err least, after their error.
#[inline(always)]
fn nearby<const LEN: usize>(
    x: &[f32; LEN],
    levels: Whole,
    unit_max: f32,
    (d, dmin): (F16, F16),
    wanted: (f32, f32),
) -> (f32, (f32, f32)) {
    let (d, dmin) = (d.to_f32(), dmin.to_f32());
    let scale = round((wanted.0 * inverse(d)).clamp(0.0, unit_max));
    let min = round((wanted.1 * inverse(dmin)).clamp(0.0, unit_max));
    let mut best = (f32::INFINITY, (0.0, 0.0));
    for scale in [scale, scale - 1.0, scale + 1.0] {
        for min in [min, min - 1.0, min + 1.0] {
            if (0.0..=unit_max).contains(&scale) && (0.0..=unit_max).contains(&min) {
                let error = search::error(x, levels, d * scale, dmin * min);
                if error < best.0 {
                    best = (error, (scale, min));
                }
            }
        }
    }
    best
}

/// The scales of scales and minimums that fit best, for given stored scales and minimums.
fn refit<const SUBS: usize, const LEN: usize>(
    subs: &[[f32; LEN]],
    levels: Whole,
    (d, dmin): (F16, F16),
    units: &[(f32, f32); SUBS],
) -> (F16, F16) {
    // Normal equations of x ≈ d · u − dmin · w with u = scale · q and w = min.
    let (mut uu, mut uw, mut ww, mut xu, mut xw) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for (x, unit) in subs.iter().zip(units) {
        let min = dmin.to_f32() * unit.1;
        let per_scale = inverse(d.to_f32() * unit.0);
        let [q, qq, xq, sum_x] = search::sums(x, |v| {
            let q = levels.nearest((v + min) * per_scale);
            [q, q * q, v * q, v]
        });
        uu += unit.0 * unit.0 * qq;
        uw += unit.0 * unit.1 * q;
        ww += unit.1 * unit.1 * LEN as f32;
        xu += unit.0 * xq;
        xw += unit.1 * sum_x;
    }
    let per_determinant = inverse(uu * ww - uw * uw);
    if per_determinant == 0.0 {
        return (half(xu * inverse(uu)), dmin);
    }
    (half((xu * ww - xw * uw) * per_determinant), half((xu * uw - xw * uu) * per_determinant))
}

/// Weights coded as `d · scale · level`.
#[derive(Clone, Copy, Debug)]
pub(super) struct WithScales<const SUBS: usize> {
    pub(super) d: F16,
    pub(super) scales: [i8; SUBS],
    /// Whole numbers.
    pub(super) levels: [f32; 256],
}

/// Codes with scales of `unit_min..-unit_min` and the levels given.
pub(super) fn with_scales<L: Levels, const SUBS: usize, const LEN: usize>(
    x: &[f32; 256],
    levels: L,
    unit_min: f32,
) -> WithScales<SUBS> {
    const { assert!(SUBS * LEN == 256) };
    let subs = x.as_chunks::<LEN>().0;
    let mut wanted = [0.0f32; SUBS];
    for (wanted, x) in wanted.iter_mut().zip(subs) {
        *wanted = search::scale(x, levels);
    }
    let largest = search::peak(&wanted);
    let mut best = (f32::INFINITY, F16(0), [0.0; SUBS]);
    for start in STARTS {
        let mut d = half(largest * start / unit_min);
        for _ in 0..=ROUNDS {
            let mut units = [0.0; SUBS];
            let (mut total, mut uu, mut xu) = (0.0, 0.0, 0.0);
            for ((unit, x), wanted) in units.iter_mut().zip(subs).zip(wanted) {
                let nearest =
                    round((wanted * inverse(d.to_f32())).clamp(unit_min, -unit_min - 1.0));
                let mut least = f32::INFINITY;
                for candidate in [nearest, nearest - 1.0, nearest + 1.0] {
                    if (unit_min..-unit_min).contains(&candidate) {
                        let error = search::error(x, levels, d.to_f32() * candidate, 0.0);
                        if error < least {
                            (least, *unit) = (error, candidate);
                        }
                    }
                }
                total += least;
                let per_scale = inverse(d.to_f32() * *unit);
                let [qq, xq] = search::sums(x, |v| {
                    let q = levels.nearest(v * per_scale);
                    [q * q, v * q]
                });
                uu += *unit * *unit * qq;
                xu += *unit * xq;
            }
            if total >= best.0 {
                break;
            }
            best = (total, d, units);
            d = half(xu * inverse(uu));
        }
    }
    let (_, d, units) = best;
    let mut coded = WithScales { d, scales: units.map(signed), levels: [0.0; 256] };
    for ((out, x), unit) in coded.levels.as_chunks_mut::<LEN>().0.iter_mut().zip(subs).zip(units) {
        let per_scale = inverse(d.to_f32() * unit);
        *out = x.map(|v| levels.nearest(v * per_scale));
    }
    coded
}
