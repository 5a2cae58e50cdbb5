//! Dividing work: matrices cut into tiles, each handed to exactly one worker.
//!
//! A worker gets a contiguous run of tiles that depends only on its number, and whoever is done
//! early takes more from a shared tail. Tiles never overlap, so that workers write them without
//! locks; which worker writes which tile changes nothing in its content.

use super::{Ordering, Team};
use core::marker::PhantomData;
use core::ops::Range;

/// The tail that is shared is this part of the work.
const TAIL: usize = 16;

/// How work is shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// Each worker has a run of tiles of its own; the tail is shared, so many at a time.
    Runs(usize),
    /// All tiles to the caller: for work that is not worth dividing.
    Caller,
    /// One tile at a time to whoever is free: for tiles of very different cost.
    Queue,
}

/// A matrix that is written in tiles by several workers.
#[derive(Debug)]
pub struct Tiles<'a, T> {
    base: *mut T,
    stride: usize,
    rows: usize,
    columns: usize,
    tile_rows: usize,
    tile_columns: usize,
    _out: PhantomData<&'a mut [T]>,
}

// SAFETY: workers reach the matrix only through tiles, which are disjoint and each handed to one.
unsafe impl<T: Send> Sync for Tiles<'_, T> {}

impl<'a, T> Tiles<'a, T> {
    /// Cuts `out`, `[rows, columns]` row-major, into tiles; the last ones may be smaller.
    ///
    /// # Panics
    /// If `out` is no whole number of rows, or a tile would be empty.
    pub fn new(out: &'a mut [T], columns: usize, tile_rows: usize, tile_columns: usize) -> Self {
        Self::apart(out, [columns, columns], tile_rows, tile_columns)
    }

    /// The same of rows of so many columns that are so far apart: `[columns, pitch]`; what stands behind
    /// the last row's columns may be missing.
    ///
    /// # Panics
    /// As [`Tiles::new`], or if rows overlap.
    pub fn apart(
        out: &'a mut [T],
        [columns, pitch]: [usize; 2],
        tile_rows: usize,
        tile_columns: usize,
    ) -> Self {
        assert!(columns > 0 && tile_rows > 0 && tile_columns > 0, "empty tiles");
        assert!(columns <= pitch, "rows overlap");
        let rest = out.len() % pitch;
        assert!(rest == 0 || rest >= columns, "whole rows");
        Self {
            base: out.as_mut_ptr(),
            stride: pitch,
            rows: out.len().div_ceil(pitch),
            columns,
            tile_rows,
            tile_columns,
            _out: PhantomData,
        }
    }

    /// Tiles side by side.
    fn across(&self) -> usize {
        self.columns.div_ceil(self.tile_columns)
    }

    /// All tiles, row of tiles by row of tiles.
    fn len(&self) -> usize {
        self.rows.div_ceil(self.tile_rows) * self.across()
    }

    /// The tiles `units`, which lie side by side, as one.
    ///
    /// # Safety
    /// No one else holds any of them.
    unsafe fn tile(&self, units: &Range<usize>) -> TileMut<'_, T> {
        debug_assert!(units.start < units.end && units.end <= self.len());
        let (down, first) = (units.start / self.across(), units.start % self.across());
        let row = down * self.tile_rows;
        let column = first * self.tile_columns;
        let end = (first + units.len()) * self.tile_columns;
        TileMut {
            base: self.base,
            stride: self.stride,
            rows: row..self.rows.min(row + self.tile_rows),
            columns: column..self.columns.min(end),
            _out: PhantomData,
        }
    }

    /// The rows of tiles `rows` as one tile.
    ///
    /// # Safety
    /// No one else holds any of them.
    unsafe fn band(&self, rows: &Range<usize>) -> TileMut<'_, T> {
        let rows = rows.start * self.tile_rows..self.rows.min(rows.end * self.tile_rows);
        debug_assert!(rows.start < rows.end);
        let (base, stride) = (self.base, self.stride);
        TileMut { base, stride, rows, columns: 0..self.columns, _out: PhantomData }
    }
}

/// A rectangle of a matrix, owned by one worker.
#[derive(Debug)]
pub struct TileMut<'a, T> {
    base: *mut T,
    stride: usize,
    rows: Range<usize>,
    columns: Range<usize>,
    _out: PhantomData<&'a mut [T]>,
}

