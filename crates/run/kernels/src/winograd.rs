//! Convolutions with three by three taps in fewer multiplications: minimal filtering.
//!
//! A square of results comes from a square of pixels that is two wider. Pixels and filters are
//! transformed to values at points, a matrix product for each point sums over channels, and the
//! sums are transformed back (Lavin and Gray 2016, "Fast algorithms for convolutional neural
//! networks", section 4). Squares of two take 16 multiplications for 36, squares of four 36 for
//! 144; for these the points are 0, 1, −1, ½, −2 and infinity, which lose a third less than those
//! with ±2. Results differ from the direct sums by rounding, but not between instruction sets,
//! tiles or threads: each is one chain of operations in an order that is fixed here. An infinite
//! pixel makes NaN of the results of its squares.

use crate::gemm::{Ahead, Residual, STEP, add_products};
use crate::isa::{Isa, Kernel, LANES, Simd};
use crate::window::Window;
use core::ops::Range;

/// The most points of a square.
pub const POINTS_MAX: usize = 36;

/// The most results of a square.
pub const RESULTS_MAX: usize = 16;

/// Panels that are multiplied together.
pub const PANELS: usize = 2;

/// A square of results that are computed together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Square {
    /// Two by two results from 16 points.
    Two,
    /// Four by four results from 36 points.
    Four,
}

impl Square {
    /// Results along a side.
    pub const fn side(self) -> usize {
        match self {
            Self::Two => 2,
            Self::Four => 4,
        }
    }

    /// Number of points.
    pub const fn points(self) -> usize {
        (self.side() + 2) * (self.side() + 2)
    }
}

/// Transforms up to sixteen filters, `[filter][3][3][channels]`, to a panel
/// `[point][channels][16]`; missing filters are zeros.
///
/// # Panics
/// If `panel` has another size, or there are more filters.
pub fn pack_filters(isa: Isa, square: Square, filters: &[f32], channels: usize, panel: &mut [f32]) {
    assert_eq!(panel.len(), square.points() * channels * LANES, "a panel for each point");
    assert!(filters.len() <= LANES * 9 * channels, "sixteen filters at most");
    isa.run(PackFilters { square, filters, channels, panel });
}

struct PackFilters<'a, 'o> {
    square: Square,
    filters: &'a [f32],
    channels: usize,
    panel: &'o mut [f32],
}

impl Kernel for PackFilters<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        match self.square {
            Square::Two => self.points::<4>(),
            Square::Four => self.points::<6>(),
        }
    }
}

/// Sixteen filters' values.
type Values = [f64; LANES];

impl PackFilters<'_, '_> {
    /// Writes the `R` by `R` points of all channels.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "rounded once, at the end")]
    fn points<const R: usize>(self) {
        let Self { filters, channels, panel, .. } = self;
        let (panel, _) = panel.as_chunks_mut::<LANES>();
        let mut singles = [[0.0; LANES]; 9];
        for c in 0..channels {
            for (r, filter) in filters.chunks_exact(9 * channels).enumerate() {
                for tap in 0..9 {
                    singles[tap][r] = filter[tap * channels + c];
                }
            }
            let mut taps = [[[0.0; LANES]; 3]; 3];
            for tap in 0..9 {
                for r in 0..LANES {
                    taps[tap / 3][tap % 3][r] = f64::from(singles[tap][r]);
                }
            }
            let rows = [factors::<R>(&taps[0]), factors::<R>(&taps[1]), factors::<R>(&taps[2])];
            for x in 0..R {
                let column = factors::<R>(&[rows[0][x], rows[1][x], rows[2][x]]);
                for y in 0..R {
                    let lanes = &mut panel[(y * R + x) * channels + c];
                    for r in 0..LANES {
                        lanes[r] = column[y][r] as f32;
                    }
                }
            }
        }
    }
}

