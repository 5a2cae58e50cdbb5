//! Products of matrices of `f32`: rows times panels of sixteen columns.
//!
//! Each element of a result is one chain of fused multiply-adds that begins with its bias and goes
//! through k in ascending order; hence the same bits for every instruction set, tile and thread.
//! The rows of the left operand are read where they lie, in pieces: a plain matrix has one piece a
//! row, a convolution one for each tap of its window ([`crate::window`]), so that no image is ever
//! copied into columns (Dukhan 2019, "The indirect convolution algorithm", with offsets for
//! pointers).

use crate::attention::Stored;
use crate::isa::{Isa, Kernel, LANES, Simd, apart::rows_apart};
use tensor::{F16, cast};

/// The most rows that a tile has on any instruction set.
pub const ROWS_MAX: usize = 12;

/// Steps of k between two requests for what is read next.
pub(crate) const STEP: usize = 8;

/// Numbers of `columns` columns of `k` each in panels.
pub const fn packed_len(columns: usize, k: usize) -> usize {
    columns.div_ceil(LANES) * LANES * k
}

/// Packs columns that lie one after the other, `[columns][k]`, into panels `[panel][k][16]`; missing
/// columns of the last panel are zeros.
///
/// # Panics
/// If `panels` has another size than [`packed_len`] says.
pub fn pack_columns<T: Copy + Default>(columns: &[T], k: usize, panels: &mut [T]) {
    assert_eq!(panels.len(), packed_len(columns.len().checked_div(k).unwrap_or(0), k));
    if k == 0 {
        return;
    }
    let all = columns.chunks(LANES * k);
    for (columns, panel) in all.zip(panels.chunks_exact_mut(LANES * k)) {
        let (panel, _) = panel.as_chunks_mut::<LANES>();
        let width = columns.len() / k;
        // Some steps of k of all columns, so that what is written stays near while they take turns.
        for (i, lanes) in panel.chunks_mut(LANES).enumerate() {
            for (r, column) in columns.chunks_exact(k).enumerate() {
                let column = &column[i * LANES..][..lanes.len()];
                for (lanes, &value) in lanes.iter_mut().zip(column) {
                    lanes[r] = value;
                }
            }
            for lanes in lanes {
                lanes[width..].fill(T::default());
            }
        }
    }
}

/// Packs a row-major matrix, `[k][columns]`, into panels `[panel][k][16]`; missing columns of the
/// last panel are zeros.
///
/// # Panics
/// If `panels` has another size than [`packed_len`] says.
pub fn pack_rows(rows: &[f32], columns: usize, panels: &mut [f32]) {
    let k = rows.len().checked_div(columns).unwrap_or(0);
    assert_eq!(panels.len(), packed_len(columns, k));
    if k == 0 {
        return;
    }
    for (p, panel) in panels.chunks_exact_mut(LANES * k).enumerate() {
        pack_panel(rows, columns, p, panel);
    }
}

/// Packs columns `16 * index` on, up to 16 of them, of some rows `[rows][columns]` into a part of their
/// panel, `[rows][16]`; missing columns are zeros.
///
/// # Panics
/// If there is no such panel.
pub fn pack_panel(rows: &[f32], columns: usize, index: usize, part: &mut [f32]) {
    let first = index * LANES;
    let width = LANES.min(columns - first);
    let (part, _) = part.as_chunks_mut::<LANES>();
    for (row, lanes) in rows.chunks_exact(columns).zip(part) {
        lanes[..width].copy_from_slice(&row[first..][..width]);
        lanes[width..].fill(0.0);
    }
}

/// Makes singles of the halves of panels.
///
/// # Panics
/// If there are not as many of the one as of the other, or not whole panels.
pub fn widen(isa: Isa, halves: &[F16], singles: &mut [f32]) {
    assert_eq!(halves.len(), singles.len(), "as many singles as halves");
    assert!(halves.len().is_multiple_of(LANES), "whole panels");
    isa.run(Widen { halves, singles });
}

