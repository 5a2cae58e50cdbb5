//! Rows blended with rows, and places of a row blended into more or fewer: resizing by tables.
//!
//! Whoever resizes an image says once which samples each place blends and how much they count
//! ([`Taps`]); here is only the arithmetic. Each element is one chain of fused multiply-adds in the
//! order of its samples, the first product rounded: the same bits for every instruction set and for
//! any division of the rows.

use crate::isa::{Isa, Kernel, LANES, Simd};

/// Which samples the places of a row blend: `count` for each of them.
#[derive(Clone, Copy, Debug)]
pub struct Taps<'a> {
    /// Where in a row each sample begins, `[tap][place]`.
    pub starts: &'a [u32],
    /// How much it counts, `[tap][place]`.
    pub weights: &'a [f32],
    /// Samples of a place.
    pub count: usize,
}

/// `out = weight · x`.
///
/// # Panics
/// If the lengths differ.
pub fn scale(isa: Isa, x: &[f32], weight: f32, out: &mut [f32]) {
    assert_eq!(x.len(), out.len(), "equal lengths");
    isa.run(Scaled::<false> { x, weight, out });
}

/// `out = weight · x + out`.
///
/// # Panics
/// If the lengths differ.
pub fn add_scaled(isa: Isa, x: &[f32], weight: f32, out: &mut [f32]) {
    assert_eq!(x.len(), out.len(), "equal lengths");
    isa.run(Scaled::<true> { x, weight, out });
}

/// Blends places of a row: `out: [place][run]` of samples of `run` numbers.
///
/// # Panics
/// If `out` is no whole number of runs, the taps are not those of its places, or one begins less
/// than `run` before the end of `x`.
pub fn blend(isa: Isa, taps: Taps<'_>, x: &[f32], run: usize, out: &mut [f32]) {
    assert!(run > 0 && out.len().is_multiple_of(run), "whole runs");
    let places = out.len() / run;
    assert_eq!(taps.starts.len(), places * taps.count, "a start for each place and tap");
    assert_eq!(taps.weights.len(), taps.starts.len(), "a weight for each start");
    if places > 0 && taps.count > 0 {
        isa.run(Blend { taps, x, run, places, out });
    }
}

struct Scaled<'a, const ADD: bool> {
    x: &'a [f32],
    weight: f32,
    out: &'a mut [f32],
}

impl<const ADD: bool> Kernel for Scaled<'_, ADD> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let weight = s.splat(self.weight);
        let step = |x: S::F, out: S::F| if ADD { s.fma(x, weight, out) } else { s.mul(x, weight) };
        let (chunks, rest) = self.out.as_chunks_mut::<LANES>();
        let (x, x_rest) = self.x.as_chunks::<LANES>();
        for (out, x) in chunks.iter_mut().zip(x) {
            s.store(step(s.load(x), s.load(out)), out);
        }
        if !rest.is_empty() {
            s.store_part(step(s.load_part(x_rest), s.load_part(rest)), rest);
        }
    }
}

struct Blend<'a> {
    taps: Taps<'a>,
    x: &'a [f32],
    run: usize,
    places: usize,
    out: &'a mut [f32],
}

impl Kernel for Blend<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        if self.run == 1 { self.gathered(s) } else { self.runs(s) }
    }
}

impl Blend<'_> {
    /// Sixteen places at once, one number each.
    #[inline(always)]
    fn gathered<S: Simd>(self, s: S) {
        let Self { taps, x, places, out, .. } = self;
        for (i, out) in out.chunks_mut(LANES).enumerate() {
            let mut sum = s.splat(0.0);
            for tap in 0..taps.count {
                let at = tap * places + i * LANES;
                let mut values = [0.0; LANES];
                for (value, &start) in values.iter_mut().zip(&taps.starts[at..at + out.len()]) {
                    *value = x[start as usize];
                }
                let weights = s.load_some(&taps.weights[at..at + out.len()]);
                let value = s.load(&values);
                sum = if tap == 0 { s.mul(value, weights) } else { s.fma(value, weights, sum) };
            }
            s.store_some(sum, out);
        }
    }

    /// Place by place, sixteen numbers of it at once.
    #[inline(always)]
    fn runs<S: Simd>(self, s: S) {
        let Self { taps, x, run, places, out } = self;
        for (place, out) in out.chunks_exact_mut(run).enumerate() {
            for (i, out) in out.chunks_mut(LANES).enumerate() {
                let mut sum = s.splat(0.0);
                for tap in 0..taps.count {
                    let at = tap * places + place;
                    let weight = s.splat(taps.weights[at]);
                    let from = taps.starts[at] as usize + i * LANES;
                    let value = s.load_some(&x[from..from + out.len()]);
                    sum = if tap == 0 { s.mul(value, weight) } else { s.fma(value, weight, sum) };
                }
                s.store_some(sum, out);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::scalar::fma;
    use crate::samples::noise;
    use std::vec::Vec;

    #[test]
    fn samples_are_blended_in_their_order_on_every_instruction_set() {
        for (len, places, count, run) in
            [(9, 5, 2, 1), (40, 37, 4, 1), (6, 11, 2, 3), (5, 7, 3, 40)]
        {
            let x = noise(1, len * run);
            let starts: Vec<usize> = (0..places * count).map(|i| i * 7 % len * run).collect();
            let starts: Vec<u32> = starts.iter().map(|&at| u32::try_from(at).unwrap()).collect();
            let weights = noise(2, starts.len());
            let taps = Taps { starts: &starts, weights: &weights, count };
            let element = |i: usize| {
                let (place, c) = (i / run, i % run);
                let product = |tap: usize| {
                    let at = tap * places + place;
                    (x[starts[at] as usize + c], weights[at])
                };
                let first = product(0).0 * product(0).1;
                (1..count).map(product).fold(first, |sum, (x, w)| fma(x, w, sum))
            };
            let want: Vec<f32> = (0..places * run).map(element).collect();
            for isa in Isa::fused() {
                let mut out = vec![f32::NAN; want.len()];
                blend(isa, taps, &x, run, &mut out);
                assert_eq!(out, want, "{isa}");
            }
        }
    }

    #[test]
    fn rows_are_scaled_and_added_on_every_instruction_set() {
        let (x, y) = (noise(1, 53), noise(2, 53));
        for isa in Isa::fused() {
            let mut out = vec![f32::NAN; 53];
            scale(isa, &x, 0.75, &mut out);
            add_scaled(isa, &y, -0.3, &mut out);
            let want = x.iter().zip(&y).map(|(x, y)| fma(*y, -0.3, x * 0.75));
            assert_eq!(out, want.collect::<Vec<f32>>(), "{isa}");
        }
    }
}
