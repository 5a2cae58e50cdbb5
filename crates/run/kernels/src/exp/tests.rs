use super::*;
use crate::isa::{Isa, Kernel};
use std::vec::Vec;

/// The functions of this module by number.
#[derive(Clone, Copy, Debug)]
enum Function {
    Exp,
    Share,
    Tanh,
    Sigmoid,
    Silu,
    Erf,
    Gelu,
    GeluTanh,
}

use Function::{Erf, Exp, Gelu, GeluTanh, Share, Sigmoid, Silu, Tanh};

struct Apply<'a>(Function, &'a mut [[f32; 16]]);

impl Kernel for Apply<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for chunk in self.1 {
            let x = s.load(chunk);
            let y = match self.0 {
                Exp => exp(s, x),
                Share => share(s, x),
                Tanh => tanh(s, x),
                Sigmoid => sigmoid(s, x),
                Silu => silu(s, x),
                Erf => erf(s, x),
                Gelu => gelu(s, x),
                GeluTanh => gelu_tanh(s, x),
            };
            s.store(y, chunk);
        }
    }
}

fn apply(isa: Isa, function: Function, x: &[f32]) -> Vec<f32> {
    let mut chunks: Vec<[f32; 16]> = x
        .chunks(16)
        .map(|chunk| core::array::from_fn(|i| chunk.get(i).copied().unwrap_or(0.0)))
        .collect();
    isa.run(Apply(function, &mut chunks));
    chunks.as_flattened()[..x.len()].to_vec()
}

/// Arguments from -110 to 110, dense near zero.
fn arguments() -> Vec<f32> {
    let mut all = Vec::new();
    let mut x = -110.0f32;
    while x < 110.0 {
        all.push(x);
        x += (x.abs() * 1e-3).max(1e-3);
    }
    all
}

/// The exact function.
type Exact<'a> = &'a dyn Fn(f64) -> f64;

#[test]
fn functions_are_exact_to_two_units() {
    let two_pi = (2.0 / core::f64::consts::PI).sqrt();
    let by_tanh = |x: f64| 0.5 * x * (1.0 + (two_pi * (x + 0.044_715 * x.powi(3))).tanh());
    let exact: [(Function, Exact<'_>, f64, f64); 5] = [
        (Exp, &f64::exp, 0.0, 2.0),
        (Tanh, &f64::tanh, 0.0, 2.0),
        (Sigmoid, &|x| 1.0 / (1.0 + (-x).exp()), 1e-30, 2.0),
        (Silu, &|x| x / (1.0 + (-x).exp()), 1e-30, 2.5),
        (GeluTanh, &by_tanh, 1.0, 2.0),
    ];
    let x = arguments();
    for (function, exact, floor, bound) in exact {
        for (x, got) in x.iter().zip(apply(Isa::SCALAR, function, &x)) {
            let want = exact(f64::from(*x));
            if want.abs() < 3.4e38 {
                let ulp = want.abs().max(floor).max(1.2e-38) * f64::from(f32::EPSILON);
                let error = (f64::from(got) - want).abs() / ulp;
                assert!(error < bound, "{function:?}({x}) is {error} units off");
            }
        }
    }
}

#[test]
fn the_error_function_agrees_with_tables() {
    // Abramowitz and Stegun, table 7.1.
    for (x, want) in [
        (0.0, 0.0),
        (0.1, 0.112_462_92),
        (0.5, 0.520_499_9),
        (0.9, 0.796_908_2),
        (1.0, 0.842_700_8),
        (1.1, 0.880_205_1),
        (1.5, 0.966_105_1),
        (2.0, 0.995_322_3),
        (3.0, 0.999_977_9),
        (5.0, 1.0),
    ] {
        let one = |function, x| apply(Isa::SCALAR, function, &[x])[0];
        assert!((one(Erf, x) - want).abs() < 1.5e-7, "{x}");
        assert!((one(Erf, -x) + want).abs() < 1.5e-7, "-{x}");
        let phi = 0.5 * (1.0 + want);
        let t = x * core::f32::consts::SQRT_2;
        assert!((one(Gelu, t) - t * phi).abs() < 3e-7 * t.max(1.0), "gelu {t}");
        assert!((one(Gelu, -t) + t * (1.0 - phi)).abs() < 3e-7, "gelu -{t}");
    }
}

#[test]
fn extremes_stay_in_range_and_nan_stays_nan() {
    let one = |function, x| apply(Isa::SCALAR, function, &[x])[0];
    assert_eq!(one(Exp, f32::NEG_INFINITY).to_bits(), 0);
    assert!(one(Exp, f32::INFINITY).is_infinite());
    assert_eq!(one(Exp, 0.0).to_bits(), 1.0f32.to_bits());
    assert_eq!(one(Tanh, f32::INFINITY).to_bits(), 1.0f32.to_bits());
    assert_eq!(one(Tanh, -200.0).to_bits(), (-1.0f32).to_bits());
    for function in [Exp, Share, Tanh, Sigmoid, Silu, Erf, Gelu, GeluTanh] {
        assert!(one(function, f32::NAN).is_nan());
    }
}

#[test]
fn shares_are_powers_of_e_or_nothing() {
    let mut x = arguments();
    x.retain(|x| *x <= 0.0);
    x.extend([0.0, -44.5, -44.500_004, -1e30, f32::NEG_INFINITY]);
    let shares = apply(Isa::SCALAR, Share, &x);
    for ((share, exp), x) in shares.into_iter().zip(apply(Isa::SCALAR, Exp, &x)).zip(&x) {
        let want = if *x < -44.5 { 0.0 } else { exp };
        assert_eq!(share.to_bits(), want.to_bits(), "{x}");
    }
}

#[test]
fn every_instruction_set_gives_the_same_bits() {
    let mut x = arguments();
    x.extend([f32::INFINITY, f32::NEG_INFINITY, 1e-40, -0.0, 3e38, -3e38]);
    for function in [Exp, Share, Tanh, Sigmoid, Silu, Erf, Gelu, GeluTanh] {
        let bits = |isa| apply(isa, function, &x).into_iter().map(f32::to_bits).collect();
        for isa in Isa::available() {
            let want: Vec<u32> = bits(isa.specification());
            // Infinities give NaN in some, whose bits are free.
            for ((got, want), x) in bits(isa).into_iter().zip(&want).zip(&x) {
                let nan = f32::from_bits(*want).is_nan() && f32::from_bits(got).is_nan();
                assert!(nan || got == *want, "{function:?}({x}) on {isa}");
            }
        }
    }
}
