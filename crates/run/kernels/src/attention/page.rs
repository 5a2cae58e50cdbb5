//! One page of keys and values, and some queries: scores, shares, sums.
//!
//! Four queries at a time: their products with all panels of keys, then the sums over values, each
//! a block of registers that nothing else takes part in. Many queries see halves that were widened
//! once to numbers beside each other. Every query's sums are the same sequence of operations,
//! whichever queries it is taken with and wherever the numbers come from.

use super::{Head, LANES, PAGE, PANEL, PANELS, Partial, Scores, Sight, Stored};
use super::{load_some, overlap, share, stored_some, tanh};
use crate::isa::Simd;
use core::ops::Range;

/// Queries that are taken together at most.
const QUERIES: usize = 4;

/// The positions of a page, counted from its first.
const POSITIONS: [[f32; PANEL]; PANELS] = {
    let mut all = [[0.0; PANEL]; PANELS];
    let mut i = 0;
    while i < PAGE {
        all[i / PANEL][i % PANEL] = i as f32;
        i += 1;
    }
    all
};

/// What some queries see of a page.
#[derive(Clone, Copy)]
pub(super) struct Seen {
    /// The first position of the page.
    pub(super) begin: usize,
    /// The position of the first query's token.
    pub(super) first: usize,
    /// Queries of a token.
    pub(super) group: usize,
    /// What a token sees.
    pub(super) sight: Sight,
}

impl Seen {
    /// What query `query` sees, counted from the page's first position.
    #[inline(always)]
    fn of(self, query: usize) -> Range<usize> {
        let own = self.sight.from(self.first + query / self.group);
        let seen = overlap(&own, &(self.begin..self.begin + PAGE));
        if seen.is_empty() { 0..0 } else { seen.start - self.begin..seen.end - self.begin }
    }
}

/// What `N` queries see of a page: each, one at least, and all of them.
struct Spans<const N: usize> {
    each: [Range<usize>; N],
    any: Range<usize>,
    every: Range<usize>,
}

/// The least range that holds two.
#[inline(always)]
fn around(a: &Range<usize>, b: &Range<usize>) -> Range<usize> {
    a.start.min(b.start)..a.end.max(b.end)
}

/// Keys and values of one page.
pub(super) struct Page<'a, T> {
    /// `[4 panels][head_dim][16]`.
    keys: &'a [T],
    /// `[64][stride]`, of which `width` count.
    values: &'a [T],
    head_dim: usize,
    width: usize,
    stride: usize,
}

/// Room for a page as numbers.
pub(super) struct Unpacked<'a>(&'a mut [f32]);

impl<'a> Unpacked<'a> {
    /// Numbers that a page takes, with some to begin at a line of the cache.
    pub(super) const fn len(head_dim: usize, v_head_dim: usize) -> usize {
        PAGE * (head_dim + v_head_dim.next_multiple_of(LANES)) + LANES
    }

    /// Uses `numbers`.
    pub(super) fn of(numbers: &'a mut [f32]) -> Self {
        let skip = numbers.as_ptr().align_offset(64).min(LANES);
        Self(&mut numbers[skip..])
    }

    /// Widens a page.
    #[inline(always)]
    pub(super) fn fill<S: Simd, T: Stored>(&mut self, s: S, page: &Page<'_, T>) -> Page<'_, f32> {
        let Page { head_dim, width, .. } = *page;
        let stride = width.next_multiple_of(LANES);
        let (keys, rest) = self.0.split_at_mut(PAGE * head_dim);
        let values = &mut rest[..PAGE * stride];
        let (chunks, _) = page.keys.as_chunks::<LANES>();
        for (chunk, out) in chunks.iter().zip(keys.as_chunks_mut::<LANES>().0) {
            s.store(T::load16(s, chunk), out);
        }
        let rows = page.values.chunks_exact(page.stride);
        for (row, out) in rows.zip(values.chunks_exact_mut(stride)) {
            for (some, out) in row[..width].chunks(LANES).zip(out.as_chunks_mut::<LANES>().0) {
                s.store(stored_some(s, some), out);
            }
        }
        Page { keys, values, head_dim, width, stride }
    }
}

impl<'a, T: Stored> Page<'a, T> {
    /// Page `at` of a head.
    pub(super) fn of(head: &Head<'a, T>, at: usize) -> Self {
        let Head { head_dim, v_head_dim: width, .. } = *head;
        let keys = &head.keys[at * PAGE * head_dim..][..PAGE * head_dim];
        let values = &head.values[at * PAGE * width..][..PAGE * width];
        Self { keys, values, head_dim, width, stride: width }
    }

    /// Adds the positions that each of `queries`, `[n, head_dim]`, sees to its sums.
    #[inline(always)]
    pub(super) fn all<S: Simd>(
        &self,
        s: S,
        scores: Scores,
        queries: &[f32],
        seen: Seen,
        into: &mut Partial<'_>,
    ) {
        let count = into.max.len();
        let mut from = 0;
        while from < count {
            let q = &queries[from * self.head_dim..];
            from += if S::TILE >= 8 && count - from >= 4 {
                self.some::<S, 4>(s, scores, q, seen, into, from)
            } else if S::TILE >= 8 && count - from == 3 {
                self.some::<S, 3>(s, scores, q, seen, into, from)
            } else if count - from >= 2 {
                self.some::<S, 2>(s, scores, q, seen, into, from)
            } else {
                self.some::<S, 1>(s, scores, q, seen, into, from)
            };
        }
    }

