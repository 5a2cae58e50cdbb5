//! Computes equal things once: nodes with the same operator and operands are one node.
//!
//! Every array operator gives the same result for the same operands, so nothing has to be kept
//! apart. Weights were made one when they were named.

use super::rewrite::Rewriter;
use crate::{Input, ValueId};
use alloc::{collections::BTreeMap, vec::Vec};
use plan::Op;

/// Operators on the same operands, with their results.
type Known = Vec<(Op, ValueId)>;

/// Runs the pass.
pub(super) fn run(graph: &mut Rewriter<'_>) -> usize {
    let outputs: Vec<ValueId> = graph.graph.outputs.iter().map(|(_, value)| *value).collect();
    let mut seen: BTreeMap<Vec<(u8, u32)>, Known> = BTreeMap::new();
    graph.each(|_, node| {
        let known = seen.entry(node.inputs.iter().copied().map(key).collect()).or_default();
        if let Some((_, value)) = known.iter().find(|(op, _)| *op == node.op) {
            // Two outputs are two buffers.
            return (!outputs.contains(&node.output)).then_some(Input::Value(*value));
        }
        known.push((node.op, node.output));
        None
    })
}

/// An operand as what can be ordered.
fn key(input: Input) -> (u8, u32) {
    match input {
        Input::Value(id) => (0, id.0),
        Input::Weight(id) => (1, id.0),
        Input::State(id) => (2, id.0),
        Input::Absent => (3, 0),
    }
}
