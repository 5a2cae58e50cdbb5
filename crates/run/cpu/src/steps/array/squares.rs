//! Convolutions of floats with three by three taps, by transformed squares.
//!
//! Some rows of squares at a time go to scratch at their points, are multiplied there, and the sums
//! are transformed back while they are near. Where filters stay near each thread, threads share out
//! the rows and never wait for each other; else all of them transform some rows together and share
//! out the columns, so that each reads its part of the filters alone. What is taken together changes
//! nothing in the bits of a result; whether squares are used, and which, depends on the convolution
//! alone, as the two ways round differently.

use super::facts::Ending;
use super::{Operands, Worker};
use crate::layout::numbers_mut;
use crate::pool::{Parts, Split, TileMut, Tiles};
use kernels::Isa;
use kernels::isa::LANES;
use kernels::map;
use kernels::window::Window;
use kernels::winograd::{self, PANELS, POINTS_MAX, RESULTS_MAX, Square};
use std::array::from_fn;
use tensor::Bytes;

/// Numbers of the values of all squares that are taken together, about: so they stay in the
/// second-level cache.
const VALUES: usize = 128 << 10;

/// Numbers of filters that do not stay there beside them, and are read anew each time.
const FILTERS: usize = 512 << 10;

/// Numbers of filters that every thread reads for itself: where others wrote what one reads next,
/// each line of it has to come from their caches.
const OWN: usize = 640 << 10;

/// Squares whose sums one thread takes together, about.
const SUMS: usize = 56;

/// Columns of a result that are computed together.
const COLUMNS: usize = PANELS * LANES;

/// Channels and filters below which transforms cost what multiplications save.
const NARROW: usize = 16;

/// Large squares below which small ones are taken, whose transformed filters are fewer numbers to
/// read and which leave less of their last row and column unused.
const FEW_LARGE: usize = 36;

/// Small squares below which reading the transformed filters costs more than is saved.
const FEW_SMALL: usize = 16;

/// A convolution by squares.
#[derive(Clone, Copy, Debug)]
pub(super) struct Squares {
    image: winograd::Squares,
    columns: usize,
    ending: Ending,
}

impl Squares {
    /// A convolution with `columns` filters, if it is faster so.
    pub(super) fn new(window: Window, columns: usize, ending: Ending) -> Option<Self> {
        let plain =
            window.kernel == [3; 2] && window.strides == [1; 2] && window.dilations == [1; 2];
        let channels = window.channels;
        let whole = channels.is_multiple_of(LANES) && columns.is_multiple_of(LANES);
        if !plain || !whole || channels < NARROW || columns < NARROW {
            return None;
        }
        let of = |square| Self { image: winograd::Squares { window, square }, columns, ending };
        let count = |square| of(square).image.extents().iter().product::<usize>();
        if count(Square::Four) >= FEW_LARGE {
            Some(of(Square::Four))
        } else if count(Square::Two) >= FEW_SMALL {
            Some(of(Square::Two))
        } else {
            None
        }
    }

    /// What is computed together.
    pub(super) fn square(&self) -> Square {
        self.image.square
    }

    /// Rows of squares whose values are there at the same time: about the same number each time.
    fn rows_at_once(&self) -> usize {
        let [across, down] = self.image.extents();
        let each = self.square().points() * self.image.window.channels;
        let most = if each * self.columns > FILTERS { 2 * VALUES } else { VALUES };
        let times = down.div_ceil((most / (across * each)).max(1));
        down.div_ceil(times)
    }

    /// Rows of squares whose sums one thread takes together.
    fn rows_together(&self) -> usize {
        let [across, _] = self.image.extents();
        let rows = self.rows_at_once();
        rows.div_ceil(rows.div_ceil((SUMS / across).max(1)))
    }

    /// Numbers between two points of values; a line more, so that points do not share a cache set.
    fn pitch(&self) -> usize {
        let [across, _] = self.image.extents();
        self.rows_at_once() * across * self.image.window.channels + LANES
    }

    /// Bytes of all values, and of one thread's sums.
    fn part_bytes(&self) -> [usize; 2] {
        let [across, _] = self.image.extents();
        let points = self.square().points();
        [4 * points * self.pitch(), 4 * points * self.rows_together() * across * COLUMNS]
    }

