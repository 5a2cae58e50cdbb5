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
use crate::norm::tree;
use core::ops::Range;
use tensor::F16;

/// Positions of a page.
pub const PAGE: usize = 64;

/// Positions of a segment: the unit that threads share out.
pub const SEGMENT: usize = 512;

/// Positions of a panel of keys.
const PANEL: usize = 16;

/// A number that keys and values are stored as.
pub trait Stored: Copy + Send + Sync + 'static {
    /// The value, exactly.
    fn load(self) -> f32;

    /// The nearest stored number.
    fn store(value: f32) -> Self;
}

impl Stored for f32 {
    #[inline(always)]
    fn load(self) -> f32 {
        self
    }

    #[inline(always)]
    fn store(value: f32) -> Self {
        value
    }
}

impl Stored for F16 {
    #[inline(always)]
    fn load(self) -> f32 {
        self.to_f32()
    }

    #[inline(always)]
    fn store(value: f32) -> Self {
        Self::from_f32(value)
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

/// Stores the key of `position` in a head's keys.
///
/// # Panics
/// If the position lies beyond the pages.
pub fn store_key<T: Stored>(keys: &mut [T], position: usize, key: &[f32]) {
    let panel = position / PANEL * PANEL * key.len();
    let (rows, _) = keys[panel..][..PANEL * key.len()].as_chunks_mut::<PANEL>();
    for (row, value) in rows.iter_mut().zip(key) {
        row[position % PANEL] = T::store(*value);
    }
}

/// Stores the value of `position` in a head's values.
///
/// # Panics
/// If the position lies beyond the pages.
pub fn store_value<T: Stored>(values: &mut [T], position: usize, value: &[f32]) {
    let row = &mut values[position * value.len()..][..value.len()];
    for (out, value) in row.iter_mut().zip(value) {
        *out = T::store(*value);
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
    pub fn merge(&mut self, later: &Partial<'_>) {
        let width = self.values.len() / self.max.len();
        for query in 0..self.max.len() {
            let (old, new) = (self.max[query], later.max[query]);
            // Exact zeros: a query that saw nothing there.
            if later.sum[query] == 0.0 {
                continue;
            }
            let max = if new > old { new } else { old };
            let (keep, add) = (exp(old - max), exp(new - max));
            self.max[query] = max;
            self.sum[query] = later.sum[query].mul_add(add, self.sum[query] * keep);
            let values = &mut self.values[query * width..][..width];
            for (value, later) in values.iter_mut().zip(&later.values[query * width..]) {
                *value = later.mul_add(add, *value * keep);
            }
        }
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

/// Adds the positions `seen`, all within one page, to the sums of all `queries`.
///
/// `queries`: `[n, head_dim]`; `seen`: absolute positions that every one of them may see;
/// `shares`: scratch of `n * 64` numbers.
///
/// # Panics
/// If the sizes disagree, or `seen` is empty or crosses a page.
pub fn page<T: Stored>(
    scores: Scores,
    head: &Head<'_, T>,
    queries: &[f32],
    seen: Range<usize>,
    shares: &mut [f32],
    into: &mut Partial<'_>,
) {
    let (head_dim, v_head_dim) = (head.head_dim, head.v_head_dim);
    let at = seen.start / PAGE;
    assert!(seen.start < seen.end && (seen.end - 1) / PAGE == at, "{seen:?} within one page");
    let keys = &head.keys[at * PAGE * head_dim..][..PAGE * head_dim];
    let values = &head.values[at * PAGE * v_head_dim..][..PAGE * v_head_dim];
    let seen = seen.start - at * PAGE..seen.end - at * PAGE;
    for (n, query) in queries.chunks_exact(head_dim).enumerate() {
        let (shares, _) = shares[n * PAGE..][..PAGE].as_chunks_mut::<PANEL>();
        dot(keys, query, shares);
        let max = weigh(scores, shares, &seen, into.max[n]);
        let keep = exp(into.max[n] - max);
        into.max[n] = max;
        let mut lanes = shares[0];
        for panel in &shares[1..] {
            for (lane, share) in lanes.iter_mut().zip(panel) {
                *lane += share;
            }
        }
        into.sum[n] = into.sum[n] * keep + tree(lanes);
        let out = &mut into.values[n * v_head_dim..][..v_head_dim];
        for value in out.iter_mut() {
            *value *= keep;
        }
        for position in seen.clone() {
            let share = shares[position / PANEL][position % PANEL];
            let value = &values[position * v_head_dim..][..v_head_dim];
            for (out, value) in out.iter_mut().zip(value) {
                *out = share.mul_add(value.load(), *out);
            }
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
    scores: Scores,
    head: &Head<'_, T>,
    queries: &Queries<'_>,
    segments: Range<usize>,
    scratch: &mut [f32],
    total: &mut Partial<'_>,
) {
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
            if overlap(&positions, &every) == seen {
                page(scores, head, queries.elements, seen, shares, &mut partial);
                continue;
            }
            for (token, query) in queries.elements.chunks_exact(width).enumerate() {
                let seen = overlap(&positions, &queries.sight.from(queries.first + token));
                if !seen.is_empty() {
                    let mut own = partial.part(token * queries.group, queries.group);
                    page(scores, head, query, seen, shares, &mut own);
                }
            }
        }
        total.merge(&partial);
    }
}

/// What two ranges have in common.
fn overlap(a: &Range<usize>, b: &Range<usize>) -> Range<usize> {
    let start = a.start.max(b.start);
    start..a.end.min(b.end).max(start)
}

/// Products of a query with the 64 keys of a page, each summed in ascending order of elements.
fn dot<T: Stored>(keys: &[T], query: &[f32], out: &mut [[f32; PANEL]]) {
    for (panel, out) in keys.chunks_exact(PANEL * query.len()).zip(out) {
        let mut sums = [0.0f32; PANEL];
        for (row, q) in panel.as_chunks::<PANEL>().0.iter().zip(query) {
            for (sum, key) in sums.iter_mut().zip(row) {
                *sum = key.load().mul_add(*q, *sum);
            }
        }
        *out = sums;
    }
}

/// Turns products into `e^(score - max)`, zero where not seen; gives the new maximum.
fn weigh(scores: Scores, shares: &mut [[f32; PANEL]], seen: &Range<usize>, mut max: f32) -> f32 {
    let shares = shares.as_flattened_mut();
    for score in &mut shares[seen.clone()] {
        *score *= scores.scale;
        if let Some(cap) = scores.soft_cap {
            *score = cap * tanh(*score / cap);
        }
        // A NaN never becomes the maximum, but its own share is NaN.
        max = if *score > max { *score } else { max };
    }
    for (position, share) in shares.iter_mut().enumerate() {
        *share = if seen.contains(&position) { exp(*share - max) } else { 0.0 };
    }
    max
}

#[cfg(test)]
mod tests;