/// Filters of three taps at the `R` points of squares of two or of four.
#[inline(always)]
fn factors<const R: usize>(taps: &[Values; 3]) -> [Values; R] {
    let mut all = [taps[0]; R];
    for r in 0..LANES {
        let [a, b, c] = [taps[0][r], taps[1][r], taps[2][r]];
        if R == 4 {
            all[1][r] = (a + c + b) / 2.0;
            all[2][r] = (a + c - b) / 2.0;
        } else {
            all[1][r] = (a + c + b) * (1.0 / 3.0);
            all[2][r] = (a + c - b) * (-1.0 / 3.0);
            all[3][r] = (4.0 * a + 2.0 * b + c) * (-4.0 / 15.0);
            all[4][r] = (a - 2.0 * b + 4.0 * c) * (1.0 / 15.0);
        }
    }
    all[R - 1] = taps[2];
    all
}

/// An image that is cut into squares of results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Squares {
    /// Three by three taps without steps, over channels in whole registers.
    pub window: Window,
    /// What is computed together.
    pub square: Square,
}

impl Squares {
    /// Squares beside each other, and rows of them.
    pub fn extents(&self) -> [usize; 2] {
        [self.window.output[1], self.window.output[0]].map(|len| len.div_ceil(self.square.side()))
    }

    /// Transforms the pixels of squares from `first` on: `x` is one image, and `out` has a row for
    /// each point, `[point][square, channels]`.
    ///
    /// # Panics
    /// If sizes disagree.
    pub fn spread(&self, isa: Isa, x: &[f32], first: usize, out: &mut [&mut [f32]]) {
        let channels = self.window.channels;
        assert_eq!(x.len(), self.window.image_len(), "an image");
        assert_eq!(out.len(), self.square.points(), "a row for each point");
        assert!(channels.is_multiple_of(LANES), "whole registers of channels");
        let len = out[0].len();
        assert!(out.iter().all(|row| row.len() == len), "rows of one length");
        assert!(len.is_multiple_of(channels), "whole squares");
        isa.run(Spread { squares: self, x, first, out });
    }
}

struct Spread<'a, 'o, 'r> {
    squares: &'a Squares,
    x: &'a [f32],
    first: usize,
    out: &'o mut [&'r mut [f32]],
}

impl Kernel for Spread<'_, '_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let channels = self.squares.window.channels;
        let count = self.out[0].len() / channels;
        let [across, _] = self.squares.extents();
        for i in 0..count {
            let at = [(self.first + i) / across, (self.first + i) % across];
            match self.squares.square {
                Square::Two => {
                    let out = <&mut [&mut [f32]; 16]>::try_from(&mut *self.out).expect("16 points");
                    spread::<S, 4, 16>(s, self.squares, self.x, at, i * channels, out);
                }
                Square::Four => {
                    let out = <&mut [&mut [f32]; 36]>::try_from(&mut *self.out).expect("36 points");
                    spread::<S, 6, 36>(s, self.squares, self.x, at, i * channels, out);
                }
            }
        }
    }
}

