//! What products do with their sums before they store them.

use super::elementwise::is_activation;
use super::{Array, Arrays, OpError, quant};
use alloc::format;
use plan::array::Epilogue;

/// The result of a product of these sums. Operand `residual` is added to them, `factor` scales
/// them.
pub(super) fn result(
    operands: &Arrays<'_>,
    epilogue: &Epilogue,
    sums: &Array,
    [residual, factor]: [usize; 2],
) -> Result<Array, OpError> {
    if sums.dtype.is_float() {
        let Epilogue { activation, requant } = epilogue;
        operands.require(requant.is_none() && activation.is_none_or(is_activation), || {
            format!("sums of {} with {epilogue:?}", sums.dtype)
        })?;
        operands.absent(factor, "sums of floats")?;
        operands.optional_array_of(residual, sums.dtype, &sums.dims)?;
        return Ok(*sums);
    }
    operands.absent(residual, "sums of integers")?;
    operands.require(epilogue.activation.is_none(), || {
        format!("sums of {} with {epilogue:?}", sums.dtype)
    })?;
    let Some(requant) = &epilogue.requant else {
        operands.absent(factor, "sums that are not scaled")?;
        return Ok(*sums);
    };
    let factors = operands.array(factor)?;
    operands.require(
        factors.dims.is_empty() || usize::from(requant.axis) + 1 == sums.dims.len(),
        || format!("factors along {} of {}, not the last", requant.axis, sums.dims),
    )?;
    quant::scaled(operands, requant, sums, &factors)
}
