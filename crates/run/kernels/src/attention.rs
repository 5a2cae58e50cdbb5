//! Attention over keys and values in pages of 64 positions, with an online softmax.
//!
//! Keys of a page lie in 4 panels of 16 positions (`[panel][head_dim][16]`), values position by
//! position (`[64][v_head_dim]`); so a lane is a position for scores and an element for sums, and
//! nothing is added across lanes but the shares of a page, in a fixed tree.
//!
//! Promise: pages begin at absolute multiples of 64 and segments at multiples of 512 positions; a
//! query visits its pages in ascending order, [`Partial`]s of segments are merged in ascending
//! order, and positions that it may not see are skipped. Hence a query's result has the same bits
//! however a prompt is cut and the work divided. Follows Milakov and Gimelshein 2018 for the softmax
//! and Dao et al. 2022 for the blocks.

use crate::exp::{exp, tanh};
use crate::isa::{Isa, Kernel, LANES, Simd};
use core::ops::Range;
use tensor::F16;
use tensor::cast::{to_bytes, to_bytes_mut};

pub mod bytes;

/// Positions of a page.
pub const PAGE: usize = 64;

/// Positions of a segment: the unit that threads share out.
pub const SEGMENT: usize = 512;

/// Positions of a panel of keys.
const PANEL: usize = LANES;

/// Panels of a page.
const PANELS: usize = PAGE / PANEL;

/// A number that keys and values are stored as.
pub trait Stored: Copy + Send + Sync + 'static {
    /// Zero.
    const ZERO: Self;

    /// Sixteen values, exactly.
    fn load16<S: Simd>(s: S, from: &[Self; LANES]) -> S::F;

    /// The stored numbers nearest to sixteen values.
    fn store16<S: Simd>(s: S, a: S::F, to: &mut [Self; LANES]);

    /// Runs [`Attend`]; each type does it itself, so that it is compiled in this crate only.
    fn enter(isa: Isa, attend: Attend<'_, '_, '_, Self>);

    /// Runs [`Store`], likewise.
    fn enter_store(isa: Isa, store: Store<'_, Self>);
}

impl Stored for f32 {
    const ZERO: Self = 0.0;

    #[inline(always)]
    fn load16<S: Simd>(s: S, from: &[Self; LANES]) -> S::F {
        s.load(from)
    }

    #[inline(always)]
    fn store16<S: Simd>(s: S, a: S::F, to: &mut [Self; LANES]) {
        s.store(a, to);
    }

    fn enter(isa: Isa, attend: Attend<'_, '_, '_, Self>) {
        isa.run(attend);
    }

    fn enter_store(isa: Isa, store: Store<'_, Self>) {
        isa.run(store);
    }
}

impl Stored for F16 {
    const ZERO: Self = Self(0);

    #[inline(always)]
    fn load16<S: Simd>(s: S, from: &[Self; LANES]) -> S::F {
        s.load_f16(to_bytes(from).first_chunk().expect("sixteen halves are 32 bytes"))
    }

    #[inline(always)]
    fn store16<S: Simd>(s: S, a: S::F, to: &mut [Self; LANES]) {
        s.store_f16(a, to_bytes_mut(to).first_chunk_mut().expect("sixteen halves are 32 bytes"));
    }

    fn enter(isa: Isa, attend: Attend<'_, '_, '_, Self>) {
        isa.run(attend);
    }

    fn enter_store(isa: Isa, store: Store<'_, Self>) {
        isa.run(store);
    }
}

/// What one attention computes beside its sizes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scores {
    /// Factor on the products of queries and keys.
    pub scale: f32,
    /// Scores become `cap * tanh(score / cap)`, where present.
    pub soft_cap: Option<f32>,
}

/// Keys and values of one head.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a, T> {
    /// `[pages][4 panels][head_dim][16]`.
    pub keys: &'a [T],
    /// `[pages][64][v_head_dim]`.
    pub values: &'a [T],
    /// Elements of a key.
    pub head_dim: usize,
    /// Elements of a value.
    pub v_head_dim: usize,
}

