//! Statistics over runs of numbers: sums, means, extremes and shares.
//!
//! An operand is `[outer][reduced][inner]`. With several numbers inside, a lane is one of them and
//! its chain goes through the reduced dimension in order; with one, the numbers of a run are taken
//! sixteen by sixteen, number i in lane i mod 16, and the lanes are folded in a fixed tree. Both are
//! the same bits for every instruction set.

use crate::exp;
use crate::isa::{Isa, Kernel, LANES, Simd};

/// What a run of numbers becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statistic {
    /// `Σ x`.
    Sum,
    /// `Σ x / n`.
    Mean,
    /// `Σ x²`.
    SumSquare,
    /// `sqrt(Σ x²)`.
    L2,
    /// The least; NaN where one is.
    Least,
    /// The greatest; NaN where one is.
    Greatest,
}

/// Reduces `x: [reduced][inner]` to the columns of its result that `out` has room for, from `first`
/// on: `out[i] = statistic of x[…][first + i]`.
///
/// # Panics
/// If the sizes disagree.
pub fn reduce(
    isa: Isa,
    statistic: Statistic,
    x: &[f32],
    inner: usize,
    first: usize,
    out: &mut [f32],
) {
    assert!(inner > 0 && x.len().is_multiple_of(inner), "whole rows");
    assert!(first + out.len() <= inner, "columns of the result");
    isa.run(Reduce { statistic, x, inner, first, out });
}

struct Reduce<'a> {
    statistic: Statistic,
    x: &'a [f32],
    inner: usize,
    first: usize,
    out: &'a mut [f32],
}

impl Statistic {
    /// What a chain begins with.
    fn first(self) -> f32 {
        match self {
            Self::Sum | Self::Mean | Self::SumSquare | Self::L2 => 0.0,
            Self::Least => f32::INFINITY,
            Self::Greatest => f32::NEG_INFINITY,
        }
    }

    /// Adds a number to a chain.
    #[inline(always)]
    fn add<S: Simd>(self, s: S, so_far: S::F, x: S::F) -> S::F {
        match self {
            Self::Sum | Self::Mean => s.add(so_far, x),
            Self::SumSquare | Self::L2 => s.fma(x, x, so_far),
            // Each gives its second operand where one is NaN; bits of a NaN beside others are one.
            Self::Least => {
                let (a, b) = (s.min(so_far, x), s.min(x, so_far));
                s.of_bits(s.or_i(s.bits(a), s.bits(b)))
            }
            Self::Greatest => {
                let (a, b) = (s.max(so_far, x), s.max(x, so_far));
                s.of_bits(s.or_i(s.bits(a), s.bits(b)))
            }
        }
    }

    /// What a chain of `n` numbers becomes.
    #[inline(always)]
    fn end<S: Simd>(self, s: S, chain: S::F, n: usize) -> S::F {
        match self {
            Self::Mean => s.div(chain, s.splat(n as f32)),
            Self::L2 => s.sqrt(chain),
            Self::Sum | Self::SumSquare | Self::Least | Self::Greatest => chain,
        }
    }
}

impl Kernel for Reduce<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { statistic, x, inner, first, out } = self;
        if inner == 1 {
            out.fill(row(s, statistic, x));
            return;
        }
        let mut at = 0;
        while at + 4 * LANES <= out.len() {
            columns::<S, 4>(s, statistic, x, inner, first + at, &mut out[at..at + 4 * LANES]);
            at += 4 * LANES;
        }
        while at < out.len() {
            let end = out.len().min(at + LANES);
            columns::<S, 1>(s, statistic, x, inner, first + at, &mut out[at..end]);
            at = end;
        }
    }
}

/// Reduces `N` times sixteen columns from `at` on, or fewer than sixteen.
#[inline(always)]
fn columns<S: Simd, const N: usize>(
    s: S,
    statistic: Statistic,
    x: &[f32],
    inner: usize,
    at: usize,
    out: &mut [f32],
) {
    let mut chains = [s.splat(statistic.first()); N];
    let width = LANES.min(out.len());
    for row in x.chunks_exact(inner) {
        for n in 0..N {
            let x = lanes(s, &row[at + n * LANES..][..width], 0.0);
            chains[n] = statistic.add(s, chains[n], x);
        }
    }
    for n in 0..N {
        let value = statistic.end(s, chains[n], x.len() / inner);
        let to = &mut out[n * LANES..][..width];
        s.store_some(value, to);
    }
}

/// Reduces numbers that follow each other.
#[inline(always)]
fn row<S: Simd>(s: S, statistic: Statistic, x: &[f32]) -> f32 {
    let first = statistic.first();
    let mut chain = s.splat(first);
    for part in x.chunks(LANES) {
        chain = statistic.add(s, chain, lanes(s, part, first));
    }
    let mut folded = [0.0; LANES];
    s.store(chain, &mut folded);
    // The lanes' chains are added as the tree of `Simd::sum` does; extremes in any order.
    let all = match statistic {
        Statistic::Least | Statistic::Greatest => {
            let mut all = s.splat(folded[0]);
            for lane in folded {
                all = statistic.add(s, all, s.splat(lane));
            }
            all
        }
        Statistic::Sum | Statistic::Mean | Statistic::SumSquare | Statistic::L2 => {
            s.splat(s.sum(chain))
        }
    };
    s.store(statistic.end(s, all, x.len()), &mut folded);
    folded[0]
}

