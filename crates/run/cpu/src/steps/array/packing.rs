//! How constants of array operators are laid out for the kernels of their steps.
//!
//! A weight is packed piece by piece while it is read, so that no second copy of it ever exists:
//! each piece is some stored rows and becomes so many packed bytes. The step alone decides, so that
//! what a plan promises, what loading makes and what the schedule reads is the same.

use super::facts::{Choice, Facts};
use super::int8;
use super::spread::Phases;
use crate::layout::{index, numbers, numbers_mut};
use kernels::winograd::{self, Square};
use kernels::{Isa, gemm, isa::LANES};
use plan::{Operand, Plan, Step, Weight};
use tensor::{Bytes, DType, F16, TensorType};

/// The order in which a kernel reads a constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Packing {
    /// Columns of `[…, k, n]` of `F32` in panels of 16; outer extents follow each other.
    Columns,
    /// Filters `[m, …, c]` of `F32` or `F16` in panels of 16; groups follow each other.
    Filters {
        /// Groups of filters.
        groups: u32,
    },
    /// Gates' columns `[d, gates * h, k]` of `F32` in panels of 16; gates follow each other.
    Gates {
        /// Gates of a direction.
        gates: u32,
    },
    /// Filters `[m, 3, 3, c]` of `F32` at the points of squares, in panels of 16.
    Points(Square),
    /// Filters `[m, …, 1]` of `F32` or `F16`, those of the first tap first; they become `F32`.
    Taps,
    /// Filters `[m, …, c]` of `F32` or `F16` of a transposed convolution, phase by phase, as `F32`.
    Phases(Phases),
    /// Bytes in panels.
    Bytes(int8::Panels),
}

/// Bytes of a matrix's rows that are held while they are packed, or this part of all, if that is more.
const HELD_BYTES: u64 = 1 << 20;
const HELD_PART: u64 = 32;

/// What is packed at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pieces {
    /// Stored bytes of a piece, whole rows; the last one may have fewer.
    pub(crate) stored_bytes: u64,
    /// Bytes that a piece becomes; all have the same.
    pub(crate) packed_bytes: usize,
    /// Number of pieces.
    pub(crate) count: u64,
}

impl Packing {
    /// How constant operand `i` of an array operator is packed, or `None` where it is held as
    /// stored.
    pub(crate) fn of(step: &Step, i: usize, plan: &Plan) -> Option<Self> {
        let Operand::Weight(_) = step.input(i) else { return None };
        if let Some(panels) = int8::packing(step, i, plan) {
            return Some(Self::Bytes(panels));
        }
        match (Facts::of(step, plan)?.choice(), i) {
            (Choice::Product(product), 1) => Some(product.packing()),
            (Choice::Squares(squares), 1) => Some(Self::Points(squares.square())),
            (Choice::Slide(slide), 1) => slide.packing(),
            (Choice::Spread(spread), 1) => Some(spread.packing()),
            (Choice::Cells(cells), 1 | 2) => Some(cells.packing()),
            _ => None,
        }
    }

