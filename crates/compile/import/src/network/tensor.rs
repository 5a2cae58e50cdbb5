//! A value of a network while it is imported: type, extents, and where its elements come from.
//!
//! Types narrower than a byte are held one element a byte; [`Narrow`] remembers what they are.

use super::stage::Stored;
use graph::ValueId;
use std::{cell::Cell, rc::Rc, sync::Arc};
use tensor::{DType, Shape};

/// An integer type of less than a byte, held one element a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Narrow {
    /// -8 to 7, held as I8.
    Int4,
    /// 0 to 15, held as U8.
    Uint4,
    /// -2 to 1, held as I8.
    Int2,
    /// 0 to 3, held as U8.
    Uint2,
}

impl Narrow {
    /// The type that holds one element.
    pub fn dtype(self) -> DType {
        match self {
            Self::Int4 | Self::Int2 => DType::I8,
            Self::Uint4 | Self::Uint2 => DType::U8,
        }
    }

    /// Bits of one element.
    pub fn bits(self) -> u32 {
        match self {
            Self::Int4 | Self::Uint4 => 4,
            Self::Int2 | Self::Uint2 => 2,
        }
    }
}

/// A value of a network.
#[derive(Clone, Debug)]
pub struct Tensor {
    /// Element type.
    pub dtype: DType,
    /// What the elements really are, where they are narrower than their type.
    pub narrow: Option<Narrow>,
    /// Extents, outermost first.
    pub dims: Shape,
    /// Where the elements come from.
    pub(super) source: Source,
}

#[derive(Clone, Debug)]
pub(super) enum Source {
    Constant(Constant),
    Live(Rc<Live>),
}

/// Elements that are known without a run.
#[derive(Clone, Debug)]
pub enum Constant {
    /// Little-endian elements in memory.
    Bytes(Arc<[u8]>),
    /// In a file of the model; read when it is needed.
    Stored(Stored),
    /// All elements have these bytes; the tail beyond the type's size is zero.
    Splat([u8; 8]),
}

/// A value that a run computes. Whoever holds one keeps it alive across stages.
#[derive(Debug)]
pub(super) struct Live {
    /// The value in the stage that is being built, once a node there has read or written it.
    pub(super) here: Cell<Option<ValueId>>,
    /// Where later stages get it from; none while only the current stage knows it.
    pub(super) home: Cell<Option<super::Origin>>,
}

impl Tensor {
    /// A constant.
    pub fn constant(dtype: DType, dims: Shape, bytes: impl Into<Arc<[u8]>>) -> Self {
        Self::of(dtype, dims, Constant::Bytes(bytes.into()))
    }

    /// A constant of any form.
    pub fn of(dtype: DType, dims: Shape, constant: Constant) -> Self {
        Self { dtype, narrow: None, dims, source: Source::Constant(constant) }
    }

    /// The constant that this is, if it is one.
    pub fn as_constant(&self) -> Option<&Constant> {
        match &self.source {
            Source::Constant(constant) => Some(constant),
            Source::Live(_) => None,
        }
    }

    /// The same elements with what they really are.
    #[must_use]
    pub fn narrowed(mut self, narrow: Option<Narrow>) -> Self {
        self.narrow = narrow;
        self
    }

    /// Number of dimensions.
    pub fn rank(&self) -> usize {
        self.dims.len()
    }

    /// Number of elements; extents were checked when the tensor was made.
    pub fn elements(&self) -> u64 {
        self.dims.iter().fold(1, |product: u64, &dim| product.saturating_mul(dim))
    }

    /// Bytes of all elements.
    pub fn bytes(&self) -> u64 {
        self.elements().saturating_mul(self.dtype.bytes())
    }
}
