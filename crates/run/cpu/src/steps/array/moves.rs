//! Operators that only move elements: runs of bytes copied to their places.
//!
//! Neighbouring dimensions that are stepped through as one become one when the schedule is made, so
//! that most views are a few long runs, or a matrix turned round, which goes in squares that a cache
//! holds.

use super::{Operands, Place, Source, Worker};
use crate::layout::index;
use crate::pool::{Parts, Split, Tiles};
use core::ops::Range;
use kernels::weave::{ROWS_MAX, weave};
use plan::ArrayOp;
use plan::array::{Pad, PadMode, View};
use tensor::shape::RANK_MAX;

/// Bytes below which dividing work costs more than it saves.
const SMALL: usize = 1 << 17;

/// Side of the squares in which a matrix is turned.
const SQUARE: usize = 16;

/// The fewest elements of a row that is woven with others.
const WOVEN: usize = 8;

/// Turns of a woven row that one thread takes together, at least.
const TURNS: usize = 1024;

/// Elements of a block that is moved by a table.
const BLOCK: usize = 2048;

/// Bytes of a run that is copied by itself.
const RUN: usize = 64;

/// What moves elements.
#[derive(Debug)]
pub(super) enum Moves {
    /// All bytes in their order.
    Whole,
    /// Elements at steps.
    Steps(Steps),
    /// Operands behind each other: bytes of a row, and of each operand's part of it.
    Concat { row: usize, parts: Vec<usize> },
    /// A border around rows.
    Border(Border),
}

/// Elements of the operand at steps, in the order of the result; all counts are of bytes.
#[derive(Debug)]
pub(super) struct Steps {
    width: usize,
    start: usize,
    /// Extents and steps, outermost first; the last step is that of single elements, or the run of
    /// bytes that are copied at once has the extent's place.
    outer: Vec<(usize, isize)>,
    inner: (usize, isize),
    block: Option<Block>,
}

/// The last dimensions, where they are small and steps are short: where each of their elements is.
#[derive(Debug)]
struct Block {
    /// Dimensions outside of the block.
    outer: usize,
    /// Elements behind the least place of a block, in the order of the result.
    table: Vec<u32>,
    /// Bytes of the operand that a block reaches over, and those before its first element.
    reach: usize,
    before: usize,
}

impl Block {
    /// The block of a view's last dimensions, if a table moves it best.
    fn new(width: usize, outer: &[(usize, isize)], inner: (usize, isize)) -> Option<Self> {
        let run = if inner.1 == width.cast_signed() { inner.0 * width } else { width };
        let count = |dims: &[(usize, isize)]| {
            dims.iter().fold(inner.0, |all, (dim, _)| all.saturating_mul(*dim))
        };
        let first = (0..outer.len()).find(|&first| count(&outer[first..]) <= BLOCK)?;
        if run >= RUN {
            return None;
        }
        let mut places = vec![0isize];
        for &(dim, step) in outer[first..].iter().chain([&inner]) {
            let each = |&place: &isize| (0..dim).map(move |i| place + i.cast_signed() * step);
            places = places.iter().flat_map(each).collect();
        }
        let least = places.iter().min()?;
        let reach = places.iter().max()?.checked_sub(*least)?.unsigned_abs() + width;
        let table: Result<Vec<u32>, _> = places
            .iter()
            .map(|place| u32::try_from((place - least).unsigned_abs() / width))
            .collect();
        Some(Self { outer: first, table: table.ok()?, reach, before: least.unsigned_abs() })
    }
}

/// Rows of the operand in a larger result.
#[derive(Debug)]
pub(super) struct Border {
    width: usize,
    /// Bytes of a row of the operand.
    run: usize,
    /// Extents of the operand and steps in the result, in bytes, outermost first.
    outer: Vec<(usize, isize)>,
    start: usize,
}

/// Dimensions with their steps, those of one element left out and neighbours that are stepped
/// through as one joined.
fn joined(dims: impl Iterator<Item = (usize, isize)>) -> Vec<(usize, isize)> {
    let mut list: Vec<(usize, isize)> = Vec::new();
    for (dim, step) in dims.filter(|(dim, _)| *dim != 1) {
        match list.last_mut() {
            Some((outer, outer_step)) if *outer_step == step * dim.cast_signed() => {
                (*outer, *outer_step) = (*outer * dim, step);
            }
            _ => list.push((dim, step)),
        }
    }
    list
}

