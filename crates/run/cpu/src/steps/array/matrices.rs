//! Products of two matrices of floats that are both computed: attention, mostly.
//!
//! Each thread packs the right operand of a product into scratch of its own and goes through some
//! rows of the left one; products of a batch are independent.

use super::facts::{Ending, Known};
use super::{Operands, Worker};
use crate::layout::{index, numbers_mut};
use crate::pool::{Parts, Split, Tiles};
use kernels::gemm::{self, ROWS_MAX};
use kernels::map;
use std::array::from_fn;
use tensor::Bytes;

/// Rows of a product that are worth packing its right operand for.
const ROWS: usize = 64;

/// Multiplications below which dividing work costs more than it saves.
const SMALL: usize = 1 << 15;

/// Products `rows × k` times `k × columns`.
#[derive(Clone, Debug)]
pub(super) struct Matrices {
    rows: usize,
    k: usize,
    columns: usize,
    /// Which matrices of the operands each product is of.
    pairs: Vec<[usize; 2]>,
    ending: Ending,
}

impl Matrices {
    /// The products of these operands.
    pub(super) fn new([a, b]: [&Known; 2], out: &Known, ending: Ending) -> Option<Self> {
        let rank = out.dims.len();
        let lead = rank.checked_sub(2)?;
        let (k, columns) = (index(a.dims.last()), index(b.dims.last()));
        let place = |known: &Known, number: usize| {
            let (mut rest, mut place, mut step) = (number, 0, 1);
            for d in (0..lead).rev() {
                let at = rest % index(out.dims[d]);
                rest /= index(out.dims[d]);
                let own = (d + known.dims.len()).checked_sub(rank).map_or(1, |d| known.dims[d]);
                place += if own == 1 { 0 } else { at * step };
                step *= index(own);
            }
            place
        };
        let count = index(out.dims[..lead].iter().product());
        let mut pairs: Vec<[usize; 2]> =
            (0..count).map(|number| [place(a, number), place(b, number)]).collect();
        let mut rows = index(out.dims[lead]);
        // One right operand for all that follow each other is one product.
        if pairs.iter().enumerate().all(|(i, &pair)| pair == [i, 0]) {
            rows *= count;
            pairs = vec![[0, 0]];
        }
        let some = rows * columns > 0 && !pairs.is_empty();
        some.then_some(Self { rows, k, columns, pairs, ending })
    }

    fn part_bytes(&self) -> usize {
        4 * gemm::packed_len(self.columns, self.k).max(LINE)
    }

    /// Scratch, all threads together.
    pub(super) fn scratch(&self, threads: usize) -> Bytes {
        Bytes((self.part_bytes() * threads) as u64)
    }

    pub(super) fn run(&self, worker: &mut Worker<'_, '_>, operands: Operands<'_>, out: &mut [f32]) {
        let Self { rows, k, columns, .. } = *self;
        let (a, b): (&[f32], &[f32]) = (operands.elements(0), operands.elements(1));
        let (bias, residual): (&[f32], &[f32]) = (operands.elements(2), operands.elements(3));
        let (isa, threads) = (worker.isa, worker.team.threads());
        let all = rows * self.pairs.len();
        let small = all.saturating_mul(k).saturating_mul(columns) < SMALL;
        let split = if small || threads == 1 { Split::Caller } else { Split::Runs(1) };
        let few = self.pairs.len() < 4 * threads;
        let tall = if few { (all / (4 * threads)).max(ROWS).min(rows) } else { rows };
        let each = self.part_bytes();
        let parts = Parts::new(&mut worker.scratch[..each * threads], each);
        let mut tiles = [Tiles::new(out, columns, tall, columns)];
        worker.team.tiles(&mut tiles, &parts, split, |scratch, _, mut tile| {
            let range = tile.rows();
            let panels: &mut [f32] = numbers_mut(scratch);
            let panels = &mut panels[..gemm::packed_len(columns, k)];
            let mut at = range.start;
            while at < range.end {
                let (product, first) = (at / rows, at % rows);
                let some = (rows - first).min(range.end - at);
                let [left, right] = self.pairs[product];
                gemm::pack_rows(&b[right * k * columns..][..k * columns], columns, panels);
                let x = &a[left * rows * k..][..rows * k];
                let mut row = 0;
                let steps = some.div_ceil(isa.rows());
                for step in 1..=steps {
                    let end = some * step / steps;
                    let offsets: [u32; ROWS_MAX] =
                        from_fn(|r| u32::try_from((first + row + r) * k).unwrap_or(u32::MAX));
                    let mut outs = tile.some::<ROWS_MAX>(at + row..at + end);
                    let residuals: [&[f32]; ROWS_MAX] = from_fn(|r| {
                        residual
                            .get((at + row + r) * columns..)
                            .map_or(&[][..], |rest| rest.get(..columns).unwrap_or_default())
                    });
                    let product = gemm::Product {
                        x,
                        edge: &[],
                        offsets: &offsets[..end - row],
                        step: Some(k),
                        piece: k,
                        panels,
                        bias,
                        residual: operands.residual(&residuals[..end - row]),
                        low: self.ending.low,
                        high: self.ending.high,
                        ahead: &[],
                    };
                    gemm::multiply(isa, &product, &mut outs[..end - row]);
                    if let Some(function) = self.ending.then {
                        for out in &mut outs[..end - row] {
                            map::map(isa, function, out);
                        }
                    }
                    row = end;
                }
                at += some;
            }
        });
    }
}

/// Numbers of a cache line.
const LINE: usize = 16;
