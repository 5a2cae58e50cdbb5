//! Look-up of table rows by token id or by position.

use super::{OpError, Operands};
use crate::Type;
use alloc::format;
use tensor::DType;

pub(super) fn embed(operands: &Operands<'_>) -> Result<Type, OpError> {
    operands.at_most(2)?;
    let ids = operands.value(0, DType::U32, 1)?;
    Ok(Type::rows(ids.dims[0], table_width(operands)?))
}

pub(super) fn positions(operands: &Operands<'_>) -> Result<Type, OpError> {
    operands.at_most(2)?;
    let (like, width) = operands.rows(0)?;
    let table_width = table_width(operands)?;
    operands.require(width == table_width, || {
        format!("rows are {width} wide, the table {table_width}")
    })?;
    Ok(like.clone())
}

fn table_width(operands: &Operands<'_>) -> Result<u64, OpError> {
    let table = operands.weight(1)?;
    match *table.shape.dims() {
        [rows, width] if rows > 0 && width > 0 => Ok(width),
        _ => Err(operands.error(format!(
            "tensor `{}` must be a table [rows, width], has shape {}",
            table.tensor, table.shape
        ))),
    }
}
