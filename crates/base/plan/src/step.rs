//! One step of a plan: an operator and the places of its operands. Operands are ranges of buffers
//! that do not move; their extents are bounds until a run fills them in.

use crate::{BufferId, Dim, Op, StateId, WeightId};
use alloc::vec::Vec;
use tensor::DType;

/// Where a value lies while a plan runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The buffer that holds it.
    pub buffer: BufferId,
    /// First byte inside the buffer, a multiple of 64.
    pub offset: u64,
    /// Element type.
    pub dtype: DType,
    /// Extents, outermost first; all but the first are fixed, so rows are contiguous.
    pub dims: Vec<Dim>,
    /// Of a result that is some columns of a wider value: elements from each run of its last dimension
    /// to the next. Otherwise these stand side by side; what is read always does.
    pub pitch: Option<u64>,
}

impl Slot {
    /// Elements of one row: the product of all dimensions but the first.
    ///
    /// # Panics
    /// If one of them is a symbol (the planner guarantees that none is).
    pub fn width(&self) -> u64 {
        self.dims
            .iter()
            .skip(1)
            .map(|dim| match dim {
                Dim::Fixed(n) => *n,
                Dim::Symbol(_) => panic!("only the first dimension of a slot varies"),
            })
            .product()
    }

    /// Rows in a run with these extents.
    pub fn rows(&self, extents: &[u64]) -> u64 {
        self.dims.first().map_or(1, |dim| dim.at(extents))
    }
}

/// One input of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operand {
    /// A value that an earlier step or the caller wrote.
    Slot(Slot),
    /// A constant of the model.
    Weight(WeightId),
    /// Something that persists between runs.
    State(StateId),
    /// An optional operand that is not there.
    Absent,
}

/// An operator with its operands; extents are bounds, actual ones come with each run.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// What is computed.
    pub op: Op,
    /// Operands in the order that [`Op`] documents; trailing absent ones may be left out.
    pub inputs: Vec<Operand>,
    /// Where the result goes.
    pub output: Slot,
    /// The layer it belongs to, for traces and progress.
    pub layer: Option<u32>,
}

impl Step {
    /// Input `i`, absent where the list is shorter.
    pub fn input(&self, i: usize) -> &Operand {
        self.inputs.get(i).unwrap_or(&Operand::Absent)
    }

    /// Input `i` as a slot.
    ///
    /// # Panics
    /// If it is none (the graph's verifier guarantees that it is).
    pub fn slot(&self, i: usize) -> &Slot {
        match self.input(i) {
            Operand::Slot(slot) => slot,
            other => panic!("input {i} of {} must be a value, found {other:?}", self.op.name()),
        }
    }

    /// Input `i` as a weight, or `None` where it is absent.
    pub fn weight(&self, i: usize) -> Option<WeightId> {
        match self.input(i) {
            Operand::Weight(id) => Some(*id),
            Operand::Slot(_) | Operand::State(_) | Operand::Absent => None,
        }
    }
}
