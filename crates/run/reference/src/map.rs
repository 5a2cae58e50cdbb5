//! Functions of one element.

use crate::number::{Numbers, Wide, by_domain};
use crate::walk::{Out, dense, place};
use crate::{Inputs, dtype};
use core::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI, PI};
use plan::array::Map;
use tensor::DType;

pub(crate) fn map(map: Map, inputs: &Inputs<'_, '_>, out: &mut Out<'_>) {
    let x = inputs.at(0);
    let steps = [dense(&out.dims)];
    if dtype(&x) == DType::Bool {
        let x: Numbers<'_, i128> = Numbers::of(x);
        out.fill(&steps, |[i]| 1 - x.at(place(i)));
    } else if out.dtype == DType::Bool {
        let x: Numbers<'_, f64> = Numbers::of(x);
        let test = |x: f64| match map {
            Map::IsNan => x.is_nan(),
            Map::IsInf { negative, positive } => {
                x.is_infinite() && if x < 0.0 { negative } else { positive }
            }
            other => unreachable!("{other:?} gives no truth value"),
        };
        out.fill(&steps, |[i]| i128::from(test(x.at(place(i)))));
    } else {
        by_domain!(out.dtype, W => {
            let x: Numbers<'_, W> = Numbers::of(x);
            out.fill(&steps, |[i]| W::map(map, x.at(place(i))));
        });
    }
}

/// What a domain's functions are.
trait Mapped: Wide {
    fn map(map: Map, x: Self) -> Self;
}

impl Mapped for i128 {
    fn map(map: Map, x: Self) -> Self {
        match map {
            Map::Abs => x.abs(),
            Map::Negate => -x,
            Map::Sign => x.signum(),
            Map::Square => x.wrapping_mul(x),
            Map::Relu => x.max(0),
            Map::Relu6 => x.clamp(0, 6),
            Map::BitNot => !x,
            Map::Clamp { low, high } => {
                x.max(Self::of_float(low.into())).min(Self::of_float(high.into()))
            }
            Map::LeakyRelu { .. } => Self::of_float(apply(map, x as f64)),
            other => unreachable!("{other:?} takes no integers"),
        }
    }
}

impl Mapped for f64 {
    fn map(map: Map, x: Self) -> Self {
        apply(map, x)
    }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// A function of one number, in double precision.
///
/// # Panics
/// If it gives no number ([`Map::Not`], [`Map::IsNan`] and their like).
pub fn apply(map: Map, x: f64) -> f64 {
    let wide = f64::from;
    // What is written as comparisons keeps NaN where `max` would drop it.
    let at_least = |x: f64, low: f64| if x < low { low } else { x };
    let at_most = |x: f64, high: f64| if x > high { high } else { x };
    match map {
        Map::Abs => x.abs(),
        Map::Negate => -x,
        Map::Sign if x == 0.0 || x.is_nan() => x,
        Map::Sign => x.signum(),
        Map::Ceil => x.ceil(),
        Map::Floor => x.floor(),
        Map::Round => x.round_ties_even(),
        Map::Sqrt => x.sqrt(),
        Map::Rsqrt => 1.0 / x.sqrt(),
        Map::Reciprocal => 1.0 / x,
        Map::Square => x * x,
        Map::Exp => x.exp(),
        Map::Log => x.ln(),
        Map::Sin => x.sin(),
        Map::Cos => x.cos(),
        Map::Tan => x.tan(),
        Map::Asin => x.asin(),
        Map::Acos => x.acos(),
        Map::Atan => x.atan(),
        Map::Sinh => x.sinh(),
        Map::Cosh => x.cosh(),
        Map::Tanh => x.tanh(),
        Map::Asinh => x.asinh(),
        Map::Acosh => x.acosh(),
        Map::Atanh => x.atanh(),
        Map::Erf => erf(x),
        Map::Sigmoid => sigmoid(x),
        Map::Relu => at_least(x, 0.0),
        Map::Relu6 => at_most(at_least(x, 0.0), 6.0),
        Map::Silu => x * sigmoid(x),
        Map::Gelu => 0.5 * x * (1.0 + erf(x * FRAC_1_SQRT_2)),
        Map::GeluTanh => 0.5 * x * (1.0 + ((2.0 / PI).sqrt() * (x + 0.044_715 * x * x * x)).tanh()),
        Map::Softplus => softplus(x),
        Map::Softsign => x / (1.0 + x.abs()),
        Map::Mish => x * softplus(x).tanh(),
        Map::HardSwish => x * at_most(at_least(x / 6.0 + 0.5, 0.0), 1.0),
        Map::Elu { alpha } if x < 0.0 => wide(alpha) * x.exp_m1(),
        Map::Celu { alpha } => {
            let alpha = wide(alpha);
            at_least(x, 0.0) + at_most(alpha * (x / alpha).exp_m1(), 0.0)
        }
        Map::Selu { alpha, gamma } => {
            wide(gamma) * if x <= 0.0 { wide(alpha) * x.exp_m1() } else { x }
        }
        Map::LeakyRelu { alpha } if x < 0.0 => wide(alpha) * x,
        Map::Elu { .. } | Map::LeakyRelu { .. } => x,
        Map::ThresholdedRelu { alpha } => {
            if x <= wide(alpha) {
                0.0
            } else {
                x
            }
        }
        Map::HardSigmoid { alpha, beta } => {
            at_most(at_least(wide(alpha) * x + wide(beta), 0.0), 1.0)
        }
        Map::Shrink { bias, lambda } => {
            if x < -wide(lambda) {
                x + wide(bias)
            } else if x > wide(lambda) {
                x - wide(bias)
            } else {
                0.0
            }
        }
        Map::Swish { alpha } => x * sigmoid(wide(alpha) * x),
        Map::Clamp { low, high } => at_most(at_least(x, wide(low)), wide(high)),
        Map::Not | Map::BitNot | Map::IsNan | Map::IsInf { .. } => {
            unreachable!("{map:?} gives no number")
        }
    }
}

/// The error function: its series of positive terms below 3 (Abramowitz and Stegun 7.1.6), the
/// continued fraction of its complement above (7.1.14).
fn erf(x: f64) -> f64 {
    let a = x.abs();
    let magnitude = if a < 3.0 {
        let (mut term, mut sum, mut n) = (a, a, 1.0);
        while term > sum * 1e-17 {
            term *= 2.0 * a * a / (2.0 * n + 1.0);
            sum += term;
            n += 1.0;
        }
        FRAC_2_SQRT_PI * (-a * a).exp() * sum
    } else if a < 6.0 {
        let tail = (1..60u32).rev().fold(a, |tail, n| a + f64::from(n) / 2.0 / tail);
        1.0 - (-a * a).exp() / PI.sqrt() / tail
    } else {
        a.signum()
    };
    if x.is_nan() { x } else { magnitude.copysign(x) }
}
