//! Statistics over dimensions, running sums, positions of extremes.

use super::{
    super::call::{Call, Outputs, one},
    shape::axes,
};
use crate::network::{Builder, Fault, Tensor, emit::dim};
use plan::{ArrayOp, array::ReduceKind};
use tensor::DType;

pub(super) fn reduce(b: &mut Builder<'_>, call: &Call<'_>, kind: ReduceKind) -> Outputs {
    let x = call.tensor(0)?;
    let since = if kind == ReduceKind::Sum { 13 } else { 18 };
    let axes = axes(b, call, since)?.unwrap_or_default();
    let keep = call.flag("keepdims", true)?;
    let empty_is_none = call.flag("noop_with_empty_axes", false)?;
    let axes: Vec<usize> = if !axes.is_empty() {
        axes.iter().map(|&axis| x.axis(axis)).collect::<Result<_, _>>()?
    } else if empty_is_none {
        Vec::new()
    } else {
        (0..x.rank()).collect()
    };
    // Of truth values, the largest is whether any is true.
    let kind = match (kind, x.dtype) {
        (ReduceKind::Max, DType::Bool) => ReduceKind::Any,
        (ReduceKind::Min, DType::Bool) => ReduceKind::All,
        (kind, _) => kind,
    };
    one(b.reduce(kind, x, &axes, keep)?)
}

/// Positions of the largest or smallest along an axis.
pub(super) fn position(
    b: &mut Builder<'_>,
    x: &Tensor,
    axis: usize,
    (largest, last): (bool, bool),
    keep: bool,
) -> Result<Tensor, Fault> {
    let op = ArrayOp::ArgReduce { largest, axis: dim(axis), last };
    let kept = b.apply(op, &[Some(x)])?;
    if keep { Ok(kept) } else { b.squeeze(&kept, &[axis]) }
}

fn arg(b: &mut Builder<'_>, call: &Call<'_>, largest: bool) -> Outputs {
    let x = call.tensor(0)?;
    let axis = x.axis(call.int("axis", 0)?)?;
    let keep = call.flag("keepdims", true)?;
    let last = call.flag("select_last_index", false)?;
    one(position(b, x, axis, (largest, last), keep)?)
}

pub(super) fn arg_max(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    arg(b, call, true)
}

pub(super) fn arg_min(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    arg(b, call, false)
}

fn accumulate(b: &mut Builder<'_>, call: &Call<'_>, product: bool) -> Outputs {
    let x = call.tensor(0)?;
    let axis = b.ints(call.tensor(1)?)?.first().copied().unwrap_or(0);
    let op = ArrayOp::Accumulate {
        product,
        axis: dim(x.axis(axis)?),
        exclusive: call.flag("exclusive", false)?,
        reverse: call.flag("reverse", false)?,
    };
    one(b.apply(op, &[Some(x)])?)
}

pub(super) fn cum_sum(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    accumulate(b, call, false)
}

pub(super) fn cum_prod(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    accumulate(b, call, true)
}