struct Widen<'a> {
    halves: &'a [F16],
    singles: &'a mut [f32],
}

impl Kernel for Widen<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (halves, _) = self.halves.as_chunks::<LANES>();
        let (singles, _) = self.singles.as_chunks_mut::<LANES>();
        for (singles, halves) in singles.iter_mut().zip(halves) {
            s.store(F16::load16(s, halves), singles);
        }
    }
}

/// What is added to sums before they are stored.
#[derive(Clone, Copy, Debug)]
pub enum Residual<'a> {
    /// Nothing.
    Absent,
    /// Rows, as many and as long as those of the result.
    Rows(&'a [&'a [f32]]),
    /// What stands where the result goes.
    There,
}

impl Residual<'_> {
    /// Whether there is enough of it for a result of so many rows and columns.
    pub(crate) fn fits(&self, rows: usize, columns: usize) -> bool {
        match self {
            Self::Rows(list) => list.len() == rows && list.iter().all(|row| row.len() == columns),
            Self::Absent | Self::There => true,
        }
    }
}

/// Some rows of a product, and what is done with its sums before they are stored.
#[derive(Clone, Copy, Debug)]
pub struct Product<'a> {
    /// What rows are made of.
    pub x: &'a [f32],
    /// What stands behind `x`: offsets beyond its end count on here. Zeros of padding, mostly.
    pub edge: &'a [f32],
    /// Where each piece of each row begins, `[piece][row]`.
    pub offsets: &'a [u32],
    /// Numbers between a row and the next, if rows are equally far apart inside of `x`: then only
    /// the first row's offsets are read.
    pub step: Option<usize>,
    /// Numbers of a piece; pieces times this is k.
    pub piece: usize,
    /// The columns: `[panel][k][16]`.
    pub panels: &'a [f32],
    /// What each column's sums begin with; zero where this is empty.
    pub bias: &'a [f32],
    /// What is added to the sums.
    pub residual: Residual<'a>,
    /// The least result.
    pub low: f32,
    /// The greatest result.
    pub high: f32,
    /// Whole lanes that are brought near meanwhile, as they are read next; often none.
    pub ahead: &'a [[f32; LANES]],
}

/// Computes rows of a product: `out[r][n] = clamp(bias[n] + Σ x[r][k] · panels[k][n] + residual)`.
///
/// # Panics
/// If there are more rows than the instruction set takes at once ([`Isa::rows`]), or sizes disagree.
pub fn multiply(isa: Isa, product: &Product<'_>, out: &mut [&mut [f32]]) {
    let rows = out.len();
    let Some(first) = out.first() else { return };
    let columns = first.len();
    let pieces = product.offsets.len() / rows;
    let k = pieces * product.piece;
    assert!(rows <= isa.rows(), "{rows} rows of {}", isa.rows());
    assert_eq!(product.offsets.len(), pieces * rows, "whole pieces");
    assert!(out.iter().all(|row| row.len() == columns), "rows of one length");
    assert_eq!(product.panels.len(), packed_len(columns, k), "panels for all columns");
    assert!(product.bias.is_empty() || product.bias.len() == columns, "a bias a column");
    assert!(product.residual.fits(rows, columns), "residuals for all sums");
    isa.run(Multiply { product, k, out });
}

struct Multiply<'a, 'o, 'r> {
    product: &'a Product<'a>,
    k: usize,
    out: &'o mut [&'r mut [f32]],
}

