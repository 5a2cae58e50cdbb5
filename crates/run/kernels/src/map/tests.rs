use super::*;
use crate::samples::noise;
use std::vec::Vec;

/// A function of one number.
type Exact = fn(f64) -> f64;

/// A function of two.
type Pair = fn(f32, f32) -> f32;

/// Functions with what they are in double precision.
fn functions() -> Vec<(Function, Exact)> {
    fn sigmoid(x: f64) -> f64 {
        1.0 / (1.0 + (-x).exp())
    }
    fn softplus(x: f64) -> f64 {
        x.max(0.0) + (-x.abs()).exp().ln_1p()
    }
    vec![
        (Function::Clamp { low: -0.5, high: 6.0 }, |x| x.clamp(-0.5, 6.0)),
        (Function::Abs, f64::abs),
        (Function::Negate, |x| -x),
        (Function::Square, |x| x * x),
        (Function::Sqrt, f64::sqrt),
        (Function::Rsqrt, |x| 1.0 / x.sqrt()),
        (Function::Reciprocal, |x| 1.0 / x),
        (Function::Exp, f64::exp),
        (Function::Log, f64::ln),
        (Function::Tanh, f64::tanh),
        (Function::Sigmoid, sigmoid),
        (Function::Swish { alpha: 1.7 }, |x| x * sigmoid(f64::from(1.7f32) * x)),
        (Function::Softplus, softplus),
        (Function::Mish, |x| x * softplus(x).tanh()),
        (Function::HardSwish, |x| x * (x / 6.0 + 0.5).clamp(0.0, 1.0)),
        (Function::HardSigmoid { alpha: 0.2, beta: 0.5 }, |x| {
            (f64::from(0.2f32) * x + 0.5).clamp(0.0, 1.0)
        }),
        (Function::LeakyRelu { alpha: 0.25 }, |x| if x < 0.0 { 0.25 * x } else { x }),
        (Function::Elu { alpha: 1.5, gamma: 2.0, width: 1.0 }, |x| {
            2.0 * if x < 0.0 { 1.5 * x.exp_m1() } else { x }
        }),
        (Function::Elu { alpha: 0.5, gamma: 1.0, width: 0.5 }, |x| {
            if x < 0.0 { 0.5 * (x / 0.5).exp_m1() } else { x }
        }),
    ]
}

#[test]
fn functions_are_exact_to_a_few_units_on_every_instruction_set() {
    let mut x: Vec<f32> = noise(1, 3000).iter().map(|x| x * 12.0).collect();
    x.extend(noise(2, 500).iter().map(|x| x * 1e-3));
    x.extend([0.0, -0.0, 1e-30, -1e-30, 80.0, -80.0, 3e38, f32::MIN_POSITIVE, 1e-40]);
    for (function, exact) in functions() {
        let mut first = Vec::new();
        for isa in Isa::fused() {
            let mut out = vec![f32::NAN; x.len()];
            map_to(isa, function, &x, &mut out);
            for (&x, &y) in x.iter().zip(&out) {
                let want = exact(f64::from(x));
                #[expect(clippy::cast_possible_truncation, reason = "to compare singles")]
                if want.is_nan() || !(want as f32).is_finite() {
                    let same =
                        (want as f32).to_bits() == y.to_bits() || want.is_nan() && y.is_nan();
                    assert!(same, "{isa} {function:?} of {x:e}: {y:e}, not {want:e}");
                    continue;
                }
                // Units of the result, or of the argument where one is subtracted from another.
                let unit = want.abs().max(1e-38) * f64::from(f32::EPSILON);
                let error = (f64::from(y) - want).abs() / unit;
                let most = if matches!(function, Function::HardSwish) { 40.0 } else { 4.0 };
                let small = (f64::from(y) - want).abs() < 1e-7 * f64::from(x).abs().min(1.0);
                assert!(error <= most || small, "{isa} {function:?} of {x:e}: {y:e}, not {want:e}");
            }
            let bits: Vec<u32> =
                out.iter().map(|x| if x.is_nan() { 0 } else { x.to_bits() }).collect();
            if first.is_empty() {
                first.clone_from(&bits);
            }
            assert_eq!(first, bits, "{isa} {function:?}");
            let mut nan = [f32::NAN];
            map(isa, function, &mut nan);
            assert!(nan[0].is_nan(), "{isa} {function:?} of NaN");
        }
    }
}

#[test]
fn pairs_are_computed_with_repeated_elements_and_in_place() {
    let cases: [(Pairs, Pair); 8] = [
        (Pairs::Add, |a, b| a + b),
        (Pairs::Subtract, |a, b| a - b),
        (Pairs::Multiply, |a, b| a * b),
        (Pairs::Divide, |a, b| a / b),
        (Pairs::Minimum, f32::min),
        (Pairs::Maximum, f32::max),
        (Pairs::Prelu, |a, b| if a < 0.0 { a * b } else { a }),
        (Pairs::SquaredDifference, |a, b| (a - b) * (a - b)),
    ];
    let (x, y) = (noise(1, 72), noise(2, 72));
    for (function, want) in cases {
        for isa in Isa::fused() {
            for (a, b) in [
                (&x[..], &y[..]),
                (&x[..1], &y[..]),
                (&x[..], &y[..1]),
                (&x[..24], &y[..]),
                (&x[..], &y[..18]),
            ] {
                let at = |x: &[f32], i: usize| x[i % x.len()];
                let want: Vec<f32> = (0..72).map(|i| want(at(a, i), at(b, i))).collect();
                let mut out = vec![f32::NAN; 72];
                zip(isa, function, a, b, &mut out);
                assert_eq!(out, want, "{isa} {function:?}");
                if a.len() == 72 {
                    out.copy_from_slice(a);
                    zip_into(isa, function, &mut out, b);
                    assert_eq!(out, want, "{isa} {function:?} in place");
                }
            }
            for function in [Pairs::Minimum, Pairs::Maximum] {
                let mut out = [0.0; 2];
                zip(isa, function, &[f32::NAN, 1.0], &[1.0, f32::NAN], &mut out);
                assert!(out.iter().all(|x| x.is_nan()), "{isa} {function:?}");
            }
        }
    }
}
