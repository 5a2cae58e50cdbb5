//! Elements that are read or written at places which are data.

use super::{Array, Arrays, OpError};
use alloc::{format, vec::Vec};
use plan::array::Combine;

/// Operands 0 and 1: what is indexed, and the indices.
fn indexed(operands: &Arrays<'_>) -> Result<[Array; 2], OpError> {
    let (x, index) = (operands.array(0)?, operands.array(1)?);
    operands.typed(&index, "indices of I32 or I64", index.is_index())?;
    Ok([x, index])
}

pub(super) fn gather(operands: &Arrays<'_>, axis: u8, batch: u8) -> Result<Array, OpError> {
    let [x, index] = indexed(operands)?;
    let axis = operands.axis(axis, &x)?;
    let batch = usize::from(batch);
    let shared = batch <= axis && index.dims.get(..batch) == Some(&x.dims[..batch]);
    operands.require(shared, || {
        format!("{} and {} share no {batch} leading dimensions", x.dims, index.dims)
    })?;
    let mut dims = x.dims[..axis].to_vec();
    dims.extend_from_slice(&index.dims[batch..]);
    dims.extend_from_slice(&x.dims[axis + 1..]);
    operands.result(x.dtype, &dims)
}

/// Refuses indices that are larger than `x` beside `axis`.
fn along(operands: &Arrays<'_>, x: &Array, index: &Array, axis: u8) -> Result<(), OpError> {
    let axis = operands.axis(axis, x)?;
    let fits = index.dims.len() == x.dims.len()
        && (0..).zip(index.dims.iter().zip(x.dims.iter())).all(|(i, (a, b))| i == axis || a <= b);
    operands.require(fits, || {
        format!("indices {} reach beyond {} beside dimension {axis}", index.dims, x.dims)
    })
}

pub(super) fn gather_elements(operands: &Arrays<'_>, axis: u8) -> Result<Array, OpError> {
    let [x, index] = indexed(operands)?;
    along(operands, &x, &index, axis)?;
    operands.result(x.dtype, &index.dims)
}

/// The length of each index of `[…, k]`, at most the dimensions of `x` behind `batch`.
fn depth(operands: &Arrays<'_>, x: &Array, index: &Array, batch: usize) -> Result<usize, OpError> {
    let k = index.dims.dims().last().and_then(|&k| usize::try_from(k).ok());
    let k = k.filter(|&k| batch < index.dims.len() && batch + k <= x.dims.len());
    k.ok_or_else(|| operands.error(format!("indices {} do not point into {}", index.dims, x.dims)))
}

pub(super) fn gather_nd(operands: &Arrays<'_>, batch: u8) -> Result<Array, OpError> {
    let [x, index] = indexed(operands)?;
    let batch = usize::from(batch);
    let k = depth(operands, &x, &index, batch)?;
    operands.require(index.dims[..batch] == x.dims[..batch], || {
        format!("{} and {} share no {batch} leading dimensions", x.dims, index.dims)
    })?;
    let mut dims = index.dims[..index.dims.len() - 1].to_vec();
    dims.extend_from_slice(&x.dims[batch + k..]);
    operands.result(x.dtype, &dims)
}

/// Refuses updates of other types or extents, and sums of what is no number.
fn updates(
    operands: &Arrays<'_>,
    x: &Array,
    dims: &[u64],
    combine: Combine,
) -> Result<(), OpError> {
    operands.typed(x, "numbers", combine == Combine::Replace || x.is_number())?;
    operands.array(2)?;
    operands.optional_array_of(2, x.dtype, dims)
}

pub(super) fn scatter_elements(
    operands: &Arrays<'_>,
    axis: u8,
    combine: Combine,
) -> Result<Array, OpError> {
    let [x, index] = indexed(operands)?;
    along(operands, &x, &index, axis)?;
    updates(operands, &x, &index.dims, combine)?;
    operands.result(x.dtype, &x.dims)
}

pub(super) fn scatter_nd(operands: &Arrays<'_>, combine: Combine) -> Result<Array, OpError> {
    let [x, index] = indexed(operands)?;
    let k = depth(operands, &x, &index, 0)?;
    let mut dims = index.dims[..index.dims.len() - 1].to_vec();
    dims.extend_from_slice(&x.dims[k..]);
    updates(operands, &x, &dims, combine)?;
    operands.result(x.dtype, &x.dims)
}

pub(super) fn one_hot(operands: &Arrays<'_>, axis: u8, depth: u64) -> Result<Array, OpError> {
    let (index, values) = (operands.array(0)?, operands.array(1)?);
    operands.typed(&index, "numbers", index.is_number())?;
    operands
        .require(*values.dims == [2], || format!("off and on must be [2], are {}", values.dims))?;
    let axis = usize::from(axis);
    operands.require(axis <= index.dims.len(), || {
        format!("no dimension {axis} behind {}", index.dims)
    })?;
    let mut dims: Vec<u64> = index.dims.to_vec();
    dims.insert(axis, depth);
    operands.result(values.dtype, &dims)
}
