//! Passes over a row of logits: its largest numbers, block by block, and its sum of exponentials.
//!
//! The largest of each block let a search for the best token, the best few or those above a bar
//! read some blocks of hundreds. The exponential is a polynomial of its own without fused
//! multiply-adds, and a sum has one shape: every processor gives the same bits, also those that
//! have none of the instruction sets, for the loops are plain and only compiled for each.
//! [`Rows`] chooses; who holds it need not know between what.

use crate::isa::{Isa, Kernel, Simd};

/// Logits of a block.
pub const BLOCK: usize = 64;

/// Maxima that run side by side, as a maximum waits for the one before it.
const MAXIMA: usize = 16;

/// Partial sums that run side by side; a sum is always folded in this shape.
const SUMS: usize = 8;

/// Goes over rows in the fastest way that this processor has.
#[derive(Clone, Copy, Debug)]
pub struct Rows(Isa);

/// What a pass over a row finds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Found {
    /// The largest number that is none of the unusable.
    pub max: f32,
    /// Whether all numbers are below `+∞`: NaN is not.
    pub usable: bool,
}

impl Rows {
    /// The fastest way.
    pub fn detect() -> Self {
        Self(Isa::detect())
    }

    /// Looks at a row: `peaks[i]` becomes the largest of its block `i`, the last of which may be
    /// shorter.
    ///
    /// # Panics
    /// If there is not one peak for each [`BLOCK`] of `logits`.
    pub fn look(self, logits: &[f32], peaks: &mut [f32]) -> Found {
        assert_eq!(peaks.len(), logits.len().div_ceil(BLOCK), "a peak for each block");
        self.0.run(Look { logits, peaks })
    }

    /// `Σ exp(logit - max)`; `max` is the largest logit, so that the sum is at least 1.
    pub fn sum(self, logits: &[f32], max: f32) -> f64 {
        self.0.run(Sum { logits, max })
    }
}

struct Look<'a> {
    logits: &'a [f32],
    peaks: &'a mut [f32],
}

impl Kernel for Look<'_> {
    type Output = Found;

    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> Found {
        let (mut max, mut usable) = (f32::NEG_INFINITY, true);
        for (block, peak) in self.logits.chunks(BLOCK).zip(self.peaks) {
            let found = look(block);
            *peak = found.max;
            usable &= found.usable;
            max = larger(found.max, max);
        }
        Found { max, usable }
    }
}

/// The larger of two numbers, `b` where `a` is NaN.
#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// Looks at one block.
#[inline(always)]
fn look(block: &[f32]) -> Found {
    let mut max = [f32::NEG_INFINITY; MAXIMA];
    // Words, as wide as the numbers, keep the loop in vectors.
    let mut bad = [0_u32; MAXIMA];
    let (groups, rest) = block.as_chunks::<MAXIMA>();
    for group in groups {
        for lane in 0..MAXIMA {
            max[lane] = larger(group[lane], max[lane]);
            bad[lane] |= u32::from(!below_infinity(group[lane]));
        }
    }
    for lane in 0..rest.len() {
        max[lane] = larger(rest[lane], max[lane]);
        bad[lane] |= u32::from(!below_infinity(rest[lane]));
    }
    let mut found = Found { max: f32::NEG_INFINITY, usable: true };
    for lane in 0..MAXIMA {
        found.max = larger(max[lane], found.max);
        found.usable &= bad[lane] == 0;
    }
    found
}

/// False for NaN too.
#[inline(always)]
fn below_infinity(x: f32) -> bool {
    x < f32::INFINITY
}

struct Sum<'a> {
    logits: &'a [f32],
    max: f32,
}

impl Kernel for Sum<'_> {
    type Output = f64;

    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> f64 {
        let (groups, rest) = self.logits.as_chunks::<SUMS>();
        let mut total = 0.0;
        // 512 numbers a lane in f32 lose under 1e-5 of the sum; then the lanes go to f64.
        for run in groups.chunks(512) {
            let mut lanes = [0.0_f32; SUMS];
            // Several groups at a time: a chain of sums is slower than the exponentials.
            let (some, few) = run.as_chunks::<4>();
            for groups in some {
                self.add(groups, &mut lanes);
            }
            for group in few {
                self.add(&[*group], &mut lanes);
            }
            let mut sum = 0.0;
            for lane in lanes {
                sum += f64::from(lane);
            }
            total += sum;
        }
        let mut sum = 0.0;
        for logit in rest {
            sum += f64::from(exp(logit - self.max));
        }
        total + sum
    }
}