    /// Whether each of so many threads takes rows of its own: it reads all filters then, and none
    /// should have much more to do than others.
    fn is_apart(&self, threads: usize) -> bool {
        let [_, down] = self.image.extents();
        let filters = self.square().points() * self.image.window.channels * self.columns;
        filters <= OWN && 3 * down.next_multiple_of(threads) <= 4 * down
    }

    /// Scratch, all threads together.
    pub(super) fn scratch(&self, threads: usize) -> Bytes {
        let [values, sums] = self.part_bytes();
        let times = if self.is_apart(threads) { threads } else { 1 };
        Bytes((values * times + sums * threads) as u64)
    }

    pub(super) fn run(&self, worker: &mut Worker<'_, '_>, operands: Operands<'_>, out: &mut [f32]) {
        let (x, residual): (&[f32], &[f32]) = (operands.elements(0), operands.elements(3));
        let window = &self.image.window;
        let pixels = window.output.iter().product::<usize>();
        let (image_len, pitch) = (pixels * self.columns, operands.pitch.unwrap_or(self.columns));
        for (n, out) in out.chunks_mut(pixels * pitch).enumerate() {
            let run = Run {
                of: self,
                isa: worker.isa,
                x: &x[n * window.image_len()..][..window.image_len()],
                panels: operands.elements(1),
                bias: operands.elements(2),
                residual: residual.get(n * image_len..).unwrap_or_default(),
                operands,
                pitch,
            };
            if self.is_apart(worker.team.threads_max()) {
                run.apart(worker, out);
            } else {
                run.together(worker, out);
            }
        }
    }
}

/// The convolution of an image.
struct Run<'a> {
    of: &'a Squares,
    isa: Isa,
    x: &'a [f32],
    panels: &'a [f32],
    bias: &'a [f32],
    residual: &'a [f32],
    operands: Operands<'a>,
    /// Numbers from each pixel of the result to the next.
    pitch: usize,
}

/// Some rows of squares whose values are there.
struct Values<'a> {
    numbers: &'a [f32],
    /// The first of the rows.
    first_row: usize,
    /// The row of squares with which the matrix begins whose tiles are computed.
    origin: usize,
}