/// The steps of a dense array in bytes.
fn dense(dims: &[u64], width: usize) -> Vec<isize> {
    let mut steps = vec![0; dims.len()];
    let mut step = width.cast_signed();
    for (at, &dim) in steps.iter_mut().zip(dims).rev() {
        *at = step;
        step *= index(dim).cast_signed();
    }
    steps
}

/// Calls `f(place)` for indices `first` to `first + count` of these dimensions.
fn each(
    dims: &[(usize, isize)],
    start: usize,
    first: usize,
    count: usize,
    mut f: impl FnMut(usize),
) {
    let mut at = [0; RANK_MAX];
    let mut place = start.cast_signed();
    let mut rest = first;
    if first > 0 {
        for (at, &(dim, step)) in at.iter_mut().zip(dims).rev() {
            *at = rest % dim;
            rest /= dim;
            place += at.cast_signed() * step;
        }
    }
    for _ in 0..count {
        f(place.cast_unsigned());
        for (at, &(dim, step)) in at[..dims.len()].iter_mut().zip(dims).rev() {
            *at += 1;
            place += step;
            if *at < dim {
                break;
            }
            place -= step * dim.cast_signed();
            *at = 0;
        }
    }
}

impl Moves {
    /// How an operator moves elements, if it does nothing else and is done here.
    pub(super) fn new(op: &ArrayOp, inputs: &[Source], out: &Place) -> Option<Self> {
        let width = index(out.dtype.bytes());
        let place = |i: usize| match inputs.get(i) {
            Some(Source::Value(place) | Source::Weight(place)) => Some(place),
            Some(Source::Absent) | None => None,
        };
        Some(match op {
            ArrayOp::Reshape { .. } => Self::Whole,
            ArrayOp::View(view) => Self::of_view(view, width),
            ArrayOp::Concat { axis } => {
                let behind = |dims: &[u64]| index(dims[usize::from(*axis)..].iter().product());
                let part = |i| place(i).map_or(0, |place| behind(&place.dims) * width);
                let parts = (0..inputs.len()).map(part).collect();
                Self::Concat { row: behind(&out.dims) * width, parts }
            }
            ArrayOp::Pad(pad) => Self::Border(Border::new(pad, place(0)?, out)?),
            _ => return None,
        })
    }

    fn of_view(view: &View, width: usize) -> Self {
        let step = |&step: &i64| isize::try_from(step).unwrap_or(0) * width.cast_signed();
        let dims = view.dims.iter().map(|&dim| index(dim)).zip(view.strides.iter().map(step));
        let mut outer = joined(dims);
        let start = index(view.offset) * width;
        let inner = outer.pop().unwrap_or((1, width.cast_signed()));
        let block = Block::new(width, &outer, inner);
        Self::Steps(Steps { width, start, outer, inner, block })
    }

    pub(super) fn run(&self, worker: &mut Worker<'_, '_>, operands: Operands<'_>, out: &mut [u8]) {
        let x = || operands.get(0).map_or(&[][..], |(_, bytes)| bytes);
        match self {
            Self::Whole => out.copy_from_slice(x()),
            Self::Steps(steps) => steps.run(worker, x(), out),
            Self::Concat { row, parts } => {
                let split = if out.len() < SMALL { Split::Caller } else { Split::Runs(1) };
                let mut tiles = Tiles::new(out, *row, 1, *row);
                worker.team.bands(&mut tiles, &Parts::none(), split, |_, mut band| {
                    let rows = band.rows();
                    let out = band.all();
                    let mut start = 0;
                    for (i, &part) in parts.iter().enumerate() {
                        let x = operands.get(i).map_or(&[][..], |(_, bytes)| bytes);
                        let x = &x[rows.start * part..rows.end * part];
                        if part == *row {
                            out.copy_from_slice(x);
                        } else if part > 0 {
                            for (to, from) in out.chunks_exact_mut(*row).zip(x.chunks_exact(part)) {
                                to[start..start + part].copy_from_slice(from);
                            }
                        }
                        start += part;
                    }
                });
            }
            Self::Border(border) => {
                let zeros = [0; 8];
                let value = operands.get(1).map_or(&zeros[..border.width], |(_, bytes)| bytes);
                border.run(x(), value, out);
            }
        }
    }
}

