//! Branches and loops. A condition that is not known is run for; loops are unrolled, iteration by
//! iteration, so that extents may change from one to the next.

use super::super::{
    call::{Call, Value},
    importer::{Halt, Importer, tensor},
};
use crate::network::{Fault, Tensor, emit::axis_of};
use formats::onnx::{Dim, Graph, Type};
use std::rc::Rc;
use tensor::DType;

type Values = Result<Vec<Value>, Halt>;

/// Iterations of one loop, which are all unrolled.
const TRIPS_MAX: i64 = 1 << 16;

pub(super) fn conditional<'a>(importer: &mut Importer<'a, '_>, call: &Call<'a>) -> Values {
    let branches = (call.graph("then_branch")?, call.graph("else_branch")?);
    let holds = importer.builder.ints(call.tensor(0)?)?;
    let &[holds] = holds.as_slice() else {
        return Err(Fault::invalid("a condition must be one truth value").into());
    };
    let branch = if holds != 0 { branches.0 } else { branches.1 };
    Ok(importer.graph(branch, Vec::new())?)
}

pub(super) fn repeat<'a>(importer: &mut Importer<'a, '_>, call: &Call<'a>) -> Values {
    let body = call.graph("body")?;
    let trips = match call.optional(0)? {
        Some(trips) => importer.builder.ints(trips)?.first().copied().unwrap_or(0),
        None => i64::MAX,
    };
    let mut condition = call.optional(1)?.cloned();
    let mut carried: Vec<Value> =
        call.inputs.iter().skip(2).map(|value| value.clone().unwrap_or(Value::Nothing)).collect();
    let scans = body.outputs.len().checked_sub(1 + carried.len());
    let scans = scans.ok_or_else(|| Fault::invalid("the body gives too few values"))?;
    let mut collected: Vec<Vec<Tensor>> = vec![Vec::new(); scans];
    for trip in 0..trips.max(0) {
        if trip >= TRIPS_MAX {
            return Err(Fault::invalid(format!("more than {TRIPS_MAX} iterations")).into());
        }
        if let Some(condition) = &condition
            && importer.builder.ints(condition)?.first() == Some(&0)
        {
            break;
        }
        let number = importer.builder.integers(&[], &[trip])?;
        let go_on = match &condition {
            Some(condition) => condition.clone(),
            None => importer.builder.filled(DType::Bool, &[], 1.0)?,
        };
        let args = [number.into(), go_on.into()].into_iter().chain(carried).map(Some).collect();
        let mut values = importer.graph(body, args)?.into_iter();
        let next = values.next().ok_or_else(|| Fault::invalid("the body gives nothing"))?;
        // Without a condition from outside, the body's own still counts.
        condition = Some(tensor(&next)?.clone());
        carried = values.by_ref().take(body.outputs.len() - 1 - scans).collect();
        for (list, value) in collected.iter_mut().zip(values) {
            let value = tensor(&value)?;
            list.push(importer.builder.unsqueeze(value, 0)?);
        }
    }
    for (list, output) in collected.into_iter().zip(&body.outputs[1 + carried.len()..]) {
        let joined = if list.is_empty() {
            nothing(importer, &output.ty)?
        } else {
            importer.builder.concat(&list, 0)?
        };
        carried.push(joined.into());
    }
    Ok(carried)
}

/// What a loop collected in no iteration: no rows of the declared kind.
fn nothing(importer: &mut Importer<'_, '_>, ty: &Type<'_>) -> Result<Tensor, Fault> {
    let Type::Tensor { element: Some(element), shape } = ty else {
        return Err(Fault::invalid("a loop without iterations gives values of unknown type"));
    };
    let extent = |dim: &Dim<'_>| match dim {
        Dim::Known(n) => *n,
        Dim::Named(_) | Dim::Unknown => 0,
    };
    let dims: Vec<u64> = std::iter::once(0).chain(shape.iter().flatten().map(extent)).collect();
    let (dtype, _) = super::super::constant::element(*element)?;
    importer.builder.filled(dtype, &dims, 0.0)
}

