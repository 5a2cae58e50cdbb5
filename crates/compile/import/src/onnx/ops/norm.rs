//! Normalisations and softmax.

use super::{
    super::call::{Call, Outputs, Value, many, one},
    reduce::position,
};
use crate::network::{Builder, Fault, Tensor, emit::dim};
use plan::{
    ArrayOp,
    array::{Map, ReduceKind, Zip},
};
use tensor::DType;

/// A vector over channels, shaped to broadcast over `[n, c, …]` of this rank.
pub(super) fn channels(b: &mut Builder<'_>, x: &Tensor, rank: usize) -> Result<Tensor, Fault> {
    let mut dims = vec![1; rank.saturating_sub(1)];
    if let Some(first) = dims.first_mut() {
        *first = x.elements();
    }
    b.reshape(x, &dims)
}

pub(super) fn batch(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let x = call.tensor(0)?;
    let eps = f64::from(call.float("epsilon", 1e-5)?);
    let momentum = f64::from(call.float("momentum", 0.9)?);
    call.int("spatial", 1)?;
    call.int("is_test", 1)?;
    let training = call.flag("training_mode", false)?;
    let (mean, variance) = (call.tensor(3)?, call.tensor(4)?);
    if !training {
        return one(scaled(b, call, x, (mean, variance), eps)?);
    }
    let axes: Vec<usize> = (0..x.rank()).filter(|&i| i != 1).collect();
    let own_mean = b.reduce(ReduceKind::Mean, x, &axes, true)?;
    let centred = b.sub(x, &own_mean)?;
    let squares = b.map(Map::Square, &centred)?;
    let own_variance = b.reduce(ReduceKind::Mean, &squares, &axes, false)?;
    let own_mean = b.reshape(&own_mean, &own_variance.dims)?;
    let y = scaled(b, call, x, (&own_mean, &own_variance), eps)?;
    let mut running = |old: &Tensor, new: &Tensor| {
        let old = b.with(Zip::Multiply, old, momentum)?;
        let new = b.cast(new, old.dtype)?;
        let new = b.with(Zip::Multiply, &new, 1.0 - momentum)?;
        b.add(&old, &new)
    };
    let (mean, variance) = (running(mean, &own_mean)?, running(variance, &own_variance)?);
    many([y, mean, variance])
}

/// `x * scale / sqrt(variance + eps) + (bias - mean * …)`: one factor and one term a channel.
fn scaled(
    b: &mut Builder<'_>,
    call: &Call<'_>,
    x: &Tensor,
    (mean, variance): (&Tensor, &Tensor),
    eps: f64,
) -> Result<Tensor, Fault> {
    let (scale, bias) = (call.tensor(1)?, call.tensor(2)?);
    let root = b.with(Zip::Add, variance, eps)?;
    let root = b.map(Map::Sqrt, &root)?;
    let root = b.cast(&root, scale.dtype)?;
    let factor = b.div(scale, &root)?;
    let mean = b.cast(mean, scale.dtype)?;
    let shift = b.mul(&mean, &factor)?;
    let term = b.sub(bias, &shift)?;
    let (factor, term) = (b.cast(&factor, x.dtype)?, b.cast(&term, x.dtype)?);
    let factor = channels(b, &factor, x.rank())?;
    let term = channels(b, &term, x.rank())?;
    let y = b.mul(x, &factor)?;
    b.add(&y, &term)
}

/// `(x - mean) / sqrt(variance + eps)` over the dimensions from `axis` on.
fn normalise(
    b: &mut Builder<'_>,
    x: &Tensor,
    axis: usize,
    (eps, rms): (f32, bool),
    (scale, bias): (Option<&Tensor>, Option<&Tensor>),
) -> Result<Tensor, Fault> {
    let op = ArrayOp::Normalise { axis: dim(axis), eps, rms };
    b.apply(op, &[Some(x), scale, bias])
}

pub(super) fn instance(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let (x, scale, bias) = (call.tensor(0)?, call.tensor(1)?, call.tensor(2)?);
    let eps = call.float("epsilon", 1e-5)?;
    if x.rank() < 3 {
        return Err(Fault::invalid(format!("must have channels and space, has {}", x.dims)));
    }
    let scale = channels(b, scale, x.rank())?;
    let bias = channels(b, bias, x.rank())?;
    one(normalise(b, x, 2, (eps, false), (Some(&scale), Some(&bias)))?)
}

pub(super) fn group(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let (x, scale, bias) = (call.tensor(0)?, call.tensor(1)?, call.tensor(2)?);
    let eps = call.float("epsilon", 1e-5)?;
    call.int("stash_type", 1)?;
    let groups = u64::try_from(call.int("num_groups", 0)?).unwrap_or(0);
    let (&[n, c, ..], true) = (&x.dims[..], groups > 0) else {
        return Err(Fault::invalid(format!("{groups} groups of {}", x.dims)));
    };
    if !c.is_multiple_of(groups) {
        return Err(Fault::invalid(format!("{groups} groups of {c} channels")));
    }
    let rest = x.span(2..x.rank());
    let grouped = b.reshape(x, &[n, groups, c / groups * rest])?;
    // In single precision, as the operator's function says, whatever the data's type.
    let grouped = b.cast(&grouped, DType::F32)?;
    let y = normalise(b, &grouped, 2, (eps, false), (None, None))?;
    let y = b.cast(&y, x.dtype)?;
    let y = b.reshape(&y, &x.dims)?;
    // One scale a group before opset 21.
    let mut spread = |v: &Tensor| {
        if v.elements() == groups && groups != c {
            let rows = b.reshape(v, &[groups, 1])?;
            let rows = b.expand(&rows, &[groups, c / groups])?;
            let all = b.reshape(&rows, &[c])?;
            return channels(b, &all, x.rank());
        }
        channels(b, v, x.rank())
    };
    let (scale, bias) = (spread(scale)?, spread(bias)?);
    let y = b.mul(&y, &scale)?;
    one(b.add(&y, &bias)?)
}

