//! Products of floats with constant columns: matrices, and convolutions as products.
//!
//! The result is cut into tiles of rows, and of columns where there are few rows or the columns do
//! not fit the second-level cache; sums are never divided. Which thread computes a tile changes
//! nothing in its bits. Where the windows of a convolution are read is found tile by tile in a few
//! words of scratch, which costs less than reading a table of all of them would.

use super::facts::Ending;
use super::{Operands, Packing, Worker};
use crate::layout::numbers_mut;
use crate::pool::{Parts, Split, TileMut, Tiles};
use core::ops::Range;
use kernels::gemm::{self, ROWS_MAX};
use kernels::isa::{Isa, LANES};
use kernels::map;
use kernels::window::{Reading, Window};
use std::array::from_fn;
use tensor::{Bytes, F16};

/// Bytes of columns that stay in the second-level cache beside what they are multiplied with.
const CACHED: usize = 512 << 10;

/// Columns that are always taken together.
const COLUMNS: usize = 4 * LANES;

/// Multiplications below which dividing work costs more than it saves.
const SMALL: usize = 1 << 15;

/// A product with constant columns, or several of them, one for each matrix of a batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Product {
    /// How the left operand's rows are read; a matrix is an image of one line.
    window: Window,
    reading: Reading,
    /// Products of matrices; each has columns of its own.
    batch: usize,
    /// Groups of channels; each has columns of its own.
    groups: usize,
    /// Columns of a group.
    columns: usize,
    /// Whether the constant is stored column by column.
    filters: bool,
    /// Whether the constant stays in half precision; each run widens it into scratch.
    halves: bool,
    ending: Ending,
}

impl Product {
    /// `batch` products of `rows × k` and `k × columns`.
    pub(super) fn of_matrices(
        batch: usize,
        [rows, k, columns]: [usize; 3],
        ending: Ending,
    ) -> Self {
        let window = Window {
            image: [1, rows],
            channels: k,
            kernel: [1; 2],
            strides: [1; 2],
            dilations: [1; 2],
            before: [0; 2],
            after: [0; 2],
            output: [1, rows],
        };
        let reading = Reading::Pixels;
        Self { window, reading, batch, groups: 1, columns, filters: false, halves: false, ending }
    }

    /// A convolution with `columns` filters in each group.
    pub(super) fn of_windows(
        window: Window,
        groups: usize,
        columns: usize,
        ending: Ending,
    ) -> Self {
        let reading = window.reading(window.channels / groups);
        Self { window, reading, batch: 1, groups, columns, filters: true, halves: false, ending }
    }

    /// The same with filters in half precision.
    pub(super) fn of_halves(self) -> Self {
        Self { halves: true, ..self }
    }

    /// Whether it is one product, whose rows may lie apart.
    pub(super) fn is_one(&self) -> bool {
        self.batch == 1
    }

    /// How its columns are packed.
    pub(super) fn packing(&self) -> Packing {
        if !self.filters {
            return Packing::Columns;
        }
        Packing::Filters { groups: u32::try_from(self.groups).expect("the operator has 32 bits") }
    }

    /// Numbers of a piece of a row, and pieces of a row.
    fn pieces(&self) -> [usize; 2] {
        self.window.pieces(self.reading, self.window.channels / self.groups)
    }

    /// Bytes of one thread's scratch: offsets, then copies of windows.
    fn part_bytes(&self) -> [usize; 2] {
        let offsets = 4 * ROWS_MAX * self.pieces()[1];
        let copies = 4 * self.window.copies_len(self.reading, ROWS_MAX);
        [offsets.next_multiple_of(64), copies.next_multiple_of(64)]
    }

    /// Numbers of all columns.
    fn panels_len(&self) -> usize {
        let [piece, pieces] = self.pieces();
        self.batch * self.groups * gemm::packed_len(self.columns, piece * pieces)
    }

    /// Scratch, all threads together; behind it the columns that are widened.
    pub(super) fn scratch(&self, threads: usize) -> Bytes {
        let [offsets, copies] = self.part_bytes();
        let wide = if self.halves { 4 * self.panels_len() } else { 0 };
        Bytes(((offsets + copies) * threads + wide) as u64)
    }

