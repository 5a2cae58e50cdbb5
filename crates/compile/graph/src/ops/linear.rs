//! Product with a weight matrix, plus a bias.

use super::{OpError, Operands};
use crate::Type;
use alloc::format;

pub(super) fn infer(operands: &Operands<'_>) -> Result<Type, OpError> {
    operands.at_most(3)?;
    let (x, inputs) = operands.rows(0)?;
    let weight = operands.weight(1)?;
    let outputs = match *weight.shape.dims() {
        [outputs, width] if width == inputs && outputs > 0 => outputs,
        _ => {
            return Err(operands.error(format!(
                "tensor `{}` must have shape [outputs, {inputs}], has {}",
                weight.tensor, weight.shape
            )));
        }
    };
    operands.optional_weight_of(2, &[outputs])?;
    Ok(Type::rows(x.dims[0], outputs))
}
