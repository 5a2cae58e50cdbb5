//! Exponential, hyperbolic tangent, error function and the activations made of them, by lanes.
//!
//! Own polynomials in fused multiply-adds, without branches, so that every instruction set gives
//! the same bits. Errors against the exact values are below 2 units in the last place of the
//! result, or of 1 where a result is a difference (checked by this module's tests). NaN gives NaN.

use crate::isa::Simd;
use core::f32::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI, LOG2_E};

/// Adding 1.5 · 2^23 leaves the nearest integer in the low bits.
const MAGIC: f32 = 12_582_912.0;

/// The first bits of ln 2: few, so that a product with a small integer is exact.
const LN2_HIGH: f32 = 0.693_359_4;

/// The rest of ln 2.
const LN2_LOW: f32 = -2.121_944_4e-4;

/// All bits but the sign.
const MAGNITUDE: i32 = i32::MAX;

/// `c[0] x^(N-1) + … + c[N-1]`, by Horner's rule.
#[inline(always)]
fn polynomial<S: Simd, const N: usize>(s: S, x: S::F, c: [f32; N]) -> S::F {
    let mut p = s.splat(c[0]);
    for i in 1..N {
        p = s.fma(p, x, s.splat(c[i]));
    }
    p
}

/// `|x|`.
#[inline(always)]
fn abs<S: Simd>(s: S, x: S::F) -> S::F {
    s.of_bits(s.and_i(s.bits(x), s.splat_i(MAGNITUDE)))
}

/// The magnitude of `x`, which is not negative, with the sign of `sign`.
#[inline(always)]
fn with_sign<S: Simd>(s: S, x: S::F, sign: S::F) -> S::F {
    let sign = s.and_i(s.bits(sign), s.splat_i(i32::MIN));
    s.of_bits(s.or_i(s.and_i(s.bits(x), s.splat_i(MAGNITUDE)), sign))
}

/// Taylor's row: |r| <= 0.347, so the first term left out is below 6e-9.
const EXP_ROW: [f32; 8] =
    [1.0 / 5040.0, 1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0];

/// `e^x`: infinite above 88.73, zero below -103.98, gradual underflow between.
#[inline(always)]
pub fn exp<S: Simd>(s: S, x: S::F) -> S::F {
    // Beyond these the result is infinite or zero already. NaN passes both.
    let x = s.max(s.splat(-105.0), s.min(s.splat(89.0), x));
    let shifted = s.fma(x, s.splat(LOG2_E), s.splat(MAGIC));
    let n = s.sub(shifted, s.splat(MAGIC));
    let r = s.fnma(n, s.splat(LN2_LOW), s.fnma(n, s.splat(LN2_HIGH), x));
    s.times_power(polynomial(s, r, EXP_ROW), n)
}

/// `e^x` for `x <= 0`, but zero below -44.5: shares of a sum whose largest is 1, of which less than
/// 2^-64 changes nothing. Such numbers and their products would underflow, which takes some
/// processors hundreds of cycles each.
#[inline(always)]
pub(crate) fn share<S: Simd>(s: S, x: S::F) -> S::F {
    let least = s.splat(-44.5);
    // NaN passes both.
    let near = s.max(least, x);
    let shifted = s.fma(near, s.splat(LOG2_E), s.splat(MAGIC));
    let n = s.sub(shifted, s.splat(MAGIC));
    let r = s.fnma(n, s.splat(LN2_LOW), s.fnma(n, s.splat(LN2_HIGH), near));
    let p = polynomial(s, r, EXP_ROW);
    // The sum's low bits are n; what is above them falls out on the way up.
    let power = s.of_bits(s.shl_i(s.add_i(s.bits(shifted), s.splat_i(127)), 23));
    s.select_lt(x, least, s.splat(0.0), s.mul(p, power))
}

/// `2^n` for n from -126 to 127.
#[inline(always)]
fn power_of_two<S: Simd>(s: S, n: S::I) -> S::F {
    s.of_bits(s.shl_i(s.add_i(n, s.splat_i(127)), 23))
}

