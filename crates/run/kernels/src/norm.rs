//! Norms: each row is brought to unit size by its own statistic.
//!
//! Sums run in 16 lanes, element i in lane i mod 16, and the lanes are added in a fixed tree; hence
//! the same bits for every instruction set with fused multiply-adds. Rms: Zhang and Sennrich 2019;
//! layer: Ba et al. 2016, with the variance from a second pass.

/// Lanes of a sum.
const LANES: usize = 16;

/// `Σ f(x[i])` in the order that this module promises.
#[inline(always)]
pub(crate) fn sum(x: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0; LANES];
    let (whole, rest) = x.as_chunks::<LANES>();
    for chunk in whole {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane += f(*x);
        }
    }
    for (lane, x) in lanes.iter_mut().zip(rest) {
        *lane += f(*x);
    }
    tree(lanes)
}

/// `Σ x[i]²` in the same order, each step fused.
#[inline(always)]
fn sum_of_squares(x: &[f32], less: f32) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let (whole, rest) = x.as_chunks::<LANES>();
    for chunk in whole {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            let x = x - less;
            *lane = x.mul_add(x, *lane);
        }
    }
    for (lane, x) in lanes.iter_mut().zip(rest) {
        let x = x - less;
        *lane = x.mul_add(x, *lane);
    }
    tree(lanes)
}

/// Adds lanes pairwise: i and i + 8, then i + 4, i + 2, i + 1.
#[inline(always)]
pub(crate) fn tree(mut lanes: [f32; LANES]) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            lanes[i] += lanes[i + half];
        }
        half /= 2;
    }
    lanes[0]
}

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
pub fn rms(x: &mut [f32], eps: f32, affine: Affine<'_>) {
    let mean = sum_of_squares(x, 0.0) / x.len() as f32;
    finish(x, 0.0, 1.0 / (mean + eps).sqrt(), affine);
}

/// Brings `x` to mean 0 and variance 1: `(x - mean) / sqrt(variance + eps)`, then [`Affine`].
///
/// # Panics
/// If weight or bias have another length than `x`.
pub fn layer(x: &mut [f32], eps: f32, affine: Affine<'_>) {
    let len = x.len() as f32;
    let mean = sum(x, |x| x) / len;
    let variance = sum_of_squares(x, mean) / len;
    finish(x, mean, 1.0 / (variance + eps).sqrt(), affine);
}

/// `x = ((x - mean) * factor) * (weight + offset) + bias`.
#[inline(always)]
fn finish(x: &mut [f32], mean: f32, factor: f32, affine: Affine<'_>) {
    match affine.weight {
        Some(weight) => {
            assert_eq!(x.len(), weight.len(), "a weight for each element");
            for (x, w) in x.iter_mut().zip(weight) {
                *x = (*x - mean) * factor * (w + affine.offset);
            }
        }
        None => {
            for x in x.iter_mut() {
                *x = (*x - mean) * factor;
            }
        }
    }
    if let Some(bias) = affine.bias {
        crate::elementwise::add(x, bias);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
                for centred in [false, true] {
                    let mut out = x.clone();
                    if centred {
                        layer(&mut out, 1e-5, affine);
                    } else {
                        rms(&mut out, 1e-5, affine);
                    }
                    let want = oracle(&x, 1e-5, centred, affine);
                    for (got, want) in out.iter().zip(want) {
                        assert!((f64::from(*got) - want).abs() < 1e-5 * want.abs().max(1.0));
                    }
                }
            }
        }
    }
}
