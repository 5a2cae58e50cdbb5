//! One graph on several backends: delegates run the regions that they take, the host all others.
//!
//! A delegate is asked for each node, then given whole regions to load; where it fails to load one,
//! the host runs that region instead, and where it fails while running, the host takes over from
//! there. Each of these is kept as a reason, so that nothing is placed elsewhere in silence. Values
//! that go from one backend to another lie in memory of their own, which the plan names.

pub use graph::partition::Worth;

use crate::error::EngineError;
use graph::{
    Graph, ValueId,
    partition::{self, Division, Owner, Piece, Region},
};
use plan::{
    Backend, BufferKind, Control, Grant, LoadError, Plan, Program, ReadError, Refusal, RunError,
    State, Unit, Weight, WeightSource,
};
use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};
use tensor::Bytes;

/// Backends that run parts of networks, and what they are given.
#[derive(Clone, Debug, Default)]
pub struct Delegates {
    /// The first that takes a node gets it.
    pub backends: Vec<Arc<dyn Backend>>,
    /// What a region must do to be handed over.
    pub worth: Worth,
    /// Nodes whose backend is chosen; the last pin that names a node counts.
    pub pins: Vec<Pin>,
}

/// A choice of backend for some nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// A value (`v7`) as the graph's text names it, or an operator (`conv`).
    pub what: String,
    /// The backend's name; any other than a delegate's is the host.
    pub backend: String,
}

/// Where the nodes of a graph run, and why not elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// Regions in the order in which they run.
    pub parts: Vec<Part>,
    /// Why nodes are not where they could be, equal ones counted together.
    pub reasons: Vec<Reason>,
}

/// A region and its backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The backend's name.
    pub backend: String,
    /// How many nodes it has.
    pub nodes: usize,
    /// Their multiply-adds.
    pub macs: u64,
    /// Bytes that are handed in and out.
    pub moved: Bytes,
}

/// Why some nodes are not run by a delegate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The delegate's name.
    pub backend: String,
    /// The nodes' operator; none where a whole region is meant.
    pub op: Option<&'static str>,
    /// How many.
    pub nodes: usize,
    /// Why.
    pub why: String,
}

impl Placement {
    /// Each backend's share of the multiply-adds, from 0 to 1, by its name.
    pub fn shares(&self) -> Vec<(String, f64)> {
        let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
        for part in &self.parts {
            *sums.entry(&part.backend).or_default() += part.macs;
        }
        let all = sums.values().sum::<u64>().max(1) as f64;
        sums.into_iter().map(|(name, macs)| (name.to_owned(), macs as f64 / all)).collect()
    }

    fn note(&mut self, backend: &dyn Backend, op: Option<&'static str>, nodes: usize, why: String) {
        let backend = backend.name().to_owned();
        let same =
            |known: &&mut Reason| (&known.backend, known.op, &known.why) == (&backend, op, &why);
        match self.reasons.iter_mut().find(same) {
            Some(known) => known.nodes += nodes,
            None => self.reasons.push(Reason { backend, op, nodes, why }),
        }
    }
}

/// A graph that is loaded on several backends.
pub struct Placed {
    plan: Plan,
    host: Arc<dyn Backend>,
    source: Arc<dyn WeightSource>,
    parts: Vec<Loaded>,
    /// Bytes of each value that is handed over.
    sizes: Vec<usize>,
    /// Which of them the graph's inputs and outputs are.
    inputs: Vec<usize>,
    outputs: Vec<usize>,
    placement: Mutex<Placement>,
}

/// A region that is loaded.
#[derive(Debug)]
struct Loaded {
    program: Arc<dyn Program>,
    /// What the host would run instead of a delegate.
    instead: Option<Graph>,
    nodes: usize,
    inputs: Vec<usize>,
    outputs: Vec<usize>,
}

impl fmt::Debug for Placed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Placed({} parts, {} values)", self.parts.len(), self.sizes.len())
    }
}

/// Values that go from region to region, numbered.
#[derive(Default)]
struct Slots {
    of: BTreeMap<ValueId, usize>,
    sizes: Vec<usize>,
}

impl Slots {
    fn slot(&mut self, graph: &Graph, value: ValueId) -> usize {
        *self.of.entry(value).or_insert_with(|| {
            let ty = graph.ty(value);
            let elements: u64 = ty.dims.iter().map(|dim| dim.max(&graph.symbols)).product();
            self.sizes.push(usize::try_from(elements * ty.dtype.bytes()).unwrap_or(usize::MAX));
            self.sizes.len() - 1
        })
    }
}

