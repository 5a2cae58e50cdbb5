//! Stages as they run: each a plan that the processor's backend has loaded, with a state of its own.
//!
//! All stages of a network share one backend, and so its threads. Inputs are written straight into a
//! state's memory and outputs are read there, so that a value which goes from stage to stage is copied
//! once. After its first run a stage allocates nothing.

use super::{Array, constants::Constants, custom::Called, file::Folder, optimise};
use crate::{
    delegates::{self, Delegates, Placed, Placement},
    error::EngineError,
};
use cpu::CpuBackend;
use graph::Graph;
use import::{
    network::{HostError, Origin, Port, Stage},
    onnx::{Declared, NetworkError},
};
use plan::{
    Backend, Control, Grant, LoadError, Plan, Program, RunError, Span, State, Trace, Unit,
    WeightSource,
};
use std::{sync::Arc, time::Duration};
use tensor::TensorRef;

/// What a run is given: inputs by name, and the variables' values.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Inputs<'a> {
    /// In the caller's order.
    pub(super) given: &'a [(&'a str, TensorRef<'a>)],
    /// The network's inputs, each of which is given.
    pub(super) declared: &'a [Declared],
    /// Count as inputs behind the others.
    pub(super) variables: &'a [Array],
}

impl<'a> Inputs<'a> {
    /// The input at a place in the file's order.
    pub(super) fn get(&self, place: usize) -> Option<TensorRef<'a>> {
        let Some(Declared { name, .. }) = self.declared.get(place) else {
            return self.variables.get(place - self.declared.len()).map(Array::view);
        };
        // Most callers give inputs in the file's order.
        let here = self.given.get(place).filter(|(given, _)| given == name);
        here.or_else(|| self.given.iter().find(|(given, _)| given == name)).map(|(_, found)| *found)
    }

    /// The elements of an input; none of one that is not there.
    pub(super) fn bytes(&self, place: usize) -> &'a [u8] {
        self.get(place).map_or(&[], |tensor| tensor.bytes())
    }
}

/// The stages of a binding, in order.
#[derive(Debug, Default)]
pub(super) struct Stages {
    list: Vec<Running>,
    /// Passes that are left out.
    pub(super) off: Vec<&'static str>,
    /// Backends that run parts of stages; without any, everything is the processor's.
    pub(super) delegates: Delegates,
}

/// One stage.
#[derive(Debug)]
struct Running {
    inputs: Vec<Origin>,
    /// Operators whose indices only a run gives, with their nodes' names.
    indexed: Vec<(&'static str, String)>,
    /// Its plan as it was loaded; none where all is known before a run.
    program: Option<Arc<dyn Program>>,
    /// The same program, where parts of it are delegates'.
    placed: Option<Arc<Placed>>,
    state: Option<Box<dyn State>>,
    /// Bytes of each output.
    sizes: Vec<usize>,
    /// Units of the schedule.
    units: usize,
    /// Outputs on which later stages were built, with what they were.
    expected: Vec<(usize, Arc<[u8]>)>,
}

impl Running {
    fn new(inputs: Vec<Origin>) -> Self {
        Self {
            inputs,
            indexed: Vec::new(),
            program: None,
            placed: None,
            state: None,
            sizes: Vec::new(),
            units: 0,
            expected: Vec::new(),
        }
    }

    fn loaded(&mut self, program: Arc<dyn Program>) {
        self.sizes = program.plan().outputs.iter().map(bytes).collect();
        self.units = program.units().len();
        self.program = Some(program);
    }

    fn output(&self, output: usize) -> Option<&[u8]> {
        self.state.as_deref()?.output(output).get(..*self.sizes.get(output)?)
    }

    /// Memory for a run, if it was given back.
    fn wake(&mut self) -> Result<(), EngineError> {
        if let (Some(program), None) = (&self.program, &self.state) {
            let mut grant = Grant::new(program.plan().promise().total());
            self.state = Some(Arc::clone(program).state(&mut grant)?);
        }
        Ok(())
    }
}

impl Stages {
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// Adds a stage and loads what it needs.
    pub(super) fn push(
        &mut self,
        folder: &Arc<Folder>,
        stage: Stage,
        backend: &Arc<CpuBackend>,
    ) -> Result<(), EngineError> {
        let mut running = Running::new(stage.inputs);
        running.indexed = stage.indexed;
        if !stage.graph.outputs.is_empty() {
            let mut graph = stage.graph;
            let mut constants = Constants::new(folder, stage.constants)?;
            optimise::run(&mut graph, &mut constants, &self.off);
            let source: Arc<dyn WeightSource> = Arc::new(constants);
            if self.delegates.backends.is_empty() {
                let plan = compile(graph, backend)?;
                let mut grant = Grant::new(plan.promise().total());
                let program = backend.load(plan, source, &mut grant, &plan::Uncontrolled)?;
                running.loaded(program);
            } else {
                let host: Arc<dyn Backend> = Arc::clone(backend) as _;
                let placed = delegates::load(&graph, &source, &host, &self.delegates)?;
                let placed = Arc::new(placed);
                running.loaded(Arc::clone(&placed) as _);
                running.placed = Some(placed);
            }
        }
        self.list.push(running);
        Ok(())
    }