impl Steps {
    fn run(&self, worker: &mut Worker<'_, '_>, x: &[u8], out: &mut [u8]) {
        let row = self.inner.0 * self.width;
        if let Some(len) = self.woven() {
            return match self.width {
                1 => self.weave::<1>(worker, x, len, out),
                2 => self.weave::<2>(worker, x, len, out),
                4 => self.weave::<4>(worker, x, len, out),
                _ => self.weave::<8>(worker, x, len, out),
            };
        }
        if let Some(block) = &self.block {
            let row = block.table.len() * self.width;
            if out.len() < SMALL {
                return self.blocks(block, x, 0, out);
            }
            let job = |_: &mut [u8], first, out: &mut [u8]| self.blocks(block, x, first, out);
            return worker.team.rows(out, row, &Parts::none(), job);
        }
        if self.is_turned() {
            return self.turn(worker, x, out);
        }
        if out.len() < SMALL {
            return self.rows(x, 0, out);
        }
        worker.team.rows(out, row, &Parts::none(), |_, first, out| self.rows(x, first, out));
    }

    /// Elements of the rows that the last two dimensions are woven from, if they are: a few rows of
    /// neighbours.
    fn woven(&self) -> Option<usize> {
        let &(len, step) = self.outer.last()?;
        let few = (2..=ROWS_MAX).contains(&self.inner.0) && self.inner.1 > 0;
        (few && step == self.width.cast_signed() && len >= WOVEN).then_some(len)
    }

    /// Weaves rows of `len` elements of `W` bytes.
    fn weave<const W: usize>(
        &self,
        worker: &mut Worker<'_, '_>,
        x: &[u8],
        len: usize,
        out: &mut [u8],
    ) {
        let ((count, apart), others) = (self.inner, &self.outer[..self.outer.len() - 1]);
        let apart = apart.unsigned_abs();
        let (isa, turn) = (worker.isa, count * W);
        let split = if out.len() < SMALL { Split::Caller } else { Split::Runs(1) };
        let mut tiles = Tiles::new(out, turn, len.min(TURNS), turn);
        worker.team.bands(&mut tiles, &Parts::none(), split, |_, mut band| {
            let Range { start, end } = band.rows();
            let (mut out, mut at) = (band.all(), start);
            let (first, last) = (start / len, end.div_ceil(len));
            each(others, self.start, first, last - first, |place| {
                let some = at % len..(end - at / len * len).min(len);
                let (to, rest) = core::mem::take(&mut out).split_at_mut(some.len() * turn);
                let mut rows: [&[[u8; W]]; ROWS_MAX] = [&[]; ROWS_MAX];
                for (r, row) in rows[..count].iter_mut().enumerate() {
                    let place = place + r * apart;
                    (*row, _) = x[place + some.start * W..place + some.end * W].as_chunks();
                }
                weave(isa, &rows[..count], to.as_chunks_mut().0);
                (out, at) = (rest, at + some.len());
            });
        });
    }

    /// Whether the last two dimensions are a matrix that stands the other way in the operand.
    fn is_turned(&self) -> bool {
        let width = self.width.cast_signed();
        let turned = self.outer.last().is_some_and(|&(dim, step)| step == width && dim > 1);
        turned && self.inner.1 != width
    }

    /// Rows of the result from `first` on.
    fn rows(&self, x: &[u8], first: usize, out: &mut [u8]) {
        let (dim, step) = self.inner;
        let row = dim * self.width;
        let count = out.len() / row.max(1);
        let mut out = out.chunks_exact_mut(row);
        each(&self.outer, self.start, first, count, |place| {
            let out = out.next().expect("as many rows as indices");
            if step == self.width.cast_signed() {
                out.copy_from_slice(&x[place..place + row]);
            } else {
                self.elements(x, place, step, out);
            }
        });
    }

    /// Blocks of the result from `first` on.
    fn blocks(&self, block: &Block, x: &[u8], first: usize, out: &mut [u8]) {
        let row = block.table.len() * self.width;
        let count = out.len() / row.max(1);
        let mut out = out.chunks_exact_mut(row);
        each(&self.outer[..block.outer], self.start, first, count, |place| {
            let out = out.next().expect("as many blocks as indices");
            let x = &x[place - block.before..][..block.reach];
            match self.width {
                1 => gathered::<1>(x, &block.table, out),
                2 => gathered::<2>(x, &block.table, out),
                4 => gathered::<4>(x, &block.table, out),
                _ => gathered::<8>(x, &block.table, out),
            }
        });
    }

    /// Elements that are `step` bytes apart.
    fn elements(&self, x: &[u8], place: usize, step: isize, out: &mut [u8]) {
        match self.width {
            1 => elements::<1>(x, place, step, out),
            2 => elements::<2>(x, place, step, out),
            4 => elements::<4>(x, place, step, out),
            _ => elements::<8>(x, place, step, out),
        }
    }

