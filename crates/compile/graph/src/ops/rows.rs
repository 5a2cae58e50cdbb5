//! Choice of rows by index.

use super::{OpError, Operands};
use crate::Type;
use tensor::DType;

pub(super) fn select(operands: &Operands<'_>) -> Result<Type, OpError> {
    operands.at_most(2)?;
    let (_, width) = operands.rows(0)?;
    let index = operands.value(1, DType::U32, 1)?;
    Ok(Type::rows(index.dims[0], width))
}