impl Kernel for Multiply<'_, '_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // Few rows take more panels at once: enough chains to hide the latency of an addition.
        if S::ROWS > 8 {
            match self.out.len() {
                1 => self.all::<S, 1, 8, 2>(s),
                2 => self.all::<S, 2, 8, 2>(s),
                3 => self.all::<S, 3, 4, 2>(s),
                4 => self.all::<S, 4, 4, 2>(s),
                5 => self.all::<S, 5, 4, 2>(s),
                6 => self.all::<S, 6, 4, 2>(s),
                7 => self.all::<S, 7, 2, 1>(s),
                8 => self.all::<S, 8, 2, 1>(s),
                9 => self.all::<S, 9, 2, 1>(s),
                10 => self.all::<S, 10, 2, 1>(s),
                11 => self.all::<S, 11, 2, 1>(s),
                12 => self.all::<S, 12, 2, 1>(s),
                rows => unreachable!("no tile has {rows} rows"),
            }
        } else {
            match self.out.len() {
                1 => self.all::<S, 1, 4, 1>(s),
                2 if S::ROWS >= 2 => self.all::<S, 2, 2, 1>(s),
                3 if S::ROWS >= 3 => self.all::<S, 3, 2, 1>(s),
                4 if S::ROWS >= 4 => self.all::<S, 4, 1, 1>(s),
                5 if S::ROWS >= 5 => self.all::<S, 5, 1, 1>(s),
                6 if S::ROWS >= 6 => self.all::<S, 6, 1, 1>(s),
                rows => unreachable!("no tile has {rows} rows"),
            }
        }
    }
}

impl Multiply<'_, '_, '_> {
    /// Goes through the panels, `P` at once, then `H` at once, then one by one.
    #[inline(always)]
    fn all<S: Simd, const N: usize, const P: usize, const H: usize>(mut self, s: S) {
        let panels = self.out[0].len().div_ceil(LANES);
        let mut first = 0;
        while first + P <= panels {
            self.tile::<S, N, P>(s, first, panels);
            first += P;
        }
        if H > 1 && H < P {
            while first + H <= panels {
                self.tile::<S, N, H>(s, first, panels);
                first += H;
            }
        }
        if P > 1 {
            while first < panels {
                self.tile::<S, N, 1>(s, first, panels);
                first += 1;
            }
        }
    }

    /// Computes `N` rows of `P` panels of so many.
    #[inline(always)]
    fn tile<S: Simd, const N: usize, const P: usize>(&mut self, s: S, first: usize, panels: usize) {
        let product = self.product;
        let ahead = match product.ahead.len() {
            0 => &[][..],
            len => &product.ahead[len * first / panels..len * (first + P) / panels],
        };
        let sums = sums::<S, N, P>(s, product, self.k, first, ahead);
        let (low, high) = (s.splat(product.low), s.splat(product.high));
        let out = <&mut [&mut [f32]; N]>::try_from(&mut *self.out).expect("`N` rows");
        let columns = out[0].len();
        for p in 0..P {
            let at = (first + p) * LANES;
            let width = LANES.min(columns - at);
            for r in 0..N {
                let mut sum = sums[r][p];
                let row = &mut out[r][at..];
                match product.residual {
                    Residual::Absent => {}
                    Residual::Rows(rows) => sum = s.add(sum, load(s, &rows[r][at..at + width])),
                    Residual::There => sum = s.add(sum, load(s, &row[..width])),
                }
                sum = s.min(high, s.max(low, sum));
                match row.first_chunk_mut() {
                    Some(row) => s.store(sum, row),
                    None => s.store_part(sum, row),
                }
            }
        }
    }
}

