//! Computes what only constants go into, once instead of at every run: the gates of recurrent weights in
//! another order, small integers as the numbers that they stand for.
//!
//! A backend then packs the result as it does any weight. What would be more elements than went in stays:
//! a number that is repeated is kept as one.

use super::rewrite::{Rewriter, is_weight};
use crate::{Input, Node};
use plan::{ArrayOp, Op};

/// Runs the pass.
pub(super) fn run(graph: &mut Rewriter<'_>) -> usize {
    graph.each(rule)
}

fn rule(graph: &mut Rewriter<'_>, node: &Node) -> Option<Input> {
    let Op::Array(op) = node.op else { return None };
    let moves = matches!(op, ArrayOp::View(_) | ArrayOp::Concat { .. } | ArrayOp::Reshape { .. });
    let computes = matches!(op, ArrayOp::Map(_) | ArrayOp::Zip(_) | ArrayOp::Cast { .. });
    if !(moves || computes) || !node.inputs.iter().all(|&input| is_weight(input)) {
        return None;
    }
    let mut elements = 0u64;
    for &input in &node.inputs {
        elements = elements.saturating_add(graph.array(input)?.dims.elements()?);
    }
    let result = graph.array(node.output.into())?.dims.elements()?;
    (result <= elements).then(|| graph.derive(op, &node.inputs))?
}