    /// Adds the positions to the sums of the `N` queries from number `from` on; gives `N`.
    #[inline(always)]
    fn some<S: Simd, const N: usize>(
        &self,
        s: S,
        scores: Scores,
        q: &[f32],
        seen: Seen,
        into: &mut Partial<'_>,
        from: usize,
    ) -> usize {
        let mut each = [const { 0..0 }; N];
        let (mut any, mut every) = (0..PAGE, 0..PAGE);
        for n in 0..N {
            each[n] = seen.of(from + n);
            any = if n == 0 { each[n].clone() } else { around(&any, &each[n]) };
            every = overlap(&every, &each[n]);
        }
        let seen = &Spans { each, any, every };
        let mut shares = [[[0.0; PANEL]; PANELS]; QUERIES];
        // What the registers of a set hold beside a few operands, and no more than is seen.
        if S::TILE >= 8 && seen.any.start < PAGE / 2 && seen.any.end > PAGE / 2 {
            self.dot::<S, N, 4>(s, q, &seen.any, &mut shares);
        } else {
            self.dot::<S, N, 2>(s, q, &seen.any, &mut shares);
        }
        let mut keep = [0.0; LANES];
        let mut sums = [0.0; N];
        for n in 0..N {
            let old = into.max[from + n];
            (into.max[from + n], sums[n]) = weigh(s, scores, &mut shares[n], &seen.each[n], old);
            keep[n] = old - into.max[from + n];
        }
        s.store(share(s, s.load(&keep)), &mut keep);
        for n in 0..N {
            into.sum[from + n] = into.sum[from + n] * keep[n] + sums[n];
        }
        let sums = &mut into.values[from * self.width..(from + N) * self.width];
        let mut element = 0;
        if S::TILE >= 8 {
            while self.width - element >= 4 * LANES {
                self.add::<S, N, 4>(s, &shares, &keep, seen, element, sums);
                element += 4 * LANES;
            }
        }
        while self.width - element >= 2 * LANES {
            self.add::<S, N, 2>(s, &shares, &keep, seen, element, sums);
            element += 2 * LANES;
        }
        while self.width - element >= LANES {
            self.add::<S, N, 1>(s, &shares, &keep, seen, element, sums);
            element += LANES;
        }
        if element < self.width {
            self.add_last::<S, N>(s, &shares, &keep, seen, element, sums);
        }
        N
    }

    /// Products of `N` queries with the keys that are seen and some beside them, each summed in
    /// ascending order of elements; `P` panels at a time.
    #[inline(always)]
    fn dot<S: Simd, const N: usize, const P: usize>(
        &self,
        s: S,
        q: &[f32],
        seen: &Range<usize>,
        out: &mut [[[f32; PANEL]; PANELS]; QUERIES],
    ) {
        let dim = self.head_dim;
        let (rows, _) = self.keys.as_chunks::<PANEL>();
        let mut queries = [&q[..0]; N];
        for n in 0..N {
            queries[n] = &q[n * dim..][..dim];
        }
        for first in (0..PANELS).step_by(P) {
            let positions = first * PANEL..(first + P) * PANEL;
            if overlap(&positions, seen).is_empty() {
                continue;
            }
            let mut panels = [&rows[..0]; P];
            for p in 0..P {
                panels[p] = &rows[(first + p) * dim..][..dim];
            }
            let mut sums = [[s.splat(0.0); P]; N];
            for d in 0..dim {
                let mut keys = [s.splat(0.0); P];
                for p in 0..P {
                    keys[p] = T::load16(s, &panels[p][d]);
                }
                for n in 0..N {
                    let x = s.splat(queries[n][d]);
                    for p in 0..P {
                        sums[n][p] = s.fma(keys[p], x, sums[n][p]);
                    }
                }
            }
            for n in 0..N {
                for p in 0..P {
                    s.store(sums[n][p], &mut out[n][first + p]);
                }
            }
        }
    }

