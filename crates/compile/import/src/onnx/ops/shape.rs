//! Extents: asking for them, changing them, and constants made from them.

use super::super::{
    call::{Call, Outputs, one},
    constant as stored,
};
use crate::network::{Builder, Constant, Fault, Tensor, emit::axis_of};
use formats::onnx::AttributeValue;
use plan::array::Zip;
use tensor::{DType, Shape};

/// The most elements of a range.
const RANGE_MAX: f64 = 268_435_456.0;

pub(super) fn constant(b: &mut Builder<'_>, call: &Call<'_>, file: &[u8]) -> Outputs {
    if let Some(tensor) = call.stored("value")? {
        return one(stored::constant(file, tensor)?);
    }
    match call.attribute("sparse_value") {
        Some(AttributeValue::SparseTensor(tensor)) => return one(stored::sparse(b, tensor)?),
        None => {}
        Some(_) => return Err(Fault::invalid("attribute `sparse_value` must be sparse")),
    }
    if let Some(AttributeValue::Float(value)) = call.attribute("value_float") {
        return one(b.scalar(DType::F32, f64::from(*value)));
    }
    if let Some(AttributeValue::Int(value)) = call.attribute("value_int") {
        return one(b.integers(&[], &[*value])?);
    }
    if let Some(list) = call.floats("value_floats")? {
        let numbers: Vec<f64> = list.iter().map(|&x| f64::from(x)).collect();
        return one(b.numbers(DType::F32, &[list.len() as u64], &numbers)?);
    }
    if let Some(list) = call.ints("value_ints")? {
        return one(b.integers(&[list.len() as u64], list)?);
    }
    for name in ["value_string", "value_strings"] {
        if call.attribute(name).is_some() {
            return Err(Fault::unsupported("strings"));
        }
    }
    Err(Fault::invalid("there is no value"))
}

pub(super) fn constant_of_shape(b: &mut Builder<'_>, call: &Call<'_>, file: &[u8]) -> Outputs {
    let dims = extents(&b.ints(call.tensor(0)?)?)?;
    let value = match call.stored("value")? {
        Some(tensor) => stored::constant(file, tensor)?,
        None => b.scalar(DType::F32, 0.0),
    };
    if value.elements() != 1 {
        return Err(Fault::invalid(format!("the value has extents {}", value.dims)));
    }
    let one_element = b.bytes(&value)?;
    let mut splat = [0; 8];
    splat[..one_element.len()].copy_from_slice(&one_element);
    let empty = b.filled(value.dtype, &dims, 0.0)?;
    if empty.elements() == 0 {
        return one(empty.narrowed(value.narrow));
    }
    let shape = empty.dims;
    one(Tensor::of(value.dtype, shape, Constant::Splat(splat)).narrowed(value.narrow))
}

/// Extents out of whole numbers.
pub(super) fn extents(list: &[i64]) -> Result<Vec<u64>, Fault> {
    list.iter()
        .map(|&n| u64::try_from(n).map_err(|_| Fault::invalid(format!("an extent of {n}"))))
        .collect()
}

pub(super) fn shape(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let x = call.tensor(0)?;
    let rank = x.rank().cast_signed();
    let clamp = |n: i64| {
        let n = isize::try_from(n).unwrap_or(if n < 0 { isize::MIN } else { isize::MAX });
        let n = if n < 0 { n.saturating_add(rank) } else { n };
        n.clamp(0, rank).cast_unsigned()
    };
    let start = clamp(call.int("start", 0)?);
    let end = clamp(call.int("end", i64::MAX)?).max(start);
    let list: Vec<i64> = x.dims[start..end].iter().map(|n| n.cast_signed()).collect();
    one(b.integers(&[list.len() as u64], &list)?)
}

pub(super) fn size(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let elements = call.tensor(0)?.elements().cast_signed();
    one(b.integers(&[], &[elements])?)
}

pub(super) fn reshape(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let x = call.tensor(0)?;
    let wanted = match call.version {
        ..=4 => call.ints("shape")?.map(<[i64]>::to_vec).unwrap_or_default(),
        _ => b.ints(call.tensor(1)?)?,
    };
    let allow_zero = call.flag("allowzero", false)?;
    let mut dims = Vec::with_capacity(wanted.len());
    let mut open = None;
    for (i, &n) in wanted.iter().enumerate() {
        dims.push(match n {
            0 if !allow_zero => x.dims.get(i).copied().ok_or_else(|| {
                Fault::invalid(format!("shape {wanted:?} copies dimension {i} of {}", x.dims))
            })?,
            -1 if open.is_none() => {
                open = Some(i);
                1
            }
            n => u64::try_from(n).map_err(|_| Fault::invalid(format!("shape {wanted:?}")))?,
        });
    }
    if let Some(open) = open {
        let rest = dims.iter().try_fold(1u64, |n, &dim| n.checked_mul(dim)).unwrap_or(0);
        dims[open] = x.elements().checked_div(rest).unwrap_or(0);
    }
    one(b.reshape(x, &dims)?)
}

