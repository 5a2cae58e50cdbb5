//! Statistics along dimensions, kept or not.

use super::{Array, Arrays, OpError, elementwise::broadcast};
use alloc::{format, vec::Vec};
use plan::array::{Reduce, ReduceKind};
use tensor::DType;

pub(super) fn reduce(operands: &Arrays<'_>, op: Reduce) -> Result<Array, OpError> {
    let x = operands.array(0)?;
    let truth = x.dtype == DType::Bool;
    let fits = match op.kind {
        ReduceKind::Any | ReduceKind::All => truth,
        ReduceKind::Min | ReduceKind::Max => truth || x.is_number(),
        ReduceKind::Sum
        | ReduceKind::Mean
        | ReduceKind::Product
        | ReduceKind::L1
        | ReduceKind::L2
        | ReduceKind::SumSquare
        | ReduceKind::LogSum
        | ReduceKind::LogSumExp => x.is_number(),
    };
    operands.typed(&x, "other types", fits)?;
    let rank = x.dims.len();
    operands.require(u32::from(op.axes) < 1 << rank, || {
        format!("reduces dimensions {:#b} of {rank}", op.axes)
    })?;
    let mut dims = Vec::with_capacity(rank);
    for (i, &dim) in x.dims.iter().enumerate() {
        match (op.axes >> i & 1 == 1, op.keep) {
            (false, _) => dims.push(dim),
            (true, true) => dims.push(1),
            (true, false) => {}
        }
    }
    operands.result(x.dtype, &dims)
}

pub(super) fn arg(operands: &Arrays<'_>, axis: u8) -> Result<Array, OpError> {
    let x = operands.array(0)?;
    operands.typed(&x, "numbers", x.is_number())?;
    let axis = operands.axis(axis, &x)?;
    operands.require(x.dims[axis] > 0, || format!("nothing to search in {}", x.dims))?;
    let mut dims = x.dims.to_vec();
    dims[axis] = 1;
    operands.result(DType::I64, &dims)
}

pub(super) fn accumulate(operands: &Arrays<'_>, axis: u8) -> Result<Array, OpError> {
    let x = operands.array(0)?;
    operands.typed(&x, "numbers", x.is_number())?;
    operands.axis(axis, &x)?;
    operands.result(x.dtype, &x.dims)
}

pub(super) fn top_k(operands: &Arrays<'_>, axis: u8, k: u64) -> Result<Array, OpError> {
    let x = operands.array(0)?;
    operands.typed(&x, "numbers", x.is_number())?;
    let axis = operands.axis(axis, &x)?;
    operands.require(k <= x.dims[axis], || format!("the best {k} of {}", x.dims[axis]))?;
    let mut dims = x.dims.to_vec();
    dims[axis] = k;
    operands.result(DType::I64, &dims)
}

pub(super) fn softmax(operands: &Arrays<'_>, axis: u8) -> Result<Array, OpError> {
    let x = operands.array(0)?;
    operands.typed(&x, "floats", x.dtype.is_float())?;
    operands.axis(axis, &x)?;
    operands.result(x.dtype, &x.dims)
}

pub(super) fn normalise(operands: &Arrays<'_>, axis: u8) -> Result<Array, OpError> {
    let x = operands.array(0)?;
    operands.typed(&x, "floats", x.dtype.is_float())?;
    operands.axis(axis, &x)?;
    for i in 1..3 {
        let Some(factor) = operands.optional_array(i)? else { continue };
        operands.typed(&factor, "floats", factor.dtype.is_float())?;
        let both = broadcast(operands, &[x, factor])?;
        operands.require(both == x.dims, || {
            format!("operand {i} of {} is larger than {}", factor.dims, x.dims)
        })?;
    }
    operands.result(x.dtype, &x.dims)
}

pub(super) fn local_response(operands: &Arrays<'_>, axis: u8) -> Result<Array, OpError> {
    let x = operands.array(0)?;
    operands.typed(&x, "floats", x.dtype.is_float())?;
    operands.axis(axis, &x)?;
    operands.result(x.dtype, &x.dims)
}
