//! From a graph to a plan: order, lifetimes, places. What comes out allocates nothing: it names
//! and sums what a backend will be granted.

use crate::{
    Fault, Graph, Input, ValueId,
    memory::{self, Life},
    passes, verify,
};
use alloc::{format, vec, vec::Vec};
use plan::{BufferId, BufferKind, Operand, Plan, Port, Slot, Step};
use tensor::Bytes;

/// Freezes a graph: removes dead code, gives every value its place in an arena sized for the
/// symbols' bounds, and every input and output a buffer of its own.
///
/// The backend's needs (packed weights, caches, scratch) are named by [`Plan::place`] afterwards.
///
/// # Errors
/// If the graph breaks a rule of [`verify()`].
pub fn compile(mut graph: Graph) -> Result<Plan, Fault> {
    passes::dead_code::run(&mut graph);
    verify(&graph)?;
    let mut plan = Plan::default();
    let arena = plan.name("arena".into(), BufferKind::Arena, Bytes::ZERO);
    let mut places: Vec<Option<(BufferId, u64)>> = vec![None; graph.values.len()];
    for (prefix, ports) in [("in", &graph.inputs), ("out", &graph.outputs)] {
        for (name, value) in ports {
            let bytes = Bytes(size(&graph, *value)?);
            if places[value.index()].is_some() {
                return Err(Fault::Graph(format!("`{name}` is an input or another output too")));
            }
            let buffer = plan.name(format!("{prefix}.{name}"), BufferKind::Io, bytes);
            places[value.index()] = Some((buffer, 0));
        }
    }
    let (values, lives) = lives(&graph, &places)?;
    let layout = memory::place(&lives);
    for (value, offset) in values.into_iter().zip(layout.offsets) {
        places[value.index()] = Some((arena, offset));
    }
    plan.buffers[arena.0 as usize].bytes = Bytes(layout.bytes);

    let slot = |value: ValueId| {
        let (buffer, offset) = places[value.index()].expect("every value that is used has a place");
        let ty = graph.ty(value);
        Slot { buffer, offset, dtype: ty.dtype, dims: ty.dims.clone() }
    };
    let port = |(name, value): &(_, ValueId)| Port { name: Clone::clone(name), slot: slot(*value) };
    plan.inputs = graph.inputs.iter().map(port).collect();
    plan.outputs = graph.outputs.iter().map(port).collect();
    plan.steps = graph
        .nodes
        .iter()
        .map(|node| Step {
            op: node.op,
            inputs: node
                .inputs
                .iter()
                .map(|input| match *input {
                    Input::Value(value) => Operand::Slot(slot(value)),
                    Input::Weight(weight) => Operand::Weight(weight),
                    Input::State(state) => Operand::State(state),
                    Input::Absent => Operand::Absent,
                })
                .collect(),
            output: slot(node.output),
            layer: node.layer,
        })
        .collect();
    plan.symbols = graph.symbols;
    plan.weights = graph.weights;
    plan.states = graph.states;
    Ok(plan)
}

/// Bytes of a value with every symbol at its bound.
fn size(graph: &Graph, value: ValueId) -> Result<u64, Fault> {
    let ty = graph.ty(value);
    ty.dims
        .iter()
        .try_fold(ty.dtype.bytes(), |bytes, dim| bytes.checked_mul(dim.max(&graph.symbols)))
        .ok_or_else(|| Fault::Graph(format!("{value} is larger than any memory: {ty:?}")))
}

/// Lifetimes of all values that nodes write and that are no input or output.
fn lives(
    graph: &Graph,
    places: &[Option<(BufferId, u64)>],
) -> Result<(Vec<ValueId>, Vec<Life>), Fault> {
    let mut ids = Vec::new();
    let mut lives: Vec<Life> = Vec::new();
    let mut of_value = vec![usize::MAX; graph.values.len()];
    for (step, node) in graph.nodes.iter().enumerate() {
        for input in &node.inputs {
            if let Input::Value(value) = input
                && let Some(life) = lives.get_mut(of_value[value.index()])
            {
                life.last = step;
            }
        }
        if places[node.output.index()].is_none() {
            of_value[node.output.index()] = lives.len();
            ids.push(node.output);
            lives.push(Life { bytes: size(graph, node.output)?, first: step, last: step });
        }
    }
    Ok((ids, lives))
}
