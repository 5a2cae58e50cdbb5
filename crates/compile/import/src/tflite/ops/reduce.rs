//! Statistics along dimensions, and what is made of them.

use super::{
    super::value::{Array, Layout},
    Call, Outputs, Value,
    elementwise::activate,
    extents, one,
};
use crate::network::{Builder, Fault, emit::dim};
use formats::tflite::options;
use plan::{
    ArrayOp,
    array::{ReduceKind, Zip},
};
use tensor::DType;

/// The dimensions that an input names.
pub(super) fn axes(b: &mut Builder<'_>, call: &Call<'_>, i: usize) -> Result<Vec<usize>, Fault> {
    let named = call.ints(b, i)?;
    let x = call.array(0)?;
    named.iter().map(|&axis| x.axis(axis)).collect()
}

pub(super) fn reduce(b: &mut Builder<'_>, call: &Call<'_>, kind: ReduceKind) -> Outputs {
    let keep = options::Reducer::read(call.options())?.keep_dims;
    let axes = axes(b, call, 1)?;
    let x = call.tensor(b, 0)?;
    one(b.reduce(kind, &x, &axes, keep)?)
}

fn arg(b: &mut Builder<'_>, call: &Call<'_>, largest: bool) -> Outputs {
    let axis = call.int(b, 1)?;
    let axis = call.array(0)?.axis(axis)?;
    let x = call.tensor(b, 0)?;
    let op = ArrayOp::ArgReduce { largest, axis: dim(axis), last: false };
    let index = b.apply(op, &[Some(&x)])?;
    let index = b.squeeze(&index, &[axis])?;
    let to = call.output(0)?.ty.dtype().unwrap_or(DType::I32);
    one(b.cast(&index, to)?)
}

pub(super) fn arg_max(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    arg(b, call, true)
}

pub(super) fn arg_min(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    arg(b, call, false)
}

pub(super) fn cumsum(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let options = options::Cumsum::read(call.options())?;
    let axis = call.int(b, 1)?;
    let axis = call.array(0)?.axis(axis)?;
    let x = call.tensor(b, 0)?;
    let op = ArrayOp::Accumulate {
        product: false,
        axis: dim(axis),
        exclusive: options.exclusive,
        reverse: options.reverse,
    };
    one(b.apply(op, &[Some(&x)])?)
}

pub(super) fn top_k(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let x = call.tensor(b, 0)?;
    let axis = x.axis(-1)?;
    let k = call.int(b, 1)?;
    let k = u64::try_from(k).map_err(|_| Fault::invalid(format!("the best {k}")))?;
    let index = b.apply(ArrayOp::TopK { axis: dim(axis), k, largest: true }, &[Some(&x)])?;
    let values = b.apply(ArrayOp::GatherElements { axis: dim(axis) }, &[Some(&x), Some(&index)])?;
    let to = call.output(1)?.ty.dtype().unwrap_or(DType::I32);
    Ok(vec![values.into(), b.cast(&index, to)?.into()])
}

pub(super) fn one_hot(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let options = options::OneHot::read(call.options())?;
    let index = call.tensor(b, 0)?;
    let depth = call.int(b, 1)?;
    let depth = extents(&[depth])?[0];
    let axis = match options.axis {
        -1 => index.rank(),
        axis => crate::network::emit::axis_of(axis.into(), index.rank() + 1)?,
    };
    let (on, off) = (call.tensor(b, 2)?, call.tensor(b, 3)?);
    let (on, off) = (b.reshape(&on, &[1])?, b.reshape(&off, &[1])?);
    let values = b.concat(&[off, on], 0)?;
    // Indices outside stand for no place at all, where negative ones would count from the end.
    let zero = b.scalar(index.dtype, 0.0);
    let negative = b.zip(Zip::Less, &index, &zero)?;
    let outside = b.scalar(index.dtype, depth as f64);
    let index = b.select(&negative, &outside, &index)?;
    let op = ArrayOp::OneHot { axis: dim(axis), depth };
    one(b.apply(op, &[Some(&index), Some(&values)])?)
}

pub(super) fn softmax(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let beta = options::Softmax::read(call.options())?.beta;
    let mut x = call.tensor(b, 0)?;
    if beta.to_bits() != 1f32.to_bits() {
        x = b.with(Zip::Multiply, &x, beta.into())?;
    }
    let axis = x.axis(-1)?;
    one(b.softmax(&x, axis)?)
}

pub(super) fn log_softmax(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let x = call.tensor(b, 0)?;
    let axis = x.axis(-1)?;
    one(b.apply(ArrayOp::Softmax { axis: dim(axis), log: true }, &[Some(&x)])?)
}

/// The least length that is divided by.
const LENGTH_MIN: f64 = 1e-6;

pub(super) fn l2_normalization(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let activation = options::L2Norm::read(call.options())?.activation;
    let x = call.tensor(b, 0)?;
    let axis = x.axis(-1)?;
    let length = b.reduce(ReduceKind::L2, &x, &[axis], true)?;
    let length = b.with(Zip::Maximum, &length, LENGTH_MIN)?;
    let result = b.div(&x, &length)?;
    one(activate(b, result, activation)?)
}

pub(super) fn local_response(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let options = options::LocalResponseNorm::read(call.options())?;
    let size = u32::try_from(options.radius).ok().and_then(|n| n.checked_mul(2)?.checked_add(1));
    let size = size.ok_or_else(|| Fault::invalid(format!("a radius of {}", options.radius)))?;
    let op = ArrayOp::LocalResponse {
        axis: 1,
        size,
        // The operator's factor is on the mean.
        alpha: options.alpha * size as f32,
        beta: options.beta,
        bias: options.bias,
    };
    let x = call.array(0)?.first(b)?;
    let result = b.apply(op, &[Some(&x)])?;
    one(Value::Array(Array::new(Layout::First, result)))
}
