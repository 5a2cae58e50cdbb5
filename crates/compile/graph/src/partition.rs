//! Divides a graph between a host and its delegates: regions of nodes that one of them runs in one
//! go.
//!
//! Every node gets a level: that of the nodes it reads where they have the same owner, one more
//! where they have another. Levels never fall along an edge and rise with every change of owner, so
//! connected nodes of one owner and level form a region that no path leaves and enters again, and
//! regions in order of their levels can run one after the other. Regions then sink to the level of
//! a successor of the same owner where nothing in between needs them, which joins branches that
//! begin apart. Linear in nodes and edges.
//!
//! A delegate's region that is not worth its hand-over goes back to the host, and what is left is
//! divided anew. Backends are asked through [`draft`], a plan whose values have no places yet.

use crate::{Graph, Input, ValueId, ops::array::Array, work, work::Work};
use alloc::{collections::BTreeMap, vec, vec::Vec};
use plan::{BufferId, Op, Operand, Plan, Slot, StateId, Step, WeightId};
use tensor::{Bytes, Shape, TensorType};

/// Who runs a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// The backend that runs everything.
    #[default]
    Host,
    /// One of those that run parts, by its place among them.
    Delegate(u16),
}

/// What a delegate's region must do to be worth its hand-over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Worth {
    /// Operations at least.
    pub operations: u64,
    /// Operations at least for each byte that is handed in or out.
    pub per_byte: u64,
}

impl Default for Worth {
    /// Some ten microseconds of a core's time, and more than copying the bytes would cost.
    fn default() -> Self {
        Self { operations: 1 << 18, per_byte: 4 }
    }
}

impl Worth {
    /// Whether a region of so much work with such a hand-over is worth it.
    pub fn holds(&self, work: Work, moved: Bytes) -> bool {
        work.operations >= self.operations
            && work.operations >= self.per_byte.saturating_mul(moved.0)
    }
}

/// Nodes that one backend runs in one go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    /// Who runs it.
    pub owner: Owner,
    /// Its nodes by their places, ascending.
    pub nodes: Vec<usize>,
    /// What it computes.
    pub work: Work,
    /// Bytes of the values that it reads and gives.
    pub moved: Bytes,
}

/// A graph divided.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Division {
    /// Regions in an order in which they can run; each node is in one of them.
    pub regions: Vec<Region>,
    /// Regions that were wanted and not worth it; their nodes are in regions of the host.
    pub dropped: Vec<Region>,
}

/// A region as a graph of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Piece {
    /// The graph; its inputs and outputs are named after the values of the whole.
    pub graph: Graph,
    /// The whole graph's values that it reads, in the order of its inputs.
    pub inputs: Vec<ValueId>,
    /// The whole graph's values that it gives, in the order of its outputs.
    pub outputs: Vec<ValueId>,
}

/// Divides a graph; `wanted` has an owner for each node.
///
/// # Panics
/// If `wanted` has not one owner a node.
pub fn divide(graph: &Graph, wanted: &[Owner], worth: &Worth) -> Division {
    assert_eq!(wanted.len(), graph.nodes.len(), "an owner for each node");
    let edges = Edges::of(graph);
    let mut owners = wanted.to_vec();
    let mut dropped = Vec::new();
    loop {
        let regions = regions(graph, &owners, &edges);
        let poor = |region: &Region| {
            region.owner != Owner::Host && !worth.holds(region.work, region.moved)
        };
        let (bad, good): (Vec<Region>, Vec<Region>) = regions.into_iter().partition(poor);
        if bad.is_empty() {
            return Division { regions: good, dropped };
        }
        // Each turn gives nodes back, so there are few.
        for region in &bad {
            region.nodes.iter().for_each(|&node| owners[node] = Owner::Host);
        }
        dropped.extend(bad);
    }
}

/// Who reads what.
struct Edges {
    /// Nodes whose results each node reads.
    reads: Vec<Vec<usize>>,
    /// Values that the graph gives.
    given: Vec<bool>,
}

impl Edges {
    fn of(graph: &Graph) -> Self {
        let mut writer = vec![None; graph.values.len()];
        let mut reads = Vec::with_capacity(graph.nodes.len());
        for (place, node) in graph.nodes.iter().enumerate() {
            let of = |input: &Input| match input {
                Input::Value(value) => writer[value.index()],
                Input::Weight(_) | Input::State(_) | Input::Absent => None,
            };
            reads.push(node.inputs.iter().filter_map(of).collect());
            writer[node.output.index()] = Some(place);
        }
        let mut given = vec![false; graph.values.len()];
        graph.outputs.iter().for_each(|(_, value)| given[value.index()] = true);
        Self { reads, given }
    }
}

/// Sets of nodes that only grow (Tarjan 1975, with path halving).
struct Sets(Vec<usize>);

