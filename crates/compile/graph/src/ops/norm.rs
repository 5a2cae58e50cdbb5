//! Normalisation of each run of `group` elements of a row.

use super::{OpError, Operands};
use crate::Type;
use alloc::format;
use plan::op::Norm;

pub(super) fn infer(operands: &Operands<'_>, norm: &Norm) -> Result<Type, OpError> {
    operands.at_most(3)?;
    let (ty, width) = operands.rows(0)?;
    let group = u64::from(norm.group.get());
    operands.require(width.is_multiple_of(group), || {
        format!("rows of {width} are no whole number of groups of {group}")
    })?;
    operands.require(norm.eps.is_finite() && norm.eps >= 0.0, || {
        format!("eps must be a number not below zero, is {}", norm.eps)
    })?;
    operands.optional_weight_of(1, &[group])?;
    operands.optional_weight_of(2, &[group])?;
    Ok(ty.clone())
}
