//! Runs parts of networks by `OpenVINO`: a delegate, whose library is found when the program runs.
//!
//! Nothing is linked: [`OpenVino::open`] looks for the library that the `openvino` package of Python
//! brings (or that a system has), and says what it looked for if there is none. A region of a plan is
//! written as `OpenVINO`'s own intermediate representation, version 11 (`ir`), with its weights
//! behind it, and compiled for the processor's plugin with single-precision sums. What has no
//! counterpart there is refused with a reason, so the host runs it.

mod ir;

use openvino::{Core, DeviceType, ElementType, InferRequest, RwPropertyKey, Shape, Tensor};
use plan::{
    Backend, Control, Grant, LoadError, Needs, Plan, Program, Refusal, RunError, State, Step, Unit,
    WeightSource,
};
use std::{
    fmt::{self, Display},
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};
use tensor::Bytes;

/// The backend's name.
const NAME: &str = "openvino";
/// How the library of `OpenVINO`'s C interface is called, whatever its version.
const LIBRARY: &str = "libopenvino_c.so";

/// Why `OpenVINO` cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The folder has no such library.
    #[error("{}: has no {LIBRARY}", .0.display())]
    Missing(PathBuf),
    /// The system's folders have none.
    #[error("no {LIBRARY} is in the folders where a system keeps libraries")]
    NotInstalled,
    /// The library is there and cannot be used.
    #[error("openvino: {0}")]
    Broken(String),
}

/// The delegate.
pub struct OpenVino {
    core: Mutex<Core>,
}

impl fmt::Debug for OpenVino {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OpenVino")
    }
}

impl OpenVino {
    /// Loads the library out of this folder, or out of those where systems keep theirs. The first
    /// library that is loaded stays, whatever folder is named later.
    ///
    /// # Errors
    /// If there is none, or it cannot be used.
    pub fn open(folder: Option<&Path>, threads: Option<NonZeroUsize>) -> Result<Self, OpenError> {
        let library = match folder {
            Some(folder) => library(folder).ok_or_else(|| OpenError::Missing(folder.into()))?,
            None => openvino_sys::library::find().ok_or(OpenError::NotInstalled)?,
        };
        openvino_sys::library::load_from(library).map_err(OpenError::Broken)?;
        let broken = |error: &dyn Display| OpenError::Broken(error.to_string());
        let mut core = Core::new().map_err(|error| broken(&error))?;
        let threads = threads.map(|threads| threads.to_string());
        let precision = (RwPropertyKey::HintInferencePrecision, "f32");
        let threads = threads.as_deref().map(|count| (RwPropertyKey::InferenceNumThreads, count));
        for (key, value) in std::iter::once(precision).chain(threads) {
            core.set_property(&DeviceType::CPU, &key, value).map_err(|error| broken(&error))?;
        }
        Ok(Self { core: Mutex::new(core) })
    }
}

/// The library in a folder: its name may end in a version.
#[expect(clippy::disallowed_methods, reason = "whoever opens a library looks for its file")]
fn library(folder: &Path) -> Option<PathBuf> {
    let files = std::fs::read_dir(folder).ok()?;
    let mut found: Vec<PathBuf> = files
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.file_name()
                .and_then(|name| name.to_str())
                .is_some_and(|name| name.starts_with(LIBRARY))
        })
        .collect();
    found.sort();
    found.pop()
}

/// A reason for a host to take over.
fn failed(reason: &dyn Display) -> LoadError {
    LoadError::Delegate { backend: NAME.into(), reason: reason.to_string() }
}

fn stopped(reason: &dyn Display) -> RunError {
    RunError::Delegate { backend: NAME.into(), reason: reason.to_string() }
}

