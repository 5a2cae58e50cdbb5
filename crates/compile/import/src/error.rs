//! What can be wrong with a model's settings and tensors. Each error names the key or the tensor,
//! and what was expected of it.

use crate::family::FAMILIES;

/// Why a model cannot be imported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The architecture has no row.
    #[error("architecture `{name}` is not known; known are {}", known())]
    Family {
        /// What the file says.
        name: String,
    },
    /// A setting is missing, out of range or contradicts another.
    #[error("`{key}`: {reason}")]
    Setting {
        /// The key in the file.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A tensor that the family needs is not there.
    #[error("tensor `{name}` is missing")]
    Missing {
        /// Its name.
        name: String,
    },
    /// A tensor is stored in a way that cannot be computed with.
    #[error("tensor `{name}`: type {ty} is not supported")]
    Type {
        /// Its name.
        name: String,
        /// The type's name.
        ty: String,
    },
    /// A tensor's shape contradicts the settings.
    #[error("tensor `{name}`: has shape {have}, the settings ask for {want}")]
    Shape {
        /// Its name.
        name: String,
        /// Its shape.
        have: String,
        /// What the settings give.
        want: String,
    },
    /// The file's structure.
    #[error(transparent)]
    Format(#[from] formats::FormatError),
    /// The builder put operators together wrongly for these settings.
    #[error("layer {layer:?}: {source}")]
    Op {
        /// The layer, or none for what surrounds them.
        layer: Option<u32>,
        /// The operator's complaint.
        source: graph::OpError,
    },
}

fn known() -> String {
    let mut names: Vec<&str> = FAMILIES.iter().flat_map(|family| family.gguf).copied().collect();
    names.sort_unstable();
    names.join(", ")
}

impl ImportError {
    pub(crate) fn setting(key: &str, reason: impl Into<String>) -> Self {
        Self::Setting { key: key.into(), reason: reason.into() }
    }
}
