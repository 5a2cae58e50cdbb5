//! How much an operator on arrays computes: an estimate from extents alone.
//!
//! Who divides a graph between backends, or computes an operator ahead of time, asks first what it
//! is worth. Numbers saturate, so that extents out of a hostile file cannot overflow them; a
//! multiply-add counts as one operation, as in the field's tables of networks.

use crate::ops::array::Array;
use plan::{
    ArrayOp,
    array::{Cell, Conv, Direction, Recurrent},
};
use tensor::Shape;

/// What a node computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Multiply-adds of matrix products, convolutions and recurrent cells.
    pub macs: u64,
    /// All operations: the multiply-adds, else what is done for each element that is read, written
    /// or looked at.
    pub operations: u64,
}

/// What `op` computes for these operands, which gives `result`.
pub fn of(op: &ArrayOp, operands: &[Option<Array>], result: &Array) -> Work {
    let dims = |i: usize| operands.get(i).copied().flatten().map(|array| array.dims);
    let operand = |i: usize| dims(i).map_or(0, |dims| elements(&dims));
    let (x, out) = (operand(0), elements(&result.dims));
    let products = |macs: u64| Work { macs, operations: macs.max(out) };
    let plain = |operations: u64| Work { macs: 0, operations };
    match op {
        ArrayOp::MatMul | ArrayOp::MatMulFused(_) => {
            products(out.saturating_mul(dims(0).map_or(1, |dims| dims.last())))
        }
        // The weights' extents but the first, whatever their order, are what one output reads.
        ArrayOp::Conv(_) | ArrayOp::ConvLast { .. } | ArrayOp::DeformConv { .. } => {
            products(out.saturating_mul(dims(1).map_or(1, |dims| behind(&dims, 1))))
        }
        ArrayOp::ConvTranspose { .. } => {
            products(x.saturating_mul(dims(1).map_or(1, |dims| behind(&dims, 1))))
        }
        ArrayOp::ConvTransposeLast { .. } => {
            let c = dims(0).map_or(1, |dims| dims.last().max(1));
            products(x.saturating_mul(operand(1) / c))
        }
        ArrayOp::Recurrent(op) => products(dims(0).map_or(0, |dims| recurrent(op, &dims))),
        ArrayOp::Pool(pool) => plain(out.saturating_mul(window(&pool.conv))),
        ArrayOp::LocalResponse { size, .. } => plain(out.saturating_mul(u64::from(*size))),
        ArrayOp::Dft(dft) => {
            let lines = x.max(out) / dft.length.max(1) + 1;
            plain(lines.saturating_mul(dft.length).saturating_mul(64))
        }
        ArrayOp::RoiAlign(op) => {
            let image = dims(0).map_or(1, |dims| behind(&dims, 2));
            let samples = match op.sampling {
                0 => image,
                n => u64::from(n).saturating_mul(u64::from(n)),
            };
            plain(out.saturating_mul(samples.max(1)))
        }
        ArrayOp::Resize(_) => plain(x.saturating_add(out.saturating_mul(16))),
        ArrayOp::GridSample { .. } | ArrayOp::Col2Im { .. } => {
            plain(x.saturating_add(out.saturating_mul(16)))
        }
        ArrayOp::Map(_)
        | ArrayOp::Zip(_)
        | ArrayOp::Select
        | ArrayOp::Cast { .. }
        | ArrayOp::Reshape { .. }
        | ArrayOp::View(_)
        | ArrayOp::Concat { .. }
        | ArrayOp::Pad(_)
        | ArrayOp::Gather { .. }
        | ArrayOp::GatherElements { .. }
        | ArrayOp::GatherNd { .. }
        | ArrayOp::OneHot { .. }
        | ArrayOp::Triangle { .. }
        | ArrayOp::Quantize { .. }
        | ArrayOp::Dequantize { .. }
        | ArrayOp::Requant(_)
        | ArrayOp::Lookup
        | ArrayOp::CodePairs(_) => plain(out),
        ArrayOp::Reduce(_)
        | ArrayOp::ArgReduce { .. }
        | ArrayOp::Accumulate { .. }
        | ArrayOp::MaxUnpool { .. }
        | ArrayOp::ScatterElements { .. }
        | ArrayOp::ScatterNd { .. }
        | ArrayOp::Softmax { .. }
        | ArrayOp::Normalise { .. } => plain(x.saturating_add(out).saturating_add(operand(2))),
        ArrayOp::TopK { .. } => plain(x.saturating_mul(u64::from(64 - x.leading_zeros()))),
    }
}

fn elements(dims: &Shape) -> u64 {
    behind(dims, 0)
}

/// The product of the extents from `first` on.
fn behind(dims: &Shape, first: usize) -> u64 {
    dims.iter().skip(first).fold(1, |product, &dim| product.saturating_mul(dim))
}

fn window(conv: &Conv) -> u64 {
    conv.kernel.iter().fold(1, |product: u64, &n| product.saturating_mul(u64::from(n)))
}

/// `x` is `[t, n, i]`; each step multiplies it and the hidden state with all gates' weights.
fn recurrent(op: &Recurrent, x: &Shape) -> u64 {
    let gates = match op.cell {
        Cell::Rnn => 1,
        Cell::Gru { .. } => 3,
        Cell::Lstm { .. } => 4,
    };
    let directions = match op.direction {
        Direction::Forward | Direction::Reverse => 1,
        Direction::Both => 2,
    };
    let hidden = u64::from(op.hidden);
    let rows = x.iter().take(2).fold(1u64, |product, &dim| product.saturating_mul(dim));
    let each = hidden.saturating_mul(x.last().saturating_add(hidden));
    rows.saturating_mul(each).saturating_mul(gates * directions)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{vec, vec::Vec};
    use plan::array::List;
    use tensor::DType;

    fn array(dims: &[u64]) -> Array {
        Array { dtype: DType::F32, dims: Shape::new(dims).expect("a few dimensions") }
    }

    #[test]
    fn products_count_their_multiply_adds() {
        let conv = Conv {
            kernel: List::repeat(3, 2).expect("two"),
            strides: List::repeat(1, 2).expect("two"),
            dilations: List::repeat(1, 2).expect("two"),
            before: List::repeat(1, 2).expect("two"),
            after: List::repeat(1, 2).expect("two"),
            groups: 2,
        };
        let cases = [
            (ArrayOp::MatMul, vec![array(&[2, 3, 5]), array(&[5, 7])], array(&[2, 3, 7]), 210),
            // 8 maps of 4 × 4, each of 2 channels of 9 taps.
            (
                ArrayOp::Conv(conv),
                vec![array(&[1, 4, 4, 4]), array(&[8, 2, 3, 3])],
                array(&[1, 8, 4, 4]),
                8 * 16 * 18,
            ),
        ];
        for (op, operands, result, macs) in cases {
            let operands: Vec<Option<Array>> = operands.into_iter().map(Some).collect();
            assert_eq!(of(&op, &operands, &result), Work { macs, operations: macs }, "{op:?}");
        }
    }

    #[test]
    fn extents_of_a_hostile_file_saturate() {
        let huge = array(&[1 << 40, 1 << 40]);
        let work = of(&ArrayOp::MatMul, &[Some(huge), Some(huge)], &huge);
        assert_eq!(work.macs, u64::MAX);
    }
}