/// `e^x - 1` for `x <= 0`; exact to the unit also where the result is small.
#[inline(always)]
pub fn expm1_of_negative<S: Simd>(s: S, x: S::F) -> S::F {
    // Below, the result is -1. NaN passes.
    let x = s.max(s.splat(-60.0), x);
    let shifted = s.fma(x, s.splat(LOG2_E), s.splat(MAGIC));
    let n = s.sub(shifted, s.splat(MAGIC));
    let r = s.fnma(n, s.splat(LN2_LOW), s.fnma(n, s.splat(LN2_HIGH), x));
    let row = [1.0 / 5040.0, 1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5];
    let p = s.fma(s.mul(r, r), polynomial(s, r, row), r);
    let n = s.sub_i(s.bits(shifted), s.splat_i(MAGIC.to_bits().cast_signed()));
    let scale = power_of_two(s, n);
    s.fma(scale, p, s.sub(scale, s.splat(1.0)))
}

/// `2 artanh(z) = ln((1 + z) / (1 - z))` for `|z| <= 1/3`, by its series.
#[inline(always)]
fn twice_artanh<S: Simd>(s: S, z: S::F) -> S::F {
    // The first term left out is below 2e-8 of the sum.
    let row = [2.0 / 15.0, 2.0 / 13.0, 2.0 / 11.0, 2.0 / 9.0, 2.0 / 7.0, 2.0 / 5.0, 2.0 / 3.0];
    let square = s.mul(z, z);
    s.fma(s.mul(polynomial(s, square, row), square), z, s.add(z, z))
}

/// The natural logarithm; NaN of negative numbers, minus infinity of zero.
#[inline(always)]
pub fn ln<S: Simd>(s: S, x: S::F) -> S::F {
    // Subnormal numbers are brought into the range of the others.
    let (least, up) = (s.splat(f32::MIN_POSITIVE), s.splat(8_388_608.0));
    let normal = s.select_lt(x, least, s.mul(x, up), x);
    let shift = s.select_lt(x, least, s.splat(-23.0), s.splat(0.0));
    // The exponent that leaves a mantissa from sqrt(1/2) to sqrt(2).
    let offset = s.splat_i(FRAC_1_SQRT_2.to_bits().cast_signed());
    let n = s.shr_i(s.sub_i(s.bits(normal), offset), 23);
    let m = s.of_bits(s.sub_i(s.bits(normal), s.shl_i(n, 23)));
    let (one, n) = (s.splat(1.0), s.add(s.to_f(n), shift));
    let log = twice_artanh(s, s.div(s.sub(m, one), s.add(m, one)));
    let log = s.fma(n, s.splat(LN2_HIGH), s.fma(n, s.splat(LN2_LOW), log));
    let (zero, infinity) = (s.splat(0.0), s.splat(f32::INFINITY));
    // `x` itself where it is infinite or NaN.
    let log = s.select_lt(x, infinity, log, x);
    let below = s.select_lt(x, zero, s.splat(f32::NAN), s.splat(f32::NEG_INFINITY));
    let small = s.select_lt(x, s.splat(f32::from_bits(1)), below, log);
    s.select_lt(zero, x, log, small)
}

/// `ln(1 + e^x)`.
#[inline(always)]
pub fn softplus<S: Simd>(s: S, x: S::F) -> S::F {
    let t = exp(s, s.sub(s.splat(0.0), abs(s, x)));
    let log = twice_artanh(s, s.div(t, s.add(s.splat(2.0), t)));
    s.add(s.max(s.splat(0.0), x), log)
}

/// `x tanh(ln(1 + e^x))` (Misra 2019).
#[inline(always)]
pub fn mish<S: Simd>(s: S, x: S::F) -> S::F {
    // Beyond, the factor is 1. NaN passes.
    let e = exp(s, s.min(s.splat(20.0), x));
    let n = s.fma(e, e, s.add(e, e));
    s.mul(x, s.div(n, s.add(n, s.splat(2.0))))
}

