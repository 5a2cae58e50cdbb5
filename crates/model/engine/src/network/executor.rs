//! Stages as they run: on the processor's backend where it takes all steps, else node by node
//! through the scalar reference.

use super::file::Folder;
use crate::error::EngineError;
use cpu::CpuBackend;
use graph::{Graph, Input};
use import::{
    network::{Constant, HostError, Origin, Port, Stage},
    onnx::Output,
};
use plan::{
    Backend as _, Control, Grant, Op, Plan, Program, ReadError, Span, State, Trace, Unit, Weight,
    WeightSource,
};
use std::{
    borrow::Cow, collections::BTreeMap, num::NonZeroUsize, ops::Range, sync::Arc, time::Duration,
};
use tensor::{Shape, TensorRef, TensorType};

/// The stages of a binding, in order.
#[derive(Debug, Default)]
pub(super) struct Stages {
    list: Vec<Running>,
}

/// One stage.
#[derive(Debug)]
struct Running {
    graph: Graph,
    inputs: Vec<Origin>,
    constants: Arc<Constants>,
    /// The loaded plan; none where the reference runs the graph.
    state: Option<Box<dyn State>>,
    /// What the spans of a trace stand for.
    units: Vec<Unit>,
    outputs: Vec<Vec<u8>>,
    /// Outputs on which later stages were built, with what they were.
    expected: Vec<(usize, Arc<[u8]>)>,
}

impl Stages {
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// Adds a stage and loads what it needs.
    pub(super) fn push(
        &mut self,
        folder: &Folder,
        stage: Stage,
        threads: NonZeroUsize,
    ) -> Result<(), EngineError> {
        let constants = Arc::new(Constants::new(folder, stage.constants)?);
        let loaded = load(&stage.graph, &constants, threads)?;
        let units = loaded.as_ref().map_or_else(Vec::new, |(_, program)| program.units());
        self.list.push(Running {
            graph: stage.graph,
            inputs: stage.inputs,
            constants,
            state: loaded.map(|(state, _)| state),
            units,
            outputs: Vec::new(),
            expected: Vec::new(),
        });
        Ok(())
    }

