//! Weights by name and place in their tensor, and where their bytes come from. A source answers
//! for any range of elements, so that a backend can pack a matrix without ever holding all of it
//! twice.

use crate::{PackStore, backend::Refusal};
use alloc::string::String;
use tensor::{Bytes, Shape, TensorType};

/// Names a [`Weight`] of one graph or plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WeightId(pub u32);

/// A constant operand: a tensor of the model, or some of its rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weight {
    /// The stored tensor's name.
    pub tensor: String,
    /// How its elements are stored.
    pub ty: TensorType,
    /// The extents of this operand (a part of the tensor where that is fused), outermost first.
    pub shape: Shape,
    /// Elements of the stored tensor that precede this operand; a whole number of blocks.
    pub first: u64,
}

impl Weight {
    /// Bytes of one row as stored.
    ///
    /// # Panics
    /// If a row is no whole number of blocks (the importer guarantees that it is).
    pub fn row_bytes(&self) -> u64 {
        self.ty.row_bytes(self.shape.last()).expect("the importer checked the row")
    }

    /// Number of rows: the product of all dimensions but the last.
    ///
    /// # Panics
    /// If that overflows (the importer guarantees that it does not).
    pub fn rows(&self) -> u64 {
        self.shape.rows().expect("the importer checked the shape")
    }

    /// Bytes as stored.
    pub fn stored_bytes(&self) -> Bytes {
        Bytes(self.row_bytes().saturating_mul(self.rows()))
    }
}

/// Why a weight's bytes could not be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("tensor `{tensor}`: {reason}")]
pub struct ReadError {
    /// The tensor that was read.
    pub tensor: String,
    /// What went wrong, naming file and offset.
    pub reason: String,
}

/// Where weights come from: a file, several files, or memory.
pub trait WeightSource: Send + Sync {
    /// Fills `out` with the bytes of `weight` from row `row` on (whole rows), as stored.
    ///
    /// # Errors
    /// If the bytes cannot be read, or the source has changed since it was opened.
    fn read_rows(&self, weight: &Weight, row: u64, out: &mut [u8]) -> Result<(), ReadError>;

    /// Fills `out` with whole columns of a matrix from `column` on, one behind the other, if the source
    /// holds them so; else gives false and reads nothing.
    ///
    /// # Errors
    /// As [`read_rows`](Self::read_rows).
    fn read_columns(
        &self,
        weight: &Weight,
        column: u64,
        out: &mut [u8],
    ) -> Result<bool, ReadError> {
        let _ = (weight, column, out);
        Ok(false)
    }

    /// Takes note that a weight was read for the last time: its bytes may be given up.
    fn release(&self, weight: &Weight) {
        let _ = weight;
    }

    /// A number that no other bytes are likely to have: those of one backend's programs that are the same
    /// may share memory. None where it is not known.
    fn identity(&self, weight: &Weight) -> Option<u64> {
        let _ = weight;
        None
    }

    /// Where packed weights are kept; none unless the caller wants them kept.
    fn packs(&self) -> Option<&dyn PackStore> {
        None
    }
}

impl Weight {
    /// Says that a backend cannot use this weight's type.
    pub fn refuse(&self, backend: &str) -> Refusal {
        Refusal::WeightType { backend: backend.into(), tensor: self.tensor.clone(), ty: self.ty }
    }
}
