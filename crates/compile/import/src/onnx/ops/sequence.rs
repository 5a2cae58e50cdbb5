//! Sequences and optionals: lists that exist only while importing.

use super::{
    super::{
        call::{Call, Outputs, Value, one},
        importer::tensor,
    },
    movement::cuts,
    shape::extents,
};
use crate::network::{Builder, Fault, Tensor, emit::axis_of};
use std::rc::Rc;
use tensor::DType;

#[expect(clippy::unnecessary_wraps, reason = "the type of all operators' functions")]
pub(super) fn identity(_: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    Ok(vec![call.value(0).cloned().unwrap_or(Value::Nothing)])
}

fn list(call: &Call<'_>) -> Result<Vec<Value>, Fault> {
    match call.value(0) {
        Some(Value::Sequence(list)) => Ok(list.to_vec()),
        _ => Err(Fault::invalid("input 0 must be a sequence")),
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the tail of functions that can fail")]
fn sequence(list: Vec<Value>) -> Outputs {
    Ok(vec![Value::Sequence(Rc::new(list))])
}

pub(super) fn construct(_: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    sequence(call.inputs.iter().flatten().cloned().collect())
}

pub(super) fn empty(_: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    call.int("dtype", 1)?;
    sequence(Vec::new())
}

/// A place among `len`, counted from either end.
fn place(b: &mut Builder<'_>, position: &Tensor, len: usize) -> Result<usize, Fault> {
    let position = b.ints(position)?.first().copied().unwrap_or(0);
    axis_of(position, len)
        .map_err(|_| Fault::invalid(format!("position {position} of a sequence of {len}")))
}

pub(super) fn at(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let mut list = list(call)?;
    let place = place(b, call.tensor(1)?, list.len())?;
    Ok(vec![list.swap_remove(place)])
}

pub(super) fn erase(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let mut list = list(call)?;
    let place = match call.optional(1)? {
        Some(position) => place(b, position, list.len())?,
        None => list.len().checked_sub(1).ok_or_else(|| Fault::invalid("an empty sequence"))?,
    };
    list.remove(place);
    sequence(list)
}

pub(super) fn insert(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let mut list = list(call)?;
    let place = match call.optional(2)? {
        Some(position) => {
            let position = b.ints(position)?.first().copied().unwrap_or(0);
            // One more place than elements: behind the last.
            let len = list.len();
            if position == len.cast_signed() as i64 {
                len
            } else {
                axis_of(position, len)
                    .map_err(|_| Fault::invalid(format!("position {position} of {len}")))?
            }
        }
        None => list.len(),
    };
    let value = call.value(1).cloned().ok_or_else(|| Fault::invalid("input 1 is missing"))?;
    list.insert(place, value);
    sequence(list)
}

pub(super) fn length(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let len = list(call)?.len();
    one(b.integers(&[], &[len.cast_signed() as i64])?)
}

pub(super) fn split(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let x = call.tensor(0)?;
    let axis = x.axis(call.int("axis", 0)?)?;
    let keep = call.flag("keepdims", true)?;
    let extent = x.dims[axis];
    b.room(extent, DType::I64)?;
    let (sizes, keep) = match call.optional(1)? {
        None => (vec![1; usize::try_from(extent).unwrap_or(0)], keep),
        Some(split) => {
            let given = extents(&b.ints(split)?)?;
            let sizes = match (split.rank(), given.as_slice()) {
                (0, &[size]) if size > 0 => {
                    let count = extent.div_ceil(size);
                    (0..count).map(|i| size.min(extent - i * size)).collect()
                }
                (0, _) => return Err(Fault::invalid("parts of 0 elements")),
                _ => given,
            };
            (sizes, true)
        }
    };
    let mut parts = cuts(b, x, axis, &sizes)?;
    if !keep {
        for part in &mut parts {
            *part = b.squeeze(part, &[axis])?;
        }
    }
    sequence(parts.into_iter().map(Value::Tensor).collect())
}

pub(super) fn concat(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let parts: Vec<Tensor> =
        list(call)?.iter().map(|value| tensor(value).cloned()).collect::<Result<_, _>>()?;
    let rank = parts.first().map_or(0, Tensor::rank);
    let new_axis = call.flag("new_axis", false)?;
    let axis = axis_of(call.int("axis", 0)?, if new_axis { rank + 1 } else { rank })?;
    let mut joined = Vec::with_capacity(parts.len());
    for part in parts {
        joined.push(if new_axis { b.unsqueeze(&part, axis)? } else { part });
    }
    one(b.concat(&joined, axis)?)
}

#[expect(clippy::unnecessary_wraps, reason = "the type of all operators' functions")]
pub(super) fn optional(_: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    call.attribute("type");
    Ok(vec![call.value(0).cloned().unwrap_or(Value::Nothing)])
}

pub(super) fn optional_has(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let has = !matches!(call.value(0), None | Some(Value::Nothing));
    one(b.known(DType::Bool, &[], vec![u8::from(has)])?)
}

pub(super) fn optional_get(_: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    match call.value(0) {
        None | Some(Value::Nothing) => Err(Fault::invalid("the optional holds nothing")),
        Some(value) => Ok(vec![value.clone()]),
    }
}
