//! From a graph to a plan: order, lifetimes, places. What comes out allocates nothing: it names
//! and sums what a backend will be granted.
//!
//! A step that only says that the same elements have other extents, or that reads a part of a value in
//! one piece, is none: its result lies in its operand's bytes, and both live as long as the one that is
//! needed longer. Where the backend lets a step write over an operand that nothing reads afterwards, both
//! have one place; and where it lets steps write parts of what they are joined to, joining is no step.

mod join;
mod lives;

use crate::{Fault, Graph, Input, Node, ValueId, memory::ALIGN, passes, verify};
use alloc::{format, vec, vec::Vec};
use core::mem::take;
use lives::Lives;
use plan::{ArrayOp, Backend, BufferId, BufferKind, Freedom, Op, Operand, Plan, Port, Slot, Step};
use tensor::Bytes;

/// Freezes a graph: removes dead code, gives every value its place in an arena sized for the
/// symbols' bounds, and every input and output a buffer of its own.
///
/// The backend's needs (packed weights, caches, scratch) are named by [`Plan::place`] afterwards.
///
/// # Errors
/// If the graph breaks a rule of [`verify()`].
pub fn compile(graph: Graph) -> Result<Plan, Fault> {
    freeze(graph, &|_, _| Freedom::default())
}

/// As [`compile`], with results where `backend` lets them lie.
///
/// # Errors
/// As [`compile`].
pub fn compile_for(graph: Graph, backend: &dyn Backend) -> Result<Plan, Fault> {
    freeze(graph, &|step, plan| backend.freedom(step, plan))
}

/// Says where a step's result may lie; the step's operands have no places yet.
type Ask<'a> = &'a dyn Fn(&Step, &Plan) -> Freedom;

/// A value's buffer, with its place there.
type Place = (BufferId, u64);

fn freeze(mut graph: Graph, ask: Ask<'_>) -> Result<Plan, Fault> {
    passes::dead_code::run(&mut graph);
    verify(&graph)?;
    let mut plan = Plan::default();
    let arena = plan.name("arena".into(), BufferKind::Arena, Bytes::ZERO);
    let mut places: Vec<Option<Place>> = vec![None; graph.values.len()];
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
    plan.symbols.clone_from(&graph.symbols);
    plan.weights = take(&mut graph.weights);
    plan.states = take(&mut graph.states);
    let unplaced = |value: ValueId| {
        let ty = graph.ty(value);
        Slot { buffer: arena, offset: 0, dtype: ty.dtype, dims: ty.dims.clone(), pitch: None }
    };
    let freedom: Vec<Freedom> =
        graph.nodes.iter().map(|node| ask(&step(node, unplaced), &plan)).collect();
    let mut best = layout(&graph, &freedom, Join::InPlace, places.clone(), arena)?;
    if best.joined {
        // What is written early lives longer: no copy is worth more memory.
        let copied = layout(&graph, &freedom, Join::ByCopies, places, arena)?;
        if copied.bytes < best.bytes {
            best = copied;
        }
    }
    let Layout { homes, steps, places, bytes, .. } = best;
    plan.buffers[arena.0 as usize].bytes = bytes;

    let slot = |value: ValueId| {
        let home = homes[value.index()];
        let (buffer, offset) =
            places[home.value.index()].expect("every value that is used has a place");
        let (ty, pitch) = (graph.ty(value), home.pitch);
        Slot { buffer, offset: offset + home.offset, dtype: ty.dtype, dims: ty.dims.clone(), pitch }
    };
    let port = |(name, value): &(_, ValueId)| Port { name: Clone::clone(name), slot: slot(*value) };
    plan.inputs = graph.inputs.iter().map(port).collect();
    plan.outputs = graph.outputs.iter().map(port).collect();
    plan.steps = steps.into_iter().map(|node| step(node, slot)).collect();
    Ok(plan)
}

/// How operands of concatenations are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Join {
    /// They are written where the result has them, where that goes.
    InPlace,
    /// By a step.
    ByCopies,
}

/// Where everything lies.
struct Layout<'g> {
    /// Whether a concatenation is no step.
    joined: bool,
    homes: Vec<Home>,
    /// The nodes that become steps.
    steps: Vec<&'g Node>,
    places: Vec<Option<Place>>,
    /// What the arena takes.
    bytes: Bytes,
}

