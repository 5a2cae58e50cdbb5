//! Networks: a file of operators on arrays, bound to the extents of its inputs and run.
//!
//! [`Network::open`] reads the file and checks its structure; unsupported operators are told all
//! at once, and such a file can still be inspected. [`Network::run`] imports the network for the
//! extents (and, where shapes depend on them, small values) of its inputs and keeps the last few
//! bindings, so that only the first run with new extents pays. A network whose extents depend on
//! what it computes runs in stages: what a stage gives decides what is imported next.

mod around;
mod array;
mod constants;
mod custom;
mod derived;
mod executor;
mod file;
mod format;
mod host;
mod lent;
mod optimise;
mod pacer;
mod stream;

pub use array::{Array, ArrayError};
pub use custom::{Operator, OperatorError};
pub use import::network::custom::{Call, Declared as DeclaredResult, Operand, Setting};
pub use import::tflite::{Profile, Scale, Variable};
pub use lent::Lent;
pub use pacer::{Pace, Pacer, Turn};
pub use stream::{Stream, StreamError};

use crate::{
    delegates::{Delegates, Placement},
    device::Limits,
    error::EngineError,
};
use around::Around;
use cpu::CpuBackend;
use custom::Operators;
use executor::{Inputs, Stages};
use file::Folder;
use format::Described;
use graph::passes::{Fired, PASSES};
use host::{Host, Values};
use import::{
    network::{Constant, Origin, Port},
    onnx::{self, Bound, Declared, NetworkError, Output, Unsupported},
};
use plan::{Control, LoadError, Plan, ReadError, Uncontrolled};
use std::{
    num::NonZeroUsize,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};
use tensor::{Shape, TensorRef, TensorType, shape::RANK_MAX};

/// Bindings that are kept.
const BINDINGS_MAX: usize = 8;

/// A network that was opened.
#[derive(Debug)]
pub struct Network {
    label: String,
    folder: Arc<Folder>,
    inputs: Vec<Declared>,
    outputs: Vec<Declared>,
    unsupported: Vec<Unsupported>,
    notices: Vec<String>,
    variables: Vec<Variable>,
    /// The variables' values before the first run.
    first: Vec<Array>,
    around: Around,
    /// Of inputs and outputs.
    scales: [Vec<Option<Scale>>; 2],
    threads: NonZeroUsize,
    /// What the process may use.
    processors: NonZeroUsize,
    profile: Profile,
    /// Passes that are left out.
    off: Vec<&'static str>,
    operators: Operators,
    delegates: Delegates,
    /// Made when it is first needed; all bindings share its threads.
    backend: Mutex<Option<Arc<CpuBackend>>>,
    /// The one that ran last is the last; only that one holds memory for runs.
    bindings: Mutex<Vec<Binding>>,
}

/// A network imported for inputs of certain extents and values.
#[derive(Debug)]
struct Binding {
    bound: Vec<Bound>,
    /// Inputs that extents depend on, with their elements.
    values: Values,
    stages: Stages,
    /// The file's outputs, then the variables' new values.
    outputs: Vec<Output>,
    /// Elements of outputs that no stage computes.
    known: Vec<Vec<u8>>,
}

/// What one binding takes.
#[derive(Debug)]
pub struct NetworkPlan {
    /// Plans of the stages; of a network that runs in several, those that are known before a run.
    pub stages: Vec<Plan>,
    /// The graphs as they were imported, as text, one a stage.
    pub before: Vec<String>,
    /// The graphs as they run, after the passes.
    pub graphs: Vec<String>,
    /// What the passes did, in the order in which they first fired.
    pub fired: Vec<Fired>,
    /// Where each stage would run; nothing without delegates.
    pub placements: Vec<Placement>,
    /// The node that needs a run before the rest can be planned.
    pub pending: Option<String>,
}