impl Run<'_> {
    /// Computes the image by threads that have rows of their own.
    fn apart(&self, worker: &mut Worker<'_, '_>, out: &mut [f32]) {
        let Squares { image, columns, .. } = *self.of;
        let [across, _] = image.extents();
        let [values_bytes, sums_bytes] = self.of.part_bytes();
        let points = image.square.points();
        let line = image.square.side() * image.window.output[1];
        let each = values_bytes + sums_bytes;
        let parts = Parts::new(&mut worker.scratch[..each * worker.team.threads_max()], each);
        let mut tiles = Tiles::apart(out, [columns, self.pitch], line, columns);
        worker.team.bands(&mut tiles, &parts, Split::Runs(1), |scratch, mut tile| {
            let (values, sums) = scratch.split_at_mut(values_bytes);
            let (values, sums) = (numbers_mut(values), numbers_mut(sums));
            let pixels = tile.rows();
            let rows = pixels.start / line..pixels.end.div_ceil(line);
            for first_row in rows.clone().step_by(self.of.rows_at_once()) {
                let end = rows.end.min(first_row + self.of.rows_at_once());
                let len = (end - first_row) * across * image.window.channels;
                let mut all: [&mut [f32]; POINTS_MAX] = from_fn(|_| Default::default());
                for (some, row) in all.iter_mut().zip(values.chunks_exact_mut(self.of.pitch())) {
                    *some = &mut row[..len];
                }
                image.spread(self.isa, self.x, first_row * across, &mut all[..points]);
                let values = Values { numbers: values, first_row, origin: 0 };
                for row in (first_row..end).step_by(self.of.rows_together()) {
                    let last = end.min(row + self.of.rows_together());
                    let some = row * line..pixels.end.min(last * line);
                    self.tile(&values, sums, tile.part(some, 0..columns));
                }
            }
        });
    }

    /// Computes the image by threads that share out columns.
    fn together(&self, worker: &mut Worker<'_, '_>, out: &mut [f32]) {
        let Squares { image, columns, .. } = *self.of;
        let Window { channels, output: [_, width], .. } = image.window;
        let [across, down] = image.extents();
        let (rows_at_once, pitch) = (self.of.rows_at_once(), self.of.pitch());
        let (points, side) = (image.square.points(), image.square.side());
        let [values_bytes, sums_bytes] = self.of.part_bytes();
        let threads = worker.team.threads_max();
        let (values, sums) = worker.scratch.split_at_mut(values_bytes);
        let values: &mut [f32] = numbers_mut(values);
        for (i, out) in out.chunks_mut(rows_at_once * side * width * self.pitch).enumerate() {
            let first_row = i * rows_at_once;
            let count = rows_at_once.min(down - first_row) * across;
            let mut tiles = [Tiles::new(&mut *values, pitch, points, channels)];
            worker.team.tiles(&mut tiles, &Parts::none(), Split::Runs(1), |_, _, mut tile| {
                let first = tile.columns().start / channels;
                let len = (count.saturating_sub(first) * channels).min(tile.columns().len());
                if len > 0 {
                    let mut all = tile.some::<POINTS_MAX>(0..points);
                    for row in &mut all[..points] {
                        let (some, _) = core::mem::take(row).split_at_mut(len);
                        *row = some;
                    }
                    let first = first_row * across + first;
                    image.spread(self.isa, self.x, first, &mut all[..points]);
                }
            });
            let there = Values { numbers: &*values, first_row, origin: first_row };
            let parts = Parts::new(&mut sums[..sums_bytes * threads], sums_bytes);
            let tall = self.of.rows_together() * side * width;
            let mut tiles = [Tiles::apart(out, [columns, self.pitch], tall, LANES)];
            worker.team.tiles(&mut tiles, &parts, Split::Runs(1), |scratch, _, tile| {
                self.tile(&there, numbers_mut(scratch), tile);
            });
        }
    }

    /// Computes some rows of pixels of some panels.
    fn tile(&self, there: &Values<'_>, sums: &mut [f32], mut tile: TileMut<'_, f32>) {
        let Squares { image, columns, ending } = *self.of;
        let square = image.square;
        let (points, side) = (square.points(), square.side());
        let Window { channels, output: [height, width], .. } = image.window;
        let [across, _] = image.extents();
        let first_row = there.origin + tile.rows().start / (side * width);
        let values = &there.numbers[(first_row - there.first_row) * across * channels..];
        let rows = tile.rows().len().div_ceil(side * width);
        let count = rows * across;
        let panel = points * channels * LANES;
        let all = tile.columns();
        for at in all.clone().step_by(COLUMNS) {
            let some = COLUMNS.min(all.end - at);
            let (panels, next) = self.panels[at / LANES * panel..].split_at(some / LANES * panel);
            let product = winograd::Product {
                square,
                channels,
                values,
                pitch: self.of.pitch(),
                count,
                panels,
                next,
            };
            let each = points * some;
            let sums = &mut sums[..count * each];
            winograd::multiply(self.isa, &product, sums);
            let bias = self.bias.get(at..at + some).unwrap_or_default();
            for (i, sums) in sums.chunks_exact(each).enumerate() {
                let (y, x) = ((first_row + i / across) * side, i % across * side);
                let pixels: [Option<usize>; RESULTS_MAX] = from_fn(|i| {
                    let (y, x) = (y + i / side, x + i % side);
                    (i < side * side && y < height && x < width).then_some(y * width + x)
                });
                let residual = pixels.map(|pixel| {
                    let at = pixel.unwrap_or(0) * columns + at;
                    self.residual.get(at..at + some).unwrap_or_default()
                });
                let before = there.origin * side * width;
                let mut out = tile.pick(pixels.map(|pixel| pixel.map(|pixel| pixel - before)));
                for out in &mut out {
                    if !out.is_empty() {
                        *out = &mut core::mem::take(out)[at - all.start..][..some];
                    }
                }
                let results = side * side;
                let ending = winograd::Ending {
                    bias,
                    residual: self.operands.residual(&residual[..results]),
                    low: ending.low,
                    high: ending.high,
                };
                winograd::gather(self.isa, square, sums, &ending, &mut out[..results]);
                if let Some(function) = self.of.ending.then {
                    for row in out {
                        map::map(self.isa, function, row);
                    }
                }
            }
        }
    }
}
