//! Operators that give the same elements other extents, or tell extents.

use super::{Call, Outputs, extents, one};
use crate::network::{Builder, Fault};
use formats::tflite::options;
use tensor::DType;

pub(super) fn reshape(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let mut wanted = match call.optional(1)? {
        Some(_) => call.ints(b, 1)?,
        None => options::reshape(call.options())?.iter().map(i64::from).collect(),
    };
    let x = call.tensor(b, 0)?;
    // Old files write a scalar as one extent of 0.
    if wanted == [0] && x.elements() == 1 {
        wanted.clear();
    }
    let free = wanted.iter().filter(|&&n| n == -1).count();
    if free > 1 {
        return Err(Fault::invalid(format!("the shape {wanted:?} leaves two extents open")));
    }
    let known = wanted
        .iter()
        .filter(|&&n| n != -1)
        .fold(1u64, |product, &n| product.saturating_mul(u64::try_from(n).unwrap_or(0)));
    let rest = x.elements().checked_div(known).unwrap_or(0);
    for n in &mut wanted {
        if *n == -1 {
            *n = i64::try_from(rest).unwrap_or(i64::MAX);
        }
    }
    one(b.reshape(&x, &extents(&wanted)?)?)
}

pub(super) fn squeeze(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let x = call.tensor(b, 0)?;
    let named = options::squeeze(call.options())?;
    let axes: Vec<usize> = if named.is_empty() {
        (0..x.rank()).filter(|&axis| x.dims[axis] == 1).collect()
    } else {
        named.iter().map(|axis| x.axis(axis.into())).collect::<Result<_, _>>()?
    };
    one(b.squeeze(&x, &axes)?)
}

pub(super) fn expand_dims(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let x = call.tensor(b, 0)?;
    let axis = crate::network::emit::axis_of(call.int(b, 1)?, x.rank() + 1)?;
    one(b.unsqueeze(&x, axis)?)
}

/// Whole numbers of the type of output 0.
fn whole(b: &mut Builder<'_>, call: &Call<'_>, dims: &[u64], list: &[i64]) -> Outputs {
    let ty = call.output(0)?.ty;
    let to = ty.dtype().filter(|dtype| dtype.is_integer());
    let to = to.ok_or_else(|| Fault::unsupported(format!("extents of type {ty}")))?;
    let wide = b.integers(dims, list)?;
    one(b.cast(&wide, to)?)
}

pub(super) fn shape(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let dims = call.array(0)?.dims();
    let list: Vec<i64> = dims.iter().map(|&n| n.cast_signed()).collect();
    whole(b, call, &[list.len() as u64], &list)
}

pub(super) fn rank(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let rank = i64::try_from(call.array(0)?.rank()).unwrap_or(0);
    whole(b, call, &[], &[rank])
}

pub(super) fn broadcast_to(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let x = call.tensor(b, 0)?;
    let dims = extents(&call.ints(b, 1)?)?;
    one(b.expand(&x, &dims)?)
}

pub(super) fn broadcast_args(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let (x, y) = (extents(&call.ints(b, 0)?)?, extents(&call.ints(b, 1)?)?);
    let too_many = || Fault::unsupported("more than 8 dimensions");
    let x = tensor::Shape::new(&x).ok_or_else(too_many)?;
    let y = tensor::Shape::new(&y).ok_or_else(too_many)?;
    let list: Vec<i64> = b.broadcast(&x, &y)?.iter().map(|&n| n.cast_signed()).collect();
    whole(b, call, &[list.len() as u64], &list)
}

pub(super) fn fill(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let dims = extents(&call.ints(b, 0)?)?;
    let value = call.tensor(b, 1)?;
    one(b.expand(&value, &dims)?)
}

pub(super) fn zeros_like(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let x = call.array(0)?;
    one(b.filled(x.dtype(), &x.dims(), 0.0)?)
}

/// The most elements of a range.
const RANGE_MAX: u64 = 1 << 24;

pub(super) fn range(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let mut bounds = [0.0; 3];
    for (i, bound) in bounds.iter_mut().enumerate() {
        let tensor = call.tensor(b, i)?;
        *bound = b.floats(&tensor)?.first().copied().unwrap_or(0.0);
    }
    let [start, limit, step] = bounds;
    let dtype: DType = call.array(0)?.dtype();
    let count = ((limit - start) / step).ceil().max(0.0);
    if !count.is_finite() || count > RANGE_MAX as f64 {
        return Err(Fault::invalid(format!("a range from {start} to {limit} in steps of {step}")));
    }
    #[expect(clippy::cast_possible_truncation, reason = "checked against the most elements")]
    let list: Vec<f64> = (0..count as u32).map(|i| start + f64::from(i) * step).collect();
    one(b.numbers(dtype, &[list.len() as u64], &list)?)
}