impl Sets {
    fn find(&mut self, mut node: usize) -> usize {
        while self.0[node] != node {
            self.0[node] = self.0[self.0[node]];
            node = self.0[node];
        }
        node
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.find(a), self.find(b));
        self.0[a.max(b)] = a.min(b);
    }
}

/// The regions of these owners.
fn regions(graph: &Graph, owners: &[Owner], edges: &Edges) -> Vec<Region> {
    let count = owners.len();
    let mut levels = vec![0u32; count];
    let mut sets = Sets((0..count).collect());
    // All of the host's nodes of one level are one region, connected or not.
    let mut hosts: BTreeMap<u32, usize> = BTreeMap::new();
    for node in 0..count {
        for &from in &edges.reads[node] {
            let change = u32::from(owners[from] != owners[node]);
            levels[node] = levels[node].max(levels[from] + change);
        }
        for &from in &edges.reads[node] {
            if owners[from] == owners[node] && levels[from] == levels[node] {
                sets.join(from, node);
            }
        }
        if owners[node] == Owner::Host {
            let first = *hosts.entry(levels[node]).or_insert(node);
            sets.join(first, node);
        }
    }
    sink(owners, edges, &mut levels, &mut sets);
    let mut found: BTreeMap<(u32, usize), Vec<usize>> = BTreeMap::new();
    for node in 0..count {
        let set = sets.find(node);
        found.entry((levels[node], set)).or_default().push(node);
    }
    let home: Vec<usize> = (0..count).map(|node| sets.find(node)).collect();
    let moved = moved(graph, edges, &home);
    let region = |((_, set), nodes): ((u32, usize), Vec<usize>)| Region {
        owner: owners[set],
        work: nodes.iter().fold(Work::default(), |sum, &node| {
            let own = work_of(graph, node);
            Work {
                macs: sum.macs.saturating_add(own.macs),
                operations: sum.operations.saturating_add(own.operations),
            }
        }),
        moved: Bytes(moved[set]),
        nodes,
    };
    found.into_iter().map(region).collect()
}

/// Lowers regions to the level of a successor of the same owner and joins them, where every other
/// successor allows it. Levels along edges stay as they must be, so regions stay convex.
fn sink(owners: &[Owner], edges: &Edges, levels: &mut [u32], sets: &mut Sets) {
    let count = owners.len();
    let mut members: Vec<Vec<usize>> = vec![Vec::new(); count];
    let mut readers: Vec<Vec<usize>> = vec![Vec::new(); count];
    for node in 0..count {
        members[sets.find(node)].push(node);
        edges.reads[node].iter().for_each(|&from| readers[from].push(node));
    }
    let mut order: Vec<usize> = (0..count).filter(|&set| !members[set].is_empty()).collect();
    order.sort_by_key(|&set| core::cmp::Reverse(levels[set]));
    for set in order {
        let own = levels[set];
        let behind = |node: &usize| readers[*node].iter().copied();
        let outside =
            || members[set].iter().flat_map(behind).filter(|&to| owners[to] != owners[set]);
        let others = outside().map(|to| levels[to] - 1).min().unwrap_or(u32::MAX);
        let same = members[set].iter().flat_map(behind);
        let same = same.filter(|&to| owners[to] == owners[set] && levels[to] > own);
        let next = same.clone().map(|to| levels[to]).min().filter(|&next| next <= others);
        let Some(next) = next else { continue };
        let joined: Vec<usize> = same.filter(|&to| levels[to] == next).collect();
        members[set].iter().for_each(|&node| levels[node] = next);
        for to in joined {
            sets.join(set, to);
        }
    }
}

/// Bytes that each set reads from outside and gives, by its first node.
fn moved(graph: &Graph, edges: &Edges, home: &[usize]) -> Vec<u64> {
    let mut moved = vec![0u64; home.len()];
    let mut add = |set: usize, value: ValueId| {
        moved[set] = moved[set].saturating_add(bytes(graph, value));
    };
    let mut writer = vec![None; graph.values.len()];
    let mut seen: Vec<Vec<usize>> = vec![Vec::new(); graph.values.len()];
    let mut left = edges.given.clone();
    for (place, node) in graph.nodes.iter().enumerate() {
        let set = home[place];
        for input in &node.inputs {
            let Input::Value(value) = *input else { continue };
            let from: Option<usize> = writer[value.index()];
            if from != Some(set) && !seen[value.index()].contains(&set) {
                seen[value.index()].push(set);
                add(set, value);
                left[value.index()] |= from.is_some();
            }
        }
        writer[node.output.index()] = Some(set);
    }
    for (place, node) in graph.nodes.iter().enumerate() {
        if left[node.output.index()] {
            add(home[place], node.output);
        }
    }
    moved
}

/// Bytes of a value with every symbol at its bound.
fn bytes(graph: &Graph, value: ValueId) -> u64 {
    let ty = graph.ty(value);
    let extent = |product: u64, dim: &plan::Dim| product.saturating_mul(dim.max(&graph.symbols));
    ty.dims.iter().fold(ty.dtype.bytes(), extent)
}