    /// Widens the columns into scratch.
    fn widen(&self, worker: &mut Worker<'_, '_>, halves: &[F16], wide: &mut [f32]) {
        let isa = worker.isa;
        if wide.len() < SMALL {
            return gemm::widen(isa, halves, wide);
        }
        let [piece, pieces] = self.pieces();
        let panel = LANES * piece * pieces;
        worker.team.rows(wide, panel, &Parts::none(), |_, first, wide| {
            gemm::widen(isa, &halves[first * panel..][..wide.len()], wide);
        });
    }

    pub(super) fn run(&self, worker: &mut Worker<'_, '_>, operands: Operands<'_>, out: &mut [f32]) {
        let Self { batch, groups, columns, .. } = *self;
        let x: &[f32] = operands.elements(0);
        let (bias, residual): (&[f32], &[f32]) = (operands.elements(2), operands.elements(3));
        let [piece, pieces] = self.pieces();
        let (isa, k, width) = (worker.isa, piece * pieces, groups * columns);
        let pitch = operands.pitch.unwrap_or(width);
        let rows = out.len().div_ceil(pitch) / batch;
        let line = if self.reading == Reading::Pixels { 1 } else { self.window.output[1] };
        let grid = Grid::new(isa, worker.team.threads_max(), [rows, k, columns], groups, line);
        let small = rows.saturating_mul(k).saturating_mul(width) < SMALL;
        let split = if small { Split::Caller } else { Split::Runs(1) };
        let [offsets_bytes, copies_bytes] = self.part_bytes();
        let each = offsets_bytes + copies_bytes;
        let scratch = core::mem::take(&mut worker.scratch);
        let (scratch, wide) = scratch.split_at_mut(each * worker.team.threads_max());
        let panels: &[f32] = if self.halves {
            let wide = numbers_mut(&mut wide[..4 * self.panels_len()]);
            self.widen(worker, operands.elements(1), wide);
            wide
        } else {
            operands.elements(1)
        };
        let parts = Parts::new(scratch, each);
        let group_len = gemm::packed_len(columns, k);
        for b in 0..batch {
            let x = &x[b * (x.len() / batch)..][..x.len() / batch];
            let panels = &panels[b * groups * group_len..][..groups * group_len];
            let part = b * rows * width..(b + 1) * rows * width;
            let own = if batch == 1 { 0..out.len() } else { part.clone() };
            let residual = residual.get(part.clone()).unwrap_or_default();
            let tiles = Tiles::apart(&mut out[own], [width, pitch], grid.rows, grid.columns);
            let mut tiles = [tiles];
            worker.team.tiles(&mut tiles, &parts, split, |scratch, _, mut tile| {
                let (offsets, copies) = scratch.split_at_mut(offsets_bytes);
                let offsets: &mut [u32] = numbers_mut(offsets);
                let copies: &mut [f32] = numbers_mut(copies);
                let across = tile.columns();
                // Tiles side by side come as one: what is read again and again must stay near.
                let step = if groups == 1 { grid.columns } else { across.len() };
                for start in across.clone().step_by(step) {
                    let end = across.end.min(start + step);
                    // Of a group all columns, or of the only group some.
                    let some = if groups == 1 { start..end } else { 0..columns };
                    let next = panels.get(end * k..).unwrap_or_default();
                    let next = &next[..gemm::packed_len(across.end.min(end + step) - end, k)];
                    let (next, _) = next.as_chunks::<LANES>();
                    by_rows(isa, &mut tile, |part, first, out| {
                        let rows = out.len();
                        let offsets = &mut offsets[..pieces * rows];
                        for group in 0..groups {
                            let panels = &panels[group * group_len + some.start * k..];
                            let at = group * columns + some.start;
                            let channel = group * piece;
                            let place = [first, rows];
                            let located = self.window.locate(
                                self.reading,
                                x,
                                place,
                                channel,
                                offsets,
                                copies,
                            );
                            let mut residuals: [&[f32]; ROWS_MAX] = [&[]; ROWS_MAX];
                            if !residual.is_empty() {
                                for (r, other) in residuals[..rows].iter_mut().enumerate() {
                                    *other = &residual[(first + r) * width + at..][..some.len()];
                                }
                            }
                            let product = gemm::Product {
                                x,
                                edge: located.edge,
                                offsets,
                                step: located.step,
                                piece,
                                panels: &panels[..gemm::packed_len(some.len(), k)],
                                bias: bias.get(at..at + some.len()).unwrap_or_default(),
                                residual: operands.residual(&residuals[..rows]),
                                low: self.ending.low,
                                high: self.ending.high,
                                ahead: &next[part.of(next.len())],
                            };
                            let mut outs: [&mut [f32]; ROWS_MAX] = from_fn(|_| Default::default());
                            for (out, row) in outs.iter_mut().zip(&mut *out) {
                                *out = &mut row[at - across.start..][..some.len()];
                            }
                            gemm::multiply(isa, &product, &mut outs[..rows]);
                        }
                        if let Some(function) = self.ending.then {
                            for row in out {
                                map::map(
                                    isa,
                                    function,
                                    &mut row[start - across.start..end - across.start],
                                );
                            }
                        }
                    });
                }
            });
        }
    }
}