/// Transforms one square of `R` by `R` pixels to `Q` points, which go to `to` in each row.
#[inline(always)]
fn spread<S: Simd, const R: usize, const Q: usize>(
    s: S,
    squares: &Squares,
    x: &[f32],
    [y, column]: [usize; 2],
    to: usize,
    out: &mut [&mut [f32]; Q],
) {
    let window = &squares.window;
    let (channels, side) = (window.channels, squares.square.side());
    // Places of the pixels, or none in the padding.
    let place =
        |d: usize, at: usize| at.checked_sub(window.before[d]).filter(|&at| at < window.image[d]);
    let mut places = [[None; R]; R];
    for i in 0..R {
        let line = place(0, y * side + i);
        for j in 0..R {
            let pixel = place(1, column * side + j);
            if let (Some(line), Some(pixel)) = (line, pixel) {
                places[i][j] = Some((line * window.image[1] + pixel) * channels);
            }
        }
    }
    // Where all are inside of the image, those of a line are equally far apart.
    let inside = places.iter().flatten().all(Option::is_some);
    for c in (0..channels).step_by(LANES) {
        let mut rows = [[s.splat(0.0); R]; R];
        for i in 0..R {
            let mut row = [s.splat(0.0); R];
            if let (true, Some(at)) = (inside, places[i][0]) {
                row = s.load_apart::<R>(&x[at + c..], channels);
            } else {
                for j in 0..R {
                    if let Some(at) = places[i][j] {
                        let (lanes, _) = x[at + c..].split_first_chunk().expect("whole registers");
                        row[j] = s.load(lanes);
                    }
                }
            }
            rows[i] = values(s, row);
        }
        for j in 0..R {
            let mut all = [s.splat(0.0); R];
            for i in 0..R {
                all[i] = rows[i][j];
            }
            let all = values(s, all);
            for i in 0..R {
                let (lanes, _) =
                    out[i * R + j][to + c..].split_first_chunk_mut().expect("whole registers");
                s.store(all[i], lanes);
            }
        }
    }
}

/// `R` pixels in a line at the `R` points.
#[inline(always)]
fn values<S: Simd, const R: usize>(s: S, x: [S::F; R]) -> [S::F; R] {
    let mut v = x;
    if R == 4 {
        v[0] = s.sub(x[0], x[2]);
        v[1] = s.add(x[1], x[2]);
        v[2] = s.sub(x[2], x[1]);
        v[3] = s.sub(x[1], x[3]);
    } else {
        let (p, q) = (s.sub(x[4], x[2]), s.sub(x[3], x[1]));
        let (half, one_half, two) = (s.splat(0.5), s.splat(1.5), s.splat(2.0));
        v[0] = s.fma(one_half, q, s.add(s.sub(x[0], x[2]), p));
        v[1] = s.fma(one_half, s.add(x[2], x[3]), s.add(p, q));
        v[2] = s.fma(one_half, s.sub(x[3], x[2]), s.sub(p, q));
        v[3] = s.fma(two, q, p);
        v[4] = s.fnma(half, q, p);
        v[5] = s.fma(one_half, p, s.sub(s.sub(x[5], x[3]), q));
    }
    v
}

/// Products at all points of some squares with some filters.
#[derive(Clone, Copy, Debug)]
pub struct Product<'a> {
    /// Points of the squares.
    pub square: Square,
    /// Channels of a pixel.
    pub channels: usize,
    /// What [`Squares::spread`] made, from the first of these squares on.
    pub values: &'a [f32],
    /// Numbers between two points in `values`.
    pub pitch: usize,
    /// Number of squares.
    pub count: usize,
    /// One panel of filters or [`PANELS`], `[panel][point][channels][16]`.
    pub panels: &'a [f32],
    /// The panels that come next, or none.
    pub next: &'a [f32],
}

/// Computes `sums`, `[square][point][panel, 16]`.
///
/// # Panics
/// If sizes disagree.
pub fn multiply(isa: Isa, product: &Product<'_>, sums: &mut [f32]) {
    let Product { square, channels, pitch, count, .. } = *product;
    let panel = square.points() * channels * LANES;
    let panels = product.panels.len() / panel;
    assert!(product.panels.len().is_multiple_of(panel) && (1..=PANELS).contains(&panels), "panels");
    assert!(pitch >= count * channels, "room for the squares of a point");
    assert!(product.values.len() >= (square.points() - 1) * pitch + count * channels, "all points");
    assert_eq!(sums.len(), count * square.points() * panels * LANES, "a sum for each product");
    isa.run(Multiply { product, panels, sums });
}

struct Multiply<'a, 'o> {
    product: &'a Product<'a>,
    panels: usize,
    sums: &'o mut [f32],
}

