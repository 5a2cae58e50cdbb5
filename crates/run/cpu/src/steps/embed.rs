//! Rows of a table by id or by position.
//!
//! A table that also serves products is held as panels and its rows come from there; any other
//! table stays in its source and only the rows that are needed are read.

use super::{Frame, Maker};
use crate::layout::{View, borrow, index};
use crate::matrix::Matrix;
use plan::{Plan, RunError, Step, WeightId};
use tensor::{Bytes, decode_row};

/// A table and where its rows come from.
#[derive(Debug)]
struct Table {
    id: WeightId,
    rows: u64,
    panels: Option<Matrix>,
}

impl Table {
    fn new(maker: &Maker<'_>, step: &Step) -> Self {
        let id = step.weight(1).expect("the verifier saw a table");
        let rows = maker.plan.weights[id.0 as usize].rows();
        Self { id, rows, panels: maker.placement.panels_of_table(maker.plan, id) }
    }

    /// Row `row` as numbers.
    fn row(
        &self,
        plan: &Plan,
        source: &dyn plan::WeightSource,
        weights: &[u8],
        row: u64,
        scratch: &mut [u8],
        out: &mut [f32],
    ) -> Result<(), RunError> {
        if let Some(matrix) = &self.panels {
            matrix.row(weights, index(row), out);
            return Ok(());
        }
        let weight = &plan.weights[self.id.0 as usize];
        let bytes = index(weight.row_bytes());
        source.read_rows(weight, row, &mut scratch[..bytes])?;
        decode_row(weight.ty, &scratch[..bytes], out);
        Ok(())
    }
}

/// Bytes of one stored row.
pub(super) fn scratch(step: &Step, plan: &Plan) -> Bytes {
    step.weight(1).map_or(Bytes::ZERO, |id| Bytes(plan.weights[id.0 as usize].row_bytes()))
}

/// [`plan::Op::Embed`].
#[derive(Debug)]
pub(crate) struct Embed {
    pub(crate) ids: View,
    out: View,
    table: Table,
    scale: f32,
}

impl Embed {
    pub(super) fn new(maker: &Maker<'_>, step: &Step, scale: f32) -> Self {
        let table = Table::new(maker, step);
        Self { ids: maker.input(step, 0), out: maker.output(step), table, scale }
    }

    /// Entries of the table.
    pub(crate) fn table_rows(&self) -> u64 {
        self.table.rows
    }

    pub(super) fn run(&self, frame: &mut Frame<'_, '_>) -> Result<(), RunError> {
        let (write, read) = (self.out.range(frame.extents), self.ids.range(frame.extents));
        let ([out], [ids]) = borrow(frame.values, &[write], &[read]);
        for (id, out) in ids.iter().zip(out.chunks_exact_mut(self.out.width)) {
            let id = u64::from(id.to_bits());
            let scratch = &mut *frame.scratch;
            self.table.row(frame.plan, frame.source, frame.weights, id, scratch, out)?;
            kernels::elementwise::scale(frame.isa, out, self.scale);
        }
        Ok(())
    }
}

/// [`plan::Op::EmbedPositions`].
#[derive(Debug)]
pub(crate) struct Positions {
    out: View,
    table: Table,
}

impl Positions {
    pub(super) fn new(maker: &Maker<'_>, step: &Step) -> Self {
        Self { out: maker.output(step), table: Table::new(maker, step) }
    }

    /// Entries of the table: positions that a sequence may have.
    pub(crate) fn table_rows(&self) -> u64 {
        self.table.rows
    }

    pub(super) fn run(&self, frame: &mut Frame<'_, '_>) -> Result<(), RunError> {
        let out = &mut frame.values[self.out.range(frame.extents)];
        for (row, out) in (frame.position as u64..).zip(out.chunks_exact_mut(self.out.width)) {
            let scratch = &mut *frame.scratch;
            self.table.row(frame.plan, frame.source, frame.weights, row, scratch, out)?;
        }
        Ok(())
    }
}