/// Who runs each node: the pin's choice, else the first delegate that takes it.
fn owners(graph: &Graph, delegates: &Delegates, placement: &mut Placement) -> Vec<Owner> {
    let draft = partition::draft(graph);
    let mut owners = Vec::with_capacity(graph.nodes.len());
    for (node, step) in graph.nodes.iter().zip(&draft.steps) {
        let op = step.op.name();
        let name = node.output.to_string();
        let pin = delegates.pins.iter().rev().find(|pin| pin.what == name || pin.what == op);
        let mut owner = Owner::Host;
        for (place, backend) in (0u16..).zip(&delegates.backends) {
            if let Some(pin) = pin
                && pin.backend != backend.name()
            {
                placement.note(&**backend, Some(op), 1, format!("pinned to {}", pin.backend));
                continue;
            }
            match backend.accept(step, &draft) {
                Ok(_) => {
                    owner = Owner::Delegate(place);
                    break;
                }
                Err(Refusal::Op { reason, .. }) => {
                    placement.note(&**backend, Some(op), 1, reason);
                }
                Err(refusal) => placement.note(&**backend, Some(op), 1, refusal.to_string()),
            }
        }
        owners.push(owner);
    }
    owners
}

/// A graph that was divided, and what is planned of it.
struct Divided<'d> {
    graph: Graph,
    delegates: &'d Delegates,
    placement: Placement,
    division: Division,
    slots: Slots,
    inputs: Vec<usize>,
    outputs: Vec<usize>,
    plan: Plan,
}

impl<'d> Divided<'d> {
    fn new(graph: &Graph, delegates: &'d Delegates) -> Result<Self, EngineError> {
        let mut graph = graph.clone();
        graph::passes::dead_code::run(&mut graph);
        let mut placement = Placement::default();
        let owners = owners(&graph, delegates, &mut placement);
        let division = partition::divide(&graph, &owners, &delegates.worth);
        for region in &division.dropped {
            if let Some(backend) = delegates.of(region.owner) {
                let (work, moved) = (region.work.operations, region.moved);
                let why = format!("{work} operations are not worth handing over {moved}");
                placement.note(&**backend, None, region.nodes.len(), why);
            }
        }
        let mut slots = Slots::default();
        let ports = |slots: &mut Slots, list: &[(String, ValueId)]| -> Vec<usize> {
            list.iter().map(|(_, value)| slots.slot(&graph, *value)).collect()
        };
        let (inputs, outputs) =
            (ports(&mut slots, &graph.inputs), ports(&mut slots, &graph.outputs));
        let mut plan = graph::compile(graph.clone()).map_err(broken)?;
        // The whole graph's arena is nobody's: each region has its own.
        for buffer in &mut plan.buffers {
            if buffer.kind == BufferKind::Arena {
                buffer.bytes = Bytes::ZERO;
            }
        }
        Ok(Self { graph, delegates, placement, division, slots, inputs, outputs, plan })
    }

    /// A region by its number, and the delegate that wants it.
    fn piece(&self, number: usize) -> (Piece, Option<&'d Arc<dyn Backend>>) {
        let region = &self.division.regions[number];
        (partition::extract(&self.graph, region), self.delegates.of(region.owner))
    }

    /// Notes that a backend has a region, and names what the region needs.
    fn place(&mut self, number: usize, backend: &dyn Backend, plan: &Plan) {
        let (name, region) = (backend.name(), &self.division.regions[number]);
        self.placement.parts.push(part(name, region));
        for buffer in &plan.buffers {
            // What goes in and out of a region lies there, too.
            let kind = match buffer.kind {
                BufferKind::Io => BufferKind::Arena,
                kind => kind,
            };
            self.plan.name(format!("{name}.{number}.{}", buffer.name), kind, buffer.bytes);
        }
    }

    /// Notes why a delegate has not the region that it wanted.
    fn refuse(&mut self, number: usize, backend: &dyn Backend, error: &EngineError) {
        let nodes = self.division.regions[number].nodes.len();
        self.placement.note(backend, None, nodes, crate::error::chain(error));
    }

    /// The slots of a region's values.
    fn ports(&mut self, values: &[ValueId]) -> Vec<usize> {
        values.iter().map(|&value| self.slots.slot(&self.graph, value)).collect()
    }