    /// Runs a stage, whose predecessors have run.
    pub(super) fn run(
        &mut self,
        number: usize,
        inputs: &[TensorRef<'_>],
        control: &dyn Control,
    ) -> Result<(), EngineError> {
        let (before, rest) = self.list.split_at_mut(number);
        let first = before.iter().map(|stage| stage.units.len()).sum();
        let staged =
            Staged { control, trace: control.trace().map(|trace| Offset { trace, first }) };
        let running = &mut rest[0];
        let operand = |origin: &Origin| match *origin {
            Origin::Input(place) => inputs[place].bytes(),
            Origin::Stage { stage, output } => before[stage].outputs[output].as_slice(),
        };
        let operands: Vec<&[u8]> = running.inputs.iter().map(operand).collect();
        running.outputs = match &mut running.state {
            Some(state) => run_plan(&mut **state, &operands, &staged)?,
            None => interpret(&running.graph, &running.constants, &operands, control)?,
        };
        Ok(())
    }

    /// What the spans of a trace stand for, over all stages.
    pub(super) fn units(&self) -> impl Iterator<Item = &Unit> {
        self.list.iter().flat_map(|stage| &stage.units)
    }

    /// Plans of the stages that run by plan.
    pub(super) fn plans(&self) -> impl Iterator<Item = &Plan> {
        self.list.iter().filter_map(|stage| Some(stage.state.as_deref()?.plan()))
    }

    /// An output that later stages will be built on.
    pub(super) fn expect(&mut self, stage: usize, output: usize) -> Result<Arc<[u8]>, HostError> {
        let running = self.list.get_mut(stage).ok_or(HostError::Pending)?;
        if let Some((_, bytes)) = running.expected.iter().find(|(known, _)| *known == output) {
            return Ok(bytes.clone());
        }
        let bytes: Arc<[u8]> =
            running.outputs.get(output).ok_or(HostError::Pending)?.as_slice().into();
        running.expected.push((output, bytes.clone()));
        Ok(bytes)
    }

    /// Whether a stage gave what later ones were built on.
    pub(super) fn is_as_expected(&self, stage: usize) -> bool {
        let running = &self.list[stage];
        running.expected.iter().all(|(output, bytes)| running.outputs[*output] == **bytes)
    }

    /// The elements of an output of the network.
    pub(super) fn port(
        &self,
        output: &Output,
        inputs: &[TensorRef<'_>],
    ) -> Result<Vec<u8>, EngineError> {
        Ok(match &output.port {
            Port::Live(Origin::Input(place)) => inputs[*place].bytes().to_vec(),
            Port::Live(Origin::Stage { stage, output }) => {
                self.list[*stage].outputs[*output].clone()
            }
            Port::Constant(constant) => {
                let size = output.dims.elements().unwrap_or(0) * output.dtype.bytes();
                let size = usize::try_from(size).unwrap_or(usize::MAX);
                match constant {
                    Constant::Bytes(bytes) => bytes.to_vec(),
                    Constant::Splat(one) => {
                        let width = usize::try_from(output.dtype.bytes()).unwrap_or(8);
                        one[..width].iter().copied().cycle().take(size).collect()
                    }
                    Constant::Stored(stored) => self
                        .list
                        .last()
                        .and_then(|last| last.constants.stored(stored))
                        .ok_or_else(|| read_error(&output.name, "is not in the model"))?,
                }
            }
        })
    }

    /// Graphs as text, and plans with their buffers.
    pub(super) fn describe(self) -> (Vec<String>, Vec<Plan>) {
        let mut texts = Vec::new();
        let mut plans = Vec::new();
        for running in self.list {
            texts.push(graph::text::print(&running.graph));
            let plan = match running.state {
                Some(state) => state.plan().clone(),
                None => graph::compile(running.graph).unwrap_or_default(),
            };
            plans.push(plan);
        }
        (texts, plans)
    }
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

fn read_error(name: &str, reason: &str) -> EngineError {
    let error = ReadError { tensor: name.to_owned(), reason: reason.to_owned() };
    EngineError::Load(plan::LoadError::Read(error))
}

/// A plan that is loaded, and its state.
type Loaded = (Box<dyn State>, Arc<dyn Program>);

/// A plan of the graph, loaded; none if the backend does not take all of it.
fn load(
    graph: &Graph,
    constants: &Arc<Constants>,
    threads: NonZeroUsize,
) -> Result<Option<Loaded>, EngineError> {
    if graph.outputs.is_empty() {
        return Ok(None);
    }
    let backend = CpuBackend::new(threads).map_err(EngineError::Threads)?;
    let compiled = graph::compile(graph.clone());
    let file = String::from("network");
    let mut plan = compiled.map_err(|source| EngineError::Graph { file, source })?;
    if plan.place(&backend).is_err() {
        return Ok(None);
    }
    let mut grant = Grant::new(plan.promise().total());
    let source: Arc<dyn WeightSource> = constants.clone();
    let program = backend.load(plan, source, &mut grant, &plan::Uncontrolled)?;
    Ok(Some((Arc::clone(&program).state(&mut grant)?, program)))
}

fn run_plan(
    state: &mut dyn State,
    operands: &[&[u8]],
    control: &dyn Control,
) -> Result<Vec<Vec<u8>>, EngineError> {
    for (port, bytes) in operands.iter().enumerate() {
        let slot = state.input(port);
        slot[..bytes.len()].copy_from_slice(bytes);
    }
    state.run(&[], control)?;
    let sizes: Vec<usize> = state
        .plan()
        .outputs
        .iter()
        .map(|port| {
            let elements: u64 = port.slot.dims.iter().map(|dim| dim.at(&[])).product();
            usize::try_from(elements * port.slot.dtype.bytes()).unwrap_or(usize::MAX)
        })
        .collect();
    Ok(sizes.iter().enumerate().map(|(port, &size)| state.output(port)[..size].to_vec()).collect())
}

/// Runs a graph node by node; values are freed after their last use.
fn interpret(
    graph: &Graph,
    constants: &Constants,
    operands: &[&[u8]],
    control: &dyn Control,
) -> Result<Vec<Vec<u8>>, EngineError> {
    let ty = |value: graph::ValueId| {
        let ty = graph.ty(value);
        let dims: Vec<u64> = ty.dims.iter().map(|dim| dim.at(&[])).collect();
        (ty.dtype, Shape::new(&dims).expect("the graph's rule bounds the rank"))
    };
    let mut last = vec![usize::MAX; graph.values.len()];
    for (place, node) in graph.nodes.iter().enumerate() {
        for input in &node.inputs {
            if let Input::Value(value) = input {
                last[value.index()] = place;
            }
        }
    }
    for (_, value) in &graph.outputs {
        last[value.index()] = usize::MAX;
    }
    let mut values: Vec<Option<Vec<u8>>> = vec![None; graph.values.len()];
    for ((_, value), bytes) in graph.inputs.iter().zip(operands) {
        values[value.index()] = Some(bytes.to_vec());
    }
    for (place, node) in graph.nodes.iter().enumerate() {
        if control.cancelled() {
            return Err(plan::RunError::Cancelled.into());
        }
        let Op::Array(op) = &node.op else {
            return Err(read_error(node.op.name(), "is no operator of networks"));
        };
        let (dtype, dims) = ty(node.output);
        let out = {
            let mut held = Vec::with_capacity(node.inputs.len());
            for input in &node.inputs {
                held.push(match *input {
                    Input::Absent | Input::State(_) => None,
                    Input::Value(value) => {
                        let (dtype, dims) = ty(value);
                        let bytes = values[value.index()].as_deref().unwrap_or_default();
                        Some((dtype, dims, Cow::Borrowed(bytes)))
                    }
                    Input::Weight(id) => {
                        let weight = &graph.weights[id.0 as usize];
                        let TensorType::Plain(dtype) = weight.ty else {
                            return Err(read_error(&weight.tensor, "is no plain array"));
                        };
                        Some((dtype, weight.shape, constants.get(weight)?))
                    }
                });
            }
            let mut refs = Vec::with_capacity(held.len());
            for operand in &held {
                refs.push(match operand {
                    Some((dtype, dims, bytes)) => {
                        let view = TensorRef::new((*dtype).into(), *dims, bytes);
                        Some(view.map_err(|error| read_error("operand", &error.to_string()))?)
                    }
                    None => None,
                });
            }
            reference::evaluate(op, &refs, dtype, dims).map_err(|fault| EngineError::Operator {
                op: op.name(),
                reason: fault.to_string(),
            })?
        };
        values[node.output.index()] = Some(out);
        for input in &node.inputs {
            if let Input::Value(value) = input
                && last[value.index()] == place
            {
                values[value.index()] = None;
            }
        }
    }
    Ok(graph
        .outputs
        .iter()
        .map(|(_, value)| values[value.index()].clone().unwrap_or_default())
        .collect())
}

/// Constants of a stage by name: ranges of files, bytes, or one number repeated.
#[derive(Debug)]
pub(super) struct Constants {
    map: BTreeMap<String, Held>,
    file: Arc<[u8]>,
}

#[derive(Debug)]
enum Held {
    Range(Arc<[u8]>, Range<usize>),
    Bytes(Arc<[u8]>),
    Splat([u8; 8]),
}

impl Constants {
    fn new(folder: &Folder, constants: BTreeMap<String, Constant>) -> Result<Self, EngineError> {
        let mut map = BTreeMap::new();
        for (name, constant) in constants {
            let held = match constant {
                Constant::Bytes(bytes) => Held::Bytes(bytes),
                Constant::Splat(one) => Held::Splat(one),
                Constant::Stored(stored) => {
                    let found = folder.find(&stored);
                    let (file, range) =
                        found.map_err(|error| read_error(&name, &error.to_string()))?;
                    Held::Range(file, range)
                }
            };
            map.insert(name, held);
        }
        let whole =
            import::network::Stored { file: None, offset: 0, bytes: folder.bytes().len() as u64 };
        let file = folder.find(&whole).map_err(|error| read_error("file", &error.to_string()))?.0;
        Ok(Self { map, file })
    }

    /// Bytes of the model's own file.
    fn stored(&self, stored: &import::network::Stored) -> Option<Vec<u8>> {
        if stored.file.is_some() {
            return None;
        }
        let start = usize::try_from(stored.offset).ok()?;
        let end = start.checked_add(usize::try_from(stored.bytes).ok()?)?;
        self.file.get(start..end).map(<[u8]>::to_vec)
    }

    /// All bytes of a weight.
    fn get(&self, weight: &Weight) -> Result<Cow<'_, [u8]>, EngineError> {
        match self.map.get(&weight.tensor) {
            Some(Held::Range(file, range)) => Ok(Cow::Borrowed(&file[range.clone()])),
            Some(Held::Bytes(bytes)) => Ok(Cow::Borrowed(bytes)),
            Some(Held::Splat(one)) => {
                let size = usize::try_from(weight.stored_bytes().0).unwrap_or(usize::MAX);
                let width = usize::try_from(weight.ty.block_bytes()).unwrap_or(8);
                Ok(one[..width].iter().copied().cycle().take(size).collect())
            }
            None => Err(read_error(&weight.tensor, "is not in the model")),
        }
    }
}

impl WeightSource for Constants {
    fn read_rows(&self, weight: &Weight, row: u64, out: &mut [u8]) -> Result<(), ReadError> {
        let error =
            |reason: &str| ReadError { tensor: weight.tensor.clone(), reason: reason.into() };
        let start = row.checked_mul(weight.row_bytes()).and_then(|n| usize::try_from(n).ok());
        let start = start.ok_or_else(|| error("a row behind its end"))?;
        let bytes = match self.map.get(&weight.tensor) {
            Some(Held::Range(file, range)) => &file[range.clone()],
            Some(Held::Bytes(bytes)) => bytes,
            Some(Held::Splat(one)) => {
                let width = usize::try_from(weight.ty.block_bytes()).unwrap_or(8);
                for chunk in out.chunks_mut(width) {
                    chunk.copy_from_slice(&one[..chunk.len()]);
                }
                return Ok(());
            }
            None => return Err(error("is not in the model")),
        };
        let end = start.checked_add(out.len());
        let part = end.and_then(|end| bytes.get(start..end));
        out.copy_from_slice(part.ok_or_else(|| error("a row behind its end"))?);
        Ok(())
    }
}