impl Kernel for Multiply<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let Product { square, channels, count, .. } = *self.product;
        // Steps of about the same height, each of which asks for its part of what comes next.
        let steps = count.div_ceil(S::ROWS).max(1);
        let (height, higher) = (count / steps, count % steps);
        let share = channels.div_ceil(steps);
        let each = share.div_ceil((channels / STEP).max(1));
        for point in 0..square.points() {
            let mut at = Step { point, first: 0, ahead: 0..0, each };
            for step in 0..steps {
                let rows = height + usize::from(step < higher);
                at.ahead = at.ahead.end..channels.min(at.ahead.end + share);
                // Registers hold the sums of two panels, or of one.
                if S::ROWS > 8 && self.panels == PANELS {
                    rows_of::<S, PANELS>(s, &mut self, &at, rows, 0);
                } else {
                    for panel in 0..self.panels {
                        rows_of::<S, 1>(s, &mut self, &at, rows, panel);
                    }
                }
                at.first += rows;
            }
        }
    }
}

/// Some squares at a point.
struct Step {
    point: usize,
    /// The first of the squares.
    first: usize,
    /// Channels of the next point's filters that are asked for meanwhile.
    ahead: Range<usize>,
    /// How many of them at a time.
    each: usize,
}

/// Computes the sums of so many squares at a point with `P` panels from `panel` on.
#[inline(always)]
fn rows_of<S: Simd, const P: usize>(
    s: S,
    of: &mut Multiply<'_, '_>,
    at: &Step,
    rows: usize,
    panel: usize,
) {
    macro_rules! tiles {
        ($($rows:literal)*) => {
            match rows {
                $($rows if $rows <= S::ROWS => tile::<S, $rows, P>(s, of, at, panel),)*
                rows => unreachable!("no tile has {rows} rows"),
            }
        };
    }
    tiles!(1 2 3 4 5 6 7 8 9 10 11 12);
}

/// Computes the sums of `N` squares at a point with `P` panels from `panel` on.
#[inline(always)]
fn tile<S: Simd, const N: usize, const P: usize>(
    s: S,
    of: &mut Multiply<'_, '_>,
    step: &Step,
    panel: usize,
) {
    let Product { square, channels, pitch, .. } = *of.product;
    let Step { point, first, each, .. } = *step;
    let points = square.points();
    let (panels, _) = of.product.panels.as_chunks::<LANES>();
    let (next, _) = of.product.next.as_chunks::<LANES>();
    let values = &of.product.values[point * pitch..];
    let mut rows = [values; N];
    for r in 0..N {
        rows[r] = &values[(first + r) * channels..][..channels];
    }
    let mut b = [panels; P];
    let mut ahead = [panels; P];
    for p in 0..P {
        b[p] = &panels[((panel + p) * points + point) * channels..][..channels];
        let (from, at) = if point + 1 < points { (panels, point + 1) } else { (next, 0) };
        let from = from.get(((panel + p) * points + at) * channels..).unwrap_or_default();
        ahead[p] = from.get(step.ahead.clone()).unwrap_or_default();
    }
    let mut sums = [[s.splat(0.0); P]; N];
    add_products(s, rows, b, &mut Ahead::new(ahead, each), &mut sums);
    let (out, _) = of.sums.as_chunks_mut::<LANES>();
    for r in 0..N {
        for p in 0..P {
            s.store(sums[r][p], &mut out[((first + r) * points + point) * of.panels + panel + p]);
        }
    }
}

/// What is done with sums before results are stored.
#[derive(Clone, Copy, Debug)]
pub struct Ending<'a> {
    /// What is added to each column; nothing where this is empty.
    pub bias: &'a [f32],
    /// What is added to each result, in their order.
    pub residual: Residual<'a>,
    /// The least result.
    pub low: f32,
    /// The greatest result.
    pub high: f32,
}

