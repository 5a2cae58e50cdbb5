//! Transposed convolutions over images with channels last, as products.
//!
//! Which taps a place of the result gathers depends on where it stands among the window's steps:
//! places of one *phase* read the same taps, so each pair of phases is a convolution of its own
//! whose results stand apart. Where windows do not meet across the width, all taps of a row are one
//! product with longer rows. Sums are never divided, so bits do not depend on threads.

use super::facts::Ending;
use super::{Operands, Packing, Worker};
use crate::layout::{index, numbers_mut};
use crate::pool::{Parts, Split, Tiles};
use kernels::gemm::{self, ROWS_MAX};
use kernels::isa::{Isa, LANES};
use kernels::map;
use kernels::window::{Window, padding};
use std::array::from_fn;
use tensor::{Bytes, Shape};

/// Multiplications below which dividing work costs more than it saves.
const SMALL: usize = 1 << 15;

/// Places of a phase that are taken together: columns are read again for each such row.
const PLACES: usize = 48;

/// A transposed convolution.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spread {
    /// The convolution that is turned round; its image is the operand, its output the result.
    window: Window,
    filters: usize,
    ending: Ending,
}

/// How the taps of a transposed convolution fall into products.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Phases {
    /// Taps along each dimension.
    kernel: [usize; 2],
    /// Steps of the window: as many phases along each dimension.
    steps: [usize; 2],
    /// Steps inside of the window.
    gaps: [usize; 2],
    /// Whether all taps of a row are columns of one product.
    whole: bool,
    filters: usize,
    channels: usize,
}

impl Phases {
    /// Phases across the width.
    fn across(&self) -> usize {
        if self.whole { 1 } else { self.steps[1] }
    }

    /// Columns of a product.
    fn columns(&self) -> usize {
        self.filters * if self.whole { self.kernel[1] } else { 1 }
    }

    /// Taps of phase `phase` along dimension `d`, in their order.
    fn taps(&self, d: usize, phase: usize) -> impl Iterator<Item = usize> {
        let Self { kernel, steps, gaps, whole, .. } = *self;
        let one = whole && d == 1;
        (0..if one { 1 } else { kernel[d] })
            .filter(move |tap| one || tap * gaps[d] % steps[d] == phase)
    }

    /// Numbers of a product's columns.
    fn len(&self, phase: [usize; 2]) -> usize {
        let taps = self.taps(0, phase[0]).count() * self.taps(1, phase[1]).count();
        gemm::packed_len(self.columns(), taps * self.channels)
    }

    /// Where the columns of a product begin.
    fn start(&self, [down, across]: [usize; 2]) -> usize {
        let row =
            |down: usize, end: usize| (0..end).map(move |i| self.len([down, i])).sum::<usize>();
        (0..down).map(|i| row(i, self.across())).sum::<usize>() + row(down, across)
    }

    /// Bytes of all columns.
    pub(super) fn bytes(&self) -> usize {
        4 * self.start([self.steps[0], 0])
    }

    /// Packs filters `[m, height, width, c]`.
    pub(super) fn pack<T: Copy>(
        &self,
        stored: &[T],
        packed: &mut [f32],
        single: impl Fn(T) -> f32,
    ) {
        packed.fill(0.0);
        let [height, width] = self.kernel;
        for phase in (0..self.steps[0]).flat_map(|y| (0..self.across()).map(move |x| [y, x])) {
            let columns = &mut packed[self.start(phase)..][..self.len(phase)];
            let k = columns.len() / self.columns().next_multiple_of(LANES);
            for column in 0..self.columns() {
                let (filter, of) = (column % self.filters, column / self.filters);
                let panel = &mut columns[column / LANES * LANES * k..][..LANES * k];
                let mut to = panel.iter_mut().skip(column % LANES).step_by(LANES);
                for (i, j) in
                    self.taps(0, phase[0]).flat_map(|i| self.taps(1, phase[1]).map(move |j| (i, j)))
                {
                    let tap = (filter * height + i) * width + if self.whole { of } else { j };
                    let from = &stored[tap * self.channels..][..self.channels];
                    // Constants first: the other order would drop a place at each end.
                    for (from, to) in from.iter().zip(&mut to) {
                        *to = single(*from);
                    }
                }
            }
        }
    }
}

impl Spread {
    /// A transposed convolution with weights of these extents.
    pub(super) fn new(window: Window, weights: &Shape, ending: Ending) -> Self {
        Self { window, filters: index(weights[0]), ending }
    }

    /// How its weights are packed.
    pub(super) fn packing(&self) -> Packing {
        Packing::Phases(self.phases())
    }

    fn phases(&self) -> Phases {
        let Window { kernel, strides, dilations, before, image, output, channels, .. } =
            self.window;
        let whole = kernel[1] == strides[1]
            && dilations[1] == 1
            && before[1] == 0
            && output[1] == image[1] * strides[1];
        Phases { kernel, steps: strides, gaps: dilations, whole, filters: self.filters, channels }
    }

    /// Bytes of a thread's scratch: offsets, then a bias for each column of a product.
    fn part_bytes(&self) -> [usize; 2] {
        let offsets = 4 * ROWS_MAX * self.window.len();
        [offsets.next_multiple_of(64), (4 * self.phases().columns()).next_multiple_of(64)]
    }

    /// Scratch, all threads together.
    pub(super) fn scratch(&self, threads: usize) -> Bytes {
        Bytes((self.part_bytes().iter().sum::<usize>() * threads) as u64)
    }

