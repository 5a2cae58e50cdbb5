//! Elements in other places: orders, cuts, joins, borders.

use super::{
    super::call::{Call, Outputs, Value, one},
    shape::extents,
};
use crate::network::{Builder, Fault, Tensor, emit::axis_of};
use plan::{ArrayOp, array::PadMode};

pub(super) fn transpose(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let x = call.tensor(0)?;
    let order = match call.ints("perm")? {
        Some(perm) => perm.iter().map(|&i| x.axis(i)).collect::<Result<Vec<_>, _>>()?,
        None => (0..x.rank()).rev().collect(),
    };
    one(b.transpose(x, &order)?)
}

pub(super) fn concat(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let parts: Vec<Tensor> = call.tensors()?.into_iter().cloned().collect();
    let rank = parts.first().map_or(0, Tensor::rank);
    let axis = axis_of(call.int("axis", 1)?, rank)?;
    one(b.concat(&parts, axis)?)
}

pub(super) fn slice(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let x = call.tensor(0)?;
    let (starts, ends, axes, steps) = if call.version < 10 {
        let list = |list: Option<&[i64]>| list.map(<[i64]>::to_vec);
        let missing = || Fault::invalid("starts and ends are missing");
        let starts = list(call.ints("starts")?).ok_or_else(missing)?;
        let ends = list(call.ints("ends")?).ok_or_else(missing)?;
        (starts, ends, list(call.ints("axes")?), None)
    } else {
        let starts = b.ints(call.tensor(1)?)?;
        let ends = b.ints(call.tensor(2)?)?;
        let axes = call.optional(3)?.map(|axes| b.ints(axes)).transpose()?;
        let steps = call.optional(4)?.map(|steps| b.ints(steps)).transpose()?;
        (starts, ends, axes, steps)
    };
    let axes = axes.unwrap_or_else(|| (0i64..).take(starts.len()).collect());
    let steps = steps.unwrap_or_else(|| vec![1; starts.len()]);
    if [ends.len(), axes.len(), steps.len()].iter().any(|&len| len != starts.len()) {
        return Err(Fault::invalid("starts, ends, axes and steps are not equally many"));
    }
    let mut result = x.clone();
    for (i, &axis) in axes.iter().enumerate() {
        let axis = result.axis(axis)?;
        let (start, len) = cut(starts[i], ends[i], steps[i], result.dims[axis])?;
        result = b.slice(&result, axis, start, len, steps[i])?;
    }
    one(result)
}

/// First element and number of elements of a cut through `len` elements.
fn cut(start: i64, end: i64, step: i64, len: u64) -> Result<(u64, u64), Fault> {
    if step == 0 {
        return Err(Fault::invalid("a step of 0"));
    }
    let len = i64::try_from(len).map_err(|_| Fault::invalid("an extent above 2^63"))?;
    let from_end = |n: i64| if n < 0 { n.saturating_add(len) } else { n };
    let (low, high) = if step > 0 { (0, len) } else { (-1, len - 1) };
    let start = from_end(start).clamp(low.max(0), high.max(0));
    let end = from_end(end).clamp(low, high);
    let span = if step > 0 { end - start } else { start - end };
    let step = i64::try_from(step.unsigned_abs()).unwrap_or(i64::MAX);
    let count = if span <= 0 || len == 0 { 0 } else { (span - 1) / step + 1 };
    Ok((start.cast_unsigned(), count.cast_unsigned()))
}

pub(super) fn split(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let x = call.tensor(0)?;
    let axis = x.axis(call.int("axis", 0)?)?;
    let given = match call.version {
        ..=12 => call.ints("split")?.map(<[i64]>::to_vec),
        _ => call.optional(1)?.map(|sizes| b.ints(sizes)).transpose()?,
    };
    let parts = call.int("num_outputs", call.node.outputs.len().cast_signed() as i64)?;
    let sizes = match given {
        Some(sizes) => extents(&sizes)?,
        None => even(x.dims[axis], parts)?,
    };
    Ok(cuts(b, x, axis, &sizes)?.into_iter().map(Value::Tensor).collect())
}

