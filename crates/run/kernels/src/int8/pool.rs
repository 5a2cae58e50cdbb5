//! Largest and mean of windows over bytes, sixteen channels at a time.
//!
//! A position's window is given as the runs of its columns that lie inside of the operand, so that
//! no border is read; means are of whole sums, rounded halves away from zero.

use crate::isa::{Isa, Kernel, LANES, Simd};

/// What is kept of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statistic {
    /// The largest byte.
    Largest,
    /// The mean over so many elements.
    Mean(u32),
}

/// One position's window.
#[derive(Debug)]
pub struct Window<'a> {
    /// The operand from the window's first element on.
    pub x: &'a [u8],
    /// Whether bytes are signed.
    pub signed: bool,
    /// Lines inside of the operand, and bytes from one to the next.
    pub lines: (usize, usize),
    /// Columns inside of the operand, and bytes from one to the next.
    pub columns: (usize, usize),
    /// What is kept.
    pub statistic: Statistic,
    /// A byte for each channel.
    pub out: &'a mut [u8],
}

impl Window<'_> {
    /// Computes it.
    ///
    /// # Panics
    /// If the operand is shorter than the window.
    pub fn run(self, isa: Isa) {
        isa.run(self);
    }
}

impl Kernel for Window<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let flip = if self.signed { 0 } else { 0x80 };
        let mut channel = 0;
        while channel < self.out.len() {
            // The last channels of many are computed with their neighbours again.
            let first = channel.min(self.out.len().saturating_sub(LANES));
            let lanes = LANES.min(self.out.len());
            channel = first + lanes;
            let mut best = s.splat_i(i32::from(i8::MIN));
            let mut sum = s.splat_i(0);
            for y in 0..self.lines.0 {
                for x in 0..self.columns.0 {
                    let at = first + y * self.lines.1 + x * self.columns.1;
                    let mut bytes = [0; LANES];
                    if lanes == LANES {
                        bytes = *self.x[at..].first_chunk().expect("sixteen channels");
                    } else {
                        bytes[..lanes].copy_from_slice(&self.x[at..at + lanes]);
                    }
                    for byte in &mut bytes {
                        *byte ^= flip;
                    }
                    let values = s.load_i8(&bytes);
                    best = s.max_i(best, values);
                    sum = s.add_i(sum, values);
                }
            }
            let result = match self.statistic {
                Statistic::Largest => best,
                Statistic::Mean(count) => {
                    let taps = self.lines.0 * self.columns.0 * usize::from(flip);
                    let taps = i32::try_from(taps).expect("a window of fewer than 2^24 elements");
                    let sum = s.add_i(sum, s.splat_i(taps));
                    s.sub_i(mean(s, sum, count), s.splat_i(flip.into()))
                }
            };
            let mut bytes = [0; LANES];
            s.store_i8(result, &mut bytes);
            for (out, byte) in self.out[first..first + lanes].iter_mut().zip(bytes) {
                *out = byte ^ flip;
            }
        }
    }
}

/// Sums over `count`, halves away from zero. A quotient of whole numbers below 2²⁴ that is no
/// whole number differs from one by more than a single's rounding, so truncating it is exact.
#[inline(always)]
fn mean<S: Simd>(s: S, sum: S::I, count: u32) -> S::I {
    let half = s.splat_i((count / 2).cast_signed());
    let negative = s.shr_i(sum, 31);
    // Half away from zero: `sum + half` or `sum - half`, that is `(half ^ negative) - negative`.
    let twice = s.and_i(s.add_i(half, half), negative);
    let moved = s.sub_i(s.add_i(sum, half), twice);
    s.trunc_to_i(s.div(s.to_f(moved), s.splat(count as f32)))
}