impl Network {
    /// Whether a file looks like a network.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn is_network(path: &Path) -> Result<bool, EngineError> {
        Ok(path.is_file() && file::is_network(path)?)
    }

    /// Opens a network by its content.
    ///
    /// # Errors
    /// If the file is missing, unreadable or broken. Unsupported operators are no error here.
    pub fn open(path: &Path) -> Result<Self, EngineError> {
        let folder = Folder::open(path)?;
        Self::new(folder, path.display().to_string())
    }

    /// Opens a network that is held in memory; it cannot have data in other files.
    ///
    /// # Errors
    /// If it is broken.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, EngineError> {
        Self::new(Folder::from_bytes(bytes), "the network".into())
    }

    fn new(folder: Folder, label: String) -> Result<Self, EngineError> {
        let folder = Arc::new(folder);
        let described = Described::read(&folder, &label)?;
        let Described { inputs, outputs, unsupported, notices, variables, scales } = described;
        let Limits { processors, alike, .. } = Limits::read();
        let [processors, alike] =
            [processors, alike].map(|count| NonZeroUsize::new(count).unwrap_or(NonZeroUsize::MIN));
        Ok(Self {
            label,
            inputs,
            outputs,
            unsupported,
            notices,
            around: Around::now(folder.held()),
            first: variables.iter().map(first_value).collect(),
            variables,
            scales,
            folder,
            threads: alike,
            processors,
            profile: Profile::default(),
            off: Vec::new(),
            operators: Operators::new(),
            delegates: Delegates::default(),
            backend: Mutex::new(None),
            bindings: Mutex::new(Vec::new()),
        })
    }

    /// Uses this many threads from the next binding on.
    pub fn set_threads(&mut self, threads: NonZeroUsize) {
        self.threads = threads;
        *self.backend.get_mut().unwrap_or_else(PoisonError::into_inner) = None;
        self.bindings.get_mut().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Follows this runtime's integer arithmetic from the next binding on.
    pub fn set_profile(&mut self, profile: Profile) {
        self.profile = profile;
        self.bindings.get_mut().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Leaves these passes out from the next binding on.
    ///
    /// # Errors
    /// The first name that no pass has.
    pub fn set_passes_off<'n>(&mut self, names: &[&'n str]) -> Result<(), &'n str> {
        let known = |name: &&'n str| {
            PASSES.iter().find(|pass| pass.name == *name).map(|pass| pass.name).ok_or(*name)
        };
        self.off = names.iter().map(known).collect::<Result<_, _>>()?;
        self.bindings.get_mut().unwrap_or_else(PoisonError::into_inner).clear();
        Ok(())
    }

    /// Adds an operator that the file uses and no format lists, from the next binding on: a custom
    /// operator by its own name, one of ONNX as `domain.Name`.
    pub fn register(&mut self, name: &str, operator: Arc<dyn Operator>) {
        self.unsupported.retain(|entry| entry.op != name);
        self.operators.insert(name.to_owned(), operator);
        self.bindings.get_mut().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Lets these backends run what they take, from the next binding on; the processor runs the rest,
    /// and what they fail at.
    pub fn set_delegates(&mut self, delegates: Delegates) {
        self.delegates = delegates;
        self.bindings.get_mut().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Where each stage of the binding that ran last runs, with reasons; nothing before a run or
    /// without delegates.
    pub fn placements(&self) -> Vec<Placement> {
        let bindings = self.bindings.lock().unwrap_or_else(PoisonError::into_inner);
        bindings.last().map_or_else(Vec::new, |last| last.stages.placements())
    }

    /// What messages call the network.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// What a run must be given.
    pub fn inputs(&self) -> &[Declared] {
        &self.inputs
    }

    /// What a run gives.
    pub fn outputs(&self) -> &[Declared] {
        &self.outputs
    }

    /// How the whole numbers of an input, by its place, stand for real ones.
    pub fn input_scale(&self, place: usize) -> Option<Scale> {
        self.scales[0].get(place).copied().flatten()
    }

    /// How the whole numbers of an output, by its place, stand for real ones.
    pub fn output_scale(&self, place: usize) -> Option<Scale> {
        self.scales[1].get(place).copied().flatten()
    }

    /// What the file itself remembers from run to run, with the values before the first one.
    ///
    /// [`Network::run`] begins with those every time; a [`Stream`] carries them along.
    pub fn variables(&self) -> &[Variable] {
        &self.variables
    }

    /// Operators that are not supported, with the nodes that use them.
    pub fn unsupported(&self) -> &[Unsupported] {
        &self.unsupported
    }

    /// What a person should know about the file.
    pub fn notices(&self) -> &[String] {
        &self.notices
    }

    /// The bytes of the file; elements of large tensors, which stay in the file, are zeros.
    pub fn bytes(&self) -> &[u8] {
        self.folder.bytes()
    }

    fn error(&self, source: NetworkError) -> EngineError {
        EngineError::Network { file: self.label.clone(), source }
    }

    /// Runs the network; inputs by name, outputs in the file's order with their names.
    ///
    /// # Errors
    /// [`EngineError::Network`] if an input is missing or does not fit, an operator is not
    /// supported or its rules are broken, or an index is out of range.
    pub fn run(
        &self,
        inputs: &[(&str, TensorRef<'_>)],
    ) -> Result<Vec<(String, Array)>, EngineError> {
        self.run_with(inputs, &Uncontrolled)
    }

    /// As [`Network::run`], watched and stopped through `control`.
    ///
    /// # Errors
    /// As there, or if cancelled.
    pub fn run_with(
        &self,
        inputs: &[(&str, TensorRef<'_>)],
        control: &dyn Control,
    ) -> Result<Vec<(String, Array)>, EngineError> {
        Ok(self.lend_with(inputs, control)?.to_arrays())
    }

    /// Runs the network and lends its outputs, which are neither copied nor moved: after the first run
    /// with inputs of these extents, nothing is allocated.
    ///
    /// # Errors
    /// As [`Network::run`].
    pub fn lend(&self, inputs: &[(&str, TensorRef<'_>)]) -> Result<Lent<'_>, EngineError> {
        self.lend_with(inputs, &Uncontrolled)
    }

    /// As [`Network::lend`], watched and stopped through `control`.
    ///
    /// # Errors
    /// As there, or if cancelled.
    pub fn lend_with(
        &self,
        inputs: &[(&str, TensorRef<'_>)],
        control: &dyn Control,
    ) -> Result<Lent<'_>, EngineError> {
        self.lend_from(inputs, &self.first, control)
    }

    /// Runs with these values of the variables.
    fn lend_from(
        &self,
        given: &[(&str, TensorRef<'_>)],
        variables: &[Array],
        control: &dyn Control,
    ) -> Result<Lent<'_>, EngineError> {
        self.check(given)?;
        let inputs = Inputs { given, declared: &self.inputs, variables };
        let mut bindings = self.bindings.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = bindings.iter().position(|binding| self.fits(binding, inputs)) {
            bindings[place..].rotate_left(1);
            sleep(&mut bindings, 1);
            let last = bindings.last_mut().expect("it was found");
            if last.run(inputs, control)? {
                return Ok(Lent::new(bindings, self.outputs.len()));
            }
            // What a stage gave is not what the later ones were made for.
            bindings.pop();
        }
        sleep(&mut bindings, 0);
        let binding = self.bind(inputs, control)?;
        if bindings.len() >= BINDINGS_MAX {
            bindings.remove(0);
        }
        bindings.push(binding);
        Ok(Lent::new(bindings, self.outputs.len()))
    }

    /// Whether a binding was made for inputs like these.
    fn fits(&self, binding: &Binding, inputs: Inputs<'_>) -> bool {
        let declared = self.inputs.iter().zip(&binding.bound).enumerate();
        let mut same = declared.map(|(place, (declared, bound))| {
            let tensor = inputs.get(place);
            tensor.is_some_and(|tensor| self::bound((&tensor, declared)).as_ref() == Ok(bound))
        });
        same.all(|same| same)
            && binding.values.iter().all(|(place, bytes)| inputs.bytes(*place) == &**bytes)
    }

    /// Sees to it that each input is given, and nothing else.
    fn check(&self, inputs: &[(&str, TensorRef<'_>)]) -> Result<(), EngineError> {
        let refuse = |name: &str, reason: String| {
            Err(self.error(NetworkError::Input { name: name.to_owned(), reason }))
        };
        for (name, _) in inputs {
            if self.inputs.iter().all(|declared| declared.name != *name) {
                let known: Vec<&str> = self.inputs.iter().map(|i| i.name.as_str()).collect();
                return refuse(name, format!("does not exist; there are {}", known.join(", ")));
            }
        }
        for declared in &self.inputs {
            if inputs.iter().all(|(name, _)| *name != declared.name) {
                return refuse(&declared.name, "is missing".into());
            }
        }
        Ok(())
    }

    /// The backend that all bindings share.
    fn backend(&self) -> Result<Arc<CpuBackend>, EngineError> {
        let mut backend = self.backend.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(backend) = &*backend {
            return Ok(Arc::clone(backend));
        }
        let made = CpuBackend::limited(self.threads, self.processors);
        let made = Arc::new(made.map_err(EngineError::Threads)?);
        *backend = Some(Arc::clone(&made));
        Ok(made)
    }

    /// What an import is served with.
    fn host<'n>(
        &'n self,
        inputs: Option<Inputs<'n>>,
        backend: &'n Arc<CpuBackend>,
        control: &'n dyn Control,
    ) -> Host<'n> {
        let mut host = Host::new(&self.folder, inputs, backend, control, &self.operators);
        host.stages.off.clone_from(&self.off);
        host.stages.delegates.clone_from(&self.delegates);
        let inputs = self.inputs.iter().map(|input| input.name.as_str());
        let variables = self.variables.iter().map(|variable| variable.name.as_str());
        host.names = inputs.chain(variables).collect();
        host
    }

    /// Imports the network for these inputs and runs it once.
    fn bind(&self, inputs: Inputs<'_>, control: &dyn Control) -> Result<Binding, EngineError> {
        let mut bounds = Vec::with_capacity(self.inputs.len());
        for (place, declared) in self.inputs.iter().enumerate() {
            let tensor = inputs.get(place).expect("`check` has seen it");
            bounds.push(bound((&tensor, declared)).map_err(|source| self.error(source))?);
        }
        let backend = self.backend()?;
        let mut host = self.host(Some(inputs), &backend, control);
        let imported = self.import(&bounds, &mut host);
        if let Some(error) = host.failed.take() {
            return Err(error);
        }
        let imported = imported?;
        host.last(imported.stage, &imported.outputs)?;
        let (values, stages) = host.finish();
        let outputs = imported.outputs;
        let known = outputs.iter().map(|output| self.known(output, inputs));
        let known = known.collect::<Result<_, _>>()?;
        Ok(Binding { bound: bounds, values, stages, outputs, known })
    }

    /// The elements of an output that no stage computes.
    fn known(&self, output: &Output, inputs: Inputs<'_>) -> Result<Vec<u8>, EngineError> {
        Ok(match &output.port {
            Port::Live(Origin::Stage { .. }) => Vec::new(),
            Port::Live(Origin::Input(place)) => inputs.bytes(*place).to_vec(),
            Port::Constant(Constant::Bytes(bytes)) => bytes.to_vec(),
            Port::Constant(Constant::Splat(one)) => {
                let size = output.dims.elements().unwrap_or(0) * output.dtype.bytes();
                let size = usize::try_from(size).unwrap_or(usize::MAX);
                let width = usize::try_from(output.dtype.bytes()).unwrap_or(8);
                one[..width].iter().copied().cycle().take(size).collect()
            }
            Port::Constant(Constant::Stored(stored)) => {
                let read = self.folder.find(stored).and_then(|piece| piece.whole());
                read.map(|bytes| bytes.to_vec()).map_err(|error| {
                    let (tensor, reason) = (output.name.clone(), error.to_string());
                    EngineError::Load(LoadError::Read(ReadError { tensor, reason }))
                })?
            }
        })
    }

    /// What the spans of a trace stand for, of the binding that ran last; empty before a run.
    pub fn units(&self) -> Vec<plan::Unit> {
        let bindings = self.bindings.lock().unwrap_or_else(PoisonError::into_inner);
        bindings.last().map_or_else(Vec::new, |last| last.stages.units())
    }

    /// What the binding that ran last was promised to take; none before a run.
    pub fn promise(&self) -> Option<plan::Promise> {
        let bindings = self.bindings.lock().unwrap_or_else(PoisonError::into_inner);
        let plans = || bindings.last().into_iter().flat_map(|last| last.stages.plans());
        bindings.last()?;
        let around = self.around.buffers(plans(), self.threads.get());
        Some(plan::Promise::of(plans().flat_map(|plan| &plan.buffers).chain(&around)))
    }

    fn import(&self, bound: &[Bound], host: &mut Host<'_>) -> Result<onnx::Imported, EngineError> {
        let taken = (bound, &self.variables[..]);
        format::import(self.folder.bytes(), &self.label, taken, self.profile, host)
    }

    /// What a run with inputs of these extents takes, as far as it is known before one.
    ///
    /// # Errors
    /// As [`Network::run`], and if a free extent is not given.
    pub fn plan(&self, shapes: &[(&str, Shape)]) -> Result<NetworkPlan, EngineError> {
        let bound = self.bound(shapes)?;
        let backend = self.backend()?;
        let mut host = self.host(None, &backend, &Uncontrolled);
        let mut pending = None;
        match self.import(&bound, &mut host) {
            Ok(imported) => host.last(imported.stage, &imported.outputs)?,
            Err(EngineError::Network { source: NetworkError::Pending { node, op }, .. }) => {
                pending = Some(format!("{node} ({op})"));
            }
            Err(error) => return Err(error),
        }
        let (mut before, mut graphs, mut stages) = (Vec::new(), Vec::new(), Vec::new());
        let (mut fired, mut placements): (Vec<Fired>, Vec<Placement>) = Default::default();
        for planned in host.planned {
            before.push(planned.before);
            graphs.push(planned.after);
            stages.push(planned.plan);
            placements.extend(planned.placement);
            for Fired { pass, times } in planned.fired {
                match fired.iter_mut().find(|known| known.pass == pass) {
                    Some(known) => known.times += times,
                    None => fired.push(Fired { pass, times }),
                }
            }
        }
        let around = self.around.buffers(stages.iter(), self.threads.get());
        match stages.first_mut() {
            Some(first) => first.buffers.extend(around),
            None => stages.push(Plan { buffers: around.into(), ..Plan::default() }),
        }
        Ok(NetworkPlan { stages, before, graphs, fired, placements, pending })
    }

    /// The inputs' types, from these shapes or as the file declares them.
    ///
    /// # Errors
    /// If an input's extents are free and not given, or there is no such input.
    pub fn bound(&self, shapes: &[(&str, Shape)]) -> Result<Vec<Bound>, EngineError> {
        let refuse = |name: &str, reason: String| {
            Err(self.error(NetworkError::Input { name: name.to_owned(), reason }))
        };
        for (name, _) in shapes {
            if self.inputs.iter().all(|declared| declared.name != *name) {
                return refuse(name, "does not exist".into());
            }
        }
        let mut list = Vec::new();
        for declared in &self.inputs {
            let given = shapes.iter().find(|(name, _)| *name == declared.name);
            let fixed = declared.dims.as_ref().and_then(|dims| {
                let dims: Option<Vec<u64>> = dims
                    .iter()
                    .map(|dim| match dim {
                        onnx::Extent::Fixed(n) => Some(*n),
                        onnx::Extent::Named(_) | onnx::Extent::Free => None,
                    })
                    .collect();
                dims.and_then(|dims| Shape::new(&dims))
            });
            let Some(dims) = given.map(|(_, shape)| *shape).or(fixed) else {
                let dims = declared.dims.as_deref().map(onnx::extents);
                let dims = dims.unwrap_or_else(|| "of any rank".into());
                return refuse(&declared.name, format!("its extents {dims} must be given"));
            };
            let Some(dtype) = declared.element.and_then(onnx::stored_as) else {
                return refuse(&declared.name, "is no array of a known type".into());
            };
            list.push(Bound { dtype, dims });
        }
        Ok(list)
    }
}

/// A variable before the first run.
fn first_value(variable: &Variable) -> Array {
    Array::of_parts(variable.dtype, None, variable.dims, variable.first.to_vec())
}

/// Gives back the memory for runs of all bindings but the last `awake`.
fn sleep(bindings: &mut [Binding], awake: usize) {
    let asleep = bindings.len().saturating_sub(awake);
    bindings[..asleep].iter_mut().for_each(|binding| binding.stages.sleep());
}

/// The type of an input. One number fits whatever the rank of the one number that is declared.
fn bound((tensor, declared): (&TensorRef<'_>, &Declared)) -> Result<Bound, NetworkError> {
    let own = tensor.shape();
    let dims = match &declared.dims {
        Some(dims)
            if own.elements() == Some(1)
                && dims.iter().all(|dim| *dim == onnx::Extent::Fixed(1)) =>
        {
            [1; RANK_MAX].get(..dims.len()).and_then(Shape::new).unwrap_or(own)
        }
        _ => own,
    };
    match tensor.ty() {
        TensorType::Plain(dtype) => Ok(Bound { dtype, dims }),
        TensorType::Block(block) => {
            let reason = format!("blocks of {block} are no array");
            Err(NetworkError::Input { name: declared.name.clone(), reason })
        }
    }
}

impl Binding {
    /// Runs all stages; false if what one of them gave decides otherwise than before.
    fn run(&mut self, inputs: Inputs<'_>, control: &dyn Control) -> Result<bool, EngineError> {
        for stage in 0..self.stages.len() {
            self.stages.run(stage, inputs, control)?;
            if !self.stages.is_as_expected(stage) {
                return Ok(false);
            }
        }
        for (output, known) in self.outputs.iter().zip(&mut self.known) {
            if let Port::Live(Origin::Input(place)) = output.port {
                known.clear();
                known.extend_from_slice(inputs.bytes(place));
            }
        }
        Ok(true)
    }

    /// The elements of an output after a run.
    fn elements(&self, place: usize) -> Option<&[u8]> {
        match self.outputs.get(place)?.port {
            Port::Live(Origin::Stage { stage, output }) => self.stages.output(stage, output),
            Port::Live(Origin::Input(_)) | Port::Constant(_) => {
                self.known.get(place).map(Vec::as_slice)
            }
        }
    }

    fn view(&self, place: usize) -> Option<TensorRef<'_>> {
        let output = self.outputs.get(place)?;
        TensorRef::new(output.dtype.into(), output.dims, self.elements(place)?).ok()
    }
}

impl NetworkPlan {
    /// Everything that is planned, summed over the stages.
    pub fn promise(&self) -> plan::Promise {
        plan::Promise::of(self.stages.iter().flat_map(|plan| &plan.buffers))
    }
}
