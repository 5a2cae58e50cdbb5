//! Resizing by tables: which samples each place of a dimension blends is found when the schedule is
//! made, by the same function that `reference` asks for every element.
//!
//! Dimensions behind the last resized one are a run that moves as a whole. For each row of the
//! result the rows of the operand are blended into scratch, then the places along that row; the
//! nearest samples are copied, and a row that is the same again is copied from the one before.

use super::facts::Known;
use super::{Operands, Worker};
use crate::layout::{index, numbers, numbers_mut};
use crate::pool::Parts;
use kernels::resize::{Taps, add_scaled, blend, scale};
use plan::array::{Interpolation, Resize};
use std::sync::Arc;
use tensor::shape::RANK_MAX;
use tensor::{Bytes, DType};

/// Bytes below which dividing work costs more than it saves.
const SMALL: usize = 1 << 16;

/// Samples of the places of one of the outer dimensions.
#[derive(Debug)]
struct Outer {
    /// Where the samples of each place are: elements of the operand.
    places: Vec<Vec<(usize, f32)>>,
}

/// Samples of the places along a row.
#[derive(Debug)]
struct Inner {
    /// Samples of a place.
    count: usize,
    /// Where they begin in a row of the operand, `[tap][place]`; of copies, in runs.
    starts: Vec<u32>,
    weights: Vec<f32>,
}

/// A resize whose tables are made.
#[derive(Clone, Debug)]
pub(super) struct Resized {
    tables: Arc<Tables>,
    /// Bytes of an element.
    width: usize,
    /// Elements of a row of the operand and of the result.
    rows: [usize; 2],
    /// Elements that stay together.
    run: usize,
    copies: bool,
}

#[derive(Debug)]
struct Tables {
    outer: Vec<Outer>,
    inner: Inner,
}

impl Resized {
    /// The tables of a resize, if every place has samples; blends are of singles only.
    #[expect(clippy::cast_possible_truncation, reason = "weights are rounded to singles")]
    pub(super) fn new(op: &Resize, x: &Known, out: &Known) -> Option<Self> {
        let copies = matches!(op.mode, Interpolation::Nearest(_));
        let known = copies || out.dtype == DType::F32;
        if !known || x.len() == 0 || out.len() == 0 || x.dims.len() != out.dims.len() {
            return None;
        }
        let kept = |d: usize| reference::is_kept(op, d, x.dims[d]);
        let last = (0..x.dims.len()).rfind(|&d| !kept(d))?;
        let mut run: usize = index(x.dims[last + 1..].iter().product());
        let samples = |d: usize, i: usize, step: usize| -> Option<Vec<(usize, f32)>> {
            if kept(d) {
                return Some(vec![(i * step, 1.0)]);
            }
            let samples = reference::samples(op, d, i, x.dims[d])?;
            let all: Vec<(usize, f32)> = samples
                .filter(|(weight, _)| *weight != 0.0)
                .map(|(weight, at)| (at * step, weight as f32))
                .collect();
            (!all.is_empty()).then_some(all)
        };
        let table = |d: usize, step: usize| -> Option<Vec<Vec<(usize, f32)>>> {
            (0..index(out.dims[d])).map(|i| samples(d, i, step)).collect()
        };
        let row = index(x.dims[last]) * run;
        let mut step = row;
        let mut outer = Vec::with_capacity(last);
        for d in (0..last).rev() {
            outer.push(Outer { places: table(d, step)? });
            step *= index(x.dims[d]);
        }
        outer.reverse();
        // Copies count in runs.
        let mut along = table(last, if copies { 1 } else { run })?;
        let rows = [row, along.len() * run];
        if !copies && run < kernels::isa::LANES {
            // Short runs are places of their own.
            let each = |samples: Vec<(usize, f32)>| {
                (0..run).map(move |c| samples.iter().map(|&(at, w)| (at + c, w)).collect())
            };
            along = along.into_iter().flat_map(each).collect();
            run = 1;
        }
        let count = along.iter().map(Vec::len).max()?;
        // Where a place has fewer samples than others, the rest are zeros behind the row.
        let sample =
            |tap: usize, place: usize| along[place].get(tap).copied().unwrap_or((row, 0.0));
        let all = || (0..count).flat_map(|tap| (0..along.len()).map(move |place| (tap, place)));
        let starts: Result<Vec<u32>, _> =
            all().map(|(tap, place)| u32::try_from(sample(tap, place).0)).collect();
        let weights = all().map(|(tap, place)| sample(tap, place).1).collect();
        let inner = Inner { count, starts: starts.ok()?, weights };
        let tables = Arc::new(Tables { outer, inner });
        Some(Self { tables, width: index(out.dtype.bytes()), rows, run, copies })
    }