pub(super) fn scan<'a>(importer: &mut Importer<'a, '_>, call: &Call<'a>) -> Values {
    let body = call.graph("body")?;
    let count = usize::try_from(call.int("num_scan_inputs", 0)?).unwrap_or(0);
    if call.version >= 9 {
        let inputs = call.tensors()?.into_iter().cloned().collect();
        return Ok(outputs(scanned(importer, call, body, (inputs, count))?));
    }
    // Opset 8: a leading batch dimension that is walked from outside, and lengths.
    call.ints("directions")?;
    if call.optional(0)?.is_some() {
        return Err(Fault::unsupported("lengths of sequences").into());
    }
    let all: Vec<&Tensor> =
        (1..call.inputs.len()).map(|i| call.tensor(i)).collect::<Result<_, _>>()?;
    let batch = all.first().and_then(|x| x.dims.first().copied()).unwrap_or(0);
    let mut results: Vec<Vec<Tensor>> = Vec::new();
    for row in 0..batch {
        let mut own = Vec::with_capacity(all.len());
        for x in &all {
            let part = importer.builder.slice(x, 0, row, 1, 1)?;
            own.push(importer.builder.squeeze(&part, &[0])?);
        }
        for (i, value) in scanned(importer, call, body, (own, count))?.into_iter().enumerate() {
            if results.len() <= i {
                results.push(Vec::new());
            }
            results[i].push(importer.builder.unsqueeze(&value, 0)?);
        }
    }
    let mut joined = Vec::with_capacity(results.len());
    for list in results {
        joined.push(importer.builder.concat(&list, 0)?);
    }
    Ok(outputs(joined))
}

fn outputs(list: Vec<Tensor>) -> Vec<Value> {
    list.into_iter().map(Value::Tensor).collect()
}

/// Runs a body over slices of the last `count` of these inputs.
fn scanned<'a>(
    importer: &mut Importer<'a, '_>,
    call: &Call<'a>,
    body: &'a Graph<'a>,
    (mut inputs, count): (Vec<Tensor>, usize),
) -> Result<Vec<Tensor>, Halt> {
    let states = inputs.len().checked_sub(count).filter(|_| count > 0);
    let states = states.ok_or_else(|| Fault::invalid("num_scan_inputs is out of range"))?;
    let numbers = |name: &'static str| call.ints(name).map(Option::unwrap_or_default);
    let (in_axes, out_axes) = (numbers("scan_input_axes")?, numbers("scan_output_axes")?);
    let in_turns = match call.version {
        ..=8 => numbers("directions")?,
        _ => numbers("scan_input_directions")?,
    };
    let out_turns = numbers("scan_output_directions")?;
    let sequences = inputs.split_off(states);
    let mut carried = inputs;
    let at = |list: &[i64], i: usize| list.get(i).copied().unwrap_or(0);
    let axes: Vec<usize> = sequences
        .iter()
        .enumerate()
        .map(|(i, x)| x.axis(at(in_axes, i)))
        .collect::<Result<_, _>>()?;
    let steps = sequences[0].dims[axes[0]];
    if sequences.iter().zip(&axes).any(|(x, &axis)| x.dims[axis] != steps) {
        return Err(Fault::invalid("sequences of different lengths").into());
    }
    let scans = body.outputs.len().checked_sub(states);
    let scans = scans.ok_or_else(|| Fault::invalid("the body gives too few values"))?;
    let mut collected: Vec<Vec<Tensor>> = vec![Vec::new(); scans];
    for step in 0..steps {
        let mut args: Vec<Option<Value>> = carried.drain(..).map(|x| Some(x.into())).collect();
        for (i, (x, &axis)) in sequences.iter().zip(&axes).enumerate() {
            let place = if at(in_turns, i) == 0 { step } else { steps - 1 - step };
            let part = importer.builder.slice(x, axis, place, 1, 1)?;
            args.push(Some(importer.builder.squeeze(&part, &[axis])?.into()));
        }
        let values = importer.graph(body, args)?;
        for (i, value) in values.iter().enumerate() {
            let value = tensor(value)?;
            match i.checked_sub(states) {
                None => carried.push(value.clone()),
                Some(scan) => {
                    let axis = axis_of(at(out_axes, scan), value.rank() + 1)?;
                    collected[scan].push(importer.builder.unsqueeze(value, axis)?);
                }
            }
        }
    }
    for (i, mut list) in collected.into_iter().enumerate() {
        if at(out_turns, i) != 0 {
            list.reverse();
        }
        let joined = match list.first() {
            None => nothing(importer, &body.outputs[states + i].ty)?,
            Some(first) => {
                let axis = axis_of(at(out_axes, i), first.rank())?;
                importer.builder.concat(&list, axis)?
            }
        };
        carried.push(joined);
    }
    Ok(carried)
}

pub(super) fn sequence_map<'a>(importer: &mut Importer<'a, '_>, call: &Call<'a>) -> Values {
    let body = call.graph("body")?;
    let Some(Value::Sequence(first)) = call.value(0) else {
        return Err(Fault::invalid("input 0 must be a sequence").into());
    };
    let mut results: Vec<Vec<Value>> = vec![Vec::new(); body.outputs.len()];
    for i in 0..first.len() {
        let args = call
            .inputs
            .iter()
            .map(|value| match value {
                Some(Value::Sequence(list)) => list.get(i).cloned(),
                other => other.clone(),
            })
            .collect();
        for (list, value) in results.iter_mut().zip(importer.graph(body, args)?) {
            list.push(value);
        }
    }
    Ok(results.into_iter().map(|list| Value::Sequence(Rc::new(list))).collect())
}
