//! Functions of one or two elements.

use super::{OpError, Operands};
use crate::{Input, Type};
use alloc::format;

pub(super) fn unary(operands: &Operands<'_>) -> Result<Type, OpError> {
    operands.at_most(1)?;
    Ok(operands.rows(0)?.0.clone())
}

pub(super) fn binary(operands: &Operands<'_>) -> Result<Type, OpError> {
    operands.at_most(2)?;
    let (a, width) = operands.rows(0)?;
    if let Input::Weight(_) = operands.get(1) {
        let weight = operands.weight(1)?;
        operands.require(weight.shape.elements() == Some(width), || {
            format!("tensor `{}` must be one row of {width}, is {}", weight.tensor, weight.shape)
        })?;
    } else {
        same_as_first(operands, a)?;
    }
    Ok(a.clone())
}

pub(super) fn gated(operands: &Operands<'_>) -> Result<Type, OpError> {
    operands.at_most(2)?;
    let (gate, _) = operands.rows(0)?;
    same_as_first(operands, gate)?;
    Ok(gate.clone())
}

fn same_as_first(operands: &Operands<'_>, first: &Type) -> Result<(), OpError> {
    let (second, _) = operands.rows(1)?;
    operands.require(second == first, || format!("operands differ: {first:?} and {second:?}"))
}
