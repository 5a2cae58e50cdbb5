//! Softmax and normalisations, in double precision.

use crate::Inputs;
use crate::number::{Numbers, narrow, store};
use crate::walk::{Out, coordinates, place, repeated, size};
use tensor::{BF16, DType, F16};

pub(crate) fn softmax(axis: u8, log: bool, inputs: &Inputs<'_, '_>, out: &mut Out<'_>) {
    let x: Numbers<'_, f64> = Numbers::of(inputs.at(0));
    let put = store::<f64>(out.dtype);
    // Of 16 bits, each step of ONNX's definition (Exp, ReduceSum, Div) rounds; attention's
    // expected values are so.
    let round: fn(f64) -> f64 = match out.dtype {
        DType::F16 => |x| F16::from_f32(narrow(x)).to_f32().into(),
        DType::BF16 => |x| BF16::from_f32(narrow(x)).to_f32().into(),
        _ => |x| x,
    };
    let axis = usize::from(axis);
    let inner: usize = out.dims[axis + 1..].iter().map(|&dim| size(dim)).product();
    let n = size(out.dims[axis]);
    let rows = out.len() / n.max(1);
    for row in 0..rows {
        let start = row / inner * n * inner + row % inner;
        let value = |j: usize| x.at(start + j * inner);
        let max = (0..n).map(value).fold(f64::NEG_INFINITY, f64::max);
        // A row of minus infinities has no maximum to subtract: it is NaN, as its quotient is.
        let share = |j: usize| round(round(value(j) - max).exp());
        let sum = round((0..n).map(share).sum());
        for j in 0..n {
            let result = if log { value(j) - max - sum.ln() } else { share(j) / sum };
            put(out.bytes, start + j * inner, result);
        }
    }
}

pub(crate) fn normalise(axis: u8, eps: f32, rms: bool, inputs: &Inputs<'_, '_>, out: &mut Out<'_>) {
    let x: Numbers<'_, f64> = Numbers::of(inputs.at(0));
    let factor = |i: usize| {
        inputs.get(i).map(|x| (Numbers::<'_, f64>::of(x), repeated(&x.shape(), &out.dims)))
    };
    let (scale, bias) = (factor(1), factor(2));
    let put = store::<f64>(out.dtype);
    let n: usize = out.dims[usize::from(axis)..].iter().map(|&dim| size(dim)).product();
    for row in 0..out.len() / n.max(1) {
        let value = |j: usize| x.at(row * n + j);
        let mean = if rms { 0.0 } else { (0..n).map(value).sum::<f64>() / n as f64 };
        let square = |j: usize| (value(j) - mean) * (value(j) - mean);
        let variance = (0..n).map(square).sum::<f64>() / n as f64;
        let root = (variance + f64::from(eps)).sqrt();
        for j in 0..n {
            let i = row * n + j;
            let at = coordinates(&out.dims, i);
            let operand = |operand: &Option<(Numbers<'_, f64>, _)>, absent: f64| {
                operand.as_ref().map_or(absent, |(numbers, steps): &(_, [isize; 8])| {
                    numbers.at(at.iter().zip(steps).map(|(&at, &step)| at * place(step)).sum())
                })
            };
            let result = (value(j) - mean) / root * operand(&scale, 1.0) + operand(&bias, 0.0);
            put(out.bytes, i, result);
        }
    }
}

/// `[alpha, beta, bias]`: see `plan::ArrayOp::LocalResponse`.
pub(crate) fn local_response(
    axis: u8,
    window: u32,
    [alpha, beta, bias]: [f64; 3],
    inputs: &Inputs<'_, '_>,
    out: &mut Out<'_>,
) {
    let x: Numbers<'_, f64> = Numbers::of(inputs.at(0));
    let put = store::<f64>(out.dtype);
    let axis = usize::from(axis);
    let channels = size(out.dims[axis]);
    let inner: usize = out.dims[axis + 1..].iter().map(|&dim| size(dim)).product();
    let window = size(window.into());
    let before = window.saturating_sub(1) / 2;
    let after = window / 2;
    for k in 0..out.len() {
        let i = out.first + k;
        let channel = i / inner % channels;
        let first = i - channel * inner;
        let from = channel.saturating_sub(before);
        let to = (channel + after).min(channels - 1);
        let squares: f64 = (from..=to).map(|c| x.at(first + c * inner).powi(2)).sum();
        let root = (bias + alpha / window as f64 * squares).powf(beta);
        put(out.bytes, k, x.at(i) / root);
    }
}