/// Transforms the sums of one square back: `sums` is `[point][columns]`, and `out` has columns for
/// each result, row by row; empty ones are outside of the image.
///
/// # Panics
/// If sizes disagree.
pub fn gather(isa: Isa, square: Square, sums: &[f32], ending: &Ending<'_>, out: &mut [&mut [f32]]) {
    let columns = sums.len() / square.points();
    assert!(sums.len() == columns * square.points() && columns.is_multiple_of(LANES), "registers");
    assert_eq!(out.len(), square.side() * square.side(), "all results");
    assert!(out.iter().all(|row| row.is_empty() || row.len() == columns), "whole results");
    assert!(ending.bias.is_empty() || ending.bias.len() == columns, "a bias for each column");
    if let Residual::Rows(rows) = ending.residual {
        assert_eq!(rows.len(), out.len(), "a residual for each result");
    }
    isa.run(Gather { square, sums, ending, out });
}

struct Gather<'a, 'o, 'r> {
    square: Square,
    sums: &'a [f32],
    ending: &'a Ending<'a>,
    out: &'o mut [&'r mut [f32]],
}

impl Kernel for Gather<'_, '_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        match self.square {
            Square::Two => self.columns::<S, 4, 2>(s),
            Square::Four => self.columns::<S, 6, 4>(s),
        }
    }
}

impl Gather<'_, '_, '_> {
    /// `M` by `M` results from `R` by `R` points.
    #[inline(always)]
    fn columns<S: Simd, const R: usize, const M: usize>(self, s: S) {
        let Self { sums, ending, out, .. } = self;
        let (sums, _) = sums.as_chunks::<LANES>();
        let panels = sums.len() / (R * R);
        let (low, high) = (s.splat(ending.low), s.splat(ending.high));
        for p in 0..panels {
            let mut half = [[s.splat(0.0); R]; M];
            for j in 0..R {
                let mut all = [s.splat(0.0); R];
                for i in 0..R {
                    all[i] = s.load(&sums[(i * R + j) * panels + p]);
                }
                let all: [S::F; M] = results(s, all);
                for i in 0..M {
                    half[i][j] = all[i];
                }
            }
            let bias: Option<&[f32; LANES]> = ending.bias.as_chunks().0.get(p);
            for i in 0..M {
                let row: [S::F; M] = results(s, half[i]);
                for j in 0..M {
                    let to = i * M + j;
                    let Some(lanes) = out[to].as_chunks_mut::<LANES>().0.get_mut(p) else {
                        continue;
                    };
                    let mut sum = row[j];
                    if let Some(bias) = bias {
                        sum = s.add(sum, s.load(bias));
                    }
                    match ending.residual {
                        Residual::Absent => {}
                        Residual::Rows(rows) => {
                            let row = rows[to].as_chunks::<LANES>().0;
                            sum = s.add(sum, s.load(row.get(p).expect("as many columns")));
                        }
                        Residual::There => sum = s.add(sum, s.load(lanes)),
                    }
                    s.store(s.min(high, s.max(low, sum)), lanes);
                }
            }
        }
    }
}

/// `M` results in a line from `R` points.
#[inline(always)]
fn results<S: Simd, const R: usize, const M: usize>(s: S, m: [S::F; R]) -> [S::F; M] {
    let mut y = [m[0]; M];
    let (sum, difference) = (s.add(m[1], m[2]), s.sub(m[1], m[2]));
    if R == 4 {
        y[0] = s.add(m[0], sum);
        y[1] = s.sub(difference, m[3]);
    } else {
        y[0] = s.add(s.add(m[0], sum), s.add(m[3], m[4]));
        y[1] = s.fnma(s.splat(2.0), m[4], s.fma(s.splat(0.5), m[3], difference));
        y[2] = s.fma(s.splat(4.0), m[4], s.fma(s.splat(0.25), m[3], sum));
        let far = s.fnma(s.splat(8.0), m[4], s.fma(s.splat(0.125), m[3], difference));
        y[3] = s.add(far, m[5]);
    }
    y
}

#[cfg(test)]
mod tests;
