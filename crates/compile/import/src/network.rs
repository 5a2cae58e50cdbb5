//! What importers of networks (ONNX, TFLite) share: values with what is known about them, and a
//! builder that folds what is known and emits the rest.
//!
//! A network is imported for one binding of its free extents. The importer walks the file's nodes
//! as an abstract interpreter: a [`Tensor`] is either a constant or a value that a run will
//! compute, its type and extents are always numbers. What depends on constants alone is computed
//! at once through the [`Host`]; where a node needs a value that only a run can give, the graph
//! so far becomes a [`Stage`] that the host runs, and importing goes on with what it gave. So a
//! graph never holds extents that depend on the values of inputs.

pub mod tensor;
pub mod stage;
pub mod custom;

mod budget;
mod builder;
pub mod emit;
mod values;

pub use builder::Builder;
pub use stage::{Host, HostError, Origin, Port, Stage, Stored};
pub use tensor::{Constant, Narrow, Tensor};
pub use values::Numbers;

/// Why a node could not be imported; whoever walks the file adds the node's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The file breaks the operator's rules.
    #[error("{0}")]
    Invalid(String),
    /// The operator, an attribute or a type is not known here.
    #[error("{0}")]
    Unsupported(String),
    /// The host could not evaluate, read or run.
    #[error(transparent)]
    Host(#[from] HostError),
}

impl Fault {
    /// A broken rule.
    pub fn invalid(reason: impl Into<String>) -> Self {
        Self::Invalid(reason.into())
    }

    /// Something that is not known here.
    pub fn unsupported(reason: impl Into<String>) -> Self {
        Self::Unsupported(reason.into())
    }
}

impl From<graph::OpError> for Fault {
    fn from(error: graph::OpError) -> Self {
        Self::Invalid(error.to_string())
    }
}
