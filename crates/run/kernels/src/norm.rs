//! Norms: each row is brought to unit size by its own statistic.
//!
//! Sums run in 16 lanes, element i in lane i mod 16, and the lanes are added in a fixed tree; hence
//! the same bits for every instruction set with fused multiply-adds. Rms: Zhang and Sennrich 2019;
//! layer: Ba et al. 2016, with the variance from a second pass.

use crate::isa::{Isa, Kernel, LANES, Simd};

/// What is learnt: `out = normalised * (weight + offset) + bias`, each where present.
#[derive(Clone, Copy, Debug)]
pub struct Affine<'a> {
    /// Factors, `[group]`.
    pub weight: Option<&'a [f32]>,
    /// Added to each factor.
    pub offset: f32,
    /// Summands, `[group]`.
    pub bias: Option<&'a [f32]>,
}

/// Divides `x` by the root of its mean square: `x / sqrt(mean(x²) + eps)`, then [`Affine`].
///
/// # Panics
/// If weight or bias have another length than `x`.
pub fn rms(isa: Isa, x: &mut [f32], eps: f32, affine: Affine<'_>) {
    isa.run(Norm::<false> { x, eps, affine });
}

/// Brings `x` to mean 0 and variance 1: `(x - mean) / sqrt(variance + eps)`, then [`Affine`].
///
/// # Panics
/// If weight or bias have another length than `x`.
pub fn layer(isa: Isa, x: &mut [f32], eps: f32, affine: Affine<'_>) {
    isa.run(Norm::<true> { x, eps, affine });
}

/// Both norms; `CENTRED` subtracts the mean.
struct Norm<'a, const CENTRED: bool> {
    x: &'a mut [f32],
    eps: f32,
    affine: Affine<'a>,
}

impl<const CENTRED: bool> Kernel for Norm<'_, CENTRED> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { x, eps, affine } = self;
        let len = x.len() as f32;
        let mean = if CENTRED { sum(s, x) / len } else { 0.0 };
        let variance = sum_of_squares(s, x, mean) / len;
        let root = s.sqrt(s.splat(variance + eps));
        let factor = s.div(s.splat(1.0), root);
        for (i, chunk) in x.chunks_mut(LANES).enumerate() {
            let from = i * LANES;
            let mut y = s.mul(s.sub(s.load_some(chunk), s.splat(mean)), factor);
            if let Some(weight) = affine.weight {
                let weight = s.load_some(&weight[from..from + chunk.len()]);
                y = s.mul(y, s.add(weight, s.splat(affine.offset)));
            }
            if let Some(bias) = affine.bias {
                y = s.add(y, s.load_some(&bias[from..from + chunk.len()]));
            }
            s.store_some(y, chunk);
        }
    }
}

/// `Σ x[i]` in the order that this module promises.
#[inline(always)]
fn sum<S: Simd>(s: S, x: &[f32]) -> f32 {
    let mut sum = s.splat(0.0);
    for chunk in x.chunks(LANES) {
        sum = s.add(sum, s.load_some(chunk));
    }
    s.sum(sum)
}

/// `Σ (x[i] - mean)²` in the same order, each step fused.
#[inline(always)]
fn sum_of_squares<S: Simd>(s: S, x: &[f32], mean: f32) -> f32 {
    let mut sum = s.splat(0.0);
    for chunk in x.chunks(LANES) {
        let mut less = s.sub(s.load_some(chunk), s.splat(mean));
        if chunk.len() < LANES {
            // What is behind the end counts as the mean itself.
            let mut last = [0.0; LANES];
            s.store(less, &mut last);
            last[chunk.len()..].fill(0.0);
            less = s.load(&last);
        }
        sum = s.fma(less, less, sum);
    }
    s.sum(sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    /// Normalises in double precision.
    fn oracle(x: &[f32], eps: f64, centred: bool, affine: Affine<'_>) -> Vec<f64> {
        let x: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
        let n = x.len() as f64;
        let mean = if centred { x.iter().sum::<f64>() / n } else { 0.0 };
        let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
        let at = |v: Option<&[f32]>, i: usize, or: f64| v.map_or(or, |v| f64::from(v[i]));
        let normed = |i: usize| (x[i] - mean) / (variance + eps).sqrt();
        let offset = if affine.weight.is_some() { f64::from(affine.offset) } else { 0.0 };
        (0..x.len())
            .map(|i| normed(i) * (at(affine.weight, i, 1.0) + offset) + at(affine.bias, i, 0.0))
            .collect()
    }

    #[test]
    fn norms_agree_with_double_precision() {
        for len in [1, 5, 16, 17, 64, 100, 576] {
            let x: Vec<f32> = (0..len).map(|i| ((i * 37) % 101) as f32 / 20.0 - 2.0).collect();
            let weight: Vec<f32> = (0..len).map(|i| 0.5 + i as f32 / 100.0).collect();
            let bias: Vec<f32> = (0..len).map(|i| 1.0 - i as f32 / 50.0).collect();
            for (weight, bias, offset) in [
                (None, None, 0.0),
                (Some(&weight[..]), None, 1.0),
                (Some(&weight[..]), Some(&bias[..]), 0.0),
            ] {
                let affine = Affine { weight, offset, bias };
                for (centred, isa) in Isa::available().flat_map(|isa| [(false, isa), (true, isa)]) {
                    let normed = |isa| {
                        let mut out = x.clone();
                        if centred {
                            layer(isa, &mut out, 1e-5, affine);
                        } else {
                            rms(isa, &mut out, 1e-5, affine);
                        }
                        out
                    };
                    let out = normed(isa);
                    assert_eq!(out, normed(isa.specification()), "{isa}");
                    let want = oracle(&x, 1e-5, centred, affine);
                    for (got, want) in out.iter().zip(want) {
                        assert!((f64::from(*got) - want).abs() < 1e-5 * want.abs().max(1.0));
                    }
                }
            }
        }
    }
}
