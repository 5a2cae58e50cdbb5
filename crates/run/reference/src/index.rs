//! Elements that are read or written at places which are data. An index outside of its array is
//! the one fault that only a run can find; negative ones count from the end.

use crate::number::{Numbers, Store, Wide, by_domain, load, store};
use crate::walk::{Out, Strides, coordinates, dense, place, size};
use crate::{Fault, Inputs};
use plan::array::Combine;
use tensor::TensorRef;

/// An index as a place among `extent`.
fn resolve(index: i128, extent: u64) -> Result<usize, Fault> {
    let from_end = if index < 0 { index + i128::from(extent) } else { index };
    if (0..i128::from(extent)).contains(&from_end) {
        return Ok(size(from_end.unsigned_abs().try_into().unwrap_or(u64::MAX)));
    }
    let index = i64::try_from(index).unwrap_or(if index < 0 { i64::MIN } else { i64::MAX });
    Err(Fault::Index { index, extent })
}

fn product(dims: &[u64]) -> usize {
    dims.iter().map(|&dim| size(dim)).product()
}

/// Copies element after element; `source` says which.
fn pick(
    out: &mut Out<'_>,
    x: &TensorRef<'_>,
    source: impl Fn(usize) -> Result<usize, Fault>,
) -> Result<(), Fault> {
    let width = size(out.dtype.bytes());
    let from = x.bytes();
    for (i, to) in (out.first..).zip(out.bytes.chunks_exact_mut(width)) {
        to.copy_from_slice(&from[source(i)? * width..][..width]);
    }
    Ok(())
}

pub(crate) fn gather(
    axis: u8,
    batch: u8,
    inputs: &Inputs<'_, '_>,
    out: &mut Out<'_>,
) -> Result<(), Fault> {
    let (x, index) = (inputs.at(0), inputs.at(1));
    let (axis, batch) = (usize::from(axis), usize::from(batch));
    let (dims, extent) = (x.shape(), x.shape()[axis]);
    let inner = product(&dims[axis + 1..]);
    let each = product(&index.shape()[batch..]);
    let between = product(&dims[batch..axis]);
    let numbers: Numbers<'_, i128> = Numbers::of(index);
    pick(out, &x, |i| {
        let (rest, column) = (i / inner, i % inner);
        let (outer, which) = (rest / each, rest % each);
        let at = resolve(numbers.at(outer / between * each + which), extent)?;
        Ok((outer * size(extent) + at) * inner + column)
    })
}

/// Place in an array with these steps of coordinates whose dimension `axis` is replaced.
fn along(at: &[usize], steps: &Strides, axis: usize, index: usize) -> usize {
    let at = |d| if d == axis { index } else { at[d] };
    (0..steps.len()).map(|d| at(d) * place(steps[d])).sum()
}

pub(crate) fn gather_elements(
    axis: u8,
    inputs: &Inputs<'_, '_>,
    out: &mut Out<'_>,
) -> Result<(), Fault> {
    let (x, index) = (inputs.at(0), inputs.at(1));
    let axis = usize::from(axis);
    let (steps, extent, dims) = (dense(&x.shape()), x.shape()[axis], out.dims);
    let numbers: Numbers<'_, i128> = Numbers::of(index);
    pick(out, &x, |i| {
        let at = resolve(numbers.at(i), extent)?;
        Ok(along(&coordinates(&dims, i), &steps, axis, at))
    })
}

/// The place that a row of indices names, in dimensions of `dims` from `batch` on.
fn point(
    numbers: &Numbers<'_, i128>,
    row: usize,
    k: usize,
    dims: &[u64],
    steps: &[isize],
) -> Result<usize, Fault> {
    (0..k).try_fold(0, |sum, j| {
        Ok(sum + resolve(numbers.at(row * k + j), dims[j])? * place(steps[j]))
    })
}

pub(crate) fn gather_nd(
    batch: u8,
    inputs: &Inputs<'_, '_>,
    out: &mut Out<'_>,
) -> Result<(), Fault> {
    let (x, index) = (inputs.at(0), inputs.at(1));
    let batch = usize::from(batch);
    let k = size(index.shape().last());
    let (dims, steps) = (x.shape(), dense(&x.shape()));
    let inner = product(&dims[batch + k..]);
    let rows = &index.shape()[batch..index.shape().len() - 1];
    let per_batch = product(rows);
    let batch_step = product(&dims[batch..]);
    let numbers: Numbers<'_, i128> = Numbers::of(index);
    pick(out, &x, |i| {
        let (row, column) = (i / inner, i % inner);
        let at = point(&numbers, row, k, &dims[batch..], &steps[batch..])?;
        Ok(row / per_batch * batch_step + at + column)
    })
}