/// `tanh(x)`.
#[inline(always)]
pub fn tanh<S: Simd>(s: S, x: S::F) -> S::F {
    let a = abs(s, x);
    let one = s.splat(1.0);
    let large = s.sub(one, s.div(s.splat(2.0), s.add(exp(s, s.add(a, a)), one)));
    // Minimax of (tanh(x)/x - 1)/x² in x² on [0, 0.625]: relative error of the whole 4.4e-9.
    let row = [-0.005_704_985_5, 0.020_639_086, -0.053_739_715, 0.133_314_42, -0.333_332_8];
    let z = s.mul(a, a);
    let small = s.fma(s.mul(polynomial(s, z, row), z), a, a);
    with_sign(s, s.select_lt(a, s.splat(0.625), small, large), x)
}

/// `1 / (1 + e^-x)`.
#[inline(always)]
pub fn sigmoid<S: Simd>(s: S, x: S::F) -> S::F {
    let one = s.splat(1.0);
    s.div(one, s.add(one, exp(s, s.sub(s.splat(0.0), x))))
}

/// `x / (1 + e^-x)`.
#[inline(always)]
pub fn silu<S: Simd>(s: S, x: S::F) -> S::F {
    s.div(x, s.add(s.splat(1.0), exp(s, s.sub(s.splat(0.0), x))))
}

/// `1 - erf(x)` for `x >= 0`.
#[inline(always)]
fn erfc_of_positive<S: Simd>(s: S, x: S::F) -> S::F {
    // Minimax of erf(x)/x in x² on [0, 1]: relative error 1.2e-9.
    let row = [
        7.853_861_5e-5,
        -8.010_193_7e-4,
        0.005_188_327_7,
        -0.026_853_813,
        0.112_835_854,
        -0.376_126_26,
        FRAC_2_SQRT_PI,
    ];
    let near = s.fnma(polynomial(s, s.mul(x, x), row), x, s.splat(1.0));
    // Minimax of ln erfc(x) on [1, 4.2], weighted by the root of erfc: beyond, erfc < 3e-9.
    let row = [
        -1.781_923_3e-5,
        3.900_916e-4,
        -0.003_920_998,
        0.024_358_932,
        -0.106_931_39,
        -0.634_742_74,
        -1.128_733_6,
        -8.003_516e-6,
    ];
    let far = exp(s, polynomial(s, s.min(s.splat(4.2), x), row));
    s.select_lt(x, s.splat(1.0), near, far)
}

/// The error function.
#[inline(always)]
pub fn erf<S: Simd>(s: S, x: S::F) -> S::F {
    with_sign(s, s.sub(s.splat(1.0), erfc_of_positive(s, abs(s, x))), x)
}

/// `x Φ(x)`, the exact GELU (Hendrycks and Gimpel 2016).
#[inline(always)]
pub fn gelu<S: Simd>(s: S, x: S::F) -> S::F {
    let a = abs(s, x);
    let tail = s.mul(s.splat(0.5), erfc_of_positive(s, s.mul(a, s.splat(FRAC_1_SQRT_2))));
    // Beyond, the tail is below half a unit of what it is taken from.
    let tail = s.select_lt(s.splat(5.9), a, s.splat(0.0), tail);
    let share = s.select_lt(x, s.splat(0.0), tail, s.sub(s.splat(1.0), tail));
    s.mul(x, share)
}

/// GELU by tanh: `x/2 (1 + tanh(sqrt(2/π) (x + 0.044715 x³)))`.
#[inline(always)]
pub fn gelu_tanh<S: Simd>(s: S, x: S::F) -> S::F {
    let cubic = s.fma(s.mul(s.splat(0.044_715), x), x, s.splat(1.0));
    let u = s.mul(s.mul(s.splat(0.797_884_6), x), cubic);
    s.mul(s.mul(s.splat(0.5), x), s.add(s.splat(1.0), tanh(s, u)))
}

#[cfg(test)]
mod tests;