/// Stores the key and the value of `position` in a head's keys and values.
///
/// # Panics
/// If the position lies beyond the pages.
pub fn store<T: Stored>(
    isa: Isa,
    keys: &mut [T],
    values: &mut [T],
    position: usize,
    key: &[f32],
    value: &[f32],
) {
    T::enter_store(isa, Store { keys, values, position, key, value });
}

/// Arguments of [`store`].
#[derive(Debug)]
pub struct Store<'a, T> {
    keys: &'a mut [T],
    values: &'a mut [T],
    position: usize,
    key: &'a [f32],
    value: &'a [f32],
}

impl<T: Stored> Kernel for Store<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { keys, values, position, key, value } = self;
        let panel = position / PANEL * PANEL * key.len();
        let (rows, _) = keys[panel..][..PANEL * key.len()].as_chunks_mut::<PANEL>();
        let mut numbers = [T::ZERO; LANES];
        for (rows, some) in rows.chunks_mut(LANES).zip(key.chunks(LANES)) {
            T::store16(s, load_some(s, some), &mut numbers);
            for (row, number) in rows.iter_mut().zip(numbers) {
                row[position % PANEL] = number;
            }
        }
        let out = &mut values[position * value.len()..][..value.len()];
        for (out, some) in out.chunks_mut(LANES).zip(value.chunks(LANES)) {
            T::store16(s, load_some(s, some), &mut numbers);
            out.copy_from_slice(&numbers[..out.len()]);
        }
    }
}

/// Softmax sums of some queries over some positions: `Σ e^(score - max)` and the same of values.
#[derive(Debug)]
pub struct Partial<'a> {
    /// Largest score of each query; minus infinity before the first position.
    pub max: &'a mut [f32],
    /// `Σ e^(score - max)` of each query.
    pub sum: &'a mut [f32],
    /// `Σ e^(score - max) value`, `[queries, v_head_dim]`.
    pub values: &'a mut [f32],
}

impl<'a> Partial<'a> {
    /// Numbers that `queries` queries need.
    pub const fn len(queries: usize, v_head_dim: usize) -> usize {
        queries * (v_head_dim + 2)
    }

    /// Views `numbers` as the sums of `queries` queries.
    ///
    /// # Panics
    /// If there are fewer numbers than [`Partial::len`].
    pub fn of(numbers: &'a mut [f32], queries: usize, v_head_dim: usize) -> Self {
        let (max, rest) = numbers.split_at_mut(queries);
        let (sum, rest) = rest.split_at_mut(queries);
        Self { max, sum, values: &mut rest[..queries * v_head_dim] }
    }

    /// The sums of `count` queries from `first` on.
    fn part(&mut self, first: usize, count: usize) -> Partial<'_> {
        let width = self.values.len() / self.max.len();
        Partial {
            max: &mut self.max[first..][..count],
            sum: &mut self.sum[first..][..count],
            values: &mut self.values[first * width..][..count * width],
        }
    }

    /// Forgets all positions.
    pub fn clear(&mut self) {
        self.max.fill(f32::NEG_INFINITY);
        self.sum.fill(0.0);
        self.values.fill(0.0);
    }

    /// Adds the sums of later positions of the same queries.
    pub fn merge(&mut self, isa: Isa, later: &Partial<'_>) {
        isa.run(Merge { into: self, later });
    }

    /// The attention of query `query`: its values over its sum.
    pub fn finish(&self, query: usize, out: &mut [f32]) {
        let sum = self.sum[query];
        let values = &self.values[query * out.len()..];
        for (out, value) in out.iter_mut().zip(values) {
            *out = value / sum;
        }
    }
}

/// Which positions a query at a position may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// Its own and earlier ones, at most so many.
    Last(usize),
    /// All of so many positions.
    All(usize),
}

impl Sight {
    /// The positions seen from `position`.
    pub fn from(self, position: usize) -> Range<usize> {
        match self {
            Self::Last(window) => (position + 1).saturating_sub(window)..position + 1,
            Self::All(len) => 0..len,
        }
    }
}

/// Queries of neighbouring tokens that share a head of keys and values.
#[derive(Clone, Copy, Debug)]
pub struct Queries<'a> {
    /// `[tokens, group, head_dim]`.
    pub elements: &'a [f32],
    /// Query heads of one token.
    pub group: usize,
    /// Position of the first token.
    pub first: usize,
    /// What each token sees.
    pub sight: Sight,
}