impl Sum<'_> {
    /// Adds the exponentials of groups of logits to the sums, one group after the other.
    #[inline(always)]
    fn add<const N: usize>(&self, groups: &[[f32; SUMS]; N], lanes: &mut [f32; SUMS]) {
        let mut powers = *groups;
        for logit in powers.as_flattened_mut() {
            *logit = exp(*logit - self.max);
        }
        for group in powers {
            for lane in 0..SUMS {
                lanes[lane] += group[lane];
            }
        }
    }
}

/// `e^x` for `x ≤ 0`, relative error below 2e-7; 0 below the smallest normal number.
///
/// Range reduction by `ln 2` in two parts and a polynomial of degree 7 on `[-ln 2 / 2, ln 2 / 2]`
/// (Cody and Waite 1980, ch. 6; Taylor coefficients suffice at this accuracy).
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    const SMALLEST: f32 = -87.0;
    const ROUND: f32 = 12_582_912.0; // 1.5 · 2^23: adding it rounds to an integer
    const LN2_HIGH: f32 = 355.0 / 512.0;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let clamped = if x > SMALLEST { x } else { SMALLEST };
    // The integer stands in the lowest bits of the sum too, in two's complement.
    let sum = clamped * core::f32::consts::LOG2_E + ROUND;
    let power = sum - ROUND;
    let r = (clamped - power * LN2_HIGH) - power * LN2_LOW;
    let tail = (r * (1.0 / 5040.0) + 1.0 / 720.0) * r + 1.0 / 120.0;
    let tail = ((tail * r + 1.0 / 24.0) * r + 1.0 / 6.0) * r + 0.5;
    let mantissa = tail * r * r + r + 1.0;
    let exponent = (sum.to_bits() << 23).wrapping_add(127 << 23);
    let value = mantissa * f32::from_bits(exponent);
    if x > SMALLEST { value } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponential_is_accurate() {
        for step in 0..=40_000_u16 {
            let x = -f32::from(step) / 500.0;
            let (ours, exact) = (f64::from(exp(x)), f64::from(x).exp());
            assert!((ours / exact - 1.0).abs() < 2e-7, "exp({x}) = {ours}, not {exact}");
        }
        assert_eq!(exp(f32::NEG_INFINITY).to_bits(), 0.0_f32.to_bits());
        assert_eq!(exp(-87.0).to_bits(), 0.0_f32.to_bits());
        assert_eq!(exp(0.0).to_bits(), 1.0_f32.to_bits());
    }

    /// Numbers from -12 to 0, some repeated.
    fn row(len: usize) -> Vec<f32> {
        (0..len).map(|i| (i * 7919 % 1201) as f32 / -100.0).collect()
    }

    #[test]
    fn all_sets_sum_in_one_order() {
        for len in [1, 7, 8, 63, 64, 65, 4096, 4097, 9000] {
            let logits = row(len);
            let one = Rows(Isa::SCALAR).sum(&logits, 0.0);
            let exact: f64 = logits.iter().map(|&logit| f64::from(logit).exp()).sum();
            assert!((one / exact - 1.0).abs() < 1e-5, "{len}: {one}, not {exact}");
            for isa in Isa::available() {
                assert_eq!(Rows(isa).sum(&logits, 0.0).to_bits(), one.to_bits(), "{isa} {len}");
            }
        }
    }

    #[test]
    fn peaks_are_the_largest_and_what_is_no_logit_is_seen_wherever_it_stands() {
        for isa in Isa::available() {
            for len in [1, 15, 16, 17, 64, 65, 200] {
                let mut logits = row(len);
                let mut peaks = vec![f32::NAN; len.div_ceil(BLOCK)];
                let found = Rows(isa).look(&logits, &mut peaks);
                let max = |block: &[f32]| block.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                assert_eq!(found, Found { max: max(&logits), usable: true }, "{isa} {len}");
                assert!(logits.chunks(BLOCK).map(max).eq(peaks.iter().copied()), "{isa} {len}");
                for bad in [f32::NAN, f32::INFINITY] {
                    for at in 0..len {
                        let good = core::mem::replace(&mut logits[at], bad);
                        let found = Rows(isa).look(&logits, &mut peaks);
                        assert!(!found.usable, "{isa}: {bad} at {at} of {len}");
                        logits[at] = good;
                    }
                }
                let nothing = vec![f32::NEG_INFINITY; len];
                let found = Rows(isa).look(&nothing, &mut peaks);
                assert_eq!(found, Found { max: f32::NEG_INFINITY, usable: true }, "{isa} {len}");
            }
        }
    }
}
