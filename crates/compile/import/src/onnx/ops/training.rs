//! Losses and optimisers, which some exported graphs carry along.

use super::{
    super::call::{Call, Outputs, Value, one},
    Rule,
};
use crate::network::{Builder, Fault, Tensor, emit::dim};
use plan::{
    ArrayOp,
    array::{Map, ReduceKind, Zip},
};
use tensor::DType;

/// Operators of `ai.onnx.preview.training`.
pub(super) const OPTIMISERS: &[(&str, Rule)] =
    &[("Adagrad", Rule::Op(adagrad)), ("Adam", Rule::Op(adam)), ("Momentum", Rule::Op(momentum))];

/// The loss for logarithms of probabilities `[n, classes, …]`.
fn loss(b: &mut Builder<'_>, call: &Call<'_>, log: &Tensor) -> Result<Tensor, Fault> {
    let target = b.cast(call.tensor(1)?, DType::I64)?;
    let ignored = match call.attribute("ignore_index") {
        Some(_) => Some(b.with(Zip::Equal, &target, call.int("ignore_index", 0)? as f64)?),
        None => None,
    };
    let target = match &ignored {
        Some(ignored) => {
            let zero = b.scalar(DType::I64, 0.0);
            b.select(ignored, &zero, &target)?
        }
        None => target,
    };
    let index = b.unsqueeze(&target, 1)?;
    let picked = b.apply(ArrayOp::GatherElements { axis: 1 }, &[Some(log), Some(&index)])?;
    let picked = b.squeeze(&picked, &[1])?;
    let mut loss = b.map(Map::Negate, &picked)?;
    let mut weights = match call.optional(2)? {
        Some(weights) => b.gather(weights, &target, 0)?,
        None => b.filled(log.dtype, &target.dims, 1.0)?,
    };
    if let Some(ignored) = &ignored {
        let zero = b.scalar(log.dtype, 0.0);
        weights = b.select(ignored, &zero, &weights)?;
    }
    loss = b.mul(&loss, &weights)?;
    let axes: Vec<usize> = (0..loss.rank()).collect();
    match call.text("reduction", "mean")? {
        "none" => Ok(loss),
        "sum" => b.reduce(ReduceKind::Sum, &loss, &axes, false),
        "mean" => {
            let sum = b.reduce(ReduceKind::Sum, &loss, &axes, false)?;
            let weight = b.reduce(ReduceKind::Sum, &weights, &axes, false)?;
            b.div(&sum, &weight)
        }
        other => Err(Fault::unsupported(format!("reduction `{other}`"))),
    }
}

pub(super) fn negative_log_likelihood(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    one(loss(b, call, call.tensor(0)?)?)
}

pub(super) fn softmax_cross_entropy(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let scores = call.tensor(0)?;
    let log = b.apply(ArrayOp::Softmax { axis: dim(1), log: true }, &[Some(scores)])?;
    let loss = loss(b, call, &log)?;
    Ok(vec![Value::Tensor(loss), Value::Tensor(log)])
}