/// Brings rows of `width` numbers to shares: `exp(x - max) / Σ exp(x - max)`, or their logarithms.
///
/// # Panics
/// If there is no whole number of rows.
pub fn softmax(isa: Isa, x: &mut [f32], width: usize, log: bool) {
    assert!(width > 0 && x.len().is_multiple_of(width), "whole rows");
    isa.run(Softmax { x, width, log });
}

struct Softmax<'a> {
    x: &'a mut [f32],
    width: usize,
    log: bool,
}

impl Kernel for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for x in self.x.chunks_exact_mut(self.width) {
            let mut max = s.splat(f32::NEG_INFINITY);
            for part in x.chunks(LANES) {
                max = s.max(max, lanes(s, part, f32::NEG_INFINITY));
            }
            let max = s.splat(s.max_lane(max));
            let mut sum = s.splat(0.0);
            for part in x.chunks_mut(LANES) {
                // What stands behind the last number has no share.
                let shifted = s.sub(lanes(s, part, f32::NEG_INFINITY), max);
                let share = exp::exp(s, shifted);
                sum = s.add(sum, share);
                s.store_some(if self.log { shifted } else { share }, part);
            }
            let sum = s.splat(s.sum(sum));
            let log_sum = exp::ln(s, sum);
            for part in x.chunks_mut(LANES) {
                let value = lanes(s, part, 0.0);
                s.store_some(
                    if self.log { s.sub(value, log_sum) } else { s.div(value, sum) },
                    part,
                );
            }
        }
    }
}

/// Up to sixteen numbers, `rest` behind them.
#[inline(always)]
fn lanes<S: Simd>(s: S, from: &[f32], rest: f32) -> S::F {
    if let Ok(whole) = <&[f32; LANES]>::try_from(from) {
        return s.load(whole);
    }
    let mut last = [rest; LANES];
    last[..from.len()].copy_from_slice(from);
    s.load(&last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::noise;
    use std::vec::Vec;

    fn close(found: f32, want: f64) -> bool {
        (f64::from(found) - want).abs() <= 2e-6 * want.abs().max(1.0)
    }

    #[test]
    fn runs_are_reduced_alike_on_every_instruction_set() {
        let statistics = [
            Statistic::Sum,
            Statistic::Mean,
            Statistic::SumSquare,
            Statistic::L2,
            Statistic::Least,
            Statistic::Greatest,
        ];
        for (outer, reduced, inner) in [(3, 1, 1), (2, 50, 1), (2, 7, 5), (1, 9, 100), (2, 3, 64)] {
            let x = noise(1, outer * reduced * inner);
            for statistic in statistics {
                let mut first = Vec::new();
                for isa in Isa::fused() {
                    let mut out = vec![f32::NAN; outer * inner];
                    for (x, out) in x.chunks(reduced * inner).zip(out.chunks_mut(inner)) {
                        let (left, right) = out.split_at_mut(inner / 3);
                        reduce(isa, statistic, x, inner, 0, left);
                        reduce(isa, statistic, x, inner, inner / 3, right);
                    }
                    for (i, &out) in out.iter().enumerate() {
                        let start = i / inner * reduced * inner + i % inner;
                        let run = (0..reduced).map(|r| f64::from(x[start + r * inner]));
                        let squares = run.clone().map(|x| x * x);
                        let want = match statistic {
                            Statistic::Sum => run.sum::<f64>(),
                            Statistic::Mean => run.sum::<f64>() / reduced as f64,
                            Statistic::SumSquare => squares.sum(),
                            Statistic::L2 => squares.sum::<f64>().sqrt(),
                            Statistic::Least => run.fold(f64::INFINITY, f64::min),
                            Statistic::Greatest => run.fold(f64::NEG_INFINITY, f64::max),
                        };
                        assert!(close(out, want), "{isa} {statistic:?} {out} {want}");
                    }
                    if first.is_empty() {
                        first.clone_from(&out);
                    }
                    assert_eq!(first, out, "{isa} {statistic:?}");
                }
            }
        }
        for isa in Isa::fused() {
            let mut out = [0.0];
            reduce(isa, Statistic::Greatest, &[1.0, f32::NAN, 2.0], 1, 0, &mut out);
            assert!(out[0].is_nan(), "{isa}");
        }
    }

    #[test]
    fn shares_sum_to_one_on_every_instruction_set() {
        for width in [1, 16, 23, 100] {
            let x: Vec<f32> = noise(1, 3 * width).iter().map(|x| 40.0 * x).collect();
            for log in [false, true] {
                let mut first = Vec::new();
                for isa in Isa::fused() {
                    let mut out = x.clone();
                    softmax(isa, &mut out, width, log);
                    for (row, out) in x.chunks(width).zip(out.chunks(width)) {
                        let max = f64::from(row.iter().copied().fold(f32::MIN, f32::max));
                        let sum: f64 = row.iter().map(|&x| (f64::from(x) - max).exp()).sum();
                        for (&x, &out) in row.iter().zip(out) {
                            let want = f64::from(x) - max - sum.ln();
                            assert!(close(out, if log { want } else { want.exp() }), "{isa}");
                        }
                    }
                    if first.is_empty() {
                        first.clone_from(&out);
                    }
                    assert_eq!(first, out, "{isa} {width} {log}");
                }
            }
        }
        let mut large = [1000.0, 999.0, -1e30, f32::NEG_INFINITY];
        softmax(Isa::SCALAR, &mut large, 4, false);
        assert!((large[0] - 0.731_058_6).abs() < 1e-6 && large[2..] == [0.0, 0.0]);
    }
}