/// Numbers of scratch that [`attend`] needs for so many queries.
pub const fn scratch_len(queries: usize, v_head_dim: usize) -> usize {
    queries * PAGE + Partial::len(queries, v_head_dim)
}

/// Adds the positions of `segments` to the sums of all queries, segment by segment.
///
/// `segments`: numbers of segments; `scratch`: [`scratch_len`] numbers.
///
/// # Panics
/// If the sizes disagree.
pub fn attend<T: Stored>(
    isa: Isa,
    scores: Scores,
    head: &Head<'_, T>,
    queries: &Queries<'_>,
    segments: Range<usize>,
    scratch: &mut [f32],
    total: &mut Partial<'_>,
) {
    T::enter(isa, Attend { scores, head, queries, segments, scratch, total });
}

/// Arguments of [`attend`].
#[derive(Debug)]
pub struct Attend<'a, 'b, 'c, T> {
    scores: Scores,
    head: &'a Head<'b, T>,
    queries: &'a Queries<'b>,
    segments: Range<usize>,
    scratch: &'a mut [f32],
    total: &'a mut Partial<'c>,
}

impl<T: Stored> Kernel for Attend<'_, '_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { scores, head, queries, segments, scratch, total } = self;
        let width = queries.group * head.head_dim;
        let tokens = queries.elements.len() / width;
        let last = queries.first + tokens - 1;
        let (shares, rest) = scratch.split_at_mut(tokens * queries.group * PAGE);
        let some = queries.sight.from(queries.first).start..queries.sight.from(last).end;
        let every = queries.sight.from(last).start..queries.sight.from(queries.first).end;
        for segment in segments {
            let mut partial = Partial::of(rest, tokens * queries.group, head.v_head_dim);
            partial.clear();
            for at in segment * SEGMENT / PAGE..(segment + 1) * SEGMENT / PAGE {
                let positions = at * PAGE..(at + 1) * PAGE;
                let seen = overlap(&positions, &some);
                if seen.is_empty() {
                    continue;
                }
                // Where all tokens see the same, the page is read once for all; else token by token.
                let step = if overlap(&positions, &every) == seen { tokens } else { 1 };
                for token in (0..tokens).step_by(step) {
                    let own = queries.sight.from(queries.first + token);
                    let seen = if step == 1 { overlap(&positions, &own) } else { seen.clone() };
                    if !seen.is_empty() {
                        let elements = &queries.elements[token * width..][..step * width];
                        let first = token * queries.group;
                        let mut into = partial.part(first, step * queries.group);
                        page(s, scores, head, elements, &seen, shares, &mut into);
                    }
                }
            }
            merge(s, total, &partial);
        }
    }
}

/// Arguments of [`Partial::merge`].
struct Merge<'a, 'b> {
    into: &'a mut Partial<'b>,
    later: &'a Partial<'a>,
}

impl Kernel for Merge<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        merge(s, self.into, self.later);
    }
}

/// `e^x` of one number.
#[inline(always)]
fn exp_of<S: Simd>(s: S, x: f32) -> f32 {
    let mut out = [0.0; LANES];
    s.store(exp(s, s.splat(x)), &mut out);
    out[0]
}

/// Adds the sums of later positions.
#[inline(always)]
fn merge<S: Simd>(s: S, into: &mut Partial<'_>, later: &Partial<'_>) {
    let width = into.values.len() / into.max.len();
    for query in 0..into.max.len() {
        // An exact zero: a query that saw nothing there.
        if later.sum[query] == 0.0 {
            continue;
        }
        let (old, new) = (into.max[query], later.max[query]);
        let max = if new > old { new } else { old };
        let (keep, add) = (exp_of(s, old - max), exp_of(s, new - max));
        into.max[query] = max;
        into.sum[query] = later.sum[query] * add + into.sum[query] * keep;
        let values = &mut into.values[query * width..][..width];
        for (value, later) in values.iter_mut().zip(&later.values[query * width..]) {
            *value = *later * add + *value * keep;
        }
    }
}