    /// Bytes of a thread's scratch: a row, and the zeros behind it.
    fn part_bytes(&self) -> usize {
        if self.copies { 0 } else { (4 * (self.rows[0] + self.run)).next_multiple_of(64) }
    }

    /// Scratch, all threads together.
    pub(super) fn scratch(&self, threads: usize) -> Bytes {
        Bytes((self.part_bytes() * threads) as u64)
    }

    pub(super) fn run(&self, worker: &mut Worker<'_, '_>, operands: Operands<'_>, out: &mut [u8]) {
        let x = operands.get(0).map_or(&[][..], |(_, bytes)| bytes);
        let isa = worker.isa;
        let row = self.rows[1] * self.width;
        let each = self.part_bytes();
        let threads = worker.team.threads_max();
        let small = out.len() < SMALL;
        let job = |scratch: &mut [u8], first: usize, out: &mut [u8]| {
            if self.copies {
                return self.copy(x, first, out);
            }
            let x: &[f32] = numbers(x);
            let scratch: &mut [f32] = numbers_mut(scratch);
            let line = &mut scratch[..self.rows[0] + self.run];
            line[self.rows[0]..].fill(0.0);
            let taps = Taps {
                starts: &self.tables.inner.starts,
                weights: &self.tables.inner.weights,
                count: self.tables.inner.count,
            };
            let rows: &mut [f32] = numbers_mut(out);
            for (number, out) in (first..).zip(rows.chunks_exact_mut(self.rows[1])) {
                let mut is_first = true;
                let row = &mut line[..self.rows[0]];
                self.each_sample(number, |at, weight| {
                    let x = &x[at..at + self.rows[0]];
                    if is_first {
                        scale(isa, x, weight, row);
                    } else {
                        add_scaled(isa, x, weight, row);
                    }
                    is_first = false;
                });
                blend(isa, taps, line, self.run, out);
            }
        };
        if small {
            return job(&mut worker.scratch[..each], 0, out);
        }
        let none = each == 0;
        let parts = Parts::new(&mut worker.scratch[..each * threads], each);
        let parts = if none { Parts::none() } else { parts };
        worker.team.rows(out, row, &parts, job);
    }

    /// Calls `f(place, weight)` for every row of the operand that row `number` of the result blends.
    fn each_sample(&self, number: usize, mut f: impl FnMut(usize, f32)) {
        let outer = &self.tables.outer;
        let mut lists: [&[(usize, f32)]; RANK_MAX] = [&[]; RANK_MAX];
        let mut rest = number;
        for (list, outer) in lists.iter_mut().zip(outer).rev() {
            *list = &outer.places[rest % outer.places.len()];
            rest /= outer.places.len();
        }
        let lists = &lists[..outer.len()];
        let mut at = [0; RANK_MAX];
        loop {
            let samples = lists.iter().zip(at).map(|(list, at)| list[at]);
            let (place, weight) =
                samples.fold((0, 1.0), |(place, weight), (at, w)| (place + at, weight * w));
            f(place, weight);
            let Some(d) = (0..lists.len()).rfind(|&d| at[d] + 1 < lists[d].len()) else { return };
            at[d] += 1;
            at[d + 1..].fill(0);
        }
    }

    /// Rows of the nearest samples from `first` on.
    fn copy(&self, x: &[u8], first: usize, out: &mut [u8]) {
        let row = self.rows[1] * self.width;
        let mut last = None;
        for i in 0..out.len() / row {
            let mut from = 0;
            self.each_sample(first + i, |place, _| from = place);
            let (done, rest) = out.split_at_mut(i * row);
            if last == Some(from) {
                rest[..row].copy_from_slice(&done[(i - 1) * row..]);
                continue;
            }
            last = Some(from);
            let x = &x[from * self.width..][..self.rows[0] * self.width];
            let run = self.run * self.width;
            match run {
                1 => self.elements::<1>(x, &mut rest[..row]),
                2 => self.elements::<2>(x, &mut rest[..row]),
                4 => self.elements::<4>(x, &mut rest[..row]),
                8 => self.elements::<8>(x, &mut rest[..row]),
                run => {
                    let starts = &self.tables.inner.starts;
                    for (to, &start) in rest[..row].chunks_exact_mut(run).zip(starts) {
                        to.copy_from_slice(&x[start as usize * run..][..run]);
                    }
                }
            }
        }
    }

    /// Runs of `W` bytes.
    fn elements<const W: usize>(&self, x: &[u8], out: &mut [u8]) {
        let (x, _) = x.as_chunks::<W>();
        let starts = &self.tables.inner.starts;
        for (to, &start) in out.as_chunks_mut::<W>().0.iter_mut().zip(starts) {
            *to = x[start as usize];
        }
    }
}