impl Backend for OpenVino {
    fn name(&self) -> &'static str {
        NAME
    }

    fn accept(&self, step: &Step, plan: &Plan) -> Result<Needs, Refusal> {
        ir::check(step, plan).map_err(|reason| {
            let (backend, op) = (NAME.into(), step.op.name());
            Refusal::Op { backend, op, reason }
        })?;
        let weights = (0..step.inputs.len()).filter_map(|place| step.weight(place));
        let size = |id: plan::WeightId| (id, plan.weights[id.0 as usize].stored_bytes());
        Ok(Needs {
            weights: weights.map(size).collect(),
            scratch: Bytes::ZERO,
            tables: Bytes::ZERO,
        })
    }

    fn load(
        &self,
        plan: Plan,
        weights: Arc<dyn WeightSource>,
        grant: &mut Grant,
        control: &dyn Control,
    ) -> Result<Arc<dyn Program>, LoadError> {
        if control.cancelled() {
            return Err(LoadError::Cancelled);
        }
        grant.take(plan.bytes_of(plan::BufferKind::PackedWeights))?;
        let model = ir::write(&plan, &*weights)?;
        let bytes = i64::try_from(model.weights.len()).map_err(|error| failed(&error))?;
        let shape = Shape::new(&[bytes]).map_err(|error| failed(&error))?;
        let mut held = Tensor::new(ElementType::U8, &shape).map_err(|error| failed(&error))?;
        held.get_raw_data_mut().map_err(|error| failed(&error))?.copy_from_slice(&model.weights);
        let mut core = self.core.lock().unwrap_or_else(PoisonError::into_inner);
        let network = core
            .read_model_from_buffer(model.xml.as_bytes(), Some(&held))
            .map_err(|error| failed(&error))?;
        let compiled =
            core.compile_model(&network, DeviceType::CPU).map_err(|error| failed(&error))?;
        Ok(Arc::new(Compiled { plan, compiled: Mutex::new(compiled) }))
    }
}

/// A compiled region.
struct Compiled {
    plan: Plan,
    compiled: Mutex<openvino::CompiledModel>,
}

impl fmt::Debug for Compiled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Compiled({} steps)", self.plan.steps.len())
    }
}

impl Program for Compiled {
    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn units(&self) -> Vec<Unit> {
        Vec::new()
    }

    fn state(self: Arc<Self>, grant: &mut Grant) -> Result<Box<dyn State>, LoadError> {
        let request = self
            .compiled
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .create_infer_request()
            .map_err(|error| failed(&error))?;
        let weights = self.plan.bytes_of(plan::BufferKind::PackedWeights);
        grant.take(self.plan.promise().total().saturating_sub(weights))?;
        let size = |port: &plan::Port| {
            let elements: u64 = port.slot.dims.iter().map(|dim| dim.at(&[])).product();
            usize::try_from(elements * port.slot.dtype.bytes()).unwrap_or(usize::MAX)
        };
        let vectors = |ports: &[plan::Port]| -> Vec<Vec<u8>> {
            ports.iter().map(|port| vec![0; size(port)]).collect()
        };
        let (inputs, outputs) = (vectors(&self.plan.inputs), vectors(&self.plan.outputs));
        Ok(Box::new(Running { program: self, request, inputs, outputs }))
    }
}

/// One run's memory of a region.
struct Running {
    program: Arc<Compiled>,
    request: InferRequest,
    inputs: Vec<Vec<u8>>,
    outputs: Vec<Vec<u8>>,
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Running({:?})", self.program)
    }
}

impl Running {
    /// Hands the inputs over, runs, and takes the outputs.
    fn infer(&mut self) -> Result<(), Box<dyn std::error::Error>> {
        for (port, bytes) in self.inputs.iter().enumerate() {
            let dims = self.program.plan.inputs[port].slot.dims.iter().map(|dim| dim.at(&[]));
            let dims: Vec<i64> = dims.map(u64::cast_signed).collect();
            let mut tensor = Tensor::new(ElementType::F32, &Shape::new(&dims)?)?;
            tensor.get_raw_data_mut()?.copy_from_slice(bytes);
            self.request.set_input_tensor_by_index(port, &tensor)?;
        }
        self.request.infer()?;
        for (port, bytes) in self.outputs.iter_mut().enumerate() {
            let tensor = self.request.get_output_tensor_by_index(port)?;
            let have = tensor.get_raw_data()?;
            if have.len() != bytes.len() {
                let (have, need) = (have.len(), bytes.len());
                return Err(format!("output {port} has {have} bytes, not {need}").into());
            }
            bytes.copy_from_slice(have);
        }
        Ok(())
    }
}

impl State for Running {
    fn plan(&self) -> &Plan {
        &self.program.plan
    }

    fn input(&mut self, port: usize) -> &mut [u8] {
        &mut self.inputs[port]
    }

    fn run(&mut self, _extents: &[u64], control: &dyn Control) -> Result<(), RunError> {
        if control.cancelled() {
            return Err(RunError::Cancelled);
        }
        self.infer().map_err(|error| stopped(&error))
    }

    fn output(&self, port: usize) -> &[u8] {
        &self.outputs[port]
    }

    fn positions(&self) -> u64 {
        0
    }

    fn truncate(&mut self, _positions: u64) {}
}

#[cfg(test)]
mod tests;