/// Writes updates over what is there.
struct Updates<W> {
    combine: Combine,
    load: fn(&[u8], usize) -> W,
    store: Store<W>,
}

impl<W: Wide + core::ops::Add<Output = W> + core::ops::Mul<Output = W>> Updates<W> {
    fn write(&self, bytes: &mut [u8], i: usize, new: W) {
        let old = (self.load)(bytes, i);
        let value = match self.combine {
            Combine::Replace => new,
            Combine::Add => old + new,
            Combine::Multiply => old * new,
            Combine::Min => {
                if new < old {
                    new
                } else {
                    old
                }
            }
            Combine::Max => {
                if new > old {
                    new
                } else {
                    old
                }
            }
        };
        (self.store)(bytes, i, value);
    }
}

pub(crate) fn scatter_elements(
    axis: u8,
    combine: Combine,
    inputs: &Inputs<'_, '_>,
    out: &mut Out<'_>,
) -> Result<(), Fault> {
    let (x, index, new) = (inputs.at(0), inputs.at(1), inputs.at(2));
    out.bytes.copy_from_slice(x.bytes());
    let axis = usize::from(axis);
    let (steps, extent, dims) = (dense(&x.shape()), x.shape()[axis], index.shape());
    let numbers: Numbers<'_, i128> = Numbers::of(index);
    by_domain!(out.dtype, W => {
        let new: Numbers<'_, W> = Numbers::of(new);
        let updates = Updates { combine, load: load(out.dtype), store: store(out.dtype) };
        for i in 0..product(&dims) {
            let at = resolve(numbers.at(i), extent)?;
            let to = along(&coordinates(&dims, i), &steps, axis, at);
            updates.write(out.bytes, to, new.at(i));
        }
    });
    Ok(())
}

pub(crate) fn scatter_nd(
    combine: Combine,
    inputs: &Inputs<'_, '_>,
    out: &mut Out<'_>,
) -> Result<(), Fault> {
    let (x, index, new) = (inputs.at(0), inputs.at(1), inputs.at(2));
    out.bytes.copy_from_slice(x.bytes());
    let k = size(index.shape().last());
    let (dims, steps) = (x.shape(), dense(&x.shape()));
    let inner = product(&dims[k..]);
    let rows = product(&index.shape()[..index.shape().len() - 1]);
    let numbers: Numbers<'_, i128> = Numbers::of(index);
    by_domain!(out.dtype, W => {
        let new: Numbers<'_, W> = Numbers::of(new);
        let updates = Updates { combine, load: load(out.dtype), store: store(out.dtype) };
        for row in 0..rows {
            let to = point(&numbers, row, k, &dims, &steps)?;
            for j in 0..inner {
                updates.write(out.bytes, to + j, new.at(row * inner + j));
            }
        }
    });
    Ok(())
}

pub(crate) fn unpool(inputs: &Inputs<'_, '_>, out: &mut Out<'_>) -> Result<(), Fault> {
    let (x, index) = (inputs.at(0), inputs.at(1));
    let width = size(out.dtype.bytes());
    let numbers: Numbers<'_, i128> = Numbers::of(index);
    out.bytes.fill(0);
    let extent = out.len() as u64;
    for (i, from) in x.bytes().chunks_exact(width).enumerate() {
        let at = resolve(numbers.at(i), extent)?;
        out.bytes[at * width..][..width].copy_from_slice(from);
    }
    Ok(())
}

pub(crate) fn one_hot(axis: u8, inputs: &Inputs<'_, '_>, out: &mut Out<'_>) {
    let (index, values) = (inputs.at(0), inputs.at(1));
    let axis = usize::from(axis);
    let depth = out.dims[axis];
    let inner = product(&out.dims[axis + 1..]);
    let width = size(out.dtype.bytes());
    let (off, on) = values.bytes().split_at(width);
    let numbers: Numbers<'_, i128> = Numbers::of(index);
    for (i, to) in (out.first..).zip(out.bytes.chunks_exact_mut(width)) {
        let (outer, at) = (i / inner / size(depth), i / inner % size(depth));
        // An index outside of the depth lights nothing.
        let lit = resolve(numbers.at(outer * inner + i % inner), depth) == Ok(at);
        to.copy_from_slice(if lit { on } else { off });
    }
}