    pub(super) fn run(&self, worker: &mut Worker<'_, '_>, operands: Operands<'_>, out: &mut [f32]) {
        let (x, panels): (&[f32], &[f32]) = (operands.elements(0), operands.elements(1));
        let (bias, residual): (&[f32], &[f32]) = (operands.elements(2), operands.elements(3));
        let phases = self.phases();
        let row = self.window.output[1] * self.filters;
        let group = phases.across() * phases.columns();
        let isa = worker.isa;
        let small = out.len().saturating_mul(self.window.channels) < SMALL;
        let split = if small { Split::Caller } else { Split::Runs(1) };
        let [offsets_bytes, bias_bytes] = self.part_bytes();
        let each = offsets_bytes + bias_bytes;
        let threads = worker.team.threads_max();
        let parts = Parts::new(&mut worker.scratch[..each * threads], each);
        let mut tiles = [Tiles::new(out, row, 1, (PLACES * group).min(row))];
        worker.team.tiles(&mut tiles, &parts, split, |scratch, _, mut tile| {
            let (offsets, biases) = scratch.split_at_mut(offsets_bytes);
            let offsets: &mut [u32] = numbers_mut(offsets);
            let biases: &mut [f32] = numbers_mut(biases);
            let mut biases = &mut biases[..phases.columns()];
            if bias.is_empty() {
                biases = &mut [];
            }
            for biases in biases.chunks_exact_mut(self.filters) {
                biases.copy_from_slice(bias);
            }
            let columns = tile.columns();
            for number in tile.rows() {
                let own = number * row;
                let residual = residual.get(own + columns.start..own + columns.end);
                let out = tile.row(number);
                for phase in 0..phases.across() {
                    let places = Places { number, first: columns.start / group, phase };
                    let product = Factors { x, panels, biases, residual, operands };
                    self.phase(isa, &phases, places, &product, offsets, out);
                }
                if let Some(function) = self.ending.then {
                    map::map(isa, function, out);
                }
            }
        });
    }

    /// Computes the places of one phase in a part of a row.
    fn phase(
        &self,
        isa: Isa,
        phases: &Phases,
        places: Places,
        factors: &Factors<'_>,
        offsets: &mut [u32],
        out: &mut [f32],
    ) {
        let Window { image, strides, dilations, before, channels, output, .. } = self.window;
        let Factors { x, panels, biases, residual, operands } = *factors;
        let (n, y) = (places.number / output[0], places.number % output[0]);
        let (columns, across) = (phases.columns(), phases.across());
        let down = (y + before[0]) % strides[0];
        let right = if phases.whole { 0 } else { (places.phase + before[1]) % strides[1] };
        let panels = &panels[phases.start([down, right])..][..phases.len([down, right])];
        let pieces = phases.taps(0, down).count() * phases.taps(1, right).count();
        // Source of a place along a dimension, if it is inside of the image.
        let source = |d: usize, at: usize, tap: usize| {
            let at = (at + before[d]).checked_sub(tap * dilations[d])? / strides[d];
            (at < image[d]).then_some(at)
        };
        let part = places.phase * columns..(places.phase + 1) * columns;
        let group = across * columns;
        let count = (out.len() / columns + across - 1 - places.phase) / across;
        let mut groups = out.chunks_mut(group);
        let mut residuals = residual.unwrap_or_default().chunks(group);
        let (steps, mut done) = (count.div_ceil(isa.rows()), 0);
        for step in 1..=steps {
            let rows = count * step / steps - done;
            let offsets = &mut offsets[..pieces * rows];
            let mut some = offsets.chunks_exact_mut(rows);
            for i in phases.taps(0, down) {
                let line = source(0, y, i);
                for j in phases.taps(1, right) {
                    let Some(offsets) = some.next() else { continue };
                    for (r, offset) in offsets.iter_mut().enumerate() {
                        let place = places.first + done + r;
                        let column = if phases.whole {
                            Some(place)
                        } else {
                            source(1, place * across + places.phase, j)
                        };
                        let at = line.zip(column).map_or(x.len(), |(line, column)| {
                            ((n * image[0] + line) * image[1] + column) * channels
                        });
                        *offset = u32::try_from(at).expect("the operand's elements were counted");
                    }
                }
            }
            let mut outs: [&mut [f32]; ROWS_MAX] = from_fn(|r| {
                let group = if r < rows { groups.next() } else { None };
                group.and_then(|group| group.get_mut(part.clone())).unwrap_or_default()
            });
            let others: [&[f32]; ROWS_MAX] = from_fn(|r| {
                let group = if r < rows { residuals.next() } else { None };
                group.and_then(|group| group.get(part.clone())).unwrap_or_default()
            });
            let product = gemm::Product {
                x,
                edge: padding(),
                offsets,
                step: None,
                piece: channels,
                panels,
                bias: biases,
                residual: operands.residual(&others[..rows]),
                low: self.ending.low,
                high: self.ending.high,
                ahead: &[],
            };
            gemm::multiply(isa, &product, &mut outs[..rows]);
            done += rows;
        }
    }
}

/// Places of a phase in a part of a row of the result.
#[derive(Clone, Copy)]
struct Places {
    /// The row, counted over all images.
    number: usize,
    /// The first place, in steps of the window.
    first: usize,
    /// The phase across the width.
    phase: usize,
}

/// What is multiplied and added.
#[derive(Clone, Copy)]
struct Factors<'a> {
    x: &'a [f32],
    panels: &'a [f32],
    biases: &'a [f32],
    residual: Option<&'a [f32]>,
    operands: Operands<'a>,
}