impl<T> TileMut<'_, T> {
    /// Its rows in the matrix.
    pub fn rows(&self) -> Range<usize> {
        self.rows.clone()
    }

    /// Its columns in the matrix.
    pub fn columns(&self) -> Range<usize> {
        self.columns.clone()
    }

    /// The tile's part of row `row` of the matrix.
    ///
    /// # Panics
    /// If the row is outside the tile.
    pub fn row(&mut self, row: usize) -> &mut [T] {
        assert!(self.rows.contains(&row), "row {row} of {:?}", self.rows);
        let start = self.base.wrapping_add(row * self.stride + self.columns.start);
        // SAFETY: `Tiles::tile` made the rectangle inside the matrix and this worker's own; the
        // borrow of `self` keeps it so.
        unsafe { core::slice::from_raw_parts_mut(start, self.columns.len()) }
    }

    /// The tile's parts of rows `rows` of the matrix, empty ones behind them.
    ///
    /// # Panics
    /// If one is outside the tile, or there are more than `N`.
    pub fn some<const N: usize>(&mut self, rows: Range<usize>) -> [&mut [T]; N] {
        let inside = self.rows.start <= rows.start && rows.end <= self.rows.end;
        assert!(inside && rows.len() <= N, "rows {rows:?} of {:?}, {N} at most", self.rows);
        let (base, columns) = (self.base, self.columns.clone());
        core::array::from_fn(|i| {
            if i >= rows.len() {
                return Default::default();
            }
            let start = base.wrapping_add((rows.start + i) * self.stride + columns.start);
            // SAFETY: as in `row`; rows of a matrix do not overlap.
            unsafe { core::slice::from_raw_parts_mut(start, columns.len()) }
        })
    }

    /// The tile's parts of rows in ascending order, empty ones for those that are none.
    ///
    /// # Panics
    /// If a row is outside the tile, or not behind those before it.
    pub fn pick<const N: usize>(&mut self, rows: [Option<usize>; N]) -> [&mut [T]; N] {
        let (base, columns, mut free) = (self.base, self.columns.clone(), self.rows.start);
        rows.map(|row| {
            let Some(row) = row else { return Default::default() };
            assert!((free..self.rows.end).contains(&row), "row {row} of {free}..{}", self.rows.end);
            free = row + 1;
            let start = base.wrapping_add(row * self.stride + columns.start);
            // SAFETY: as in `row`; rows that ascend do not overlap.
            unsafe { core::slice::from_raw_parts_mut(start, columns.len()) }
        })
    }

    /// A part of the tile: rows and columns of the matrix.
    ///
    /// # Panics
    /// If it is not inside the tile.
    pub fn part(&mut self, rows: Range<usize>, columns: Range<usize>) -> TileMut<'_, T> {
        let inside = |all: &Range<usize>, some: &Range<usize>| {
            all.start <= some.start && some.start <= some.end && some.end <= all.end
        };
        assert!(inside(&self.rows, &rows) && inside(&self.columns, &columns), "a part of the tile");
        TileMut { base: self.base, stride: self.stride, rows, columns, _out: PhantomData }
    }

    /// The whole tile, where it spans the matrix's columns.
    ///
    /// # Panics
    /// If it does not.
    pub fn all(&mut self) -> &mut [T] {
        assert!(self.columns == (0..self.stride), "a tile of whole rows");
        let start = self.base.wrapping_add(self.rows.start * self.stride);
        // SAFETY: as in `row`; whole rows are contiguous.
        unsafe { core::slice::from_raw_parts_mut(start, self.rows.len() * self.stride) }
    }
}

/// Equal parts of a scratch buffer, one for each worker.
#[derive(Debug)]
pub struct Parts<'a> {
    base: *mut u8,
    each: usize,
    count: usize,
    _bytes: PhantomData<&'a mut [u8]>,
}

// SAFETY: a worker reaches only the part of its own number.
unsafe impl Sync for Parts<'_> {}

impl<'a> Parts<'a> {
    /// Cuts `bytes` into parts of `each`.
    pub fn new(bytes: &'a mut [u8], each: usize) -> Self {
        let count = bytes.len().checked_div(each).unwrap_or(usize::MAX);
        Self { base: bytes.as_mut_ptr(), each, count, _bytes: PhantomData }
    }

    /// Parts of nothing, for jobs that need no scratch.
    pub fn none() -> Self {
        Self::new(&mut [], 0)
    }

