//! Rotary positions, from tables of cosines and sines that are filled once a run.
//!
//! Layers that turn alike share a table; its rows are the positions of the run.

mod angles;

use super::{Frame, Maker, by_rows, float_bytes};
use crate::layout::{View, borrow, index};
use angles::{Angles, Blend};
use kernels::rope::{Pairs, turn};
use plan::op::{self, RopePairs};
use plan::{Dim, Op, Plan, Step, WeightId};
use tensor::Bytes;

/// One table: the angles, and where it lies.
#[derive(Clone, Debug, PartialEq)]
struct Table {
    angles: Angles,
    factors: Option<WeightId>,
    /// Where the factors are, once weights have their places.
    vector: Option<crate::weights::Vector>,
    rows: Dim,
    start: usize,
    len: usize,
}

/// All tables of a plan, at the beginning of a state's scratch.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tables {
    tables: Vec<Table>,
    len: usize,
}

/// The kernel's form of an operator's attributes.
fn angles(op: &op::Rope) -> Angles {
    Angles {
        dims: op.dims,
        base: op.base,
        scale: op.scale,
        yarn: op.yarn.map(|yarn| Blend {
            mix: yarn.mix,
            beta_fast: yarn.beta_fast,
            beta_slow: yarn.beta_slow,
            original_positions: yarn.original_positions,
        }),
        magnitude: op.magnitude,
    }
}

impl Tables {
    /// The tables that a plan's steps need.
    pub(crate) fn of(plan: &Plan) -> Self {
        let mut all = Self::default();
        for step in &plan.steps {
            let Op::Rope(op) = &step.op else { continue };
            let rows = step.output.dims.first().copied().unwrap_or(Dim::Fixed(1));
            if all.find(op, step.weight(1), rows).is_none() {
                let rows_max = usize::try_from(rows.max(&plan.symbols)).unwrap_or(usize::MAX / 64);
                let len = rows_max.saturating_mul(op.dims as usize);
                let (angles, factors, start) = (angles(op), step.weight(1), all.len);
                all.tables.push(Table { angles, factors, vector: None, rows, start, len });
                all.len = all.len.saturating_add(len.next_multiple_of(16));
            }
        }
        all
    }

    /// Notes where factors are held.
    pub(crate) fn place(&mut self, placement: &crate::weights::Placement) {
        for table in &mut self.tables {
            table.vector = table.factors.map(|id| placement.vector(id));
        }
    }

    fn find(&self, op: &op::Rope, factors: Option<WeightId>, rows: Dim) -> Option<&Table> {
        let angles = angles(op);
        let same = |t: &&Table| t.angles == angles && t.factors == factors && t.rows == rows;
        self.tables.iter().find(same)
    }

    /// Bytes of all tables, a multiple of 64.
    pub(crate) fn len_bytes(&self) -> usize {
        float_bytes(self.len)
    }

    /// Bytes of all tables, a multiple of 64.
    pub(crate) fn bytes(&self) -> Bytes {
        Bytes(self.len_bytes() as u64)
    }

    /// Fills all tables for a run that begins at `position`.
    pub(crate) fn fill(
        &self,
        weights: &[u8],
        position: usize,
        extents: &[u64],
        numbers: &mut [f32],
    ) {
        for table in &self.tables {
            let rows = index(table.rows.at(extents));
            let out = &mut numbers[table.start..][..rows * table.angles.width()];
            table.angles.fill(position as u64, table.vector.map(|v| v.of(weights)), out);
        }
    }
}

/// [`plan::Op::Rope`].
#[derive(Debug)]
pub(crate) struct Rope {
    x: View,
    out: View,
    /// First number of the table.
    table: usize,
    dims: usize,
    head_dim: usize,
    pairs: Pairs,
}

impl Rope {
    pub(super) fn new(maker: &Maker<'_>, step: &Step, op: op::Rope) -> Self {
        let rows = step.output.dims.first().copied().unwrap_or(Dim::Fixed(1));
        let table = maker.tables.find(&op, step.weight(1), rows).expect("`Tables::of` made it");
        Self {
            x: maker.input(step, 0),
            out: maker.output(step),
            table: table.start,
            dims: op.dims as usize,
            head_dim: op.head_dim as usize,
            pairs: match op.pairs {
                RopePairs::Interleaved => Pairs::Interleaved,
                RopePairs::Half => Pairs::Half,
            },
        }
    }

    pub(super) fn run(&self, frame: &mut Frame<'_, '_>) {
        let (write, read) = (self.out.range(frame.extents), self.x.range(frame.extents));
        let ([out], [x]) = borrow(frame.values, &[write], &[read]);
        let (table, isa) = (&frame.tables[self.table..], frame.isa);
        let width = self.out.width;
        by_rows(frame.team, out, width, |first, out| {
            out.copy_from_slice(&x[first * width..][..out.len()]);
            for (row, out) in (first..).zip(out.chunks_exact_mut(width)) {
                let angles = &table[row * self.dims..][..self.dims];
                turn(isa, self.pairs, out, self.head_dim, angles);
            }
        });
    }
}
