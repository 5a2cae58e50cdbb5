//! A number added to a hard sigmoid behind a convolution: a clamp with other bounds.
//!
//! `min(max(a z + b, 0), 1) + c = min(max(a z + b + c, c), 1 + c)`, and `a`, `b + c` go into the
//! weights and the bias of the convolution that gives `z`. So gates of the kind `x + x * gate`, which
//! are written `x * (gate + 1)` by then, cost what a gate alone does.

use super::fold::along;
use super::rewrite::{Rewriter, is_weight};
use crate::{Input, Node};
use plan::array::{Map, Zip};
use plan::{ArrayOp, Op};

/// Runs the pass.
pub(super) fn run(graph: &mut Rewriter<'_>) -> usize {
    graph.each(rule)
}

#[expect(clippy::cast_possible_truncation, reason = "a constant of singles is read as doubles")]
fn rule(graph: &mut Rewriter<'_>, node: &Node) -> Option<Input> {
    let Op::Array(ArrayOp::Zip(Zip::Add)) = node.op else { return None };
    let (x, constant) = match (node.inputs[0], node.inputs[1]) {
        (x, constant) if is_weight(constant) => (x, constant),
        (constant, x) if is_weight(constant) => (x, constant),
        _ => return None,
    };
    let (ArrayOp::Map(Map::HardSigmoid { alpha, beta }), inputs) = graph.sole_writer(x)? else {
        return None;
    };
    let (op @ ArrayOp::Conv(_), mut inputs) = graph.sole_writer(*inputs.first()?)? else {
        return None;
    };
    let (sums, weights) = (graph.array(x)?, graph.array(inputs[1])?);
    let floats = sums.dtype.is_float() && weights.dtype == sums.dtype && is_weight(inputs[1]);
    if !floats || graph.array(node.output.into())?.dims != sums.dims || inputs.len() > 3 {
        return None;
    }
    let term = graph.number(constant)? as f32;
    let factor = graph.constant(sums.dtype, alpha)?;
    let shift = graph.constant(sums.dtype, beta + term)?;
    let m = weights.dims[0];
    inputs.resize(3, Input::Absent);
    inputs[1] = graph.derive(ArrayOp::Zip(Zip::Multiply), &[inputs[1], factor])?;
    inputs[2] = match inputs[2] {
        Input::Absent => along(graph, shift, &[m], 0)?,
        bias => {
            let scaled = graph.derive(ArrayOp::Zip(Zip::Multiply), &[bias, factor])?;
            graph.derive(ArrayOp::Zip(Zip::Add), &[scaled, shift])?
        }
    };
    let sums = graph.push(op, inputs)?;
    let clamp = Map::Clamp { low: term, high: 1.0 + term };
    graph.push(ArrayOp::Map(clamp), [sums.into()]).map(Input::Value)
}