/// A result's rows and columns as threads share them out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Grid {
    /// Rows of a tile.
    rows: usize,
    /// Columns of a tile, a multiple of 16 unless it is all of them.
    columns: usize,
}

impl Grid {
    /// Cuts `rows × columns` sums of `k` products for so many threads; groups of columns stay
    /// together, and so do the rows of a line of the result, where these are many.
    fn new(
        isa: Isa,
        threads: usize,
        [rows, k, columns]: [usize; 3],
        groups: usize,
        line: usize,
    ) -> Self {
        let lines = line >= 2 * isa.rows() && rows / line >= 4 * threads;
        if groups > 1 {
            let rows = if lines { line } else { isa.rows() };
            return Self { rows, columns: groups * columns };
        }
        // Columns that are read again and again must stay near; rows come once for all of them.
        let near = (CACHED / (4 * k.max(1)) / COLUMNS * COLUMNS).max(COLUMNS);
        let near = if rows <= isa.rows() { columns.next_multiple_of(COLUMNS) } else { near };
        let tiles = |grid: Self| rows.div_ceil(grid.rows) * columns.div_ceil(grid.columns);
        let enough = 4 * threads;
        let narrow = (columns / enough).next_multiple_of(LANES).max(2 * LANES).min(near);
        if columns <= 2 * near {
            // Tiles of about the same height, as low ones are slow.
            let height = rows.div_ceil(rows.div_ceil(isa.rows()).max(1));
            let grid = Self { rows: if lines { line } else { height }, columns };
            let few = threads > 1 && tiles(grid) < enough;
            return Self { columns: if few { narrow.min(columns) } else { columns }, ..grid };
        }
        let mut grid = Self { rows, columns: near };
        while tiles(grid) < enough && grid.rows > 4 * isa.rows() {
            grid.rows = (grid.rows / 2).next_multiple_of(isa.rows());
        }
        if tiles(grid) < enough {
            grid.columns = narrow;
        }
        grid
    }
}

/// One of the parts in which a tile's rows are computed.
#[derive(Clone, Copy, Debug)]
struct Part {
    index: usize,
    count: usize,
}

impl Part {
    /// Its part of so many.
    fn of(self, len: usize) -> Range<usize> {
        len * self.index / self.count..len * (self.index + 1) / self.count
    }
}

/// Calls `job(part, first_row, rows)` for all rows of a tile, as many at once as `isa` takes.
fn by_rows(
    isa: Isa,
    tile: &mut TileMut<'_, f32>,
    mut job: impl FnMut(Part, usize, &mut [&mut [f32]]),
) {
    let rows = tile.rows();
    // Parts of about the same height, as low ones are slow.
    let count = rows.len().div_ceil(isa.rows());
    for index in 0..count {
        let part = Part { index, count };
        let Range { start, end } = part.of(rows.len());
        let mut some = tile.some::<ROWS_MAX>(rows.start + start..rows.start + end);
        job(part, rows.start + start, &mut some[..end - start]);
    }
}
