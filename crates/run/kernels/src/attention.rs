//! Attention over keys and values in pages of 64 positions, with an online softmax.
//!
//! Keys of a page lie in 4 panels of 16 positions (`[panel][head_dim][16]`), values position by
//! position (`[64][v_head_dim]`); so a lane is a position for scores and an element for sums, and
//! nothing is added across lanes but the shares of a page, in a fixed tree.
//!
//! Promise: pages begin at absolute multiples of 64 and segments at multiples of 512 positions; a
//! query visits its pages in ascending order, [`Partial`]s of segments are merged in ascending
//! order, and positions that it may not see are skipped. Hence a query's result has the same bits
//! however a prompt is cut and the work divided. Shares below 2^-64 of a page's largest or of an
//! earlier one count as nothing: sums that underflow are slow. Follows Milakov and Gimelshein 2018
//! for the softmax and Dao et al. 2022 for the blocks.

use crate::exp::{share, tanh};
use crate::isa::{Isa, Kernel, LANES, Scalar, Simd};
use core::ops::Range;
use tensor::F16;
use tensor::cast::{to_bytes, to_bytes_mut};

pub mod bytes;
mod page;

use page::{Page, Seen, Unpacked};

/// Positions of a page.
pub const PAGE: usize = 64;

/// Positions of a segment: the unit that threads share out.
pub const SEGMENT: usize = 512;

/// Queries up to which halves are widened as they are read.
const FEW: usize = 8;

/// Positions of a panel of keys.
const PANEL: usize = LANES;

/// Panels of a page.
const PANELS: usize = PAGE / PANEL;

/// A number that keys and values are stored as.
pub trait Stored: Copy + Send + Sync + 'static {
    /// Zero.
    const ZERO: Self;

    /// Whether it is a number as kernels compute with, so that nothing is gained by unpacking.
    const PLAIN: bool;

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
    const PLAIN: bool = true;

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
    const PLAIN: bool = false;

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

    /// The attention of query `query`: its values over its sum, to which a sink, the score of
    /// nothing, adds its share.
    pub fn finish(&self, query: usize, sink: Option<f32>, out: &mut [f32]) {
        let (mut sum, mut keep) = (self.sum[query], 1.0);
        if let Some(sink) = sink {
            let old = self.max[query];
            let max = if sink > old { sink } else { old };
            keep = share_of(Scalar, old - max);
            sum = sum * keep + share_of(Scalar, sink - max);
        }
        let values = &self.values[query * out.len()..];
        for (out, value) in out.iter_mut().zip(values) {
            *out = value * keep / sum;
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

impl Queries<'_> {
    /// Whether token `token` sees a position of page `at`.
    #[inline(always)]
    fn see(&self, token: usize, at: usize) -> bool {
        let seen = self.sight.from(self.first + token);
        !overlap(&seen, &(at * PAGE..(at + 1) * PAGE)).is_empty()
    }
}

/// Numbers of scratch that [`attend`] needs for so many queries.
pub const fn scratch_len(queries: usize, head_dim: usize, v_head_dim: usize) -> usize {
    Unpacked::len(head_dim, v_head_dim) + Partial::len(queries, v_head_dim)
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
        let (unpacked, rest) = scratch.split_at_mut(Unpacked::len(head.head_dim, head.v_head_dim));
        let mut unpacked = Unpacked::of(unpacked);
        for segment in segments {
            let mut partial = Partial::of(rest, tokens * queries.group, head.v_head_dim);
            partial.clear();
            for at in segment * SEGMENT / PAGE..(segment + 1) * SEGMENT / PAGE {
                // Tokens that see some of the page are neighbours.
                let (mut from, mut to) = (0, tokens);
                while from < to && !queries.see(from, at) {
                    from += 1;
                }
                while from < to && !queries.see(to - 1, at) {
                    to -= 1;
                }
                if from == to {
                    continue;
                }
                let page = Page::of(head, at);
                let (group, sight) = (queries.group, queries.sight);
                let seen = Seen { begin: at * PAGE, first: queries.first + from, group, sight };
                let elements = &queries.elements[from * width..to * width];
                let mut into = partial.part(from * group, (to - from) * group);
                // Halves are widened once for all tokens, where there are more than a few.
                if T::PLAIN || tokens * group <= FEW {
                    page.all(s, scores, elements, seen, &mut into);
                } else {
                    unpacked.fill(s, &page).all(s, scores, elements, seen, &mut into);
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

/// `e^x` of one number, as a share.
#[inline(always)]
fn share_of<S: Simd>(s: S, x: f32) -> f32 {
    let mut out = [0.0; LANES];
    s.store(share(s, s.splat(x)), &mut out);
    out[0]
}

/// Adds the sums of later positions.
#[inline(always)]
fn merge<S: Simd>(s: S, into: &mut Partial<'_>, later: &Partial<'_>) {
    let (count, width) = (into.max.len(), into.values.len() / into.max.len());
    for first in (0..count).step_by(LANES) {
        let last = count.min(first + LANES);
        let (mut max, mut keep, mut add) = ([0.0; LANES], [0.0; LANES], [0.0; LANES]);
        for query in first..last {
            let (old, new) = (into.max[query], later.max[query]);
            let most = if new > old { new } else { old };
            let i = query - first;
            (max[i], keep[i], add[i]) = (most, old - most, new - most);
        }
        s.store(share(s, s.load(&keep)), &mut keep);
        s.store(share(s, s.load(&add)), &mut add);
        for query in first..last {
            // An exact zero: a query that saw nothing there.
            if later.sum[query] == 0.0 {
                continue;
            }
            let (keep, add) = (keep[query - first], add[query - first]);
            into.max[query] = max[query - first];
            into.sum[query] = later.sum[query] * add + into.sum[query] * keep;
            let values = &mut into.values[query * width..][..width];
            for (value, later) in values.iter_mut().zip(&later.values[query * width..]) {
                *value = *later * add + *value * keep;
            }
        }
    }
}

/// What two ranges have in common.
#[inline(always)]
fn overlap(a: &Range<usize>, b: &Range<usize>) -> Range<usize> {
    let start = a.start.max(b.start);
    start..a.end.min(b.end).max(start)
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
