//! Networks: a file of operators on arrays, bound to the extents of its inputs and run.
//!
//! [`Network::open`] reads the file and checks its structure; unsupported operators are told all
//! at once, and such a file can still be inspected. [`Network::run`] imports the network for the
//! extents (and, where shapes depend on them, small values) of its inputs and keeps the last few
//! bindings, so that only the first run with new extents pays. A network whose extents depend on
//! what it computes runs in stages: what a stage gives decides what is imported next.

mod array;
mod executor;
mod file;
mod format;
mod host;
mod stream;

pub use array::{Array, ArrayError};
pub use import::tflite::{Profile, Variable};
pub use stream::{Stream, StreamError};

use crate::error::EngineError;
use executor::Stages;
use file::Folder;
use format::Described;
use host::{Host, Values};
use import::onnx::{self, Bound, Declared, NetworkError, Output, Unsupported};
use plan::{BufferKind, Control, Plan, Uncontrolled};
use std::{
    num::NonZeroUsize,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};
use tensor::{Bytes, Shape, TensorRef, TensorType};

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
    threads: NonZeroUsize,
    profile: Profile,
    bindings: Mutex<Vec<Binding>>,
}

/// A network imported for inputs of certain extents and values.
#[derive(Debug)]
struct Binding {
    bound: Vec<Bound>,
    /// Inputs that extents depend on, with their elements.
    values: Values,
    stages: Stages,
    outputs: Vec<Output>,
}

