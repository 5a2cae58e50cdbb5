//! What an importer is served with: constants evaluated, files read, stages run.

use super::{executor::Stages, file::Folder};
use crate::error::EngineError;
use import::network::{self, HostError, Origin, Stage, Stored};
use plan::{ArrayOp, Control};
use std::{num::NonZeroUsize, sync::Arc};
use tensor::{DType, Shape, TensorRef};

/// Inputs that became part of a binding, with their elements.
pub(super) type Values = Vec<(usize, Arc<[u8]>)>;

/// Serves one import.
pub(super) struct Host<'n> {
    folder: &'n Folder,
    /// None where nothing is run, only planned.
    inputs: Option<&'n [TensorRef<'n>]>,
    threads: NonZeroUsize,
    control: &'n dyn Control,
    values: Values,
    pub(super) stages: Stages,
    /// Why a stage could not be run.
    pub(super) failed: Option<EngineError>,
}

impl<'n> Host<'n> {
    pub(super) fn new(
        folder: &'n Folder,
        inputs: Option<&'n [TensorRef<'n>]>,
        threads: NonZeroUsize,
        control: &'n dyn Control,
    ) -> Self {
        Self {
            folder,
            inputs,
            threads,
            control,
            values: Vec::new(),
            stages: Stages::default(),
            failed: None,
        }
    }

    /// Inputs that became part of the binding, and the stages that were built.
    pub(super) fn finish(self) -> (Values, Stages) {
        (self.values, self.stages)
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
        let (file, range) = self.folder.find(stored)?;
        Ok(file[range].into())
    }

    fn input(&mut self, place: usize) -> Result<Arc<[u8]>, HostError> {
        if let Some((_, bytes)) = self.values.iter().find(|(known, _)| *known == place) {
            return Ok(bytes.clone());
        }
        let inputs = self.inputs.ok_or(HostError::Pending)?;
        let bytes: Arc<[u8]> = inputs.get(place).ok_or(HostError::Pending)?.bytes().into();
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
        let pushed = self.stages.push(self.folder, stage, self.threads);
        let number = self.stages.len().saturating_sub(1);
        let ran = pushed.and_then(|()| match self.inputs {
            Some(inputs) => self.stages.run(number, inputs, self.control).map(Some),
            None => Ok(None),
        });
        match ran {
            Ok(Some(())) => {}
            Ok(None) => return Err(HostError::Pending),
            Err(error) => {
                let reason = crate::error::chain(&error);
                self.failed = Some(error);
                return Err(HostError::Stage(reason));
            }
        }
        wanted.iter().map(|&output| self.stages.expect(number, output)).collect()
    }
}
