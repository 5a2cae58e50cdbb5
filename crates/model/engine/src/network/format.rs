//! The formats of networks, told apart by their first bytes; behind this file there is one form of
//! inputs, outputs and imports for all of them.

use super::{custom::Operators, executor::Inputs, file::Folder, host::Host};
use crate::error::EngineError;
use cpu::CpuBackend;
use formats::{Kind, sniff};
use import::{
    onnx::{self, Bound, Declared, Imported, NetworkError, Unsupported},
    tflite::{self, Profile, Scale, Variable},
};
use plan::Uncontrolled;
use std::{num::NonZeroUsize, sync::Arc};

/// What a file says of itself.
#[derive(Debug)]
pub(super) struct Described {
    pub(super) inputs: Vec<Declared>,
    pub(super) outputs: Vec<Declared>,
    pub(super) unsupported: Vec<Unsupported>,
    pub(super) notices: Vec<String>,
    /// What a run takes behind the inputs and gives behind the outputs.
    pub(super) variables: Vec<Variable>,
    /// Of inputs and outputs.
    pub(super) scales: [Vec<Option<Scale>>; 2],
}

/// Whether a file is read as TFLite: old writers leave its magic number out.
fn is_tflite(file: &[u8]) -> bool {
    match sniff(file) {
        Kind::TfliteLike => true,
        Kind::OnnxLike => false,
        _ => {
            formats::onnx::Model::parse(file).is_err()
                && formats::tflite::Model::parse(file).is_ok()
        }
    }
}

fn broken(label: &str) -> impl Fn(formats::FormatError) -> EngineError + '_ {
    |source| EngineError::Format { file: label.to_owned(), source }
}

fn refused(label: &str) -> impl Fn(NetworkError) -> EngineError + '_ {
    |source| EngineError::Network { file: label.to_owned(), source }
}

impl Described {
    /// Reads a file without its weights.
    pub(super) fn read(folder: &Arc<Folder>, label: &str) -> Result<Self, EngineError> {
        let file = folder.bytes();
        if is_tflite(file) {
            let model = formats::tflite::Model::parse(file).map_err(broken(label))?;
            let network = tflite::Network::new(file, &model);
            let alone = CpuBackend::new(NonZeroUsize::MIN).map_err(EngineError::Threads)?;
            let (inputs, alone) = (Some(Inputs::default()), Arc::new(alone));
            let none = Operators::new();
            let mut host = Host::new(folder, inputs, &alone, &Uncontrolled, &none);
            let mut unsupported = network.unsupported().to_vec();
            let variables = match network.variables(&mut host) {
                Ok(variables) => variables,
                Err(NetworkError::Unsupported(list)) => {
                    let new = list.into_iter().filter(|entry| !unsupported.contains(entry));
                    let new: Vec<Unsupported> = new.collect();
                    unsupported.extend(new);
                    Vec::new()
                }
                Err(error) => return Err(refused(label)(error)),
            };
            return Ok(Self {
                inputs: network.inputs().to_vec(),
                outputs: network.outputs().to_vec(),
                unsupported,
                notices: Vec::new(),
                variables,
                scales: network.scales(),
            });
        }
        let model = formats::onnx::Model::parse(file).map_err(broken(label))?;
        let network = onnx::Network::new(file, &model).map_err(refused(label))?;
        Ok(Self {
            inputs: network.inputs().to_vec(),
            outputs: network.outputs().to_vec(),
            unsupported: network.unsupported().to_vec(),
            notices: network.notices().to_vec(),
            variables: Vec::new(),
            scales: Default::default(),
        })
    }
}

/// Imports a file for inputs of these types, and its variables.
pub(super) fn import(
    file: &[u8],
    label: &str,
    (bound, variables): (&[Bound], &[Variable]),
    profile: Profile,
    host: &mut Host<'_>,
) -> Result<Imported, EngineError> {
    if is_tflite(file) {
        let model = formats::tflite::Model::parse(file).map_err(broken(label))?;
        return tflite::Network::new(file, &model)
            .import(bound, variables, profile, host)
            .map_err(refused(label));
    }
    let model = formats::onnx::Model::parse(file).map_err(broken(label))?;
    let network = onnx::Network::new(file, &model).map_err(refused(label))?;
    network.import(bound, host).map_err(refused(label))
}
