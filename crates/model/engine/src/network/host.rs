//! What an importer is served with: constants evaluated, files read, stages run.

use super::{
    constants::Constants,
    custom::{Called, Operator, Operators, PORTS_MAX},
    executor::{self, Inputs, Stages},
    file::Folder,
    optimise,
};
use crate::{
    delegates::{self, Placement},
    error::EngineError,
};
use cpu::CpuBackend;
use graph::passes::Fired;
use import::{
    network::{self, HostError, Origin, Port, Stage, Stored, custom::Call},
    onnx::Output,
};
use plan::{ArrayOp, Backend, Control, Plan, Program as _};
use std::sync::Arc;
use tensor::{DType, Shape, TensorRef};

/// Inputs that became part of a binding, with their elements.
pub(super) type Values = Vec<(usize, Arc<[u8]>)>;

/// A stage that is only planned.
#[derive(Debug)]
pub(super) struct Planned {
    /// The graph as it was imported, as text.
    pub(super) before: String,
    /// The graph as it would run.
    pub(super) after: String,
    /// What the passes did.
    pub(super) fired: Vec<Fired>,
    pub(super) plan: Plan,
    /// Where it would run, if there are delegates.
    pub(super) placement: Option<Placement>,
}

/// Serves one import.
pub(super) struct Host<'n> {
    folder: &'n Arc<Folder>,
    /// None where nothing is run, only planned.
    inputs: Option<Inputs<'n>>,
    backend: &'n Arc<CpuBackend>,
    control: &'n dyn Control,
    /// Operators that were registered.
    operators: &'n Operators,
    values: Values,
    pub(super) stages: Stages,
    /// What the network's inputs and its variables are called.
    pub(super) names: Vec<&'n str>,
    /// Where nothing is run: what each stage would be.
    pub(super) planned: Vec<Planned>,
    /// Why a stage could not be run.
    pub(super) failed: Option<EngineError>,
}

impl<'n> Host<'n> {
    /// A host that runs stages on these inputs; without inputs it plans them.
    pub(super) fn new(
        folder: &'n Arc<Folder>,
        inputs: Option<Inputs<'n>>,
        backend: &'n Arc<CpuBackend>,
        control: &'n dyn Control,
        operators: &'n Operators,
    ) -> Self {
        Self {
            folder,
            inputs,
            backend,
            control,
            operators,
            values: Vec::new(),
            stages: Stages::default(),
            names: Vec::new(),
            planned: Vec::new(),
            failed: None,
        }
    }

    /// Inputs that became part of the binding, and the stages that were built.
    pub(super) fn finish(self) -> (Values, Stages) {
        (self.values, self.stages)
    }

    /// Loads or plans the stage that is left, whose outputs get the names of the network's.
    pub(super) fn last(&mut self, mut stage: Stage, outputs: &[Output]) -> Result<(), EngineError> {
        let number = self.stages.len() + self.planned.len();
        for output in outputs.iter().rev() {
            if let Port::Live(Origin::Stage { stage: home, output: place }) = output.port
                && home == number
                && let Some((name, _)) = stage.graph.outputs.get_mut(place)
            {
                *name = plain(&output.name);
            }
        }
        self.stage(stage)
    }

    fn operator(&self, call: &Call) -> Result<&'n Arc<dyn Operator>, HostError> {
        let missing = || HostError::Evaluate(format!("`{}` is not registered", call.name));
        self.operators.get(&call.name).ok_or_else(missing)
    }

    /// Loads a stage and runs it, or only plans it.
    pub(super) fn stage(&mut self, mut stage: Stage) -> Result<(), EngineError> {
        for ((name, _), origin) in stage.graph.inputs.iter_mut().zip(&stage.inputs) {
            if let Origin::Input(place) = origin
                && let Some(known) = self.names.get(*place)
            {
                *name = plain(known);
            }
        }
        let Some(inputs) = self.inputs else {
            let mut graph = stage.graph;
            let before = graph::text::print(&graph);
            let mut constants = Constants::new(self.folder, stage.constants)?;
            let fired = if graph.outputs.is_empty() {
                Vec::new()
            } else {
                optimise::run(&mut graph, &mut constants, &self.stages.off)
            };
            let after = graph::text::print(&graph);
            let (plan, placement) = if self.stages.delegates.backends.is_empty() {
                (executor::compile(graph, self.backend)?, None)
            } else {
                let host: Arc<dyn Backend> = Arc::clone(self.backend) as _;
                let (plan, placement) = delegates::plan(&graph, &host, &self.stages.delegates)?;
                (plan, Some(placement))
            };
            self.planned.push(Planned { before, after, fired, plan, placement });
            return Ok(());
        };
        self.stages.push(self.folder, stage, self.backend)?;
        self.stages.run(self.stages.len() - 1, inputs, self.control)
    }
}