/// An extent in equal parts; the last one takes what is left.
fn even(extent: u64, parts: i64) -> Result<Vec<u64>, Fault> {
    let parts = u64::try_from(parts).ok().filter(|&n| n > 0 && n <= 1 << 16);
    let parts = parts.ok_or_else(|| Fault::invalid("a number of parts out of range"))?;
    let size = extent.div_ceil(parts);
    Ok((0..parts).map(|i| size.min(extent.saturating_sub(i * size))).collect())
}

/// Consecutive parts of these sizes.
pub(super) fn cuts(
    b: &mut Builder<'_>,
    x: &Tensor,
    axis: usize,
    sizes: &[u64],
) -> Result<Vec<Tensor>, Fault> {
    let total = sizes.iter().try_fold(0u64, |sum, &size| sum.checked_add(size));
    if total != Some(x.dims[axis]) {
        return Err(Fault::invalid(format!("parts {sizes:?} of dimension {axis} of {}", x.dims)));
    }
    let mut start = 0;
    let mut parts = Vec::with_capacity(sizes.len());
    for &size in sizes {
        parts.push(b.slice(x, axis, start, size, 1)?);
        start += size;
    }
    Ok(parts)
}

pub(super) fn tile(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let x = call.tensor(0)?;
    let repeats = if call.version < 6 {
        let (times, axis) = (b.ints(call.tensor(1)?)?, b.ints(call.tensor(2)?)?);
        let axis = x.axis(axis.first().copied().unwrap_or(0))?;
        let mut repeats = vec![1; x.rank()];
        repeats[axis] = times.first().copied().unwrap_or(1);
        repeats
    } else {
        b.ints(call.tensor(1)?)?
    };
    let repeats = extents(&repeats)?;
    if repeats.len() != x.rank() {
        return Err(Fault::invalid(format!("{} repeats of {}", repeats.len(), x.dims)));
    }
    one(repeat(b, x, &repeats)?)
}

/// The whole array `repeats[i]` times along each dimension.
pub(super) fn repeat(b: &mut Builder<'_>, x: &Tensor, repeats: &[u64]) -> Result<Tensor, Fault> {
    let mut dims = x.dims.to_vec();
    let mut result = x.clone();
    for (axis, &times) in repeats.iter().enumerate().rev() {
        if times == 1 {
            continue;
        }
        let outer: u64 = dims[..axis].iter().product();
        let inner: u64 = dims[axis..].iter().product();
        let rows = b.reshape(&result, &[outer, 1, inner])?;
        let rows = b.expand(&rows, &[outer, times, inner])?;
        dims[axis] = dims[axis].saturating_mul(times);
        result = b.reshape(&rows, &dims)?;
    }
    Ok(result)
}

pub(super) fn pad(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let x = call.tensor(0)?;
    let mode = match call.text("mode", "constant")? {
        "constant" => PadMode::Constant,
        "edge" => PadMode::Edge,
        "reflect" => PadMode::Reflect,
        "wrap" => PadMode::Wrap,
        other => return Err(Fault::unsupported(format!("mode `{other}`"))),
    };
    let (amounts, value, axes) = if call.version < 11 {
        let pads = if call.version < 2 { call.ints("paddings")? } else { call.ints("pads")? };
        let pads = pads.map(<[i64]>::to_vec).unwrap_or_default();
        let value = b.scalar(x.dtype, f64::from(call.float("value", 0.0)?));
        (pads, Some(value), None)
    } else {
        let axes = call.optional(3)?.map(|axes| b.ints(axes)).transpose()?;
        (b.ints(call.tensor(1)?)?, call.optional(2)?.cloned(), axes)
    };
    let axes: Vec<usize> = match axes {
        Some(axes) => axes.iter().map(|&axis| x.axis(axis)).collect::<Result<_, _>>()?,
        None => (0..x.rank()).collect(),
    };
    if amounts.len() != 2 * axes.len() {
        return Err(Fault::invalid(format!("{} amounts for {} axes", amounts.len(), axes.len())));
    }
    let (mut before, mut after) = (vec![0; x.rank()], vec![0; x.rank()]);
    for (i, &axis) in axes.iter().enumerate() {
        before[axis] = amounts[i];
        after[axis] = amounts[axes.len() + i];
    }
    let value = value.map(|value| b.reshape(&value, &[])).transpose()?;
    let value = value.filter(|_| mode == PadMode::Constant);
    one(b.pad(x, mode, &before, &after, value.as_ref())?)
}

