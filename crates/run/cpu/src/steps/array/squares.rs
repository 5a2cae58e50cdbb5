//! Convolutions of floats with three by three taps, by transformed squares.
//!
//! Some rows of squares at a time go to scratch at their points, by all threads; then threads share
//! out the columns of some rows, multiply at every point and transform the sums back while they are
//! near. What is taken together changes nothing in the bits of a result; whether squares are used,
//! and which, depends on the convolution alone, as the two ways round differently.

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

/// Squares whose sums one thread takes together, about.
const SUMS: usize = 56;

/// Columns of a result that are computed together.
const COLUMNS: usize = PANELS * LANES;

/// Channels and filters below which transforms cost what multiplications save.
const NARROW: usize = 16;

/// Squares below which transformed filters, which are more numbers, cost more to read.
const FEW: usize = 36;

/// The same for pairs of channel and filter that are few.
const FEW_OF_SMALL: usize = 16;

/// The most pairs that are few.
const SMALL: usize = 1 << 17;

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
        let few = if channels * columns <= SMALL { FEW_OF_SMALL } else { FEW };
        if count(Square::Four) >= FEW {
            Some(of(Square::Four))
        } else if count(Square::Two) >= few {
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

    /// Scratch, all threads together.
    pub(super) fn scratch(&self, threads: usize) -> Bytes {
        let [values, sums] = self.part_bytes();
        Bytes((values + sums * threads) as u64)
    }

    pub(super) fn run(&self, worker: &mut Worker<'_, '_>, operands: Operands<'_>, out: &mut [f32]) {
        let Self { image, columns, .. } = *self;
        let Window { channels, output: [_, width], .. } = image.window;
        let (x, residual): (&[f32], &[f32]) = (operands.elements(0), operands.elements(3));
        let [across, down] = image.extents();
        let (rows_at_once, pitch, side) = (self.rows_at_once(), self.pitch(), self.square().side());
        let [values_bytes, sums_bytes] = self.part_bytes();
        let threads = worker.team.threads_max();
        let (values, sums) = worker.scratch.split_at_mut(values_bytes);
        let values: &mut [f32] = numbers_mut(values);
        let image_len = image.window.output.iter().product::<usize>() * columns;
        for (n, out) in out.chunks_exact_mut(image_len).enumerate() {
            let x = &x[n * image.window.image_len()..][..image.window.image_len()];
            let residual = residual.get(n * image_len..).unwrap_or_default();
            let rows_len = rows_at_once * side * width * columns;
            for (i, out) in out.chunks_mut(rows_len).enumerate() {
                let first_row = i * rows_at_once;
                let rows = rows_at_once.min(down - first_row);
                let count = rows * across;
                let isa = worker.isa;
                let mut tiles = [Tiles::new(&mut *values, pitch, self.square().points(), channels)];
                worker.team.tiles(&mut tiles, &Parts::none(), Split::Runs(1), |_, _, mut tile| {
                    let first = tile.columns().start / channels;
                    let len = (count.saturating_sub(first) * channels).min(tile.columns().len());
                    if len > 0 {
                        let points = image.square.points();
                        let mut all = tile.some::<POINTS_MAX>(0..points);
                        for row in &mut all[..points] {
                            let (some, _) = core::mem::take(row).split_at_mut(len);
                            *row = some;
                        }
                        let first = first_row * across + first;
                        image.spread(isa, x, first, &mut all[..points]);
                    }
                });
                let run = Run {
                    of: self,
                    isa,
                    values: &*values,
                    panels: operands.elements(1),
                    bias: operands.elements(2),
                    residual: residual.get(i * rows_len..).unwrap_or_default(),
                    rows: image.window.output[0] - first_row * side,
                };
                let parts = Parts::new(&mut sums[..sums_bytes * threads], sums_bytes);
                let tall = self.rows_together() * side * width;
                let mut tiles = [Tiles::new(out, columns, tall, LANES)];
                worker.team.tiles(&mut tiles, &parts, Split::Runs(1), |scratch, _, tile| {
                    run.tile(numbers_mut(scratch), tile);
                });
            }
        }
    }
}

/// Some rows of squares whose values are there.
struct Run<'a> {
    of: &'a Squares,
    isa: Isa,
    values: &'a [f32],
    panels: &'a [f32],
    bias: &'a [f32],
    /// From these rows on.
    residual: &'a [f32],
    /// Rows of pixels from here to the image's end.
    rows: usize,
}

impl Run<'_> {
    /// Computes some rows of pixels of some panels.
    fn tile(&self, sums: &mut [f32], mut tile: TileMut<'_, f32>) {
        let Squares { image, columns, ending } = *self.of;
        let square = image.square;
        let (points, side) = (square.points(), square.side());
        let Window { channels, output: [_, width], .. } = image.window;
        let [across, _] = image.extents();
        let first_row = tile.rows().start / (side * width);
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
                values: &self.values[first_row * across * channels..],
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
                    (i < side * side && y < self.rows && x < width).then_some(y * width + x)
                });
                let residual = pixels.map(|pixel| {
                    let at = pixel.unwrap_or(0) * columns + at;
                    self.residual.get(at..at + some).unwrap_or_default()
                });
                let mut out = tile.pick(pixels);
                for out in &mut out {
                    if !out.is_empty() {
                        *out = &mut core::mem::take(out)[at - all.start..][..some];
                    }
                }
                let results = side * side;
                let ending = winograd::Ending {
                    bias,
                    residual: &residual[..if self.residual.is_empty() { 0 } else { results }],
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