/// What one binding takes.
#[derive(Debug)]
pub struct NetworkPlan {
    /// Plans of the stages; of a network that runs in several, those that are known before a run.
    pub stages: Vec<Plan>,
    /// The graphs as text, one a stage.
    pub graphs: Vec<String>,
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
        let described = Described::read(&folder, &label)?;
        let Described { inputs, outputs, unsupported, notices, variables } = described;
        let processors = crate::device::Limits::read().processors;
        Ok(Self {
            label,
            inputs,
            outputs,
            unsupported,
            notices,
            variables,
            folder: Arc::new(folder),
            threads: NonZeroUsize::new(processors).unwrap_or(NonZeroUsize::MIN),
            profile: Profile::default(),
            bindings: Mutex::new(Vec::new()),
        })
    }

    /// Uses this many threads from the next binding on.
    pub fn set_threads(&mut self, threads: NonZeroUsize) {
        self.threads = threads;
        self.bindings.get_mut().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Follows this runtime's integer arithmetic from the next binding on.
    pub fn set_profile(&mut self, profile: Profile) {
        self.profile = profile;
        self.bindings.get_mut().unwrap_or_else(PoisonError::into_inner).clear();
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

    /// The bytes of the file.
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
        let first = self.first_values();
        let mut outputs = self.run_from(inputs, &first, control)?;
        outputs.truncate(self.outputs.len());
        Ok(outputs)
    }

    /// The variables before the first run.
    fn first_values(&self) -> Vec<Array> {
        let array = |v: &Variable| Array::of_parts(v.dtype, None, v.dims, v.first.to_vec());
        self.variables.iter().map(array).collect()
    }

    /// Runs with these values of the variables; gives the outputs, then the variables' new values.
    fn run_from(
        &self,
        inputs: &[(&str, TensorRef<'_>)],
        variables: &[Array],
        control: &dyn Control,
    ) -> Result<Vec<(String, Array)>, EngineError> {
        let mut inputs = self.ordered(inputs)?;
        inputs.extend(variables.iter().map(Array::view));
        let declared = inputs.iter().zip(&self.inputs);
        let bound: Vec<Bound> = declared.map(bound).collect::<Result<_, _>>()?;
        let mut bindings = self.bindings.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |binding: &Binding| {
            binding.bound == bound
                && binding.values.iter().all(|(place, bytes)| inputs[*place].bytes() == &**bytes)
        };
        if let Some(place) = bindings.iter().position(fits) {
            let mut binding = bindings.remove(place);
            let outputs = binding.run(&inputs, control)?;
            if let Some(outputs) = outputs {
                bindings.push(binding);
                return Ok(outputs);
            }
            // What a stage gave is not what the later ones were made for.
        }
        let mut binding = self.bind(bound, &inputs, control)?;
        let outputs = binding.collect(&inputs);
        if bindings.len() >= BINDINGS_MAX {
            bindings.remove(0);
        }
        bindings.push(binding);
        outputs
    }

    /// The inputs in the file's order.
    fn ordered<'t>(
        &self,
        inputs: &[(&str, TensorRef<'t>)],
    ) -> Result<Vec<TensorRef<'t>>, EngineError> {
        let refuse = |name: &str, reason: String| {
            Err(self.error(NetworkError::Input { name: name.to_owned(), reason }))
        };
        for (name, _) in inputs {
            if self.inputs.iter().all(|declared| declared.name != *name) {
                let known: Vec<&str> = self.inputs.iter().map(|i| i.name.as_str()).collect();
                return refuse(name, format!("does not exist; there are {}", known.join(", ")));
            }
        }
        let mut ordered = Vec::with_capacity(self.inputs.len());
        for declared in &self.inputs {
            match inputs.iter().find(|(name, _)| *name == declared.name) {
                Some((_, tensor)) => ordered.push(*tensor),
                None => return refuse(&declared.name, "is missing".into()),
            }
        }
        Ok(ordered)
    }

    /// Imports the network for these inputs and runs it once.
    fn bind(
        &self,
        bound: Vec<Bound>,
        inputs: &[TensorRef<'_>],
        control: &dyn Control,
    ) -> Result<Binding, EngineError> {
        let mut host = Host::new(&self.folder, Some(inputs), self.threads, control);
        let imported = self.import(&bound, &mut host);
        if let Some(error) = host.failed.take() {
            return Err(error);
        }
        let imported = imported?;
        host.stages.push(&self.folder, imported.stage, self.threads)?;
        let last = host.stages.len() - 1;
        host.stages.run(last, inputs, control)?;
        let (values, stages) = host.finish();
        Ok(Binding { bound, values, stages, outputs: imported.outputs })
    }

    /// What the spans of a trace stand for, of the binding that ran last; empty before a run.
    pub fn units(&self) -> Vec<plan::Unit> {
        let bindings = self.bindings.lock().unwrap_or_else(PoisonError::into_inner);
        bindings.last().map_or_else(Vec::new, |last| last.stages.units().cloned().collect())
    }

    /// What the binding that ran last was promised to take; none before a run.
    pub fn promise(&self) -> Option<plan::Promise> {
        let bindings = self.bindings.lock().unwrap_or_else(PoisonError::into_inner);
        let stages = &bindings.last()?.stages;
        Some(plan::Promise::of(stages.plans().flat_map(|plan| &plan.buffers)))
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
        let mut host = Host::new(&self.folder, None, self.threads, &Uncontrolled);
        let mut pending = None;
        match self.import(&bound, &mut host) {
            Ok(imported) => host.stages.push(&self.folder, imported.stage, self.threads)?,
            Err(EngineError::Network { source: NetworkError::Pending { node, op }, .. }) => {
                pending = Some(format!("{node} ({op})"));
            }
            Err(error) => return Err(error),
        }
        let (graphs, mut stages) = host.stages.describe();
        let bytes = Bytes(self.folder.bytes().len() as u64);
        if let Some(first) = stages.first_mut() {
            first.name("file".into(), BufferKind::PackedWeights, bytes);
        }
        Ok(NetworkPlan { stages, graphs, pending })
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

/// The type of an input. One number fits whatever the rank of the one number that is declared.
fn bound((tensor, declared): (&TensorRef<'_>, &Declared)) -> Result<Bound, EngineError> {
    let own = tensor.shape();
    let dims = match &declared.dims {
        Some(dims)
            if own.elements() == Some(1)
                && dims.iter().all(|dim| *dim == onnx::Extent::Fixed(1)) =>
        {
            Shape::new(&vec![1; dims.len()]).unwrap_or(own)
        }
        _ => own,
    };
    match tensor.ty() {
        TensorType::Plain(dtype) => Ok(Bound { dtype, dims }),
        TensorType::Block(block) => Err(EngineError::Network {
            file: String::new(),
            source: NetworkError::Input {
                name: String::new(),
                reason: format!("blocks of {block} are no array"),
            },
        }),
    }
}

impl Binding {
    /// Runs all stages; none if what one of them gave decides otherwise than before.
    fn run(
        &mut self,
        inputs: &[TensorRef<'_>],
        control: &dyn Control,
    ) -> Result<Option<Vec<(String, Array)>>, EngineError> {
        for stage in 0..self.stages.len() {
            self.stages.run(stage, inputs, control)?;
            if !self.stages.is_as_expected(stage) {
                return Ok(None);
            }
        }
        self.collect(inputs).map(Some)
    }

    /// The outputs after the last stage.
    fn collect(&mut self, inputs: &[TensorRef<'_>]) -> Result<Vec<(String, Array)>, EngineError> {
        let mut list = Vec::with_capacity(self.outputs.len());
        for output in &self.outputs {
            let bytes = self.stages.port(output, inputs)?;
            let array = Array::of_parts(output.dtype, output.narrow, output.dims, bytes);
            list.push((output.name.clone(), array));
        }
        Ok(list)
    }
}

impl NetworkPlan {
    /// Everything that is planned, summed over the stages.
    pub fn promise(&self) -> plan::Promise {
        plan::Promise::of(self.stages.iter().flat_map(|plan| &plan.buffers))
    }
}
