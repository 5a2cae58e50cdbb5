//! Local response normalisation: each channel over what its neighbours amount to.
//!
//! `x / (bias + alpha / size · Σ x²)^beta` over `size` channels around each (Krizhevsky et al. 2012,
//! §3.3, with ONNX's mean). Squares are rounded and added in the order of their channels, so that
//! bits depend neither on the instruction set nor on whether channels stand first or last.

use crate::exp;
use crate::isa::{Isa, Kernel, LANES, Simd};

/// The most channels that count.
pub const SIZE_MAX: usize = 64;

/// Channels that are taken at once where they stand last.
const BLOCK: usize = 256;

/// What a channel is divided by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Response {
    /// Channels that count.
    pub size: usize,
    /// Factor on the mean of squares.
    pub alpha: f32,
    /// Exponent.
    pub beta: f32,
    /// Added before the power.
    pub bias: f32,
}

impl Response {
    /// Divides `x: [channels][inner]` into `out`.
    ///
    /// # Panics
    /// If the sizes disagree, or more than [`SIZE_MAX`] channels count.
    pub fn divide(self, isa: Isa, x: &[f32], inner: usize, out: &mut [f32]) {
        assert!(inner > 0 && x.len().is_multiple_of(inner), "whole channels");
        assert_eq!(x.len(), out.len(), "equal lengths");
        assert!((1..=SIZE_MAX).contains(&self.size), "{} channels count", self.size);
        isa.run(Divide { response: self, x, inner, out });
    }

    /// Channels before and behind one that count.
    fn reach(self) -> [usize; 2] {
        [(self.size - 1) / 2, self.size / 2]
    }

    #[inline(always)]
    fn quotient<S: Simd>(self, s: S, x: S::F, squares: S::F) -> S::F {
        let mean = s.splat(self.alpha / self.size as f32);
        let base = s.fma(squares, mean, s.splat(self.bias));
        // The exponents of the papers take roots alone.
        if self.beta.to_bits() == 0.75f32.to_bits() {
            let root = s.sqrt(base);
            s.div(x, s.mul(root, s.sqrt(root)))
        } else if self.beta.to_bits() == 0.5f32.to_bits() {
            s.div(x, s.sqrt(base))
        } else {
            s.mul(x, exp::exp(s, s.mul(s.splat(-self.beta), exp::ln(s, base))))
        }
    }
}

struct Divide<'a> {
    response: Response,
    x: &'a [f32],
    inner: usize,
    out: &'a mut [f32],
}

impl Kernel for Divide<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        if self.inner == 1 { self.last(s) } else { self.first(s) }
    }
}

impl Divide<'_> {
    /// Channels that stand last: a lane is a channel.
    #[inline(always)]
    fn last<S: Simd>(self, s: S) {
        let Self { response, x, out, .. } = self;
        let [before, after] = response.reach();
        // Squares of a block and of what is around it; zeros outside.
        let mut squares = [0.0; BLOCK + SIZE_MAX + LANES];
        for (i, out) in out.chunks_mut(BLOCK).enumerate() {
            let at = i * BLOCK;
            let from = at.saturating_sub(before);
            let to = x.len().min(at + out.len() + after);
            let start = before - (at - from);
            squares[..start].fill(0.0);
            let inside = &mut squares[start..];
            for (part, x) in inside.chunks_mut(LANES).zip(x[from..to].chunks(LANES)) {
                let x = s.load_some(x);
                let square = s.mul(x, x);
                // What is behind the last one is zero.
                s.store_some(square, part);
            }
            squares[start + (to - from).next_multiple_of(LANES)..].fill(0.0);
            for (j, out) in out.chunks_mut(LANES).enumerate() {
                let mut sum = s.splat(0.0);
                for k in 0..response.size {
                    let (square, _) = squares[j * LANES + k..]
                        .split_first_chunk()
                        .expect("a block is followed by zeros");
                    sum = s.add(sum, s.load(square));
                }
                let own = at + j * LANES;
                let x = s.load_some(&x[own..own + out.len()]);
                s.store_some(response.quotient(s, x, sum), out);
            }
        }
    }

    /// Channels that stand first: a lane is a place.
    #[inline(always)]
    fn first<S: Simd>(self, s: S) {
        let Self { response, x, inner, out } = self;
        let [before, after] = response.reach();
        let channels = x.len() / inner;
        for (c, out) in out.chunks_exact_mut(inner).enumerate() {
            let window = c.saturating_sub(before)..channels.min(c + after + 1);
            for (i, out) in out.chunks_mut(LANES).enumerate() {
                let part = |c: usize| s.load_some(&x[c * inner + i * LANES..][..out.len()]);
                let mut sum = s.splat(0.0);
                for c in window.clone() {
                    let x = part(c);
                    sum = s.add(sum, s.mul(x, x));
                }
                let quotient = response.quotient(s, part(c), sum);
                s.store_some(quotient, out);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::noise;
    use std::vec::Vec;

    #[test]
    fn channels_first_and_last_are_divided_alike_on_every_instruction_set() {
        for (channels, inner) in [(1, 3), (5, 1), (64, 7), (300, 2), (513, 1), (40, 20)] {
            for (size, beta) in [(5, 0.75), (3, 0.5), (4, 0.6), (64, 0.75), (1, 1.0)] {
                let response = Response { size, alpha: 2.0, beta, bias: 1.5 };
                let x = noise(1, channels * inner);
                let turned: Vec<f32> =
                    (0..x.len()).map(|i| x[i % channels * inner + i / channels]).collect();
                let [before, after] = response.reach();
                let mut want = Vec::new();
                for i in 0..x.len() {
                    let (c, place) = (i / inner, i % inner);
                    let near = c.saturating_sub(before)..channels.min(c + after + 1);
                    let squares = near.map(|c| f64::from(x[c * inner + place]).powi(2));
                    let base = 1.5 + 2.0 / size as f64 * squares.sum::<f64>();
                    want.push(f64::from(x[i]) / base.powf(f64::from(beta)));
                }
                let mut first = Vec::new();
                for isa in Isa::fused() {
                    let (mut out, mut last) = (vec![f32::NAN; x.len()], vec![f32::NAN; x.len()]);
                    response.divide(isa, &x, inner, &mut out);
                    for (x, out) in turned.chunks(channels).zip(last.chunks_mut(channels)) {
                        response.divide(isa, x, 1, out);
                    }
                    for (i, (&out, want)) in out.iter().zip(&want).enumerate() {
                        assert!((f64::from(out) - want).abs() <= 4e-7 * want.abs(), "{isa} {i}");
                        let want = last[i % inner * channels + i / inner];
                        assert_eq!(out.to_bits(), want.to_bits(), "{isa} {i}");
                    }
                    if first.is_empty() {
                        first.clone_from(&out);
                    }
                    assert_eq!(out, first, "{isa} {response:?}");
                }
            }
        }
    }
}