    /// Matrices the other way round.
    fn turn(&self, worker: &mut Worker<'_, '_>, x: &[u8], out: &mut [u8]) {
        let (&(rows, _), others) = self.outer.split_last().expect("a matrix has rows");
        let (columns, step) = self.inner;
        let row = columns * self.width;
        let count = out.len() / (rows * row).max(1);
        let mut out = out.chunks_exact_mut(rows * row);
        let team = &mut *worker.team;
        each(others, self.start, 0, count, |place| {
            let out = out.next().expect("as many matrices as indices");
            let split = if out.len() < SMALL { Split::Caller } else { Split::Runs(1) };
            let mut tiles = [Tiles::new(out, row, SQUARE, row)];
            team.tiles(&mut tiles, &Parts::none(), split, |_, _, mut tile| {
                let range = tile.rows();
                let out = tile.all();
                for (i, out) in out.chunks_mut(SQUARE * row).enumerate() {
                    let place = place + (range.start + i * SQUARE) * self.width;
                    match self.width {
                        1 => squares::<1>(x, place, step, out, columns),
                        2 => squares::<2>(x, place, step, out, columns),
                        4 => squares::<4>(x, place, step, out, columns),
                        _ => squares::<8>(x, place, step, out, columns),
                    }
                }
            });
        });
    }
}

/// Elements of `W` bytes at the places of a table.
fn gathered<const W: usize>(x: &[u8], table: &[u32], out: &mut [u8]) {
    let (x, _) = x.as_chunks::<W>();
    for (to, &at) in out.as_chunks_mut::<W>().0.iter_mut().zip(table) {
        *to = x[at as usize];
    }
}

/// Elements of `W` bytes that are `step` bytes apart.
fn elements<const W: usize>(x: &[u8], place: usize, step: isize, out: &mut [u8]) {
    let mut place = place.cast_signed();
    for out in out.as_chunks_mut::<W>().0 {
        let at = place.cast_unsigned();
        out.copy_from_slice(&x[at..at + W]);
        place += step;
    }
}

/// Up to a square's rows, whose elements are neighbours in the operand.
fn squares<const W: usize>(x: &[u8], place: usize, step: isize, out: &mut [u8], columns: usize) {
    let (out, _) = out.as_chunks_mut::<W>();
    let rows = out.len() / columns;
    let mut first = 0;
    while first < columns {
        let end = columns.min(first + SQUARE);
        for column in first..end {
            let at = (place.cast_signed() + column.cast_signed() * step).cast_unsigned();
            let (from, _) = x[at..at + rows * W].as_chunks::<W>();
            for (row, from) in from.iter().enumerate() {
                out[row * columns + column] = *from;
            }
        }
        first = end;
    }
}

impl Border {
    fn new(pad: &Pad, x: &Place, out: &Place) -> Option<Self> {
        let whole = pad.before.iter().chain(pad.after.iter()).all(|&n| n >= 0);
        if pad.mode != PadMode::Constant || !whole || x.dims.elements() == Some(0) {
            return None;
        }
        let width = index(x.dtype.bytes());
        let steps = dense(&out.dims, width);
        let before = |d: usize| usize::try_from(pad.before[d]).unwrap_or(0);
        let start = steps.iter().enumerate().map(|(d, &step)| before(d) * step.unsigned_abs());
        let start = start.sum();
        let dims = x.dims.iter().map(|&dim| index(dim)).zip(steps);
        let mut outer = joined(dims);
        let run = match outer.pop() {
            Some((dim, step)) if step == width.cast_signed() => dim * width,
            Some(other) => {
                outer.push(other);
                width
            }
            None => width,
        };
        Some(Self { width, run, outer, start })
    }

    fn run(&self, x: &[u8], value: &[u8], out: &mut [u8]) {
        if value.iter().all(|byte| *byte == value[0]) {
            out.fill(value[0]);
        } else {
            for out in out.chunks_exact_mut(self.width) {
                out.copy_from_slice(value);
            }
        }
        let mut rows = x.chunks_exact(self.run);
        each(&self.outer, self.start, 0, x.len() / self.run, |place| {
            let row = rows.next().expect("as many rows as indices");
            out[place..place + self.run].copy_from_slice(row);
        });
    }
}

#[cfg(test)]
mod tests;
