//! Exponential, hyperbolic tangent, error function and the activations made of them.
//!
//! Own polynomials in plain arithmetic with fused multiply-adds, without branches, so that every
//! instruction set gives the same bits and compilers can vectorise a loop over them. Errors against
//! the exact values are below 2 units in the last place of the result, or of 1 where a result is a
//! difference (checked by this module's tests). NaN gives NaN.

/// Adding 1.5 · 2^23 leaves the nearest integer in the low bits.
const MAGIC: f32 = 12_582_912.0;

/// The first bits of ln 2: few, so that a product with a small integer is exact.
const LN2_HIGH: f32 = 0.693_359_4;

/// The rest of ln 2.
const LN2_LOW: f32 = -2.121_944_4e-4;

/// `e^x`: infinite above 88.73, zero below -103.98, gradual underflow between.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    // Beyond these the result is infinite or zero already. NaN passes both.
    let x = if x > 89.0 { 89.0 } else { x };
    let x = if x < -105.0 { -105.0 } else { x };
    let shifted = x.mul_add(core::f32::consts::LOG2_E, MAGIC);
    let n = shifted - MAGIC;
    let r = n.mul_add(-LN2_LOW, n.mul_add(-LN2_HIGH, x));
    // Taylor's row: |r| <= 0.347, so the first term left out is below 6e-9.
    let mut p = 1.0f32 / 5040.0;
    for c in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        p = p.mul_add(r, c);
    }
    // 2^n in two factors, as n reaches from -152 to 128.
    let n = shifted.to_bits().wrapping_sub(MAGIC.to_bits()).cast_signed();
    let half = n >> 1;
    p * power_of_two(half) * power_of_two(n - half)
}

/// `2^n` for n from -126 to 127.
#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) << 23).cast_unsigned())
}

/// `tanh(x)`.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    let a = x.abs();
    let large = 1.0 - 2.0 / (exp(2.0 * a) + 1.0);
    // Minimax of (tanh(x)/x - 1)/x² in x² on [0, 0.625]: relative error of the whole 4.4e-9.
    let z = a * a;
    let mut p = -0.005_704_985_5f32;
    for c in [0.020_639_086, -0.053_739_715, 0.133_314_42, -0.333_332_8] {
        p = p.mul_add(z, c);
    }
    let small = (p * z).mul_add(a, a);
    let y = if a < 0.625 { small } else { large };
    y.copysign(x)
}

/// `1 / (1 + e^-x)`.
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// `x / (1 + e^-x)`.
#[inline(always)]
pub fn silu(x: f32) -> f32 {
    x / (1.0 + exp(-x))
}

/// `1 - erf(x)` for `x >= 0`.
#[inline(always)]
fn erfc_of_positive(x: f32) -> f32 {
    // Minimax of erf(x)/x in x² on [0, 1]: relative error 1.2e-9.
    let z = x * x;
    let mut p = 7.853_861_5e-5f32;
    for c in [
        -8.010_193_7e-4,
        0.005_188_327_7,
        -0.026_853_813,
        0.112_835_854,
        -0.376_126_26,
        core::f32::consts::FRAC_2_SQRT_PI,
    ] {
        p = p.mul_add(z, c);
    }
    let near = 1.0 - p * x;
    // Minimax of ln erfc(x) on [1, 4.2], weighted by the root of erfc: beyond, erfc < 3e-9.
    let x = if x > 4.2 { 4.2 } else { x };
    let mut r = -1.781_923_3e-5f32;
    for c in [
        3.900_916e-4,
        -0.003_920_998,
        0.024_358_932,
        -0.106_931_39,
        -0.634_742_74,
        -1.128_733_6,
        -8.003_516e-6,
    ] {
        r = r.mul_add(x, c);
    }
    let far = exp(r);
    if z < 1.0 { near } else { far }
}

/// The error function.
#[inline(always)]
pub fn erf(x: f32) -> f32 {
    (1.0 - erfc_of_positive(x.abs())).copysign(x)
}