pub(super) fn flatten(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let x = call.tensor(0)?;
    let axis = call.int("axis", 1)?;
    let axis =
        if usize::try_from(axis) == Ok(x.rank()) { x.rank() } else { axis_of(axis, x.rank())? };
    one(b.reshape(x, &[x.span(0..axis), x.span(axis..x.rank())])?)
}

/// Axes from an attribute before `version`, from input 1 since then.
pub(super) fn axes(
    b: &mut Builder<'_>,
    call: &Call<'_>,
    version: i64,
) -> Result<Option<Vec<i64>>, Fault> {
    if call.version < version {
        return Ok(call.ints("axes")?.map(<[i64]>::to_vec));
    }
    match call.optional(1)? {
        Some(axes) => Ok(Some(b.ints(axes)?)),
        None => Ok(None),
    }
}

pub(super) fn squeeze(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let x = call.tensor(0)?;
    let axes = match axes(b, call, 13)? {
        Some(axes) => axes.iter().map(|&axis| x.axis(axis)).collect::<Result<_, _>>()?,
        None => (0..x.rank()).filter(|&i| x.dims[i] == 1).collect::<Vec<_>>(),
    };
    if let Some(&axis) = axes.iter().find(|&&axis| x.dims[axis] != 1) {
        return Err(Fault::invalid(format!("dimension {axis} of {} is not 1", x.dims)));
    }
    one(b.squeeze(x, &axes)?)
}

pub(super) fn unsqueeze(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let x = call.tensor(0)?;
    let axes = axes(b, call, 13)?.ok_or_else(|| Fault::invalid("axes are missing"))?;
    let rank = x.rank() + axes.len();
    let mut axes: Vec<usize> =
        axes.iter().map(|&axis| axis_of(axis, rank)).collect::<Result<_, _>>()?;
    axes.sort_unstable();
    if axes.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(Fault::invalid(format!("axes {axes:?} name a dimension twice")));
    }
    let mut dims = x.dims.to_vec();
    for axis in axes {
        dims.insert(axis, 1);
    }
    one(b.reshape(x, &dims)?)
}

pub(super) fn expand(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let x = call.tensor(0)?;
    let dims = extents(&b.ints(call.tensor(1)?)?)?;
    let other = Shape::new(&dims).ok_or_else(|| Fault::unsupported("more than 8 dimensions"))?;
    let dims = b.broadcast(&x.dims, &other)?;
    one(b.expand(x, &dims)?)
}

pub(super) fn range(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let (start, limit, delta) = (call.tensor(0)?, call.tensor(1)?, call.tensor(2)?);
    call.int("stash_type", 1)?;
    let dtype = start.dtype;
    let mut one_of = |x: &Tensor| {
        let list = b.floats(x)?;
        match list.as_slice() {
            [one] => Ok(*one),
            _ => Err(Fault::invalid("bounds of a range must be single numbers")),
        }
    };
    let (start, limit, delta) = (one_of(start)?, one_of(limit)?, one_of(delta)?);
    let count = ((limit - start) / delta).ceil().max(0.0);
    if !count.is_finite() || count > RANGE_MAX {
        return Err(Fault::invalid(format!("a range of {count} numbers")));
    }
    #[expect(clippy::cast_possible_truncation, reason = "bounded above")]
    let count = count as u64;
    b.room(count, DType::F64)?;
    let numbers: Vec<f64> = (0..count).map(|i| start + i as f64 * delta).collect();
    one(b.numbers(dtype, &[numbers.len() as u64], &numbers)?)
}

pub(super) fn eye_like(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let x = call.tensor(0)?;
    let dtype = match call.int("dtype", 0)? {
        0 => x.dtype,
        code => stored::element(super::elementwise::code(code)?)?.0,
    };
    let &[rows, columns] = &x.dims[..] else {
        return Err(Fault::invalid(format!("must have 2 dimensions, has {}", x.dims)));
    };
    let k = call.int("k", 0)?;
    b.room(rows.saturating_add(columns), DType::I64)?;
    // A comparison of two ranges, so that a large one is never written out.
    let row: Vec<i64> = (0..rows.cast_signed()).map(|i| i.saturating_add(k)).collect();
    let column: Vec<i64> = (0..columns.cast_signed()).collect();
    let row = b.integers(&[rows, 1], &row)?;
    let column = b.integers(&[columns], &column)?;
    let equal = b.zip(Zip::Equal, &row, &column)?;
    one(b.cast(&equal, dtype)?)
}
