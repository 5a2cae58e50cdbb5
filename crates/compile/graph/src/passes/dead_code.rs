//! Removes nodes whose results nothing reads, and weights that nothing uses.
//!
//! A node that writes a cache stays. Values keep their ids, so that text forms before and after
//! can be laid side by side; weights are renumbered.

use crate::{Graph, Input};
use alloc::{vec, vec::Vec};
use plan::WeightId;

/// Runs the pass.
pub fn run(graph: &mut Graph) {
    let mut live = vec![false; graph.values.len()];
    for (_, value) in &graph.outputs {
        live[value.index()] = true;
    }
    let mut keep = vec![false; graph.nodes.len()];
    for (place, node) in graph.nodes.iter().enumerate().rev() {
        let writes_state = node.inputs.iter().any(|input| matches!(input, Input::State(_)));
        if live[node.output.index()] || writes_state {
            keep[place] = true;
            for input in &node.inputs {
                if let Input::Value(value) = input {
                    live[value.index()] = true;
                }
            }
        }
    }
    let mut keeps = keep.into_iter();
    graph.nodes.retain(|_| keeps.next().unwrap_or(true));
    let mut renumbered: Vec<Option<WeightId>> = vec![None; graph.weights.len()];
    let mut used = Vec::new();
    for input in graph.nodes.iter_mut().flat_map(|node| &mut node.inputs) {
        if let Input::Weight(id) = input {
            let old = id.0 as usize;
            *id = *renumbered[old].get_or_insert_with(|| {
                used.push(graph.weights[old].clone());
                WeightId(u32::try_from(used.len() - 1).expect("no more weights than before"))
            });
        }
    }
    graph.weights = used;
}