pub(super) fn center_crop_pad(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let x = call.tensor(0)?;
    let wanted = extents(&b.ints(call.tensor(1)?)?)?;
    let axes: Vec<usize> = match call.ints("axes")? {
        Some(axes) => axes.iter().map(|&axis| x.axis(axis)).collect::<Result<_, _>>()?,
        None => (0..x.rank()).collect(),
    };
    let mut result = x.clone();
    for (&axis, &want) in axes.iter().zip(&wanted) {
        let have = x.dims[axis];
        if want < have {
            result = b.slice(&result, axis, (have - want) / 2, want, 1)?;
        } else if want > have {
            let total = (want - have).cast_signed();
            let (mut before, mut after) = (vec![0; x.rank()], vec![0; x.rank()]);
            before[axis] = total / 2;
            after[axis] = total - total / 2;
            result = b.pad(&result, PadMode::Constant, &before, &after, None)?;
        }
    }
    one(result)
}

fn block(call: &Call<'_>, x: &Tensor) -> Result<(u64, [u64; 4]), Fault> {
    let block = u64::try_from(call.int("blocksize", 0)?).ok().filter(|n| (1..1 << 16).contains(n));
    let block = block.ok_or_else(|| Fault::invalid("blocksize must be above 0, below 2^16"))?;
    match &x.dims[..] {
        &[n, c, h, w] => Ok((block, [n, c, h, w])),
        _ => Err(Fault::invalid(format!("must have 4 dimensions, has {}", x.dims))),
    }
}

pub(super) fn depth_to_space(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let x = call.tensor(0)?;
    let (s, [n, c, h, w]) = block(call, x)?;
    let depth = c / (s * s);
    let result = match call.text("mode", "DCR")? {
        "DCR" => {
            let x = b.reshape(x, &[n, s, s, depth, h, w])?;
            b.transpose(&x, &[0, 3, 4, 1, 5, 2])?
        }
        "CRD" => {
            let x = b.reshape(x, &[n, depth, s, s, h, w])?;
            b.transpose(&x, &[0, 1, 4, 2, 5, 3])?
        }
        other => return Err(Fault::unsupported(format!("mode `{other}`"))),
    };
    one(b.reshape(&result, &[n, depth, h * s, w * s])?)
}

pub(super) fn space_to_depth(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let x = call.tensor(0)?;
    let (s, [n, c, h, w]) = block(call, x)?;
    let parts = b.reshape(x, &[n, c, h / s, s, w / s, s])?;
    let result = match call.text("mode", "DCR")? {
        "DCR" => b.transpose(&parts, &[0, 3, 5, 1, 2, 4])?,
        "CRD" => b.transpose(&parts, &[0, 1, 3, 5, 2, 4])?,
        other => return Err(Fault::unsupported(format!("mode `{other}`"))),
    };
    one(b.reshape(&result, &[n, c.saturating_mul(s * s), h / s, w / s])?)
}

pub(super) fn trilu(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let x = call.tensor(0)?;
    let upper = call.flag("upper", true)?;
    let k = match call.optional(1)? {
        Some(k) => b.ints(k)?.first().copied().unwrap_or(0),
        None => 0,
    };
    one(b.apply(ArrayOp::Triangle { upper, k }, &[Some(x)])?)
}