    /// What is packed at once of this weight.
    pub(crate) fn pieces(self, weight: &Weight) -> Pieces {
        let dims = weight.shape.dims();
        match self {
            Self::Columns => {
                let [.., k, n] = *dims else { unreachable!("a matrix") };
                let packed_bytes = index(4 * n.next_multiple_of(LANES as u64) * k);
                let count = dims[..dims.len() - 2].iter().product();
                Pieces { stored_bytes: 4 * k * n, packed_bytes, count }
            }
            Self::Filters { groups } => {
                let (filters, k) = (dims[0], dims[1..].iter().product::<u64>());
                // A group begins with a panel of its own.
                let each = if groups == 1 { LANES as u64 } else { filters / u64::from(groups) };
                let size = if is_half(weight) { 2 } else { 4 };
                let packed_bytes = index(size * each.next_multiple_of(LANES as u64) * k);
                let stored_bytes = size * each * k;
                Pieces { stored_bytes, packed_bytes, count: filters.div_ceil(each) }
            }
            Self::Gates { gates } => {
                let [d, columns, k] = *dims else { unreachable!("weights of directions") };
                let each = columns / u64::from(gates);
                let packed_bytes = index(4 * each.next_multiple_of(LANES as u64) * k);
                Pieces { stored_bytes: 4 * each * k, packed_bytes, count: d * u64::from(gates) }
            }
            Self::Points(square) => {
                let [filters, .., c] = *dims else { unreachable!("filters") };
                let each = LANES as u64;
                let packed_bytes = index(4 * each * square.points() as u64 * c);
                Pieces { stored_bytes: 36 * each * c, packed_bytes, count: filters.div_ceil(each) }
            }
            Self::Taps => {
                let stored_bytes = weight.stored_bytes().0;
                let packed_bytes = index(4 * dims.iter().product::<u64>());
                Pieces { stored_bytes, packed_bytes, count: 1 }
            }
            Self::Phases(phases) => {
                let stored_bytes = weight.stored_bytes().0;
                Pieces { stored_bytes, packed_bytes: phases.bytes(), count: 1 }
            }
            Self::Bytes(panels) => panels.pieces(weight),
        }
    }

    /// Stored bytes that are held at once while a weight is packed, whole rows: pieces, or some rows of a
    /// piece where these go to all panels.
    pub(crate) fn held_bytes(self, weight: &Weight) -> u64 {
        let pieces = self.pieces(weight);
        if self != Self::Columns {
            return pieces.stored_bytes;
        }
        let row = weight.row_bytes().max(1);
        let some = HELD_BYTES.max(pieces.stored_bytes / HELD_PART) / row * row;
        some.clamp(row, pieces.stored_bytes.max(row))
    }

    /// Bytes that a weight takes when it is packed so.
    pub(crate) fn bytes(self, weight: &Weight) -> Bytes {
        let pieces = self.pieces(weight);
        Bytes(pieces.count.saturating_mul(pieces.packed_bytes as u64))
    }

    /// Packs a piece.
    pub(crate) fn pack(self, isa: Isa, weight: &Weight, stored: &[u8], packed: &mut [u8]) {
        if let Self::Bytes(panels) = self {
            return panels.pack(weight, stored, packed);
        }
        let k = index(weight.shape.iter().skip(1).product());
        if is_half(weight) {
            let stored: &[F16] = numbers(stored);
            match self {
                Self::Taps => pack_taps(stored, k, numbers_mut(packed), F16::to_f32),
                Self::Phases(phases) => phases.pack(stored, numbers_mut(packed), F16::to_f32),
                _ => gemm::pack_columns(stored, k, numbers_mut(packed)),
            }
            return;
        }
        let (stored, packed): (&[f32], &mut [f32]) = (numbers(stored), numbers_mut(packed));
        match self {
            Self::Bytes(_) => {}
            Self::Phases(phases) => phases.pack(stored, packed, |value| value),
            Self::Columns => gemm::pack_rows(stored, index(weight.shape.last()), packed),
            Self::Filters { .. } => gemm::pack_columns(stored, k, packed),
            Self::Points(square) => {
                winograd::pack_filters(isa, square, stored, index(weight.shape.last()), packed);
            }
            Self::Gates { .. } => gemm::pack_columns(stored, index(weight.shape.last()), packed),
            Self::Taps => pack_taps(stored, k, packed, |tap| tap),
        }
    }
}

/// Whether a weight is stored in half precision.
fn is_half(weight: &Weight) -> bool {
    weight.ty == TensorType::Plain(DType::F16)
}

/// Filters of so many taps, those of the first tap first.
fn pack_taps<T: Copy>(stored: &[T], taps: usize, packed: &mut [f32], single: impl Fn(T) -> f32) {
    let filters = stored.len() / taps.max(1);
    for (tap, packed) in packed.chunks_exact_mut(filters.max(1)).enumerate() {
        for (filter, to) in packed.iter_mut().enumerate() {
            *to = single(stored[filter * taps + tap]);
        }
    }
}
