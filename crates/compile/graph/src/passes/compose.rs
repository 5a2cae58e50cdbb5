//! A convolution and a pointwise one behind it, with nothing between them, as one convolution.
//!
//! `V (W x + b) + c = (V W) x + (V b + c)`: done where the one product is no more work than the two,
//! and the product of their weights is small enough to be computed at load.

use super::fold::trimmed;
use super::rewrite::{Rewriter, is_weight};
use crate::{Input, Node};
use plan::array::{Conv, Zip};
use plan::{ArrayOp, Op};
use tensor::Shape;

/// Multiplications of weights with weights that are worth a step less.
const WORK_MAX: u64 = 1 << 18;

/// Runs the pass.
pub(super) fn run(graph: &mut Rewriter<'_>) -> usize {
    graph.each(rule)
}

/// Whether each result is of one pixel.
fn is_pointwise(conv: &Conv) -> bool {
    let ones = conv.kernel.iter().chain(conv.strides.iter()).all(|&n| n == 1);
    ones && conv.before.iter().chain(conv.after.iter()).all(|&n| n == 0) && conv.groups == 1
}

fn rule(graph: &mut Rewriter<'_>, node: &Node) -> Option<Input> {
    let Op::Array(ArrayOp::Conv(second)) = node.op else { return None };
    if !is_pointwise(&second) {
        return None;
    }
    let (ArrayOp::Conv(first), mut inputs) = graph.sole_writer(node.inputs[0])? else {
        return None;
    };
    let (w, v) = (inputs[1], node.inputs[1]);
    let (own, other) = (graph.array(w)?, graph.array(v)?);
    let bias = |inputs: &[Input]| inputs.get(2).copied().unwrap_or(Input::Absent);
    let (b, c) = (bias(&inputs), bias(&node.inputs));
    let known = |x: Input| x == Input::Absent || is_weight(x);
    let fits = is_weight(w) && is_weight(v) && known(b) && known(c) && first.groups == 1;
    let floats = own.dtype.is_float() && own.dtype == other.dtype;
    if !fits || !floats || graph.array(inputs[0])?.dtype != own.dtype {
        return None;
    }
    // `[mid, taps]` and `[m, mid]`.
    let (mid, m) = (own.dims[0], other.dims[0]);
    let taps: u64 = own.dims[1..].iter().product();
    let one = m.checked_mul(taps)?;
    if one > mid.checked_mul(taps)?.checked_add(m.checked_mul(mid)?)?
        || one.checked_mul(mid)? > WORK_MAX
    {
        return None;
    }
    let rows = graph.reshaped(w, &[mid, taps])?;
    let columns = graph.reshaped(v, &[m, mid])?;
    let product = graph.derive(ArrayOp::MatMul, &[columns, rows])?;
    let mut dims = own.dims.to_vec();
    dims[0] = m;
    inputs.resize(3, Input::Absent);
    inputs[1] = graph.derive(ArrayOp::Reshape { dims: Shape::new(&dims)? }, &[product])?;
    inputs[2] = match (b, c) {
        (Input::Absent, c) => c,
        (b, c) => {
            let b = graph.reshaped(b, &[mid, 1])?;
            let moved = graph.derive(ArrayOp::MatMul, &[columns, b])?;
            let moved = graph.reshaped(moved, &[m])?;
            match c {
                Input::Absent => moved,
                c => graph.derive(ArrayOp::Zip(Zip::Add), &[moved, c])?,
            }
        }
    };
    graph.push(ArrayOp::Conv(first), trimmed(inputs)).map(Input::Value)
}
