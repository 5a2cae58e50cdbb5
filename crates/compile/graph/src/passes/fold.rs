//! Folds what scales or shifts whole channels into the weights of the product before it: a batch
//! normalisation behind a convolution costs nothing any more.
//!
//! `(x * w + b) * s = x * (w * s) + b * s`, for a convolution and one turned round; a term goes into
//! the bias. Only where nothing else reads the sums, and weights have the operands' own type.

use super::rewrite::{Rewriter, is_weight};
use crate::{Input, Node};
use alloc::{vec, vec::Vec};
use plan::array::{Epilogue, List, View, Zip};
use plan::{ArrayOp, Op};
use tensor::Shape;

/// Runs the pass.
pub(super) fn run(graph: &mut Rewriter<'_>) -> usize {
    graph.each(rule)
}

fn rule(graph: &mut Rewriter<'_>, node: &Node) -> Option<Input> {
    let Op::Array(ArrayOp::Zip(zip)) = node.op else { return None };
    let (a, b) = (*node.inputs.first()?, *node.inputs.get(1)?);
    let (x, constant) = match (zip, is_weight(a), is_weight(b)) {
        (Zip::Multiply | Zip::Divide | Zip::Add | Zip::Subtract, false, true) => (a, b),
        (Zip::Multiply | Zip::Add, true, false) => (b, a),
        _ => return None,
    };
    let sums = graph.array(x)?;
    let (op, mut inputs) = graph.sole_writer(x)?;
    // The dimension of the filters' own weights that gives the result's channels.
    let (axis, last) = match op {
        ArrayOp::Conv(_) => (0, false),
        ArrayOp::ConvLast { epilogue, .. } if epilogue == Epilogue::default() => (0, false),
        ArrayOp::ConvTranspose { conv, .. } if conv.groups == 1 => (1, false),
        ArrayOp::MatMul => (graph.array(inputs[1])?.dims.len() - 1, true),
        _ => return None,
    };
    let weights = graph.array(inputs[1])?;
    if !sums.dtype.is_float() || weights.dtype != sums.dtype || !is_weight(inputs[1]) {
        return None;
    }
    if graph.array(node.output.into())?.dims != sums.dims {
        return None;
    }
    let images = matches!(op, ArrayOp::Conv(_) | ArrayOp::ConvTranspose { .. });
    let channels = if images { 1 } else { sums.dims.len() - 1 };
    let per_channel = along(graph, constant, &sums.dims, channels)?;
    let m = sums.dims[channels];
    let scales = matches!(zip, Zip::Multiply | Zip::Divide);
    if last && !scales {
        return None;
    }
    if inputs.get(3).is_some_and(|&residual| residual != Input::Absent) {
        return None;
    }
    inputs.resize(if last { 2 } else { 3 }, Input::Absent);
    if scales {
        let mut dims = vec![1; weights.dims.len()];
        dims[axis] = m;
        let factors = graph.reshaped(per_channel, &dims)?;
        inputs[1] = graph.derive(ArrayOp::Zip(zip), &[inputs[1], factors])?;
    }
    if !last {
        inputs[2] = match (inputs[2], zip) {
            (Input::Absent, Zip::Add) => per_channel,
            (Input::Absent, Zip::Subtract) => {
                graph.derive(ArrayOp::Map(plan::array::Map::Negate), &[per_channel])?
            }
            (Input::Absent, _) => Input::Absent,
            (bias, _) => graph.derive(ArrayOp::Zip(zip), &[bias, per_channel])?,
        };
    }
    graph.push(op, inputs).map(Input::Value)
}

/// A constant that broadcasts to `dims` and differs along one dimension at most, as a vector along
/// that dimension.
pub(super) fn along(
    graph: &mut Rewriter<'_>,
    constant: Input,
    dims: &[u64],
    axis: usize,
) -> Option<Input> {
    let own = graph.array(constant)?.dims;
    let lead = dims.len().checked_sub(own.len())?;
    let fits = own.iter().enumerate().all(|(i, &dim)| dim == 1 || lead + i == axis);
    if !fits {
        return None;
    }
    let n = dims[axis];
    if own.elements()? == n {
        return graph.reshaped(constant, &[n]);
    }
    let view = View { dims: Shape::new(&[n])?, strides: List::new(&[0])?, offset: 0 };
    graph.derive(ArrayOp::View(view), &[constant])
}

/// The operands up to the last one that is there.
pub(super) fn trimmed(mut inputs: Vec<Input>) -> Vec<Input> {
    while inputs.last() == Some(&Input::Absent) {
        inputs.pop();
    }
    inputs
}
