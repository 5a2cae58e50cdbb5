//! What an importer is served with: constants evaluated, files read, stages run.

use super::{
    constants::Constants,
    executor::{self, Inputs, Stages},
    file::Folder,
    optimise,
};
use crate::error::EngineError;
use cpu::CpuBackend;
use graph::passes::Fired;
use import::network::{self, HostError, Origin, Stage, Stored};
use plan::{ArrayOp, Control, Plan};
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
}

/// Serves one import.
pub(super) struct Host<'n> {
    folder: &'n Arc<Folder>,
    /// None where nothing is run, only planned.
    inputs: Option<Inputs<'n>>,
    backend: &'n CpuBackend,
    control: &'n dyn Control,
    values: Values,
    pub(super) stages: Stages,
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
        backend: &'n CpuBackend,
        control: &'n dyn Control,
    ) -> Self {
        Self {
            folder,
            inputs,
            backend,
            control,
            values: Vec::new(),
            stages: Stages::default(),
            planned: Vec::new(),
            failed: None,
        }
    }

    /// Inputs that became part of the binding, and the stages that were built.
    pub(super) fn finish(self) -> (Values, Stages) {
        (self.values, self.stages)
    }

    /// Loads a stage and runs it, or only plans it.
    pub(super) fn stage(&mut self, stage: Stage) -> Result<(), EngineError> {
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
            let plan = executor::compile(graph, self.backend)?;
            self.planned.push(Planned { before, after, fired, plan });
            return Ok(());
        };
        self.stages.push(self.folder, stage, self.backend)?;
        self.stages.run(self.stages.len() - 1, inputs, self.control)
    }
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
}