/// The sums of `N` rows of `P` panels.
#[inline(always)]
fn sums<S: Simd, const N: usize, const P: usize>(
    s: S,
    product: &Product<'_>,
    k: usize,
    first: usize,
    ahead: &[[f32; LANES]],
) -> [[S::F; P]; N] {
    let mut sums = [[s.splat(0.0); P]; N];
    let (chunks, _) = product.panels.as_chunks::<LANES>();
    let mut panels = [chunks; P];
    for p in 0..P {
        panels[p] = &chunks[(first + p) * k..][..k];
        if !product.bias.is_empty() {
            let bias = &product.bias[(first + p) * LANES..];
            let bias = load(s, &bias[..LANES.min(bias.len())]);
            for r in 0..N {
                sums[r][p] = bias;
            }
        }
    }
    let piece = product.piece;
    let (offsets, _) = product.offsets.as_chunks::<N>();
    let requests = offsets.len() * (piece / STEP);
    let each = if ahead.is_empty() { 0 } else { ahead.len().div_ceil(requests.max(1)) };
    let mut ahead = Ahead::new([ahead], each);
    for (i, offsets) in offsets.iter().enumerate() {
        let mut rows = [product.x; N];
        if let Some(step) = product.step {
            rows = rows_apart(&product.x[offsets[0] as usize..], step, piece);
        } else {
            for r in 0..N {
                let at = offsets[r] as usize;
                rows[r] = match at.checked_sub(product.x.len()) {
                    Some(at) => &product.edge[at..][..piece],
                    None => &product.x[at..][..piece],
                };
            }
        }
        let mut b = [chunks; P];
        for p in 0..P {
            b[p] = &panels[p][i * piece..][..piece];
        }
        add_products(s, rows, b, &mut ahead, &mut sums);
    }
    sums
}

/// Adds to `sums` the products of `N` rows with `P` panels, all of one length.
#[inline(always)]
pub(crate) fn add_products<S: Simd, const N: usize, const P: usize, const A: usize>(
    s: S,
    rows: [&[f32]; N],
    panels: [&[[f32; LANES]]; P],
    ahead: &mut Ahead<'_, A>,
    sums: &mut [[S::F; P]; N],
) {
    let len = panels[0].len();
    assert!(rows.iter().all(|row| row.len() == len), "rows of one length");
    assert!(panels.iter().all(|panel| panel.len() == len), "panels of one length");
    let whole = len / STEP * STEP;
    for k in (0..whole).step_by(STEP) {
        ahead.ask(s);
        for k in k..k + STEP {
            step(s, rows, panels, k, sums);
        }
    }
    for k in whole..len {
        step(s, rows, panels, k, sums);
    }
}

/// Adds the products of one k.
#[inline(always)]
fn step<S: Simd, const N: usize, const P: usize>(
    s: S,
    rows: [&[f32]; N],
    panels: [&[[f32; LANES]]; P],
    k: usize,
    sums: &mut [[S::F; P]; N],
) {
    let mut w = [s.splat(0.0); P];
    for p in 0..P {
        w[p] = s.load(&panels[p][k]);
    }
    for r in 0..N {
        let x = s.splat(rows[r][k]);
        for p in 0..P {
            sums[r][p] = s.fma(x, w[p], sums[r][p]);
        }
    }
}

/// What is asked for step by step, while other numbers are multiplied: runs of lanes, side by side.
pub(crate) struct Ahead<'a, const P: usize> {
    runs: [&'a [[f32; LANES]]; P],
    each: usize,
    at: usize,
}

impl<'a, const P: usize> Ahead<'a, P> {
    /// So many of each at a time.
    #[inline(always)]
    pub(crate) fn new(runs: [&'a [[f32; LANES]]; P], each: usize) -> Self {
        Self { runs, each, at: 0 }
    }

    /// Asks for the next part of each run.
    #[inline(always)]
    fn ask<S: Simd>(&mut self, s: S) {
        for run in self.runs {
            for lanes in run.iter().skip(self.at).take(self.each) {
                s.prefetch(&cast::to_bytes(lanes)[0], 0);
            }
        }
        self.at += self.each;
    }
}

/// Up to sixteen numbers, zeros behind them.
#[inline(always)]
fn load<S: Simd>(s: S, from: &[f32]) -> S::F {
    match <&[f32; LANES]>::try_from(from) {
        Ok(whole) => s.load(whole),
        Err(_) => s.load_part(from),
    }
}

#[cfg(test)]
mod tests;
