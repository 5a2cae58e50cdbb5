//! Rotary positions.

use super::{OpError, Operands};
use crate::Type;
use alloc::format;
use plan::op::Rope;

pub(super) fn infer(operands: &Operands<'_>, rope: &Rope) -> Result<Type, OpError> {
    operands.at_most(2)?;
    let (ty, width) = operands.rows(0)?;
    let (head_dim, dims) = (u64::from(rope.head_dim), u64::from(rope.dims));
    operands.require(head_dim > 0 && width.is_multiple_of(head_dim), || {
        format!("rows of {width} are no whole number of heads of {head_dim}")
    })?;
    operands.require(dims > 0 && dims.is_multiple_of(2) && dims <= head_dim, || {
        format!("{dims} rotated elements must be even and at most {head_dim}")
    })?;
    operands.require(rope.base.is_finite() && rope.base > 0.0, || {
        format!("the base must be a positive number, is {}", rope.base)
    })?;
    operands.require(rope.scale.is_finite() && rope.magnitude.is_finite(), || {
        format!("scale {} and magnitude {} must be numbers", rope.scale, rope.magnitude)
    })?;
    operands.optional_weight_of(1, &[dims / 2])?;
    Ok(ty.clone())
}
