//! Functions of one or two elements, over slices.
//!
//! Every output element depends on the inputs at its own place only, so that results do not depend
//! on how a slice is cut. All of them work in place.

use crate::exp;
use crate::isa::{Isa, Kernel, LANES, Simd};

/// Functions of one element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `x / (1 + exp(-x))`.
    Silu,
    /// `x Φ(x)`.
    Gelu,
    /// GELU by tanh.
    GeluTanh,
    /// `max(x, 0)`.
    Relu,
    /// `max(x, 0)²`.
    ReluSquared,
    /// `tanh(x)`.
    Tanh,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
}

/// A function of sixteen elements and as many second operands.
trait Lanes: Copy {
    fn of<S: Simd>(self, s: S, x: S::F, y: S::F) -> S::F;
}

/// `x[i] = function(x[i], y[i])`.
struct Each<'a, L> {
    function: L,
    x: &'a mut [f32],
    /// As long as `x`, or empty where the function does not read it.
    y: &'a [f32],
}

impl<L: Lanes> Kernel for Each<'_, L> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (x, x_rest) = self.x.as_chunks_mut::<LANES>();
        let (y, y_rest) = self.y.as_chunks::<LANES>();
        let none = s.splat(0.0);
        for i in 0..x.len() {
            let second = if y.is_empty() { none } else { s.load(&y[i]) };
            s.store(self.function.of(s, s.load(&x[i]), second), &mut x[i]);
        }
        if !x_rest.is_empty() {
            let mut last = [0.0; LANES];
            let mut second = [0.0; LANES];
            last[..x_rest.len()].copy_from_slice(x_rest);
            second[..y_rest.len()].copy_from_slice(y_rest);
            s.store(self.function.of(s, s.load(&last), s.load(&second)), &mut last);
            x_rest.copy_from_slice(&last[..x_rest.len()]);
        }
    }
}

/// `max(x, 0)`; NaN gives NaN.
#[inline(always)]
fn relu<S: Simd>(s: S, x: S::F) -> S::F {
    s.max(s.splat(0.0), x)
}

/// Stamps a function of lanes.
macro_rules! lanes {
    ($($name:ident($s:ident, $x:ident, $y:ident) = $value:expr;)*) => {$(
        #[derive(Clone, Copy)]
        struct $name;

        impl Lanes for $name {
            #[inline(always)]
            fn of<S: Simd>(self, $s: S, $x: S::F, $y: S::F) -> S::F {
                $value
            }
        }
    )*};
}

lanes! {
    Silu(s, x, _y) = exp::silu(s, x);
    Gelu(s, x, _y) = exp::gelu(s, x);
    GeluTanh(s, x, _y) = exp::gelu_tanh(s, x);
    Relu(s, x, _y) = relu(s, x);
    ReluSquared(s, x, _y) = s.mul(relu(s, x), relu(s, x));
    Tanh(s, x, _y) = exp::tanh(s, x);
    Sigmoid(s, x, _y) = exp::sigmoid(s, x);
    Add(s, x, y) = s.add(x, y);
    Multiply(s, x, y) = s.mul(x, y);
}

/// A function of the first operand, times the second.
#[derive(Clone, Copy)]
struct Gated<L>(L);

impl<L: Lanes> Lanes for Gated<L> {
    #[inline(always)]
    fn of<S: Simd>(self, s: S, x: S::F, y: S::F) -> S::F {
        s.mul(self.0.of(s, x, y), y)
    }
}

/// `cap * tanh(x / cap)`.
#[derive(Clone, Copy)]
struct SoftCap(f32);

impl Lanes for SoftCap {
    #[inline(always)]
    fn of<S: Simd>(self, s: S, x: S::F, _: S::F) -> S::F {
        let cap = s.splat(self.0);
        s.mul(cap, exp::tanh(s, s.div(x, cap)))
    }
}

/// `x * factor`.
#[derive(Clone, Copy)]
struct Scale(f32);

impl Lanes for Scale {
    #[inline(always)]
    fn of<S: Simd>(self, s: S, x: S::F, _: S::F) -> S::F {
        s.mul(x, s.splat(self.0))
    }
}

/// `x + factor * y`, fused.
#[derive(Clone, Copy)]
struct AddScaled(f32);

impl Lanes for AddScaled {
    #[inline(always)]
    fn of<S: Simd>(self, s: S, x: S::F, y: S::F) -> S::F {
        s.fma(s.splat(self.0), y, x)
    }
}

/// Applies a function that reads only `x`.
fn one(isa: Isa, function: impl Lanes, x: &mut [f32]) {
    isa.run(Each { function, x, y: &[] });
}

/// Applies a function of `x` and `y`.
fn two(isa: Isa, function: impl Lanes, x: &mut [f32], y: &[f32]) {
    assert_eq!(x.len(), y.len(), "equal lengths");
    isa.run(Each { function, x, y });
}

/// `x[i] = activation(x[i])`.
pub fn activate(isa: Isa, activation: Activation, x: &mut [f32]) {
    match activation {
        Activation::Silu => one(isa, Silu, x),
        Activation::Gelu => one(isa, Gelu, x),
        Activation::GeluTanh => one(isa, GeluTanh, x),
        Activation::Relu => one(isa, Relu, x),
        Activation::ReluSquared => one(isa, ReluSquared, x),
        Activation::Tanh => one(isa, Tanh, x),
        Activation::Sigmoid => one(isa, Sigmoid, x),
    }
}

