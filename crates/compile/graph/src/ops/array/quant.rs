//! Whole numbers that stand for real ones: scaled sums, and functions of a code as tables.

use super::{Array, Arrays, OpError, elementwise::broadcast};
use alloc::format;
use plan::array::{CodePairs, Requant, Zip};
use tensor::DType;

pub(super) fn requant(operands: &Arrays<'_>, op: &Requant) -> Result<Array, OpError> {
    let (x, factor) = (operands.array(0)?, operands.array(1)?);
    scaled(operands, op, &x, &factor)
}

/// The result of scaling `x`, whichever operands these are.
pub(super) fn scaled(
    operands: &Arrays<'_>,
    op: &Requant,
    x: &Array,
    factor: &Array,
) -> Result<Array, OpError> {
    let single = x.dtype == DType::F32;
    operands.typed(x, "integers or F32", x.dtype.is_integer() || single)?;
    let along = operands.axis(op.axis, x).map(|axis| x.dims[axis]);
    let fits = match &*factor.dims {
        [] => true,
        [n] => along? == *n,
        _ => false,
    };
    operands.require(factor.dtype == DType::F64 && fits, || {
        format!("factors of {} {} for {} along {}", factor.dtype, factor.dims, x.dims, op.axis)
    })?;
    operands.require(op.to.is_integer() && op.low <= op.high, || {
        format!("{} from {} to {}", op.to, op.low, op.high)
    })?;
    operands.result(op.to, &x.dims)
}

pub(super) fn lookup(operands: &Arrays<'_>) -> Result<Array, OpError> {
    let (x, table) = (operands.array(0)?, operands.array(1)?);
    let codes = match x.dtype {
        DType::I8 | DType::U8 => 256,
        DType::I16 => 1 << 16,
        _ => return Err(operands.error(format!("takes I8, U8 or I16, not {}", x.dtype))),
    };
    operands
        .require(*table.dims == [codes], || format!("a table of {} for {codes}", table.dims))?;
    operands.result(table.dtype, &x.dims)
}

pub(super) fn code_pairs(operands: &Arrays<'_>, op: &CodePairs) -> Result<Array, OpError> {
    let (a, b) = (operands.array(0)?, operands.array(1)?);
    let is_byte = |dtype| matches!(dtype, DType::I8 | DType::U8);
    operands.typed(&a, "I8 or U8", is_byte(a.dtype))?;
    operands.typed(&b, "I8 or U8", is_byte(b.dtype))?;
    let limits = if op.to == DType::I8 { -128..=127 } else { 0..=255 };
    let within = limits.contains(&op.low) && limits.contains(&op.high) && op.low <= op.high;
    operands.require(is_byte(op.to) && within, || {
        format!("{} from {} to {}", op.to, op.low, op.high)
    })?;
    let known = matches!(op.zip, Zip::Add | Zip::Subtract | Zip::Multiply);
    operands.require(known, || format!("{:?} of codes", op.zip))?;
    // So that the least and the greatest number of 32 bits are never reached.
    let scaled = [op.operands[0], op.operands[1], op.result];
    let sound = scaled
        .iter()
        .all(|of| of.scale.is_finite() && of.scale > 0.0 && (-128..=255).contains(&of.zero));
    operands.require(sound, || format!("codes of {scaled:?}"))?;
    let dims = broadcast(operands, &[a, b])?;
    operands.result(op.to, &dims)
}
