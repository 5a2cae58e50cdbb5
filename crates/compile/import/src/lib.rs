//! Model families as data: named tensors and settings become a graph.
//!
//! A family is one row of choices ([`family::FAMILIES`]): which norms, which positions, which
//! feed-forward. One builder serves them all. Settings come from GGUF metadata or from a Hugging
//! Face `config.json`; both are read into the same [`Settings`], with tensor names looked up in a
//! table of roles. The facts behind every row are in `docs/families.md`.
//!
//! Nothing here reads a weight's bytes. This crate is internal to Ledge.

pub mod builder;
pub mod error;
pub mod family;
pub mod names;
pub mod network;
pub mod onnx;
pub mod tflite;
pub mod settings;
pub mod tensors;

use crate::family::Placement;
use formats::{TensorTable, gguf::Gguf};

pub use builder::{Imported, Options, Output, build};
pub use error::ImportError;
pub use family::{FAMILIES, Family};
pub use settings::Settings;
pub use tensors::Tensors;

/// A model that was recognised, ready to be built for any context.
#[derive(Clone, Debug)]
pub struct Model {
    /// The row of choices.
    pub family: &'static Family,
    /// Sizes and constants.
    pub settings: Settings,
    /// Stored tensors by role.
    pub tensors: Tensors,
}

impl Model {
    /// Recognises a GGUF model (all parts of a split file merged).
    ///
    /// # Errors
    /// If the architecture is not known or a setting is missing or out of range.
    pub fn from_gguf(gguf: &Gguf) -> Result<Self, ImportError> {
        let architecture = gguf.metadata().get_str("general.architecture")?;
        let family = Family::of_gguf(architecture)
            .ok_or_else(|| ImportError::Family { name: architecture.into() })?;
        let tensors = Tensors::new(gguf.tensors().clone(), vec![names::GGUF]);
        let settings = settings::from_gguf(family, architecture, gguf.metadata(), &tensors)?;
        Ok(Self { family, settings, tensors })
    }

    /// Recognises a folder in Hugging Face's layout from its `config.json` and tensors.
    ///
    /// # Errors
    /// As [`Model::from_gguf`].
    pub fn from_config(
        config: &serde_json::Value,
        table: TensorTable,
    ) -> Result<Self, ImportError> {
        let name = config.get("model_type").and_then(|name| name.as_str()).unwrap_or("");
        let family =
            Family::of_folder(name).ok_or_else(|| ImportError::Family { name: name.into() })?;
        let names = match (family.encoder, family.placement) {
            (true, _) => vec![names::ENCODER],
            (false, Placement::Sandwich) => vec![names::SANDWICH, names::DECODER],
            (false, Placement::Pre | Placement::Branch | Placement::Post) => vec![names::DECODER],
        };
        let settings = settings::from_config(family, config)?;
        Ok(Self { family, settings, tensors: Tensors::new(table, names) })
    }

    /// Builds the graph for these bounds.
    ///
    /// # Errors
    /// If a tensor is missing, or its shape or type contradicts the settings.
    pub fn build(&self, options: &Options) -> Result<Imported, ImportError> {
        build(self, options)
    }
}
