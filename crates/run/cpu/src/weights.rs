//! How each weight of a plan is held: as panels, as a vector of numbers, or not at all.
//!
//! The uses of a weight decide: products want panels, everything that is applied element by element
//! wants numbers, and a table whose rows are looked up stays in its source, unless the same tensor
//! is held as panels anyway. Constants of arrays are packed as the kernel of their step wants them
//! ([`Packing`]), or held as stored. Sizes here are what the plan promises, byte for byte.

use crate::matrix::{self, Matrix};
use crate::steps::Packing;
use plan::{Op, Operand, Plan, Step, Weight, WeightId};
use std::collections::BTreeMap;
use tensor::Bytes;

/// What a step wants of a weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Use {
    /// Products with its rows.
    Matrix,
    /// Its elements as numbers.
    Vector,
    /// Some of its rows.
    Lookup,
    /// Its bytes as stored.
    Raw,
    /// Its bytes in the order in which the kernel of an array operator reads them.
    Packed(Packing),
}

/// What `step` of `plan` wants of its weights.
pub(crate) fn uses<'a>(
    step: &'a Step,
    plan: &'a Plan,
) -> impl Iterator<Item = (WeightId, Use)> + 'a {
    step.inputs.iter().enumerate().filter_map(|(i, input)| {
        let Operand::Weight(id) = input else { return None };
        let want = match (&step.op, i) {
            (Op::Embed { .. } | Op::EmbedPositions, _) => Use::Lookup,
            (Op::Linear, 1) | (Op::Experts(_), _) => Use::Matrix,
            (Op::Array(_), _) => Packing::of(step, i, plan).map_or(Use::Raw, Use::Packed),
            _ => Use::Vector,
        };
        Some((*id, want))
    })
}

/// Bytes that a weight takes for this use, a multiple of 64.
pub(crate) fn bytes(weight: &Weight, want: Use) -> Bytes {
    match want {
        Use::Matrix => matrix::packed_bytes(weight),
        Use::Vector => Bytes(weight.shape.elements().unwrap_or(u64::MAX / 8) * 4).align_up(64),
        Use::Lookup => Bytes::ZERO,
        Use::Raw => weight.stored_bytes().align_up(64),
        Use::Packed(packing) => packing.bytes(weight).align_up(64),
    }
}

/// Where a weight is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    /// In panels; the experts' matrices follow each other.
    Matrix(Matrix),
    /// As numbers, from this byte on.
    Vector {
        /// First byte in the region of weights.
        start: usize,
        /// Number of elements.
        len: usize,
    },
    /// In its source.
    Source,
    /// As stored, from this byte on.
    Raw {
        /// First byte in the region of weights.
        start: usize,
        /// Number of bytes.
        bytes: usize,
    },
    /// Packed, from this byte on.
    Packed {
        /// First byte in the region of weights.
        start: usize,
        /// Number of bytes.
        bytes: usize,
        /// How it is packed.
        packing: Packing,
    },
}

/// Where all weights are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Placement {
    /// For each weight and use; a weight has one or two.
    held: BTreeMap<(WeightId, Use), Held>,
    /// Bytes of the region.
    pub(crate) bytes: Bytes,
}

impl Placement {
    /// Gives every weight of the plan its place.
    pub(crate) fn of(plan: &Plan) -> Self {
        let mut placement = Self::default();
        for (id, want) in plan.steps.iter().flat_map(|step| uses(step, plan)) {
            let key = (id, want);
            if placement.held.contains_key(&key) {
                continue;
            }
            let weight = &plan.weights[id.0 as usize];
            let start = placement.bytes.to_usize().unwrap_or(usize::MAX);
            let held = match want {
                Use::Matrix => Held::Matrix(Matrix::of(weight, start)),
                Use::Vector => {
                    let len = weight.shape.elements().unwrap_or(u64::MAX);
                    Held::Vector { start, len: usize::try_from(len).unwrap_or(usize::MAX) }
                }
                Use::Lookup => Held::Source,
                Use::Raw => Held::Raw {
                    start,
                    bytes: weight.stored_bytes().to_usize().unwrap_or(usize::MAX),
                },
                Use::Packed(packing) => Held::Packed {
                    start,
                    bytes: packing.bytes(weight).to_usize().unwrap_or(usize::MAX),
                    packing,
                },
            };
            placement.held.insert(key, held);
            placement.bytes.0 = placement.bytes.0.saturating_add(bytes(weight, want).0);
        }
        placement
    }

    /// All places, with their weights.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (WeightId, Held)> + '_ {
        self.held.iter().map(|(&(id, _), &held)| (id, held))
    }

    /// The panels of a weight.
    ///
    /// # Panics
    /// If no product uses it.
    pub(crate) fn matrix(&self, id: WeightId) -> Matrix {
        match self.held.get(&(id, Use::Matrix)) {
            Some(Held::Matrix(matrix)) => *matrix,
            other => panic!("weight {} has panels, found {other:?}", id.0),
        }
    }

    /// The range of bytes that holds a weight's numbers.
    ///
    /// # Panics
    /// If no step uses them.
    pub(crate) fn vector(&self, id: WeightId) -> Vector {
        match self.held.get(&(id, Use::Vector)) {
            Some(&Held::Vector { start, len }) => Vector { start, len },
            other => panic!("weight {} is a vector, found {other:?}", id.0),
        }
    }

    /// The range of bytes that holds a weight as stored.
    ///
    /// # Panics
    /// If no step uses it so.
    pub(crate) fn raw(&self, id: WeightId) -> core::ops::Range<usize> {
        match self.held.get(&(id, Use::Raw)) {
            Some(&Held::Raw { start, bytes }) => start..start + bytes,
            other => panic!("weight {} is held as stored, found {other:?}", id.0),
        }
    }

    /// The range of bytes that holds a weight packed so.
    ///
    /// # Panics
    /// If no step uses it so.
    pub(crate) fn packed(&self, id: WeightId, packing: Packing) -> core::ops::Range<usize> {
        match self.held.get(&(id, Use::Packed(packing))) {
            Some(&Held::Packed { start, bytes, .. }) => start..start + bytes,
            other => panic!("weight {} is packed as {packing:?}, found {other:?}", id.0),
        }
    }

    /// The panels that hold a table's rows, if the same tensor is used in products.
    pub(crate) fn panels_of_table(&self, plan: &Plan, id: WeightId) -> Option<Matrix> {
        let table = &plan.weights[id.0 as usize];
        self.iter().find_map(|(other, held)| match held {
            Held::Matrix(matrix) if plan.weights[other.0 as usize] == *table => Some(matrix),
            Held::Matrix(_)
            | Held::Vector { .. }
            | Held::Raw { .. }
            | Held::Packed { .. }
            | Held::Source => None,
        })
    }
}

/// Numbers in the region of weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Vector {
    start: usize,
    len: usize,
}

impl Vector {
    /// The numbers.
    pub(crate) fn of<'a>(&self, weights: &'a [u8]) -> &'a [f32] {
        crate::layout::numbers(&weights[self.start..self.start + 4 * self.len])
    }
}