/// Gives every value a place: inputs and outputs have theirs.
fn layout<'g>(
    graph: &'g Graph,
    freedom: &[Freedom],
    join: Join,
    mut places: Vec<Option<Place>>,
    arena: BufferId,
) -> Result<Layout<'g>, Fault> {
    let ids = (0..).map(ValueId).take(graph.values.len());
    let own = |value| Home { value, offset: 0, pitch: None, is_own: true };
    let mut homes: Vec<Home> = ids.map(own).collect();
    let joined = join == Join::InPlace && join::run(graph, freedom, &places, &mut homes);
    share(graph, &mut homes, &mut places);
    let mut lives = Lives::default();
    let mut steps = Vec::new();
    let own = graph.nodes.iter().zip(freedom).filter(|(n, _)| homes[n.output.index()].is_own);
    for (number, (node, _)) in own.clone().enumerate() {
        lives.add(graph, number, node, &homes, &places)?;
        steps.push(node);
    }
    for (number, (node, freedom)) in own.enumerate() {
        for &i in &freedom.over {
            if let Some(Input::Value(value)) = node.inputs.get(i)
                && lives.overwrite(number, node, (*value, size(graph, *value)?), &homes)
            {
                break;
            }
        }
    }
    let bytes = lives.place(|value, offset| {
        places[value.index()] = Some((arena, offset));
    });
    Ok(Layout { joined, homes, steps, places, bytes })
}

/// The step that a node becomes.
fn step(node: &Node, slot: impl Fn(ValueId) -> Slot) -> Step {
    let operand = |input: &Input| match *input {
        Input::Value(value) => Operand::Slot(slot(value)),
        Input::Weight(weight) => Operand::Weight(weight),
        Input::State(state) => Operand::State(state),
        Input::Absent => Operand::Absent,
    };
    let inputs = node.inputs.iter().map(operand).collect();
    Step { op: node.op, inputs, output: slot(node.output), layer: node.layer }
}

/// Bytes of a value with every symbol at its bound.
fn size(graph: &Graph, value: ValueId) -> Result<u64, Fault> {
    let ty = graph.ty(value);
    ty.dims
        .iter()
        .try_fold(ty.dtype.bytes(), |bytes, dim| bytes.checked_mul(dim.max(&graph.symbols)))
        .ok_or_else(|| Fault::Graph(format!("{value} is larger than any memory: {ty:?}")))
}

/// In whose bytes a value lies, and from which byte on.
#[derive(Clone, Copy, Debug)]
struct Home {
    value: ValueId,
    offset: u64,
    /// Of columns of a wider value: elements from each run of them to the next.
    pitch: Option<u64>,
    /// Whether a step writes the value itself: not what it lies in, nor what lies in it.
    is_own: bool,
}

/// Finds the values that lie in others; one that an output shares is placed there.
fn share(graph: &Graph, homes: &mut [Home], places: &mut [Option<Place>]) {
    let inputs: Vec<ValueId> = graph.inputs.iter().map(|(_, value)| *value).collect();
    for node in &graph.nodes {
        let Some((operand, first)) = within(node) else { continue };
        let (home, out) = (homes[operand.index()], node.output);
        let offset = home.offset + first * graph.ty(operand).dtype.bytes();
        if !offset.is_multiple_of(ALIGN) {
            continue;
        }
        let Some(place) = places[out.index()] else {
            homes[out.index()] = Home { offset, is_own: false, ..home };
            continue;
        };
        // An output's buffer is as large as the output, and has one value's bytes.
        let whole = size(graph, home.value).ok() == size(graph, out).ok();
        if whole && places[home.value.index()].is_none() && !inputs.contains(&home.value) {
            places[home.value.index()] = Some(place);
            homes[out.index()] = Home { offset, is_own: false, ..home };
        }
    }
}

/// The operand whose bytes hold a node's result as they are, and with which element of it the result begins.
fn within(node: &Node) -> Option<(ValueId, u64)> {
    let (Op::Array(op), Some(Input::Value(operand))) = (node.op, node.inputs.first()) else {
        return None;
    };
    match op {
        ArrayOp::Reshape { .. } => Some((*operand, 0)),
        ArrayOp::View(view) => {
            // An empty part may begin anywhere.
            let mut step = u64::from(!view.dims.contains(&0));
            for (&dim, &stride) in view.dims.iter().zip(view.strides.iter()).rev() {
                if step == 0 || (dim != 1 && u64::try_from(stride).ok() != Some(step)) {
                    return None;
                }
                step = step.checked_mul(dim)?;
            }
            Some((*operand, view.offset))
        }
        _ => None,
    }
}