    /// Names the memory in which values are handed over, when all regions have their slots.
    fn finish(&mut self) {
        let sizes = &self.slots.sizes;
        let ports = self.inputs.iter().chain(&self.outputs);
        let ports: u64 = ports.map(|&slot| sizes[slot] as u64).sum();
        let all: u64 = sizes.iter().map(|&size| size as u64).sum();
        let bytes = Bytes(all.saturating_sub(ports));
        self.plan.name("handed over".into(), BufferKind::Arena, bytes);
    }
}

impl Delegates {
    fn of(&self, owner: Owner) -> Option<&Arc<dyn Backend>> {
        match owner {
            Owner::Host => None,
            Owner::Delegate(place) => self.backends.get(usize::from(place)),
        }
    }
}

/// Divides a graph and says what it would take and where it would run; nothing is loaded.
///
/// # Errors
/// If the graph breaks a rule, or the host cannot run what no delegate takes.
pub fn plan(
    graph: &Graph,
    host: &Arc<dyn Backend>,
    delegates: &Delegates,
) -> Result<(Plan, Placement), EngineError> {
    let mut divided = Divided::new(graph, delegates)?;
    for number in 0..divided.division.regions.len() {
        let (Piece { graph, inputs, outputs }, wanted) = divided.piece(number);
        let planned = wanted.map(|backend| (backend, plan_one(graph.clone(), &**backend)));
        match planned {
            Some((backend, Ok(plan))) => divided.place(number, &**backend, &plan),
            refused => {
                if let Some((backend, Err(error))) = refused {
                    divided.refuse(number, &**backend, &error);
                }
                divided.place(number, &**host, &plan_one(graph, &**host)?);
            }
        }
        divided.ports(&inputs);
        divided.ports(&outputs);
    }
    divided.finish();
    Ok((divided.plan, divided.placement))
}

/// Divides a graph and loads its regions; its state keeps no positions.
///
/// # Errors
/// If the graph breaks a rule, or the host cannot run or load what no delegate takes.
pub fn load(
    graph: &Graph,
    source: &Arc<dyn WeightSource>,
    host: &Arc<dyn Backend>,
    delegates: &Delegates,
) -> Result<Placed, EngineError> {
    // Another region may want a weight again, and the host a delegate's that failed.
    let source: Arc<dyn WeightSource> = Arc::new(Kept(Arc::clone(source)));
    let mut divided = Divided::new(graph, delegates)?;
    let count = divided.division.regions.len();
    let mut parts = Vec::with_capacity(count);
    for number in 0..count {
        let (Piece { graph: piece, inputs, outputs }, wanted) = divided.piece(number);
        let loaded = wanted.map(|backend| (backend, load_one(piece.clone(), &source, &**backend)));
        let (program, instead) = match loaded {
            Some((backend, Ok(program))) => {
                divided.place(number, &**backend, program.plan());
                (program, Some(piece))
            }
            refused => {
                if let Some((backend, Err(error))) = refused {
                    divided.refuse(number, &**backend, &error);
                }
                let program = load_one(piece, &source, &**host)?;
                divided.place(number, &**host, program.plan());
                (program, None)
            }
        };
        let nodes = divided.division.regions[number].nodes.len();
        let (inputs, outputs) = (divided.ports(&inputs), divided.ports(&outputs));
        parts.push(Loaded { program, instead, nodes, inputs, outputs });
    }
    divided.finish();
    let Divided { placement, slots, inputs, outputs, plan, .. } = divided;
    Ok(Placed {
        plan,
        host: Arc::clone(host),
        source,
        parts,
        sizes: slots.sizes,
        inputs,
        outputs,
        placement: Mutex::new(placement),
    })
}

/// Weights that can be read again after a backend has said that it has read them.
struct Kept(Arc<dyn WeightSource>);

impl WeightSource for Kept {
    fn read_rows(&self, weight: &Weight, row: u64, out: &mut [u8]) -> Result<(), ReadError> {
        self.0.read_rows(weight, row, out)
    }
}

fn part(backend: &str, region: &Region) -> Part {
    let (macs, moved) = (region.work.macs, region.moved);
    Part { backend: backend.to_owned(), nodes: region.nodes.len(), macs, moved }
}

fn broken(source: graph::Fault) -> EngineError {
    EngineError::Graph { file: "network".into(), source }
}