/// What two ranges have in common.
#[inline(always)]
fn overlap(a: &Range<usize>, b: &Range<usize>) -> Range<usize> {
    let start = a.start.max(b.start);
    start..a.end.min(b.end).max(start)
}

/// Adds the positions `seen`, all of one page, to the sums of all `queries`, `[n, head_dim]`.
///
/// `shares`: scratch of `n * 64` numbers.
#[inline(always)]
fn page<S: Simd, T: Stored>(
    s: S,
    scores: Scores,
    head: &Head<'_, T>,
    queries: &[f32],
    seen: &Range<usize>,
    shares: &mut [f32],
    into: &mut Partial<'_>,
) {
    let at = seen.start / PAGE;
    let keys = &head.keys[at * PAGE * head.head_dim..][..PAGE * head.head_dim];
    let values = &head.values[at * PAGE * head.v_head_dim..][..PAGE * head.v_head_dim];
    let seen = seen.start - at * PAGE..seen.end - at * PAGE;
    let page = Page { keys, values, head_dim: head.head_dim, width: head.v_head_dim, seen };
    let (shares, _) = shares.as_chunks_mut::<PANEL>();
    let count = into.max.len();
    let mut from = 0;
    while from < count {
        let q = &queries[from * head.head_dim..];
        let shares = &mut shares[from * PANELS..];
        from += if S::TILE >= 8 && count - from >= 4 {
            page.some::<S, 4>(s, scores, q, shares, into, from)
        } else if S::TILE >= 8 && count - from == 3 {
            page.some::<S, 3>(s, scores, q, shares, into, from)
        } else if count - from >= 2 {
            page.some::<S, 2>(s, scores, q, shares, into, from)
        } else {
            page.some::<S, 1>(s, scores, q, shares, into, from)
        };
    }
}

/// Keys and values of one page.
struct Page<'a, T> {
    /// `[4 panels][head_dim][16]`.
    keys: &'a [T],
    /// `[64][width]`.
    values: &'a [T],
    head_dim: usize,
    width: usize,
    /// Positions in the page that count.
    seen: Range<usize>,
}