    /// The part of one worker.
    ///
    /// # Safety
    /// Only the worker of this number asks, and holds one at a time.
    #[expect(clippy::mut_from_ref, reason = "each worker has a part of its own")]
    unsafe fn part(&self, worker: usize) -> &mut [u8] {
        assert!(worker < self.count, "a part for each worker");
        let start = self.base.wrapping_add(worker * self.each);
        // SAFETY: part `worker` lies inside the buffer and is this worker's alone.
        unsafe { core::slice::from_raw_parts_mut(start, self.each) }
    }
}

impl Team<'_> {
    /// Hands out `units` as contiguous ranges, each exactly once.
    fn share(&mut self, units: usize, split: Split, job: &(dyn Fn(usize, Range<usize>) + Sync)) {
        let threads = self.threads();
        if threads == 1 || units <= 1 || split == Split::Caller {
            if units > 0 {
                job(0, 0..units);
            }
            return;
        }
        let (tail, grain) = match split {
            Split::Runs(grain) if units >= TAIL * threads => (units / TAIL, grain.max(1)),
            Split::Runs(_) | Split::Caller => (0, 1),
            Split::Queue => (units, 1),
        };
        let fixed = units - tail;
        let next = &self.pool.shared.next.0;
        next.store(fixed, Ordering::Relaxed);
        let pool = self.pool;
        self.run_on(threads, &|worker| {
            let own = fixed * worker / threads..fixed * (worker + 1) / threads;
            if !own.is_empty() {
                job(worker, own);
            }
            if tail > 0 {
                let next = &pool.shared.next.0;
                loop {
                    let start = next.fetch_add(grain, Ordering::Relaxed);
                    if start >= units {
                        break;
                    }
                    job(worker, start..units.min(start + grain));
                }
            }
        });
    }

    /// Calls `job(scratch, matrix, tile)` until every tile of every matrix was handed out once.
    ///
    /// Tiles that lie side by side may come as one. `matrix` is the index into `outs`.
    ///
    /// # Panics
    /// If `parts` has fewer parts than there are threads, or the job panics.
    pub fn tiles<T: Send>(
        &mut self,
        outs: &mut [Tiles<'_, T>],
        parts: &Parts<'_>,
        split: Split,
        job: impl Fn(&mut [u8], usize, TileMut<'_, T>) + Sync,
    ) {
        let outs = &*outs;
        let units = outs.iter().map(Tiles::len).sum();
        self.share(units, split, &|worker, mut units| {
            // SAFETY: this is the worker of that number, and the only borrow while it runs.
            let scratch = unsafe { parts.part(worker) };
            let mut first = 0;
            for (matrix, out) in outs.iter().enumerate() {
                let len = out.len();
                while units.start < units.end && units.start < first + len {
                    let start = units.start - first;
                    let row_end = (start / out.across() + 1) * out.across();
                    let end = (units.end - first).min(row_end);
                    units.start = first + end;
                    // SAFETY: `share` hands out every unit once, and `outs` is borrowed mutably.
                    let tile = unsafe { out.tile(&(start..end)) };
                    job(scratch, matrix, tile);
                }
                first += len;
            }
        });
    }

    /// Calls `job(scratch, band)` until every row of tiles was handed out once: those below each
    /// other that fall to one worker come as one.
    ///
    /// # Panics
    /// As [`Team::tiles`].
    pub fn bands<T: Send>(
        &mut self,
        out: &mut Tiles<'_, T>,
        parts: &Parts<'_>,
        split: Split,
        job: impl Fn(&mut [u8], TileMut<'_, T>) + Sync,
    ) {
        let out = &*out;
        self.share(out.rows.div_ceil(out.tile_rows), split, &|worker, rows| {
            // SAFETY: this is the worker of that number, and the only borrow while it runs.
            let scratch = unsafe { parts.part(worker) };
            // SAFETY: `share` hands out every row of tiles once, and `out` is borrowed mutably.
            job(scratch, unsafe { out.band(&rows) });
        });
    }

    /// Calls `job(scratch, first_row, rows)` until every row of `out` was handed out once.
    ///
    /// # Panics
    /// As [`Team::tiles`].
    pub fn rows<T: Send>(
        &mut self,
        out: &mut [T],
        width: usize,
        parts: &Parts<'_>,
        job: impl Fn(&mut [u8], usize, &mut [T]) + Sync,
    ) {
        let mut outs = [Tiles::new(out, width, 1, width)];
        self.tiles(&mut outs, parts, Split::Runs(1), |scratch, _, mut tile| {
            let first = tile.rows().start;
            job(scratch, first, tile.all());
        });
    }
}