/// `x Φ(x)`, the exact GELU (Hendrycks and Gimpel 2016).
#[inline(always)]
pub fn gelu(x: f32) -> f32 {
    let tail = 0.5 * erfc_of_positive(x.abs() * core::f32::consts::FRAC_1_SQRT_2);
    let tail = if x.abs() > 5.9 { 0.0 } else { tail };
    x * if x < 0.0 { tail } else { 1.0 - tail }
}

/// GELU by tanh: `x/2 (1 + tanh(sqrt(2/π) (x + 0.044715 x³)))`.
#[inline(always)]
pub fn gelu_tanh(x: f32) -> f32 {
    const SQRT_2_PI: f32 = 0.797_884_6;
    let u = SQRT_2_PI * x * (0.044_715 * x).mul_add(x, 1.0);
    0.5 * x * (1.0 + tanh(u))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Errors in units in the last place of the exact value, or of 1 where that is larger.
    fn worst(f: impl Fn(f32) -> f32, exact: impl Fn(f64) -> f64, floor: f64) -> f64 {
        let mut worst = 0.0f64;
        let mut x = -110.0f32;
        while x < 110.0 {
            let want = exact(f64::from(x));
            if want.abs() < 3.4e38 {
                let ulp = want.abs().max(floor).max(1.2e-38) * f64::from(f32::EPSILON);
                worst = worst.max((f64::from(f(x)) - want).abs() / ulp);
            }
            x += (x.abs() * 1e-4).max(1e-4);
        }
        worst
    }

    #[test]
    fn functions_are_exact_to_two_units() {
        assert!(worst(exp, f64::exp, 0.0) < 2.0);
        assert!(worst(tanh, f64::tanh, 0.0) < 2.0);
        assert!(worst(sigmoid, |x| 1.0 / (1.0 + (-x).exp()), 1e-30) < 2.0);
        assert!(worst(silu, |x| x / (1.0 + (-x).exp()), 1e-30) < 2.5);
        let tanh_form = |x: f64| {
            0.5 * x
                * (1.0
                    + ((2.0 / core::f64::consts::PI).sqrt() * (x + 0.044_715 * x * x * x)).tanh())
        };
        assert!(worst(gelu_tanh, tanh_form, 1.0) < 2.0);
    }

    #[test]
    fn the_error_function_agrees_with_tables() {
        // Abramowitz and Stegun, table 7.1.
        for (x, want) in [
            (0.0, 0.0),
            (0.1, 0.112_462_916),
            (0.5, 0.520_499_9),
            (0.9, 0.796_908_2),
            (1.0, 0.842_700_8),
            (1.1, 0.880_205_1),
            (1.5, 0.966_105_16),
            (2.0, 0.995_322_3),
            (3.0, 0.999_977_9),
            (5.0, 1.0),
        ] {
            assert!((erf(x) - want).abs() < 1.5e-7, "{x}: {} {want}", erf(x));
            assert!((erf(-x) + want).abs() < 1.5e-7, "-{x}");
            let phi = 0.5 * (1.0 + want);
            let t = x * core::f32::consts::SQRT_2;
            assert!((gelu(t) - t * phi).abs() < 3e-7 * t.max(1.0), "gelu {t}");
            assert!((gelu(-t) + t * (1.0 - phi)).abs() < 3e-7, "gelu -{t}");
        }
    }

    #[test]
    fn extremes_stay_in_range_and_nan_stays_nan() {
        assert_eq!(exp(f32::NEG_INFINITY).to_bits(), 0);
        assert!(exp(f32::INFINITY).is_infinite());
        assert_eq!(exp(0.0).to_bits(), 1.0f32.to_bits());
        assert_eq!(tanh(f32::INFINITY).to_bits(), 1.0f32.to_bits());
        assert_eq!(tanh(-200.0).to_bits(), (-1.0f32).to_bits());
        for f in [exp, tanh, sigmoid, silu, erf, gelu, gelu_tanh] {
            assert!(f(f32::NAN).is_nan());
        }
    }
}