    /// Adds a call of a registered operator.
    pub(super) fn call(&mut self, called: Called, ports: Vec<Option<Port>>) {
        let live = |port: Option<Port>| match port? {
            Port::Live(origin) => Some(origin),
            Port::Constant(_) => None,
        };
        let mut running = Running::new(ports.into_iter().filter_map(live).collect());
        running.loaded(Arc::new(called));
        self.list.push(running);
    }

    /// Where everything of the stages runs by now; nothing without delegates.
    pub(super) fn placements(&self) -> Vec<Placement> {
        self.list.iter().filter_map(|stage| Some(stage.placed.as_ref()?.placement())).collect()
    }

    /// Runs a stage, whose predecessors have run.
    pub(super) fn run(
        &mut self,
        number: usize,
        inputs: Inputs<'_>,
        control: &dyn Control,
    ) -> Result<(), EngineError> {
        let (before, rest) = self.list.split_at_mut(number);
        let first = before.iter().map(|stage| stage.units).sum();
        let staged =
            Staged { control, trace: control.trace().map(|trace| Offset { trace, first }) };
        let Some(running) = rest.first_mut() else { return Ok(()) };
        running.wake()?;
        let Some(state) = &mut running.state else { return Ok(()) };
        for (port, origin) in running.inputs.iter().enumerate() {
            let bytes = match *origin {
                Origin::Input(place) => inputs.bytes(place),
                Origin::Stage { stage, output } => before[stage].output(output).unwrap_or_default(),
            };
            state.input(port)[..bytes.len()].copy_from_slice(bytes);
        }
        state.run(&[], &staged).map_err(|error| named(error, &running.indexed))
    }

    /// Gives the memory of runs back; weights stay.
    pub(super) fn sleep(&mut self) {
        for running in &mut self.list {
            running.state = None;
        }
    }

    /// The elements of an output of a stage that has run.
    pub(super) fn output(&self, stage: usize, output: usize) -> Option<&[u8]> {
        self.list.get(stage)?.output(output)
    }

    /// What the spans of a trace stand for, over all stages.
    pub(super) fn units(&self) -> Vec<Unit> {
        let programs = self.list.iter().filter_map(|stage| stage.program.as_ref());
        programs.flat_map(|program| program.units()).collect()
    }

    /// The plans of the stages.
    pub(super) fn plans(&self) -> impl Iterator<Item = &Plan> {
        self.list.iter().filter_map(|stage| Some(stage.program.as_ref()?.plan()))
    }

    /// An output that later stages will be built on.
    pub(super) fn expect(&mut self, stage: usize, output: usize) -> Result<Arc<[u8]>, HostError> {
        let running = self.list.get_mut(stage).ok_or(HostError::Pending)?;
        if let Some((_, bytes)) = running.expected.iter().find(|(known, _)| *known == output) {
            return Ok(bytes.clone());
        }
        let bytes: Arc<[u8]> = running.output(output).ok_or(HostError::Pending)?.into();
        running.expected.push((output, bytes.clone()));
        Ok(bytes)
    }

    /// Whether a stage gave what later ones were built on.
    pub(super) fn is_as_expected(&self, stage: usize) -> bool {
        let running = &self.list[stage];
        let same = |(output, bytes): &(usize, Arc<[u8]>)| running.output(*output) == Some(&**bytes);
        running.expected.iter().all(same)
    }
}

/// An index that is out of range with the name of the node that uses it, or of those that may.
fn named(error: RunError, indexed: &[(&'static str, String)]) -> EngineError {
    let RunError::Outside { op, index, extent } = error else { return error.into() };
    let nodes: Vec<&str> =
        indexed.iter().filter(|(known, _)| *known == op).map(|(_, node)| node.as_str()).collect();
    let (node, op) = (nodes.join("` or `"), op.to_owned());
    let reason = format!("index {index} is outside of {extent} elements");
    EngineError::Network { file: "network".into(), source: NetworkError::Node { node, op, reason } }
}

/// Bytes of a port's elements.
fn bytes(port: &plan::Port) -> usize {
    let elements: u64 = port.slot.dims.iter().map(|dim| dim.at(&[])).product();
    usize::try_from(elements * port.slot.dtype.bytes()).unwrap_or(usize::MAX)
}

/// A plan of the graph with all that the backend needs.
pub(super) fn compile(graph: Graph, backend: &CpuBackend) -> Result<Plan, EngineError> {
    let compiled = graph::compile_for(graph, backend);
    let file = String::from("network");
    let mut plan = compiled.map_err(|source| EngineError::Graph { file, source })?;
    plan.place(backend).map_err(LoadError::from)?;
    Ok(plan)
}

/// A caller's control whose trace counts the units of all stages on.
struct Staged<'a> {
    control: &'a dyn Control,
    trace: Option<Offset<'a>>,
}

impl Control for Staged<'_> {
    fn cancelled(&self) -> bool {
        self.control.cancelled()
    }

    fn progress(&self, done: u64, total: u64) {
        self.control.progress(done, total);
    }

    fn trace(&self) -> Option<&dyn Trace> {
        self.trace.as_ref().map(|trace| trace as &dyn Trace)
    }
}

/// Notes spans with numbers behind those of the stages before.
struct Offset<'a> {
    trace: &'a dyn Trace,
    first: usize,
}

impl Trace for Offset<'_> {
    fn now(&self) -> Duration {
        self.trace.now()
    }

    fn note(&self, mut span: Span) {
        span.unit = span.unit.saturating_add(u32::try_from(self.first).unwrap_or(u32::MAX));
        self.trace.note(span);
    }
}