/// A name of the file without what moves a terminal's cursor.
fn plain(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).collect()
}

impl network::Host for Host<'_> {
    fn evaluate(
        &mut self,
        op: &ArrayOp,
        operands: &[Option<TensorRef<'_>>],
        (dtype, dims): (DType, Shape),
    ) -> Result<Vec<u8>, HostError> {
        reference::evaluate(op, operands, dtype, dims)
            .map_err(|fault| HostError::Evaluate(fault.to_string()))
    }

    fn read(&mut self, stored: &Stored) -> Result<Arc<[u8]>, HostError> {
        self.folder.find(stored)?.whole()
    }

    fn input(&mut self, place: usize) -> Result<Arc<[u8]>, HostError> {
        if let Some((_, bytes)) = self.values.iter().find(|(known, _)| *known == place) {
            return Ok(bytes.clone());
        }
        let inputs = self.inputs.ok_or(HostError::Pending)?;
        let input = inputs.get(place).ok_or(HostError::Pending)?;
        let bytes: Arc<[u8]> = input.bytes().into();
        self.values.push((place, bytes.clone()));
        Ok(bytes)
    }

    fn value(&mut self, origin: Origin) -> Result<Arc<[u8]>, HostError> {
        match origin {
            Origin::Input(place) => self.input(place),
            Origin::Stage { stage, output } => self.stages.expect(stage, output),
        }
    }

    fn run(&mut self, stage: Stage, wanted: &[usize]) -> Result<Vec<Arc<[u8]>>, HostError> {
        if let Err(error) = self.stage(stage) {
            let reason = crate::error::chain(&error);
            self.failed = Some(error);
            return Err(HostError::Stage(reason));
        }
        let number = self.stages.len().checked_sub(1).ok_or(HostError::Pending)?;
        wanted.iter().map(|&output| self.stages.expect(number, output)).collect()
    }

    fn knows(&self, name: &str) -> bool {
        self.operators.contains_key(name)
    }

    fn results(&mut self, call: &Call) -> Result<Vec<(DType, Shape)>, HostError> {
        let operator = self.operator(call)?;
        let results = operator.results(call);
        let results = results.map_err(|error| HostError::Evaluate(error.to_string()))?;
        if results.len().max(call.operands.len()) > PORTS_MAX {
            let reason = format!("a registered operator has at most {PORTS_MAX} of each port");
            return Err(HostError::Evaluate(reason));
        }
        Ok(results)
    }

    fn call(
        &mut self,
        call: Call,
        operands: Vec<Option<Port>>,
        results: &[(DType, Shape)],
    ) -> Result<(), HostError> {
        let operator = Arc::clone(self.operator(&call)?);
        let called = Called::new(operator, call, &operands, results, self.folder);
        let mut failed = |error: EngineError| {
            let reason = crate::error::chain(&error);
            self.failed = Some(error);
            HostError::Stage(reason)
        };
        let called = called.map_err(&mut failed)?;
        let Some(inputs) = self.inputs else {
            let (plan, text) = (called.plan().clone(), called.to_string());
            let planned = Planned {
                before: text.clone(),
                after: text,
                fired: Vec::new(),
                plan,
                placement: None,
            };
            self.planned.push(planned);
            return Ok(());
        };
        self.stages.call(called, operands);
        let last = self.stages.len() - 1;
        self.stages.run(last, inputs, self.control).map_err(failed)
    }
}
