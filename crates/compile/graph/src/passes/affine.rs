//! A factor and a term for each channel of an image as one step: a convolution of one tap in which
//! every channel is a group of its own. What stands behind it then becomes its epilogue, as a
//! batch normalisation with its activation in front of a convolution, which no weights can take in.
//! A second factor and a second term behind it are left alone, as the next round folds them.

use super::fold::along;
use super::rewrite::{Rewriter, is_weight};
use crate::{Input, Node};
use alloc::vec;
use plan::array::{Conv, Epilogue, List, Zip};
use plan::{ArrayOp, Op};

/// Runs the pass.
pub(super) fn run(graph: &mut Rewriter<'_>) -> usize {
    graph.each(rule)
}

fn rule(graph: &mut Rewriter<'_>, node: &Node) -> Option<Input> {
    let Op::Array(ArrayOp::Zip(Zip::Add)) = node.op else { return None };
    let (product, term) = with_weight(*node.inputs.first()?, *node.inputs.get(1)?)?;
    let (ArrayOp::Zip(Zip::Multiply), inputs) = graph.sole_writer(product)? else { return None };
    let (x, factor) = with_weight(inputs[0], inputs[1])?;
    if let Some((ArrayOp::ConvLast { epilogue, .. }, _)) = graph.sole_writer(x)
        && epilogue == Epilogue::default()
    {
        return None;
    }
    let image = graph.array(x)?;
    let rank = image.dims.len();
    if rank < 3 || !image.dtype.is_float() || graph.array(node.output.into())?.dims != image.dims {
        return None;
    }
    let channels = image.dims.last();
    let factor = along(graph, factor, &image.dims, rank - 1)?;
    let bias = along(graph, term, &image.dims, rank - 1)?;
    let mut dims = vec![1; rank];
    dims[0] = channels;
    let w = graph.reshaped(factor, &dims)?;
    let all = |n| List::repeat(n, rank - 2);
    let conv = Conv {
        kernel: all(1)?,
        strides: all(1)?,
        dilations: all(1)?,
        before: all(0)?,
        after: all(0)?,
        groups: u32::try_from(channels).ok()?,
    };
    let op = ArrayOp::ConvLast { conv, epilogue: Epilogue::default() };
    graph.push(op, [x, w, bias]).map(Input::Value)
}

/// A value and a constant, whichever stands first.
fn with_weight(a: Input, b: Input) -> Option<(Input, Input)> {
    match (is_weight(a), is_weight(b)) {
        (false, true) => Some((a, b)),
        (true, false) => Some((b, a)),
        _ => None,
    }
}
