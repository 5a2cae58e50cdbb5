//! The contract between a plan and what runs it.
//!
//! A backend says beforehand what each step will need ([`Backend::accept`]), loads within a grant
//! ([`Backend::load`]), and gives out states, each of which runs one sequence at a time.

use crate::{Exceeded, Grant, Plan, ReadError, Step, Trace, Unit, WeightId, WeightSource};
use alloc::{boxed::Box, string::String, sync::Arc, vec::Vec};
use core::fmt::Debug;
use tensor::{Bytes, TensorType};

/// What a step takes beside its operands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Weights in the backend's own layout, with their size there.
    pub weights: Vec<(WeightId, Bytes)>,
    /// Room while the step runs, all threads together.
    pub scratch: Bytes,
    /// Room beside that of all steps, from the beginning of a run to its end; steps share it.
    pub tables: Bytes,
}

/// Where a backend lets a step's result lie, beside bytes of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Freedom {
    /// Operands whose place the result may take, the best first: of each element nothing is read any
    /// more once it is written. The place has to be the whole result's, and no other operand's.
    pub over: Vec<usize>,
    /// How the result may be a part of a wider value.
    pub part: Part,
}

/// How a step's result may be a part of a wider value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// It may not: each value is where a step wrote it.
    #[default]
    None,
    /// In one piece.
    Whole,
    /// Also as columns of it: with [`crate::Slot::pitch`].
    Columns,
}

/// Why a backend will not run a step.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// It has no code for this storage type.
    #[error("tensor `{tensor}`: the {backend} backend cannot compute with {ty}")]
    WeightType {
        /// The backend's name.
        backend: String,
        /// The tensor's name.
        tensor: String,
        /// Its type.
        ty: TensorType,
    },
    /// It has no code for this operator with these attributes.
    #[error("the {backend} backend has no {op}: {reason}")]
    Op {
        /// The backend's name.
        backend: String,
        /// The operator.
        op: &'static str,
        /// What about it.
        reason: String,
    },
}

/// Why a plan could not be loaded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// A step is not supported.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A need was larger than what the plan had named: a fault of ours.
    #[error(transparent)]
    Exceeded(#[from] Exceeded),
    /// The system would not give the memory.
    #[error("the system refused {bytes}")]
    Memory {
        /// What was asked for.
        bytes: Bytes,
    },
    /// A weight could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Packed weights were to be kept outside of memory, and cannot be.
    #[error("packed weights cannot be kept: {reason}")]
    NotKept {
        /// What is in the way, naming the place.
        reason: String,
    },
    /// A delegate could not make a program of the plan; another backend may.
    #[error("the {backend} backend: {reason}")]
    Delegate {
        /// The backend's name.
        backend: String,
        /// What it says.
        reason: String,
    },
    /// The caller asked to stop.
    #[error("cancelled")]
    Cancelled,
}

/// Why a run stopped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The sequence would grow beyond the planned positions.
    #[error("{need} positions are needed, {have} were planned")]
    Full {
        /// Positions after the run.
        need: u64,
        /// Positions that fit.
        have: u64,
    },
    /// An id in an input is outside its table.
    #[error("id {id} at row {row} of input `{input}` is outside a table of {len}")]
    Index {
        /// The input's name.
        input: String,
        /// The row that holds it.
        row: u64,
        /// The offending value.
        id: u64,
        /// Entries in the table.
        len: u64,
    },
    /// An index that a network computed is outside of its array.
    #[error("{op}: index {index} is outside of {extent} elements")]
    Outside {
        /// The operator that uses it.
        op: &'static str,
        /// The offending value.
        index: i64,
        /// The extent that it points into.
        extent: u64,
    },
    /// A delegate failed; another backend may run the same steps.
    #[error("the {backend} backend: {reason}")]
    Delegate {
        /// The backend's name.
        backend: String,
        /// What it says.
        reason: String,
    },
    /// An operator that a program registered does not compute these values.
    #[error("node `{node}` ({op}): {reason}")]
    Custom {
        /// The operator's name.
        op: String,
        /// The node's name.
        node: String,
        /// What it says.
        reason: String,
    },
    /// A weight could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The caller asked to stop; the state is as it was before the run.
    #[error("cancelled")]
    Cancelled,
}

/// Lets a caller watch and stop a long call.
pub trait Control: Sync {
    /// Whether to stop; asked at least once a layer.
    fn cancelled(&self) -> bool;

    /// Tells how far the call has come, in units of its own.
    fn progress(&self, done: u64, total: u64);

    /// Where to note what ran when; none unless the caller wants to know.
    fn trace(&self) -> Option<&dyn Trace> {
        None
    }
}

/// Never stops and tells nobody.
#[derive(Clone, Copy, Debug)]
pub struct Uncontrolled;

impl Control for Uncontrolled {
    fn cancelled(&self) -> bool {
        false
    }

    fn progress(&self, _done: u64, _total: u64) {}
}

/// Something that runs plans.
pub trait Backend: Debug + Send + Sync {
    /// Its name in reports.
    fn name(&self) -> &'static str;

    /// What a step will need.
    ///
    /// # Errors
    /// If the backend cannot run it.
    fn accept(&self, step: &Step, plan: &Plan) -> Result<Needs, Refusal>;

    /// Where the result of a step may lie; asked before anything has its place.
    fn freedom(&self, _step: &Step, _plan: &Plan) -> Freedom {
        Freedom::default()
    }

    /// Brings the weights into the backend's layout.
    ///
    /// # Errors
    /// If a step is refused, a weight cannot be read or memory beyond the grant is needed.
    fn load(
        &self,
        plan: Plan,
        weights: Arc<dyn WeightSource>,
        grant: &mut Grant,
        control: &dyn Control,
    ) -> Result<Arc<dyn Program>, LoadError>;
}

/// A loaded plan; shared by all states.
pub trait Program: Debug + Send + Sync {
    /// The plan that was loaded.
    fn plan(&self) -> &Plan;

    /// The units of its schedule, by the numbers that spans have.
    fn units(&self) -> Vec<Unit>;

    /// Memory for one sequence: caches, arena, scratch, inputs and outputs, touched page by page.
    ///
    /// # Errors
    /// If memory beyond the grant is needed or the system refuses it.
    fn state(self: Arc<Self>, grant: &mut Grant) -> Result<Box<dyn State>, LoadError>;
}

/// Memory of one sequence. Running it changes nothing else.
pub trait State: Debug + Send {
    /// The plan being run.
    fn plan(&self) -> &Plan;

    /// Input `port` as bytes, sized for the symbols' bounds; callers fill the leading rows.
    fn input(&mut self, port: usize) -> &mut [u8];

    /// Runs all steps. `extents` gives each symbol of the plan; caches grow by the rows of
    /// `tokens`, the first symbol.
    ///
    /// # Errors
    /// If the sequence does not fit, an id is out of range, or the caller cancels. The cached
    /// positions are then those before the call.
    ///
    /// # Panics
    /// If an extent is zero or above its bound.
    fn run(&mut self, extents: &[u64], control: &dyn Control) -> Result<(), RunError>;

    /// Output `port` as bytes, sized for the symbols' bounds; the leading rows are valid.
    fn output(&self, port: usize) -> &[u8];

    /// Positions in the caches.
    fn positions(&self) -> u64;

    /// Forgets all positions from `positions` on; a larger number changes nothing.
    fn truncate(&mut self, positions: u64);
}