    /// `sums = sums · keep + Σ share · value` for 16 · `E` elements from `element` on.
    #[inline(always)]
    fn add<S: Simd, const N: usize, const E: usize>(
        &self,
        s: S,
        shares: &[[[f32; PANEL]; PANELS]; QUERIES],
        keep: &[f32; LANES],
        seen: &Spans<N>,
        element: usize,
        sums: &mut [f32],
    ) {
        let mut acc = [[s.splat(0.0); E]; N];
        for n in 0..N {
            let (old, _) = sums[n * self.width + element..][..E * LANES].as_chunks::<LANES>();
            for e in 0..E {
                acc[n][e] = s.mul(s.load(&old[e]), s.splat(keep[n]));
            }
        }
        for position in seen.any.start..seen.every.start {
            acc = self.add_one::<S, N, E, false>(s, shares, seen, position, element, acc);
        }
        for position in seen.every.start..seen.every.end.min(PAGE) {
            acc = self.add_one::<S, N, E, true>(s, shares, seen, position, element, acc);
        }
        for position in seen.every.end..seen.any.end {
            acc = self.add_one::<S, N, E, false>(s, shares, seen, position, element, acc);
        }
        for n in 0..N {
            let (out, _) = sums[n * self.width + element..][..E * LANES].as_chunks_mut::<LANES>();
            for e in 0..E {
                s.store(acc[n][e], &mut out[e]);
            }
        }
    }

    /// Adds a position to the sums of those that see it: all, or not `ALL` of the queries.
    #[inline(always)]
    fn add_one<S: Simd, const N: usize, const E: usize, const ALL: bool>(
        &self,
        s: S,
        shares: &[[[f32; PANEL]; PANELS]; QUERIES],
        seen: &Spans<N>,
        position: usize,
        element: usize,
        mut acc: [[S::F; E]; N],
    ) -> [[S::F; E]; N] {
        let row = &self.values[position * self.stride + element..][..E * LANES];
        let (row, _) = row.as_chunks::<LANES>();
        let mut values = [s.splat(0.0); E];
        for e in 0..E {
            values[e] = T::load16(s, &row[e]);
        }
        for n in 0..N {
            if ALL || seen.each[n].contains(&position) {
                let share = s.splat(shares[n].as_flattened()[position]);
                for e in 0..E {
                    acc[n][e] = s.fma(share, values[e], acc[n][e]);
                }
            }
        }
        acc
    }

    /// The same for the elements from `element` on, fewer than 16.
    #[inline(always)]
    fn add_last<S: Simd, const N: usize>(
        &self,
        s: S,
        shares: &[[[f32; PANEL]; PANELS]; QUERIES],
        keep: &[f32; LANES],
        seen: &Spans<N>,
        element: usize,
        sums: &mut [f32],
    ) {
        let mut acc = [s.splat(0.0); N];
        for n in 0..N {
            let old = &sums[n * self.width..(n + 1) * self.width][element..];
            acc[n] = s.mul(load_some(s, old), s.splat(keep[n]));
        }
        for position in seen.any.clone() {
            let row = &self.values[position * self.stride..][..self.width][element..];
            let values = stored_some(s, row);
            for n in 0..N {
                if seen.each[n].contains(&position) {
                    acc[n] = s.fma(s.splat(shares[n].as_flattened()[position]), values, acc[n]);
                }
            }
        }
        for n in 0..N {
            let mut last = [0.0; LANES];
            s.store(acc[n], &mut last);
            let out = &mut sums[n * self.width..(n + 1) * self.width][element..];
            out.copy_from_slice(&last[..out.len()]);
        }
    }
}

/// Turns products into `e^(score - max)`, zero where not seen; gives the new maximum and their sum.
#[inline(always)]
fn weigh<S: Simd>(
    s: S,
    scores: Scores,
    shares: &mut [[f32; PANEL]; PANELS],
    seen: &Range<usize>,
    max: f32,
) -> (f32, f32) {
    let whole = *seen == (0..PAGE);
    let scale = s.splat(scores.scale);
    let mut x = [s.splat(0.0); PANELS];
    for p in 0..PANELS {
        x[p] = s.mul(s.load(&shares[p]), scale);
    }
    if let Some(cap) = scores.soft_cap {
        let cap = s.splat(cap);
        for p in 0..PANELS {
            x[p] = s.mul(cap, tanh(s, s.div(x[p], cap)));
        }
    }
    if !whole {
        x = only(s, x, seen, f32::NEG_INFINITY);
    }
    // A NaN never becomes the maximum, but its own share is NaN.
    let mut most = s.splat(max);
    for p in 0..PANELS {
        most = s.max(x[p], most);
    }
    let max = s.max_lane(most);
    if !whole {
        // What underflows takes some processors hundreds of cycles.
        x = only(s, x, seen, max);
    }
    let most = s.splat(max);
    for p in 0..PANELS {
        x[p] = share(s, s.sub(x[p], most));
    }
    if !whole {
        x = only(s, x, seen, 0.0);
    }
    let mut sum = s.splat(0.0);
    for p in 0..PANELS {
        sum = s.add(sum, x[p]);
        s.store(x[p], &mut shares[p]);
    }
    (max, s.sum(sum))
}

/// Puts `other` in the place of what is not seen.
#[inline(always)]
fn only<S: Simd>(s: S, mut x: [S::F; PANELS], seen: &Range<usize>, other: f32) -> [S::F; PANELS] {
    let (start, end) = (s.splat(seen.start as f32), s.splat(seen.end as f32));
    let other = s.splat(other);
    for p in 0..PANELS {
        let position = s.load(&POSITIONS[p]);
        x[p] = s.select_lt(position, start, other, s.select_lt(position, end, x[p], other));
    }
    x
}