/// Runs `step` on each parameter; operands are rate, count, then lists of equal length.
fn each(
    b: &mut Builder<'_>,
    call: &Call<'_>,
    lists: usize,
    step: impl Fn(&mut Builder<'_>, &[&Tensor]) -> Result<Vec<Tensor>, Fault>,
) -> Outputs {
    let all = call.tensors()?;
    let parameters = all.get(2..).unwrap_or_default();
    let count = parameters.len() / lists;
    let mut results = Vec::new();
    for i in 0..count {
        let own: Vec<&Tensor> = (0..lists).map(|list| parameters[list * count + i]).collect();
        results.push(step(b, &own)?);
    }
    let width = results.first().map_or(0, Vec::len);
    Ok((0..width)
        .flat_map(|list| results.iter().map(move |result| Value::Tensor(result[list].clone())))
        .collect())
}

/// `g + coefficient * x`.
fn regular(b: &mut Builder<'_>, x: &Tensor, g: &Tensor, coefficient: f32) -> Result<Tensor, Fault> {
    let decay = b.with(Zip::Multiply, x, f64::from(coefficient))?;
    b.add(&decay, g)
}

fn adagrad(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let decay = f64::from(call.float("decay_factor", 0.0)?);
    let eps = f64::from(call.float("epsilon", 0.0)?);
    let coefficient = call.float("norm_coefficient", 0.0)?;
    let (rate, count) = (call.tensor(0)?, call.tensor(1)?);
    let count = b.cast(count, rate.dtype)?;
    let slow = b.with(Zip::Multiply, &count, decay)?;
    let slow = b.with(Zip::Add, &slow, 1.0)?;
    let rate = b.div(rate, &slow)?;
    each(b, call, 3, |b, own| {
        let g = regular(b, own[0], own[1], coefficient)?;
        let square = b.map(Map::Square, &g)?;
        let h = b.add(own[2], &square)?;
        let root = b.map(Map::Sqrt, &h)?;
        let root = b.with(Zip::Add, &root, eps)?;
        let step = b.mul(&rate, &g)?;
        let step = b.div(&step, &root)?;
        Ok(vec![b.sub(own[0], &step)?, h])
    })
}

fn momentum(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let alpha = f64::from(call.float("alpha", 0.0)?);
    let beta = f64::from(call.float("beta", 0.0)?);
    let coefficient = call.float("norm_coefficient", 0.0)?;
    let nesterov = call.text("mode", "standard")? == "nesterov";
    let rate = call.tensor(0)?;
    let first = b.ints(call.tensor(1)?)?.first() == Some(&0);
    let beta = if first { 1.0 } else { beta };
    each(b, call, 3, |b, own| {
        let g = regular(b, own[0], own[1], coefficient)?;
        let old = b.with(Zip::Multiply, own[2], alpha)?;
        let new = b.with(Zip::Multiply, &g, beta)?;
        let v = b.add(&old, &new)?;
        let step = if nesterov {
            let ahead = b.with(Zip::Multiply, &v, alpha)?;
            b.add(&g, &ahead)?
        } else {
            v.clone()
        };
        let step = b.mul(rate, &step)?;
        Ok(vec![b.sub(own[0], &step)?, v])
    })
}

fn adam(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let alpha = f64::from(call.float("alpha", 0.9)?);
    let beta = f64::from(call.float("beta", 0.999)?);
    let eps = f64::from(call.float("epsilon", 0.0)?);
    let coefficient = call.float("norm_coefficient", 0.0)?;
    let post = f64::from(call.float("norm_coefficient_post", 0.0)?);
    let count = b.floats(call.tensor(1)?)?.first().copied().unwrap_or(0.0);
    let factor =
        if count > 0.0 { (1.0 - beta.powf(count)).sqrt() / (1.0 - alpha.powf(count)) } else { 1.0 };
    let rate = b.with(Zip::Multiply, call.tensor(0)?, factor)?;
    each(b, call, 4, |b, own| {
        let g = regular(b, own[0], own[1], coefficient)?;
        let mix = |b: &mut Builder<'_>, old: &Tensor, new: &Tensor, keep: f64| {
            let old = b.with(Zip::Multiply, old, keep)?;
            let new = b.with(Zip::Multiply, new, 1.0 - keep)?;
            b.add(&old, &new)
        };
        let v = mix(b, own[2], &g, alpha)?;
        let square = b.map(Map::Square, &g)?;
        let h = mix(b, own[3], &square, beta)?;
        let root = b.map(Map::Sqrt, &h)?;
        let root = b.with(Zip::Add, &root, eps)?;
        let step = b.mul(&rate, &v)?;
        let step = b.div(&step, &root)?;
        let x = b.sub(own[0], &step)?;
        Ok(vec![b.with(Zip::Multiply, &x, 1.0 - post)?, v, h])
    })
}
