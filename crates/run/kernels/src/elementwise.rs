//! Functions of one or two elements, over slices.
//!
//! Every output element depends on the inputs at its own place only, so that results do not depend
//! on how a slice is cut. All of them may work in place.

use crate::exp;

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

/// `max(x, 0)`; NaN gives NaN.
#[inline(always)]
fn relu(x: f32) -> f32 {
    if x < 0.0 { 0.0 } else { x }
}

/// `x[i] = f(x[i])`.
#[inline(always)]
fn map(x: &mut [f32], f: impl Fn(f32) -> f32) {
    for x in x {
        *x = f(*x);
    }
}

/// `x[i] = activation(x[i])`.
pub fn activate(activation: Activation, x: &mut [f32]) {
    match activation {
        Activation::Silu => map(x, exp::silu),
        Activation::Gelu => map(x, exp::gelu),
        Activation::GeluTanh => map(x, exp::gelu_tanh),
        Activation::Relu => map(x, relu),
        Activation::ReluSquared => map(x, |x| relu(x) * relu(x)),
        Activation::Tanh => map(x, exp::tanh),
        Activation::Sigmoid => map(x, exp::sigmoid),
    }
}

/// `gate[i] = activation(gate[i]) * up[i]`.
///
/// # Panics
/// If the lengths differ.
pub fn gate(activation: Activation, gate: &mut [f32], up: &[f32]) {
    activate(activation, gate);
    multiply(gate, up);
}

/// `x[i] += y[i]`.
///
/// # Panics
/// If the lengths differ.
pub fn add(x: &mut [f32], y: &[f32]) {
    assert_eq!(x.len(), y.len(), "equal lengths");
    for (x, y) in x.iter_mut().zip(y) {
        *x += y;
    }
}

/// `x[i] *= y[i]`.
///
/// # Panics
/// If the lengths differ.
pub fn multiply(x: &mut [f32], y: &[f32]) {
    assert_eq!(x.len(), y.len(), "equal lengths");
    for (x, y) in x.iter_mut().zip(y) {
        *x *= y;
    }
}

/// `x[i] *= factor`.
pub fn scale(x: &mut [f32], factor: f32) {
    map(x, |x| x * factor);
}

/// `x[i] = cap * tanh(x[i] / cap)`.
pub fn soft_cap(x: &mut [f32], cap: f32) {
    map(x, |x| cap * exp::tanh(x / cap));
}

/// `x[i] += factor * y[i]`, fused.
///
/// # Panics
/// If the lengths differ.
pub fn add_scaled(x: &mut [f32], factor: f32, y: &[f32]) {
    assert_eq!(x.len(), y.len(), "equal lengths");
    for (x, y) in x.iter_mut().zip(y) {
        *x = factor.mul_add(*y, *x);
    }
}

/// `x = softmax(x)`: the sum runs in lanes of 16 and then in a fixed tree.
pub fn softmax(x: &mut [f32]) {
    let max = x.iter().fold(f32::NEG_INFINITY, |max, &x| if x > max { x } else { max });
    map(x, |x| exp::exp(x - max));
    let sum = crate::norm::sum(x, |x| x);
    map(x, |x| x / sum);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn activations_are_the_functions_they_name() {
        let check = |activation, x: f32, want: f32| {
            let mut out = [x];
            activate(activation, &mut out);
            assert!((out[0] - want).abs() < 1e-6, "{activation:?}({x}) = {} not {want}", out[0]);
        };
        for (activation, at_minus_one, at_two) in [
            (Activation::Silu, -0.268_941_42, 1.761_594_2),
            (Activation::Gelu, -0.158_655_25, 1.954_499_7),
            (Activation::GeluTanh, -0.158_808, 1.954_597_7),
            (Activation::Relu, 0.0, 2.0),
            (Activation::ReluSquared, 0.0, 4.0),
            (Activation::Tanh, -0.761_594_2, 0.964_027_6),
            (Activation::Sigmoid, 0.268_941_42, 0.880_797_1),
        ] {
            check(activation, -1.0, at_minus_one);
            check(activation, 2.0, at_two);
        }
    }

    #[test]
    fn shares_sum_to_one_and_survive_large_scores() {
        let mut x = [1000.0, 999.0, -1e30, f32::NEG_INFINITY];
        softmax(&mut x);
        assert!((x[0] - 0.731_058_6).abs() < 1e-6 && (x[1] - 0.268_941_42).abs() < 1e-6);
        assert_eq!(x[2..], [0.0, 0.0]);
    }

    #[test]
    fn results_do_not_depend_on_how_a_slice_is_cut() {
        let input: Vec<f32> = (0..101).map(|i| (i as f32 - 50.0) * 0.17).collect();
        let mut whole = input.clone();
        activate(Activation::Gelu, &mut whole);
        let mut cut = input;
        for part in cut.chunks_mut(7) {
            activate(Activation::Gelu, part);
        }
        assert_eq!(whole, cut);
    }
}