/// What a node computes; nothing that is known for operators of language models.
pub fn work_of(graph: &Graph, node: usize) -> Work {
    let node = &graph.nodes[node];
    let Op::Array(op) = &node.op else { return Work::default() };
    let value = |value: ValueId| {
        let ty = graph.ty(value);
        let dims: Vec<u64> = ty.dims.iter().map(|dim| dim.max(&graph.symbols)).collect();
        Some(Array { dtype: ty.dtype, dims: Shape::new(&dims)? })
    };
    let operands: Vec<Option<Array>> = node
        .inputs
        .iter()
        .map(|input| match *input {
            Input::Value(id) => value(id),
            Input::Weight(id) => {
                let weight = &graph.weights[id.0 as usize];
                match weight.ty {
                    TensorType::Plain(dtype) => Some(Array { dtype, dims: weight.shape }),
                    TensorType::Block(_) => None,
                }
            }
            Input::State(_) | Input::Absent => None,
        })
        .collect();
    value(node.output).map_or_else(Work::default, |result| work::of(op, &operands, &result))
}

/// A plan to ask backends by: a step for each node in order, each value in a buffer of its own that
/// has its number. Nothing has a place, and it cannot be run.
pub fn draft(graph: &Graph) -> Plan {
    let slot = |value: ValueId| {
        let ty = graph.ty(value);
        Slot {
            buffer: BufferId(value.0),
            offset: 0,
            dtype: ty.dtype,
            dims: ty.dims.clone(),
            pitch: None,
        }
    };
    let operand = |input: &Input| match *input {
        Input::Value(value) => Operand::Slot(slot(value)),
        Input::Weight(weight) => Operand::Weight(weight),
        Input::State(state) => Operand::State(state),
        Input::Absent => Operand::Absent,
    };
    let step = |node: &crate::Node| Step {
        op: node.op,
        inputs: node.inputs.iter().map(operand).collect(),
        output: slot(node.output),
        layer: node.layer,
    };
    Plan {
        symbols: graph.symbols.clone(),
        weights: graph.weights.clone(),
        states: graph.states.clone(),
        steps: graph.nodes.iter().map(step).collect(),
        ..Plan::default()
    }
}

/// A region as a graph of its own, with the weights and states that it uses.
///
/// # Panics
/// If the region is not of this graph.
pub fn extract(graph: &Graph, region: &Region) -> Piece {
    let mut inside = vec![false; graph.nodes.len()];
    region.nodes.iter().for_each(|&node| inside[node] = true);
    let mut left: Vec<bool> = vec![false; graph.values.len()];
    graph.outputs.iter().for_each(|(_, value)| left[value.index()] = true);
    for (place, node) in graph.nodes.iter().enumerate() {
        for input in &node.inputs {
            if let Input::Value(value) = input
                && !inside[place]
            {
                left[value.index()] = true;
            }
        }
    }
    let mut piece = Graph { symbols: graph.symbols.clone(), ..Graph::default() };
    let mut here: BTreeMap<ValueId, ValueId> = BTreeMap::new();
    let mut weights: BTreeMap<WeightId, WeightId> = BTreeMap::new();
    let mut states: BTreeMap<StateId, StateId> = BTreeMap::new();
    let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
    let written: alloc::collections::BTreeSet<ValueId> =
        region.nodes.iter().map(|&node| graph.nodes[node].output).collect();
    let name = |value: ValueId| alloc::format!("{value}");
    for &place in &region.nodes {
        for input in &graph.nodes[place].inputs {
            if let Input::Value(value) = *input
                && !written.contains(&value)
                && !here.contains_key(&value)
            {
                here.insert(value, piece.input(&name(value), graph.ty(value).clone()));
                inputs.push(value);
            }
        }
    }
    for &place in &region.nodes {
        let node = &graph.nodes[place];
        let operands: Vec<Input> = node
            .inputs
            .iter()
            .map(|input| match *input {
                Input::Value(value) => here[&value].into(),
                Input::Weight(id) => {
                    let new = weights.entry(id).or_insert_with(|| {
                        piece.weights.push(graph.weights[id.0 as usize].clone());
                        WeightId(last(piece.weights.len()))
                    });
                    (*new).into()
                }
                Input::State(id) => {
                    let new = states.entry(id).or_insert_with(|| {
                        piece.states.push(graph.states[id.0 as usize]);
                        StateId(last(piece.states.len()))
                    });
                    (*new).into()
                }
                Input::Absent => Input::Absent,
            })
            .collect();
        let value = piece.push(node.op, operands, node.layer);
        let value = value.expect("the node fits its operands in the whole graph");
        here.insert(node.output, value);
        if left[node.output.index()] {
            piece.output(&name(node.output), value);
            outputs.push(node.output);
        }
    }
    Piece { graph: piece, inputs, outputs }
}

fn last(len: usize) -> u32 {
    u32::try_from(len - 1).expect("no more than the whole graph has")
}
