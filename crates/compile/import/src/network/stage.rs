//! What an importer gives and what it asks for: stages to run, and a host that evaluates, reads
//! and runs. Stages follow each other; each reads inputs of the network and outputs of earlier
//! stages.

use super::{Constant, custom::Call};
use graph::Graph;
use plan::ArrayOp;
use std::{collections::BTreeMap, sync::Arc};
use tensor::{DType, Shape, TensorRef};

/// Bytes in a file of the model.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Stored {
    /// The file below the model's folder; none for the model's own file.
    pub file: Option<Arc<str>>,
    /// First byte.
    pub offset: u64,
    /// Number of bytes.
    pub bytes: u64,
}

/// Where a value comes from that a stage reads or the network gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// An input of the network, by its place.
    Input(usize),
    /// An output of a stage, by its place there.
    Stage {
        /// Which stage.
        stage: usize,
        /// Which output of it.
        output: usize,
    },
}

/// A graph that can be run in one go, with its constants.
#[derive(Clone, Debug, Default)]
pub struct Stage {
    /// The graph; no outputs if everything was known.
    pub graph: Graph,
    /// Where the graph's inputs come from, in their order.
    pub inputs: Vec<Origin>,
    /// The graph's weights by name.
    pub constants: BTreeMap<String, Constant>,
    /// Operators that use indices which only a run gives, with the names of their nodes in the file:
    /// for the error of one that is out of range.
    pub indexed: Vec<(&'static str, String)>,
}

/// An output of the network.
#[derive(Clone, Debug)]
pub enum Port {
    /// What a run computes, or an input passed on.
    Live(Origin),
    /// What needs no run.
    Constant(Constant),
}

/// Why a host could not do what an importer asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// Values are needed that nobody has given: the host only plans.
    #[error("what follows depends on values that only a run knows")]
    Pending,
    /// An operator could not be evaluated, such as one with an index out of range.
    #[error("{0}")]
    Evaluate(String),
    /// A file of the model could not be read.
    #[error("{0}")]
    Read(String),
    /// A stage could not be run; the host holds the reason.
    #[error("a stage of the network could not be run: {0}")]
    Stage(String),
}

/// What an importer needs of its surroundings.
pub trait Host {
    /// Computes one operator on constants; `result` is what its rule gives for the operands.
    ///
    /// # Errors
    /// If the values do not fit the operator.
    fn evaluate(
        &mut self,
        op: &ArrayOp,
        operands: &[Option<TensorRef<'_>>],
        result: (DType, Shape),
    ) -> Result<Vec<u8>, HostError>;

    /// Bytes of a file of the model.
    ///
    /// # Errors
    /// If they cannot be read.
    fn read(&mut self, stored: &Stored) -> Result<Arc<[u8]>, HostError>;

    /// The elements of an input of the network; they become part of the binding.
    ///
    /// # Errors
    /// [`HostError::Pending`] where there are none yet.
    fn input(&mut self, place: usize) -> Result<Arc<[u8]>, HostError>;

    /// The elements of a value of an earlier stage, or of a large input.
    ///
    /// # Errors
    /// [`HostError::Pending`] where there are none yet.
    fn value(&mut self, origin: Origin) -> Result<Arc<[u8]>, HostError>;

    /// Runs a stage and gives these of its outputs.
    ///
    /// # Errors
    /// [`HostError::Pending`] if the host only plans, else why it could not be run.
    fn run(&mut self, stage: Stage, wanted: &[usize]) -> Result<Vec<Arc<[u8]>>, HostError>;

    /// Whether an operator of this name was registered; none is unless the host keeps some.
    fn knows(&self, _name: &str) -> bool {
        false
    }

    /// Types and extents of what a registered operator gives.
    ///
    /// # Errors
    /// [`HostError::Evaluate`] if it does not take the operands, or is not registered.
    fn results(&mut self, call: &Call) -> Result<Vec<(DType, Shape)>, HostError> {
        Err(HostError::Evaluate(format!("`{}` is not registered", call.name)))
    }

    /// Adds a call of a registered operator behind the stages so far, as a stage of its own. Its
    /// operands come from these ports; `results` is what [`Host::results`] gave.
    ///
    /// # Errors
    /// As [`Host::run`].
    fn call(
        &mut self,
        call: Call,
        _operands: Vec<Option<Port>>,
        _results: &[(DType, Shape)],
    ) -> Result<(), HostError> {
        Err(HostError::Stage(format!("`{}` is not registered", call.name)))
    }
}
