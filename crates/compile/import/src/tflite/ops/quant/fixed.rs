//! The logistic function in 16-bit fixed point, step by step as the gemmlowp library rounds it:
//! a Taylor polynomial of exp around -1/8, products by halving exponents, and three steps of
//! Newton's division. What it gives for a code is its specification; only the table of all codes
//! that is made of it is run.

/// A number of 16 bits; how many of them stand before the point is the caller's knowledge.
type Fixed = i16;

/// The largest number, which stands for 1 where no bit stands before the point.
const ONE: Fixed = i16::MAX;

fn clamped(x: i32) -> Fixed {
    i16::try_from(x).unwrap_or(if x < 0 { i16::MIN } else { i16::MAX })
}

/// The high half of twice the product, halves away from zero.
fn product(a: Fixed, b: Fixed) -> Fixed {
    let exact = i32::from(a) * i32::from(b);
    let nudge = if exact >= 0 { 1 << 14 } else { 1 - (1 << 14) };
    clamped((exact + nudge) / (1 << 15))
}

/// Divided by a power of two, halves away from zero.
fn halved(x: Fixed, times: u32) -> Fixed {
    let mask = (1i16 << times) - 1;
    let threshold = (mask >> 1) + i16::from(x < 0);
    (x >> times) + i16::from((x & mask) > threshold)
}

/// Multiplied by a power of two.
fn doubled(x: Fixed, times: u32) -> Fixed {
    clamped(i32::from(x) << times)
}

/// `exp(x)` for `-1/4 <= x < 0`; no bit before the point.
fn exp_of_quarter(x: Fixed) -> Fixed {
    /// `exp(-1/8)`.
    const MIDDLE: Fixed = 28_918;
    const THIRD: Fixed = 10_923;
    let x = x + (1 << 12);
    let square = product(x, x);
    let cube = product(square, x);
    let fourth = halved(product(square, square), 2);
    let rest = halved(product(fourth.wrapping_add(cube), THIRD).wrapping_add(square), 1);
    clamped(i32::from(MIDDLE) + i32::from(product(MIDDLE, x.wrapping_add(rest))))
}

/// `exp(x)` for `x <= 0` of three bits before the point.
fn exp(x: Fixed) -> Fixed {
    /// `exp(-2^i)` for i from -2 on.
    const FACTORS: [Fixed; 5] = [25_520, 19_875, 12_055, 4_435, 600];
    if x == 0 {
        return ONE;
    }
    let quarter = 1 << 10;
    let part = (x & (quarter - 1)) - quarter;
    let rest = i32::from(part) - i32::from(x);
    let mut result = exp_of_quarter(doubled(part, 3));
    for (i, factor) in FACTORS.into_iter().enumerate() {
        if rest & (1 << (10 + i)) != 0 {
            result = product(result, factor);
        }
    }
    result
}

/// `1 / (1 + x)` for `0 <= x <= 1`; no bit before the point.
fn inverse_of_one_more(x: Fixed) -> Fixed {
    /// `48/17` and `-32/17` with two bits before the point.
    const FIRST: Fixed = 23_130;
    const SLOPE: Fixed = -15_420;
    let half = clamped(i32::midpoint(i32::from(x), i32::from(ONE) + 1));
    let mut guess = FIRST.wrapping_add(product(half, SLOPE));
    for _ in 0..3 {
        let missing = (1i16 << 13).wrapping_sub(product(half, guess));
        guess = guess.wrapping_add(doubled(product(guess, missing), 2));
    }
    doubled(guess, 1)
}

/// `1 / (1 + exp(-x))`, `x` in steps of 2^-12, the result in steps of 2^-15.
pub(super) fn logistic(x: i16) -> i16 {
    if x == 0 {
        return 1 << 14;
    }
    let positive = inverse_of_one_more(exp(if x > 0 { x.wrapping_neg() } else { x }));
    if x > 0 { positive } else { ONE - positive }
}
