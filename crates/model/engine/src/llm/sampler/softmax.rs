//! Sums of exponentials over a vocabulary, in one fixed order.
//!
//! The exponential is our own polynomial, so that the same logits give the same choice on every
//! machine, and plain enough that the compiler turns the loop into vector code.

use super::{NonFinite, token};

/// How many partial sums run side by side; a sum is always folded in this shape.
const LANES: usize = 8;

/// The largest logit.
///
/// # Errors
/// [`NonFinite`] if there is NaN or `+∞`, or nothing but `-∞`.
pub(super) fn checked_max(logits: &[f32]) -> Result<f32, NonFinite> {
    let mut max = f32::NEG_INFINITY;
    let mut usable = true;
    for &logit in logits {
        usable &= logit < f32::INFINITY; // false for NaN too
        max = if logit > max { logit } else { max };
    }
    if !usable {
        let bad = logits.iter().position(|&logit| logit.is_nan() || logit == f32::INFINITY);
        let index = bad.expect("the scan above met one");
        return Err(NonFinite::Logit { token: token(index), value: logits[index] });
    }
    if max == f32::NEG_INFINITY { Err(NonFinite::NothingLeft) } else { Ok(max) }
}

/// `ln Σ exp(logit - max)`.
pub(super) fn log_sum(logits: &[f32], max: f32) -> f32 {
    #[expect(clippy::cast_possible_truncation, reason = "rounded to f32 on purpose")]
    let rounded = sum(logits, max).ln() as f32;
    rounded
}

/// `Σ exp(logit - max)`; `max` is the largest logit, so the sum is at least 1.
pub(super) fn sum(logits: &[f32], max: f32) -> f64 {
    let (groups, rest) = logits.as_chunks::<LANES>();
    let mut total = 0.0;
    // 512 numbers a lane in f32 lose under 1e-5 of the sum; then the lanes go to f64.
    for run in groups.chunks(512) {
        let mut lanes = [0.0_f32; LANES];
        for group in run {
            for (lane, &logit) in lanes.iter_mut().zip(group) {
                *lane += exp(logit - max);
            }
        }
        total += lanes.iter().map(|&lane| f64::from(lane)).sum::<f64>();
    }
    total + rest.iter().map(|&logit| f64::from(exp(logit - max))).sum::<f64>()
}

/// `e^x` for `x ≤ 0`, relative error below 2e-7; 0 below the smallest normal number.
///
/// Range reduction by `ln 2` in two parts and a polynomial of degree 7 on `[-ln 2 / 2, ln 2 / 2]`
/// (Cody and Waite 1980, ch. 6; Taylor coefficients suffice at this accuracy).
pub(super) fn exp(x: f32) -> f32 {
    const SMALLEST: f32 = -87.0;
    const ROUND: f32 = 12_582_912.0; // 1.5 · 2^23: adding it rounds to an integer
    const LN2_HIGH: f32 = 355.0 / 512.0;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let clamped = if x > SMALLEST { x } else { SMALLEST };
    let power = (clamped * std::f32::consts::LOG2_E + ROUND) - ROUND;
    let r = (clamped - power * LN2_HIGH) - power * LN2_LOW;
    let tail = (r * (1.0 / 5040.0) + 1.0 / 720.0) * r + 1.0 / 120.0;
    let tail = ((tail * r + 1.0 / 24.0) * r + 1.0 / 6.0) * r + 0.5;
    let mantissa = tail * r * r + r + 1.0;
    #[expect(clippy::cast_possible_truncation, reason = "power lies in -126..=0")]
    let exponent = (power as i32 + 127) << 23;
    let value = mantissa * f32::from_bits(exponent as u32);
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
        assert_eq!(exp(0.0).to_bits(), 1.0_f32.to_bits());
    }
}
