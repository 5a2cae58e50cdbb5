//! Convolutions of each channel by itself: a lane is a channel, a tap is one multiplication.
//!
//! Bytes are signed here, and weights less their zero point are 16-bit integers, which the
//! instruction for pairs of 16-bit products takes. Where windows are one element apart, a line of
//! the result is one run of elements whose weights repeat, so that channels that do not fill a
//! register cost nothing; otherwise every position takes the panels of its channels.

use super::{Finish, Params, Scale};
use crate::isa::{Isa, Kernel, LANES, Simd};

/// Results that share a load of weights.
const TILE: usize = 8;

/// Lines of positions whose channels are computed one by one.
#[derive(Debug)]
pub struct Depthwise<'a> {
    /// Signed bytes of the operand with its border, readable for 16 bytes behind every position.
    pub x: &'a [u8],
    /// Where each tap reads, behind a position's beginning.
    pub taps: &'a [u32],
    /// Weights `[panel][tap][16 channels]`; zero points are taken from them.
    pub weights: &'a [[i32; LANES]],
    /// What each panel adds and how it scales.
    pub params: &'a [Params],
    /// Zero point of the bytes of `x`, unless biases contain it: 0 there.
    pub x_zero: i32,
    /// How sums become numbers.
    pub scale: &'a Scale,
    /// What stands where.
    pub line: Line,
    /// Bytes from one line of the operand to the next.
    pub x_line: usize,
    /// The result, lines one behind the other.
    pub out: &'a mut [u8],
}

/// How the positions of a line follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// Numbers of a line of the result.
    pub len: usize,
    /// Numbers of the result that one round of panels gives.
    pub round: usize,
    /// Bytes of the operand from one round to the next.
    pub step: usize,
}

impl Depthwise<'_> {
    /// Computes it.
    ///
    /// # Panics
    /// If an operand is shorter than the others say.
    pub fn run(self, isa: Isa) {
        assert_eq!(self.params.len() * self.taps.len(), self.weights.len(), "weights for all taps");
        assert!(self.line.round > 0 && self.params.len() * LANES >= self.line.round, "a round");
        isa.run(self);
    }
}

impl Kernel for Depthwise<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { x, taps, weights, params, x_zero, scale, line, x_line, out } = self;
        let width = scale.to.bytes();
        for (y, out) in out.chunks_exact_mut(line.len * width).enumerate() {
            let x = &x[y * x_line..];
            for panel in 0..params.len() {
                let weights = &weights[panel * taps.len()..][..taps.len()];
                let lanes = LANES.min(line.round - panel * LANES);
                let (params, step) = (&params[panel], line.round * width);
                let finish = Finish { scale, params, x_zero, step, lanes };
                let first = panel * LANES;
                // Rounds in which this panel is whole.
                let whole = (line.len + line.round - first - lanes) / line.round;
                let mut t = 0;
                while t + TILE <= whole {
                    tile::<S, TILE>(
                        s,
                        &x[t * line.step + first..],
                        line.step,
                        taps,
                        weights,
                        finish,
                        &mut out[(t * line.round + first) * width..],
                    );
                    t += TILE;
                }
                while t < whole {
                    tile::<S, 1>(
                        s,
                        &x[t * line.step + first..],
                        line.step,
                        taps,
                        weights,
                        finish,
                        &mut out[(t * line.round + first) * width..],
                    );
                    t += 1;
                }
                let rest = line.len.saturating_sub(t * line.round + first);
                if rest > 0 {
                    let finish = Finish { lanes: rest, ..finish };
                    tile::<S, 1>(
                        s,
                        &x[t * line.step + first..],
                        line.step,
                        taps,
                        weights,
                        finish,
                        &mut out[(t * line.round + first) * width..],
                    );
                }
            }
        }
    }
}

/// `N` positions, `step` bytes apart, by one panel.
#[inline(always)]
fn tile<S: Simd, const N: usize>(
    s: S,
    x: &[u8],
    step: usize,
    taps: &[u32],
    weights: &[[i32; LANES]],
    finish: Finish<'_>,
    out: &mut [u8],
) {
    let mut acc = [s.splat_i(0); N];
    let zero = s.load_i(&finish.params.words[4]);
    for (&tap, weight) in taps.iter().zip(weights) {
        let weight = s.factor(s.sub_i(s.load_i(weight), zero));
        let x = &x[tap as usize..][..(N - 1) * step + LANES];
        for t in 0..N {
            let bytes = x[t * step..].first_chunk().expect("sixteen bytes behind a position");
            acc[t] = s.fold(acc[t], s.load_i8(bytes), weight);
        }
    }
    let mut sums = [[0; LANES]; N];
    for t in 0..N {
        s.store_i(acc[t], &mut sums[t]);
    }
    finish.store(s, &sums, out);
}
