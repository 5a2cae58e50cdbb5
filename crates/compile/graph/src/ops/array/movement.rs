//! What moves elements without computing with them.

use super::{Array, Arrays, OpError};
use alloc::{format, vec::Vec};
use plan::array::{Pad, PadMode, View};
use tensor::Shape;

pub(super) fn reshape(operands: &Arrays<'_>, dims: Shape) -> Result<Array, OpError> {
    let x = operands.array(0)?;
    operands.require(dims.elements() == x.dims.elements(), || {
        format!("{} cannot become {dims}", x.dims)
    })?;
    operands.result(x.dtype, &dims)
}

pub(super) fn view(operands: &Arrays<'_>, view: &View) -> Result<Array, OpError> {
    let x = operands.array(0)?;
    let ty = operands.result(x.dtype, &view.dims)?;
    operands.require(view.strides.len() == view.dims.len(), || {
        format!("{} strides for {} dimensions", view.strides.len(), view.dims.len())
    })?;
    if view.dims.elements() != Some(0) {
        // The lowest and the highest place that is read.
        let (mut low, mut high) = (i128::from(view.offset), i128::from(view.offset));
        for (&dim, &stride) in view.dims.iter().zip(view.strides.iter()) {
            let reach = i128::from(stride) * i128::from(dim - 1);
            *(if reach < 0 { &mut low } else { &mut high }) += reach;
        }
        let have = x.dims.elements().unwrap_or(0);
        operands.require(low >= 0 && high < i128::from(have), || {
            format!("reads elements {low} to {high} of {have}")
        })?;
    }
    Ok(ty)
}

pub(super) fn concat(operands: &Arrays<'_>, axis: u8) -> Result<Array, OpError> {
    let first = operands.array(0)?;
    let axis = operands.axis(axis, &first)?;
    let mut dims: Vec<u64> = first.dims.to_vec();
    for i in 1..operands.list.len() {
        let next = operands.array(i)?;
        operands.same_type(&first, &next)?;
        let fits = next.dims.len() == dims.len()
            && (0..).zip(next.dims.iter().zip(&dims)).all(|(j, (a, b))| j == axis || a == b);
        operands.require(fits, || {
            format!("{} and {} do not follow each other along {axis}", first.dims, next.dims)
        })?;
        // Both are at most 2^40, and there are fewer than 2^23 operands in any memory.
        dims[axis] = dims[axis].saturating_add(next.dims[axis]);
    }
    operands.result(first.dtype, &dims)
}

pub(super) fn pad(operands: &Arrays<'_>, pad: &Pad) -> Result<Array, OpError> {
    let x = operands.array(0)?;
    if let Some(value) = operands.optional_array(1)? {
        operands.same_type(&x, &value)?;
        operands.require(value.dims.elements() == Some(1), || {
            format!("the value must be one element, is {}", value.dims)
        })?;
    }
    let rank = x.dims.len();
    operands.require(pad.before.len() == rank && pad.after.len() == rank, || {
        format!("{} and {} amounts for {rank} dimensions", pad.before.len(), pad.after.len())
    })?;
    let mut dims = Vec::with_capacity(rank);
    for (&dim, (&before, &after)) in x.dims.iter().zip(pad.before.iter().zip(pad.after.iter())) {
        let cropped = u64::try_from(dim.cast_signed().saturating_add(before).saturating_add(after));
        let within = before >= -dim.cast_signed() && after >= -dim.cast_signed();
        let source = pad.mode == PadMode::Constant || dim > 0;
        match cropped {
            Ok(cropped) if within && (source || cropped == 0) => dims.push(cropped),
            _ => {
                return Err(operands.error(format!("{dim} elements cannot get {before}, {after}")));
            }
        }
    }
    operands.result(x.dtype, &dims)
}

pub(super) fn triangle(operands: &Arrays<'_>) -> Result<Array, OpError> {
    let x = operands.array(0)?;
    operands.require(x.dims.len() >= 2, || format!("takes matrices, not {}", x.dims))?;
    operands.result(x.dtype, &x.dims)
}