/// `gate[i] = activation(gate[i]) * up[i]`.
///
/// # Panics
/// If the lengths differ.
pub fn gate(isa: Isa, activation: Activation, gate: &mut [f32], up: &[f32]) {
    match activation {
        Activation::Silu => two(isa, Gated(Silu), gate, up),
        Activation::Gelu => two(isa, Gated(Gelu), gate, up),
        Activation::GeluTanh => two(isa, Gated(GeluTanh), gate, up),
        Activation::Relu => two(isa, Gated(Relu), gate, up),
        Activation::ReluSquared => two(isa, Gated(ReluSquared), gate, up),
        Activation::Tanh => two(isa, Gated(Tanh), gate, up),
        Activation::Sigmoid => two(isa, Gated(Sigmoid), gate, up),
    }
}

/// `x[i] += y[i]`.
///
/// # Panics
/// If the lengths differ.
pub fn add(isa: Isa, x: &mut [f32], y: &[f32]) {
    two(isa, Add, x, y);
}

/// `x[i] *= y[i]`.
///
/// # Panics
/// If the lengths differ.
pub fn multiply(isa: Isa, x: &mut [f32], y: &[f32]) {
    two(isa, Multiply, x, y);
}

/// `x[i] *= factor`.
pub fn scale(isa: Isa, x: &mut [f32], factor: f32) {
    one(isa, Scale(factor), x);
}

/// `x[i] = cap * tanh(x[i] / cap)`.
pub fn soft_cap(isa: Isa, x: &mut [f32], cap: f32) {
    one(isa, SoftCap(cap), x);
}

/// `x[i] += factor * y[i]`, fused.
///
/// # Panics
/// If the lengths differ.
pub fn add_scaled(isa: Isa, x: &mut [f32], factor: f32, y: &[f32]) {
    two(isa, AddScaled(factor), x, y);
}

/// `e^(x - max)`.
#[derive(Clone, Copy)]
struct ExpLess(f32);

impl Lanes for ExpLess {
    #[inline(always)]
    fn of<S: Simd>(self, s: S, x: S::F, _: S::F) -> S::F {
        exp::exp(s, s.sub(x, s.splat(self.0)))
    }
}

/// `x = softmax(x)`, summed in ascending order.
pub fn softmax(isa: Isa, x: &mut [f32]) {
    let max = x.iter().fold(f32::NEG_INFINITY, |max, &x| if x > max { x } else { max });
    one(isa, ExpLess(max), x);
    let sum: f32 = x.iter().sum();
    for x in x {
        *x /= sum;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn activations_are_the_functions_they_name() {
        for (activation, at_minus_one, at_two) in [
            (Activation::Silu, -0.268_941_43, 1.761_594_2),
            (Activation::Gelu, -0.158_655_26, 1.954_499_7),
            (Activation::GeluTanh, -0.158_808, 1.954_597_7),
            (Activation::Relu, 0.0, 2.0),
            (Activation::ReluSquared, 0.0, 4.0),
            (Activation::Tanh, -0.761_594_2, 0.964_027_6),
            (Activation::Sigmoid, 0.268_941_43, 0.880_797_1),
        ] {
            for isa in Isa::available() {
                let mut out = [-1.0, 2.0];
                activate(isa, activation, &mut out);
                for (out, want) in out.iter().zip([at_minus_one, at_two]) {
                    assert!((out - want).abs() < 1e-6, "{activation:?} {out} {want}");
                }
                let mut gated = [-1.0, 2.0];
                gate(isa, activation, &mut gated, &[3.0, 0.5]);
                assert_eq!(gated.map(f32::to_bits), [out[0] * 3.0, out[1] * 0.5].map(f32::to_bits));
            }
        }
    }

    #[test]
    fn shares_sum_to_one_and_survive_large_scores() {
        let mut x = [1000.0, 999.0, -1e30, f32::NEG_INFINITY];
        softmax(Isa::SCALAR, &mut x);
        assert!((x[0] - 0.731_058_6).abs() < 1e-6 && (x[1] - 0.268_941_43).abs() < 1e-6);
        assert_eq!(x[2..], [0.0, 0.0]);
    }

    #[test]
    fn results_depend_neither_on_cuts_nor_on_instructions() {
        let input: Vec<f32> = (0..101u8).map(|i| (f32::from(i) - 50.0) * 0.17).collect();
        for isa in Isa::available() {
            let mut whole = input.clone();
            activate(isa.specification(), Activation::Gelu, &mut whole);
            let mut cut = input.clone();
            for part in cut.chunks_mut(7) {
                activate(isa, Activation::Gelu, part);
            }
            assert_eq!(whole, cut);
            let mut sum = input.clone();
            add_scaled(isa, &mut sum, 0.3, &whole);
            let fused = isa.specification() == Isa::SCALAR;
            let each = |(x, y): (&f32, &f32)| {
                if fused { 0.3f32.mul_add(*y, *x) } else { 0.3 * y + x }
            };
            assert_eq!(sum, input.iter().zip(&whole).map(each).collect::<Vec<f32>>());
        }
    }
}