/// What a graph takes on one backend.
fn plan_one(graph: Graph, backend: &dyn Backend) -> Result<Plan, EngineError> {
    let mut plan = graph::compile_for(graph, backend).map_err(broken)?;
    plan.place(backend).map_err(LoadError::from)?;
    Ok(plan)
}

/// A graph on one backend.
fn load_one(
    graph: Graph,
    source: &Arc<dyn WeightSource>,
    backend: &dyn Backend,
) -> Result<Arc<dyn Program>, EngineError> {
    let plan = plan_one(graph, backend)?;
    let mut grant = Grant::new(plan.promise().total());
    Ok(backend.load(plan, Arc::clone(source), &mut grant, &plan::Uncontrolled)?)
}

impl Placed {
    /// Where everything runs by now.
    pub fn placement(&self) -> Placement {
        self.placement.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Program for Placed {
    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn units(&self) -> Vec<Unit> {
        self.parts.iter().flat_map(|part| part.program.units()).collect()
    }

    fn state(self: Arc<Self>, grant: &mut Grant) -> Result<Box<dyn State>, LoadError> {
        let mut states = Vec::with_capacity(self.parts.len());
        for part in &self.parts {
            states.push(Arc::clone(&part.program).state(grant)?);
        }
        for &size in &self.sizes {
            grant.take(Bytes(size as u64))?;
        }
        let values = self.sizes.iter().map(|&size| vec![0; size]).collect();
        Ok(Box::new(Running { program: self, states, values }))
    }
}

/// One run's memory on all backends.
#[derive(Debug)]
struct Running {
    program: Arc<Placed>,
    states: Vec<Box<dyn State>>,
    values: Vec<Vec<u8>>,
}

impl Running {
    /// Runs a region; its inputs are in their slots.
    fn part(
        &mut self,
        number: usize,
        extents: &[u64],
        control: &dyn Control,
    ) -> Result<(), RunError> {
        let part = &self.program.parts[number];
        let state = &mut self.states[number];
        for (port, &slot) in part.inputs.iter().enumerate() {
            let value = &self.values[slot];
            state.input(port)[..value.len()].copy_from_slice(value);
        }
        state.run(extents, control)?;
        for (port, &slot) in part.outputs.iter().enumerate() {
            let value = &mut self.values[slot];
            let len = value.len();
            value.copy_from_slice(&state.output(port)[..len]);
        }
        Ok(())
    }

    /// The host's program in place of a delegate's that failed; its memory is beyond the promise,
    /// which the reason tells.
    fn replace(&mut self, number: usize, backend: &str, why: &str) -> Result<(), RunError> {
        let failed = |error: &dyn std::error::Error| RunError::Delegate {
            backend: backend.to_owned(),
            reason: format!("{why}; the host cannot take over: {}", crate::error::chain(error)),
        };
        let program = Arc::clone(&self.program);
        let part = &program.parts[number];
        let Some(graph) = part.instead.clone() else {
            return Err(RunError::Delegate { backend: backend.to_owned(), reason: why.to_owned() });
        };
        let loaded = load_one(graph, &program.source, &*program.host);
        let loaded = loaded.map_err(|error| failed(&error))?;
        let mut grant = Grant::new(loaded.plan().promise().total());
        let bytes = grant.left();
        self.states[number] = loaded.state(&mut grant).map_err(|error| failed(&error))?;
        let mut placement = program.placement.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(part) = placement.parts.get_mut(number) {
            program.host.name().clone_into(&mut part.backend);
        }
        placement.reasons.push(Reason {
            backend: backend.to_owned(),
            op: None,
            nodes: part.nodes,
            why: format!("{why}; the host took over with {bytes} beyond the promise"),
        });
        Ok(())
    }
}

impl State for Running {
    fn plan(&self) -> &Plan {
        &self.program.plan
    }

    fn input(&mut self, port: usize) -> &mut [u8] {
        &mut self.values[self.program.inputs[port]]
    }

    fn run(&mut self, extents: &[u64], control: &dyn Control) -> Result<(), RunError> {
        for number in 0..self.states.len() {
            match self.part(number, extents, control) {
                Err(RunError::Delegate { backend, reason }) => {
                    self.replace(number, &backend, &reason)?;
                    self.part(number, extents, control)?;
                }
                other => other?,
            }
        }
        Ok(())
    }

    fn output(&self, port: usize) -> &[u8] {
        &self.values[self.program.outputs[port]]
    }

    fn positions(&self) -> u64 {
        0
    }

    fn truncate(&mut self, _positions: u64) {}
}
