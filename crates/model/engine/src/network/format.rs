//! The formats of networks, told apart by their first bytes; behind this file there is one form of
//! inputs, outputs and imports for all of them.

use super::host::Host;
use crate::error::EngineError;
use formats::{Kind, sniff};
use import::{
    onnx::{self, Bound, Declared, Imported, NetworkError, Unsupported},
    tflite::{self, Profile},
};

/// What a file says of itself.
#[derive(Debug)]
pub(super) struct Described {
    pub(super) inputs: Vec<Declared>,
    pub(super) outputs: Vec<Declared>,
    pub(super) unsupported: Vec<Unsupported>,
    pub(super) notices: Vec<String>,
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
    pub(super) fn read(file: &[u8], label: &str) -> Result<Self, EngineError> {
        if is_tflite(file) {
            let model = formats::tflite::Model::parse(file).map_err(broken(label))?;
            let network = tflite::Network::new(file, &model);
            return Ok(Self {
                inputs: network.inputs().to_vec(),
                outputs: network.outputs().to_vec(),
                unsupported: network.unsupported().to_vec(),
                notices: Vec::new(),
            });
        }
        let model = formats::onnx::Model::parse(file).map_err(broken(label))?;
        let network = onnx::Network::new(file, &model).map_err(refused(label))?;
        Ok(Self {
            inputs: network.inputs().to_vec(),
            outputs: network.outputs().to_vec(),
            unsupported: network.unsupported().to_vec(),
            notices: network.notices().to_vec(),
        })
    }
}

/// Imports a file for inputs of these types.
pub(super) fn import(
    file: &[u8],
    label: &str,
    bound: &[Bound],
    profile: Profile,
    host: &mut Host<'_>,
) -> Result<Imported, EngineError> {
    if is_tflite(file) {
        let model = formats::tflite::Model::parse(file).map_err(broken(label))?;
        return tflite::Network::new(file, &model)
            .import(bound, profile, host)
            .map_err(refused(label));
    }
    let model = formats::onnx::Model::parse(file).map_err(broken(label))?;
    let network = onnx::Network::new(file, &model).map_err(refused(label))?;
    network.import(bound, host).map_err(refused(label))
}