impl<T: Stored> Page<'_, T> {
    /// Adds the page to the sums of the `N` queries from number `from` on; gives `N`.
    ///
    /// `q`: their elements; `shares`: their scratch, `[N][4][16]`.
    #[inline(always)]
    fn some<S: Simd, const N: usize>(
        &self,
        s: S,
        scores: Scores,
        q: &[f32],
        shares: &mut [[f32; PANEL]],
        into: &mut Partial<'_>,
        from: usize,
    ) -> usize {
        self.dot::<S, N>(s, q, shares);
        let mut keep = [0.0; N];
        for n in 0..N {
            let max = &mut into.max[from + n];
            let old = *max;
            let sum = self.weigh(s, scores, &mut shares[n * PANELS..(n + 1) * PANELS], max);
            keep[n] = exp_of(s, old - *max);
            into.sum[from + n] = into.sum[from + n] * keep[n] + sum;
        }
        let sums = &mut into.values[from * self.width..(from + N) * self.width];
        let mut element = 0;
        while self.width - element >= 4 * LANES {
            self.add::<S, N, 4>(s, shares.as_flattened(), keep, element, sums);
            element += 4 * LANES;
        }
        while element < self.width {
            self.add::<S, N, 1>(s, shares.as_flattened(), keep, element, sums);
            element += LANES;
        }
        N
    }

    /// Products of `N` queries with the keys that are seen and some beside them, each summed in
    /// ascending order of elements.
    #[inline(always)]
    fn dot<S: Simd, const N: usize>(&self, s: S, q: &[f32], out: &mut [[f32; PANEL]]) {
        let dim = self.head_dim;
        let (rows, _) = self.keys.as_chunks::<PANEL>();
        // Two panels at a time: enough chains to hide the latency, few enough registers.
        for pair in 0..PANELS / 2 {
            let positions = 2 * pair * PANEL..2 * (pair + 1) * PANEL;
            if overlap(&positions, &self.seen).is_empty() {
                continue;
            }
            let low = &rows[2 * pair * dim..][..dim];
            let high = &rows[(2 * pair + 1) * dim..][..dim];
            let mut sums = [[s.splat(0.0); 2]; N];
            for d in 0..dim {
                let (a, b) = (T::load16(s, &low[d]), T::load16(s, &high[d]));
                for n in 0..N {
                    let x = s.splat(q[n * dim + d]);
                    sums[n][0] = s.fma(a, x, sums[n][0]);
                    sums[n][1] = s.fma(b, x, sums[n][1]);
                }
            }
            for n in 0..N {
                for half in 0..2 {
                    s.store(sums[n][half], &mut out[n * PANELS + 2 * pair + half]);
                }
            }
        }
    }

    /// Turns products into `e^(score - max)`, zero where not seen; raises `max`, gives their sum.
    #[inline(always)]
    fn weigh<S: Simd>(
        &self,
        s: S,
        scores: Scores,
        shares: &mut [[f32; PANEL]],
        max: &mut f32,
    ) -> f32 {
        let scale = s.splat(scores.scale);
        for panel in shares.iter_mut() {
            let mut x = s.mul(s.load(panel), scale);
            if let Some(cap) = scores.soft_cap {
                let cap = s.splat(cap);
                x = s.mul(cap, tanh(s, s.div(x, cap)));
            }
            s.store(x, panel);
        }
        if self.seen != (0..PAGE) {
            let flat = shares.as_flattened_mut();
            flat[..self.seen.start].fill(f32::NEG_INFINITY);
            flat[self.seen.end..].fill(f32::NEG_INFINITY);
        }
        // A NaN never becomes the maximum, but its own share is NaN.
        let mut most = s.splat(*max);
        for panel in shares.iter() {
            most = s.max(s.load(panel), most);
        }
        *max = s.max_lane(most);
        let most = s.splat(*max);
        let mut sum = s.splat(0.0);
        for panel in shares.iter_mut() {
            let share = exp(s, s.sub(s.load(panel), most));
            s.store(share, panel);
            sum = s.add(sum, share);
        }
        s.sum(sum)
    }

    /// `sums = sums · keep + Σ share · value` for 16 · `E` elements from `element` on.
    #[inline(always)]
    fn add<S: Simd, const N: usize, const E: usize>(
        &self,
        s: S,
        shares: &[f32],
        keep: [f32; N],
        element: usize,
        sums: &mut [f32],
    ) {
        let mut acc = [[s.splat(0.0); E]; N];
        for n in 0..N {
            for e in 0..E {
                let old = &sums[n * self.width..(n + 1) * self.width][element + e * LANES..];
                acc[n][e] = s.mul(load_some(s, old), s.splat(keep[n]));
            }
        }
        for position in self.seen.clone() {
            let row = &self.values[position * self.width..(position + 1) * self.width][element..];
            for e in 0..E {
                let value = stored_some(s, &row[e * LANES..]);
                for n in 0..N {
                    acc[n][e] = s.fma(s.splat(shares[n * PAGE + position]), value, acc[n][e]);
                }
            }
        }
        for n in 0..N {
            for e in 0..E {
                let out = &mut sums[n * self.width..(n + 1) * self.width][element + e * LANES..];
                if let Some(out) = out.first_chunk_mut() {
                    s.store(acc[n][e], out);
                } else {
                    let mut last = [0.0; LANES];
                    s.store(acc[n][e], &mut last);
                    out.copy_from_slice(&last[..out.len()]);
                }
            }
        }
    }
}

/// The first sixteen numbers, or fewer with zeros behind them.
#[inline(always)]
fn load_some<S: Simd>(s: S, from: &[f32]) -> S::F {
    if let Some(whole) = from.first_chunk() {
        return s.load(whole);
    }
    let mut last = [0.0; LANES];
    last[..from.len()].copy_from_slice(from);
    s.load(&last)
}

/// The first sixteen stored numbers, or fewer with zeros behind them.
#[inline(always)]
fn stored_some<S: Simd, T: Stored>(s: S, from: &[T]) -> S::F {
    if let Some(whole) = from.first_chunk() {
        return T::load16(s, whole);
    }
    let mut last = [T::ZERO; LANES];
    last[..from.len()].copy_from_slice(from);
    T::load16(s, &last)
}

#[cfg(test)]
mod tests;
