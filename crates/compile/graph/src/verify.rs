//! Checks a whole graph from scratch: after passes, after reading the text form, in tests.
//!
//! Rules:
//! 1. every id names something that exists;
//! 2. no value is written twice, and what is read or given out has been written;
//! 3. a node reads only values written before it;
//! 4. operands fit the operator, and the result has the type that the operator's rule gives;
//! 5. only the first dimension of a value varies, and symbols' bounds are not zero;
//! 6. a cache is used by one node;
//! 7. inputs and outputs have names of their own, and there is an output.

use crate::{Graph, Input, OpError, ValueId, ops};
use alloc::{format, string::String, vec};
use plan::Dim;

/// Where a graph breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A node's operands or result.
    #[error("node {node}: {error}")]
    Node {
        /// Its place among the nodes.
        node: usize,
        /// What does not fit.
        error: OpError,
    },
    /// Anything else.
    #[error("{0}")]
    Graph(String),
}

fn fault(reason: String) -> Result<(), Fault> {
    Err(Fault::Graph(reason))
}

/// Checks all rules.
///
/// # Errors
/// The first rule that is broken, with the place.
pub fn verify(graph: &Graph) -> Result<(), Fault> {
    for (place, symbol) in graph.symbols.iter().enumerate() {
        if symbol.max == 0 {
            return fault(format!("symbol {place} `{}` is bounded by zero", symbol.name));
        }
    }
    for (place, ty) in graph.values.iter().enumerate() {
        for (i, dim) in ty.dims.iter().enumerate() {
            match dim {
                Dim::Symbol(id) if i > 0 || id.0 as usize >= graph.symbols.len() => {
                    return fault(format!("v{place}: dimension {i} must not be {dim}"));
                }
                Dim::Symbol(_) | Dim::Fixed(_) => {}
            }
        }
    }
    let mut written = vec![false; graph.values.len()];
    let mut write = |value: ValueId| match written.get_mut(value.index()) {
        Some(seen @ false) => {
            *seen = true;
            Ok(())
        }
        Some(true) => fault(format!("{value} is written twice")),
        None => fault(format!("{value} does not exist")),
    };
    for (name, value) in &graph.inputs {
        write(*value)?;
        if graph.inputs.iter().filter(|(other, _)| other == name).count() > 1 {
            return fault(format!("two inputs are called `{name}`"));
        }
    }
    let mut cached = vec![false; graph.states.len()];
    let mut ready = graph.inputs.len();
    let mut order = vec![usize::MAX; graph.values.len()];
    for (_, value) in &graph.inputs {
        order[value.index()] = 0;
    }
    for (place, node) in graph.nodes.iter().enumerate() {
        let broken = |error| Fault::Node { node: place, error };
        for input in &node.inputs {
            match *input {
                Input::Value(value) => {
                    if order.get(value.index()).is_none_or(|when| *when == usize::MAX) {
                        return fault(format!("node {place} reads {value} before it is written"));
                    }
                }
                Input::State(state) => match cached.get_mut(state.0 as usize) {
                    Some(used @ false) => *used = true,
                    Some(true) => return fault(format!("two nodes use cache s{}", state.0)),
                    None => return fault(format!("cache s{} does not exist", state.0)),
                },
                Input::Weight(_) | Input::Absent => {}
            }
        }
        let ty = ops::infer(graph, &node.op, &node.inputs).map_err(broken)?;
        write(node.output)?;
        if graph.ty(node.output) != &ty {
            let have = graph.ty(node.output);
            return fault(format!("node {place} gives {ty:?}, {} is {have:?}", node.output));
        }
        ready += 1;
        order[node.output.index()] = ready;
    }
    if graph.outputs.is_empty() {
        return fault("there is no output".into());
    }
    for (name, value) in &graph.outputs {
        if order.get(value.index()).is_none_or(|when| *when == usize::MAX) {
            return fault(format!("output `{name}` is {value}, which nothing writes"));
        }
        if graph.outputs.iter().filter(|(other, _)| other == name).count() > 1 {
            return fault(format!("two outputs are called `{name}`"));
        }
    }
    Ok(())
}