pub(super) fn layer(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let x = call.tensor(0)?;
    let axis = x.axis(call.int("axis", -1)?)?;
    let eps = call.float("epsilon", 1e-5)?;
    call.int("stash_type", 1)?;
    let y = normalise(b, x, axis, (eps, false), (call.optional(1)?, call.optional(2)?))?;
    let mut outputs = vec![Value::Tensor(y)];
    if call.wants(1) || call.wants(2) {
        let wide = b.cast(x, DType::F32)?;
        let axes: Vec<usize> = (axis..x.rank()).collect();
        let mean = b.reduce(ReduceKind::Mean, &wide, &axes, true)?;
        let centred = b.sub(&wide, &mean)?;
        let squares = b.map(Map::Square, &centred)?;
        let variance = b.reduce(ReduceKind::Mean, &squares, &axes, true)?;
        let variance = b.with(Zip::Add, &variance, f64::from(eps))?;
        let inverse = b.map(Map::Rsqrt, &variance)?;
        outputs.extend([mean.into(), inverse.into()]);
    }
    Ok(outputs)
}

pub(super) fn rms(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let x = call.tensor(0)?;
    let axis = x.axis(call.int("axis", -1)?)?;
    let eps = call.float("epsilon", 1e-5)?;
    call.int("stash_type", 1)?;
    one(normalise(b, x, axis, (eps, true), (call.optional(1)?, None))?)
}

pub(super) fn lp(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let x = call.tensor(0)?;
    let axis = x.axis(call.int("axis", -1)?)?;
    let kind = match call.int("p", 2)? {
        1 => ReduceKind::L1,
        2 => ReduceKind::L2,
        other => return Err(Fault::unsupported(format!("p = {other}"))),
    };
    let norm = b.reduce(kind, x, &[axis], true)?;
    // Where all are zero, they stay zero.
    let zero = b.with(Zip::Equal, &norm, 0.0)?;
    let ones = b.scalar(x.dtype, 1.0);
    let norm = b.select(&zero, &ones, &norm)?;
    one(b.div(x, &norm)?)
}

pub(super) fn mean_variance(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let x = call.tensor(0)?;
    let axes = call.ints("axes")?.unwrap_or(&[0, 2, 3]);
    let axes: Vec<usize> = axes.iter().map(|&axis| x.axis(axis)).collect::<Result<_, _>>()?;
    let mean = b.reduce(ReduceKind::Mean, x, &axes, true)?;
    let centred = b.sub(x, &mean)?;
    let squares = b.map(Map::Square, &centred)?;
    let variance = b.reduce(ReduceKind::Mean, &squares, &axes, true)?;
    let deviation = b.map(Map::Sqrt, &variance)?;
    let deviation = b.with(Zip::Add, &deviation, 1e-9)?;
    one(b.div(&centred, &deviation)?)
}

pub(super) fn local_response(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let size = u32::try_from(call.int("size", 0)?).ok().filter(|&n| n > 0);
    let op = ArrayOp::LocalResponse {
        axis: 1,
        size: size.ok_or_else(|| Fault::invalid("size must be above 0"))?,
        alpha: call.float("alpha", 1e-4)?,
        beta: call.float("beta", 0.75)?,
        bias: call.float("bias", 1.0)?,
    };
    one(b.apply(op, &[Some(call.tensor(0)?)])?)
}

/// Runs `f` over the given axis; before opset 13 over all dimensions from the axis on, as one.
fn along(
    b: &mut Builder<'_>,
    call: &Call<'_>,
    f: impl Fn(&mut Builder<'_>, &Tensor, usize) -> Result<Tensor, Fault>,
) -> Outputs {
    let x = call.tensor(0)?;
    if call.version >= 13 {
        let axis = x.axis(call.int("axis", -1)?)?;
        return one(f(b, x, axis)?);
    }
    let axis = x.axis(call.int("axis", 1)?)?;
    let flat = b.reshape(x, &[x.span(0..axis), x.span(axis..x.rank())])?;
    let y = f(b, &flat, 1)?;
    one(b.reshape(&y, &x.dims)?)
}

fn softmax_of(b: &mut Builder<'_>, x: &Tensor, axis: usize) -> Result<Tensor, Fault> {
    b.softmax(x, axis)
}

pub(super) fn softmax(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    along(b, call, softmax_of)
}

pub(super) fn log_softmax(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    along(b, call, |b, x, axis| {
        b.apply(ArrayOp::Softmax { axis: dim(axis), log: true }, &[Some(x)])
    })
}

pub(super) fn hardmax(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    along(b, call, |b, x, axis| {
        let index = position(b, x, axis, (true, false), false)?;
        let values = b.numbers(x.dtype, &[2], &[0.0, 1.0])?;
        let op = ArrayOp::OneHot { axis: dim(axis), depth: x.dims[axis] };
        b.apply(op, &[Some(&index), Some(&values)])
    })
}
