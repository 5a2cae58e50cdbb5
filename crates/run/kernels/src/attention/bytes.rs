//! Attention over keys and values in bytes, with integer products.
//!
//! A page of 64 positions is one record: keys, `[4 panels][head_dim/4][16 positions][4]` bytes plus
//! 128; their scales, `[head_dim/32][64]` halves; values, `[v_head_dim/16][16][16 elements][4
//! positions]` bytes plus 128; their scales, `[64]` halves; both dimensions rounded up to 16. So
//! keys have a scale for each 32 elements, and queries are quantised likewise (outliers among
//! rotated elements are common); values have one for all, which makes a position's scale a factor of
//! its share. The shares of a page, times those scales, become 14-bit integers with one scale: two
//! planes of 7 bits, so that their rounding (2^-15 of the page's largest) is far below that of the
//! values.
//!
//! Promise: that of [`attention`](super). Segments begin with a maximum of their own, sums across
//! the positions of a page are of integers, hence exact, and pages add up in ascending order. Each
//! tile of up to eight queries reads a segment once. Follows Milakov and Gimelshein 2018 for the
//! softmax, and GGUF's Q8_0 for the scales of keys.

use super::{PAGE, PANEL, PANELS};
use super::{Partial, Queries, SEGMENT, Scores, merge, overlap};
use crate::exp::{share, tanh};
use crate::isa::{Isa, Kernel, LANES, Simd, UpTo};
use core::ops::Range;
use tensor::F16;
use tensor::cast::{from_bytes_mut, to_bytes_mut};

/// Elements are stored in groups of this many.
const GROUP: usize = 16;

/// Elements of a key, and of a query, that share a scale.
const BLOCK: usize = 32;

/// Pages of a segment.
const PAGES: usize = SEGMENT / PAGE;

/// The most queries of a tile.
const TILE_MAX: usize = 8;

/// The largest share as an integer: two planes of seven bits.
const SHARE_MAX: f32 = 16383.0;

/// The bytes of weights: any.
type Any = UpTo<255>;

/// Bytes of a page of 64 positions of one head, a multiple of 64.
pub const fn page_bytes(head_dim: usize, v_head_dim: usize) -> usize {
    let scales = head_dim.div_ceil(BLOCK) + 1;
    element_bytes(head_dim) + element_bytes(v_head_dim) + 2 * PAGE * scales
}

/// Bytes of the elements of a page's keys, or values.
const fn element_bytes(dim: usize) -> usize {
    PAGE * dim.next_multiple_of(GROUP)
}

/// Keys and values of one head.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// Pages, each of [`page_bytes`].
    pub pages: &'a [u8],
    /// Elements of a key.
    pub head_dim: usize,
    /// Elements of a value.
    pub v_head_dim: usize,
}

/// Stores the key and the value of `position` in a head's pages.
///
/// A key or value with an infinite or NaN element becomes zeros with that scale.
///
/// # Panics
/// If the position lies beyond the pages.
pub fn store(isa: Isa, pages: &mut [u8], position: usize, key: &[f32], value: &[f32]) {
    isa.run(Store { pages, position, key, value });
}

/// Arguments of [`store`].
struct Store<'a> {
    pages: &'a mut [u8],
    position: usize,
    key: &'a [f32],
    value: &'a [f32],
}

impl Kernel for Store<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { pages, position, key, value } = self;
        let bytes = page_bytes(key.len(), value.len());
        let page = &mut pages[position / PAGE * bytes..][..bytes];
        let (at, lane) = (position % PAGE, position % PANEL);
        let (keys, rest) = page.split_at_mut(element_bytes(key.len()));
        let (key_scales, rest) = rest.split_at_mut(2 * PAGE * key.len().div_ceil(BLOCK));
        let (values, value_scales) = rest.split_at_mut(element_bytes(value.len()));
        let panel = keys.len() / PANELS;
        let keys = &mut keys[at / PANEL * panel..][..panel];
        for (block, row) in key.chunks(BLOCK).enumerate() {
            let (scale, inverse) = scale_of(s, row);
            let scales = &mut key_scales[2 * PAGE * block..];
            scales[2 * at..2 * at + 2].copy_from_slice(&F16::from_f32(scale).to_le_bytes());
            for (group, some) in row.chunks(GROUP).enumerate() {
                let quants = quants(s, some, inverse);
                for (quad, four) in quants.as_chunks::<4>().0.iter().enumerate() {
                    let chunk = 8 * block + 4 * group + quad;
                    keys[64 * chunk + 4 * lane..][..4].copy_from_slice(four);
                }
            }
        }
        let (scale, inverse) = scale_of(s, value);
        value_scales[2 * at..2 * at + 2].copy_from_slice(&F16::from_f32(scale).to_le_bytes());
        for (group, some) in value.chunks(GROUP).enumerate() {
            let quants = quants(s, some, inverse);
            let chunk = &mut values[group * PAGE * GROUP + at / 4 * 64..][..64];
            for (element, quant) in quants.iter().enumerate() {
                chunk[4 * element + at % 4] = *quant;
            }
        }
    }
}

/// The scale of a row, and its inverse, zero where there is none.
#[inline(always)]
fn scale_of<S: Simd>(s: S, row: &[f32]) -> (f32, f32) {
    let magnitude = s.splat_i(i32::MAX);
    let mut most = s.splat_i(0);
    for some in row.chunks(GROUP) {
        most = s.max_i(most, s.and_i(s.bits(super::load_some(s, some)), magnitude));
    }
    // The integer order of bit patterns is that of magnitudes, with infinity and NaN on top.
    let most = f32::from_bits(s.max_lane_i(most).cast_unsigned());
    let (scale, inverse) = (most / 127.0, 127.0 / most);
    (scale, if most < f32::INFINITY && inverse < f32::INFINITY { inverse } else { 0.0 })
}

/// Up to sixteen quants plus 128.
#[inline(always)]
fn quants<S: Simd>(s: S, some: &[f32], inverse: f32) -> [u8; GROUP] {
    let mut out = [0; GROUP];
    // A NaN times zero is NaN: without an inverse all quants are zero.
    if inverse > 0.0 {
        s.store_i8(s.round_to_i(s.mul(super::load_some(s, some), s.splat(inverse))), &mut out);
    }
    for quant in &mut out {
        *quant ^= 0x80;
    }
    out
}

/// Numbers of scratch that [`attend`] needs for so many queries.
pub const fn scratch_len(queries: usize, head_dim: usize, v_head_dim: usize) -> usize {
    // Quants, a scale and a term a block; a tile's shares, as numbers and as two planes.
    queries * head_dim.div_ceil(BLOCK) * (BLOCK / 4 + 2)
        + TILE_MAX * (SEGMENT + SEGMENT / 2)
        + Partial::len(queries, v_head_dim)
}

/// Adds the positions of `segments` to the sums of all queries, segment by segment.
///
/// `segments`: numbers of segments; `scratch`: [`scratch_len`] numbers.
///
/// # Panics
/// If the sizes disagree.
pub fn attend(
    isa: Isa,
    scores: Scores,
    head: &Head<'_>,
    queries: &Queries<'_>,
    segments: Range<usize>,
    scratch: &mut [f32],
    total: &mut Partial<'_>,
) {
    isa.run(Attend { scores, head, queries, segments, scratch, total });
}

/// Arguments of [`attend`].
struct Attend<'a, 'b, 'c> {
    scores: Scores,
    head: &'a Head<'b>,
    queries: &'a Queries<'b>,
    segments: Range<usize>,
    scratch: &'a mut [f32],
    total: &'a mut Partial<'c>,
}

/// How many of `left` queries the next tile takes.
#[inline(always)]
fn width<S: Simd>(left: usize) -> usize {
    let most = if S::TILE < TILE_MAX { S::TILE } else { TILE_MAX };
    if most >= 8 && left >= 8 {
        8
    } else if most >= 4 && left >= 4 {
        4
    } else if most >= 4 && left == 3 {
        3
    } else if most >= 2 && left >= 2 {
        2
    } else {
        1
    }
}

impl Kernel for Attend<'_, '_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { scores, head, queries, segments, scratch, total } = self;
        let count = total.max.len();
        let blocks_each = head.head_dim.div_ceil(BLOCK);
        let (quants, rest) = scratch.split_at_mut(count * blocks_each * BLOCK / 4);
        let (scales, rest) = rest.split_at_mut(count * blocks_each);
        let (terms, rest) = rest.split_at_mut(count * blocks_each);
        let (shares, rest) = rest.split_at_mut(TILE_MAX * SEGMENT);
        let (planes, rest) = rest.split_at_mut(TILE_MAX * SEGMENT / 2);
        let terms = from_bytes_mut::<i32>(to_bytes_mut(terms)).expect("as large as an f32");
        let (quants, _) = to_bytes_mut(quants).as_chunks_mut::<BLOCK>();
        let (shares, _) = shares.as_chunks_mut::<PANEL>();
        let (planes, _) = to_bytes_mut(planes).as_chunks_mut::<32>();
        let mut first = 0;
        while first < count {
            let n = width::<S>(count - first);
            let elements = &queries.elements[first * head.head_dim..][..n * head.head_dim];
            for (i, row) in elements.chunks_exact(head.head_dim).enumerate() {
                for (block, row) in row.chunks(BLOCK).enumerate() {
                    let at = first * blocks_each + block * n + i;
                    let (scale, sum) = quantise(s, row, &mut quants[at]);
                    scales[at] = scale * scores.scale;
                    terms[at] = if S::CENTERED { 0 } else { -128 * sum };
                }
            }
            first += n;
        }
        for segment in segments {
            let mut partial = Partial::of(rest, count, head.v_head_dim);
            partial.clear();
            let mut first = 0;
            while first < count {
                let n = width::<S>(count - first);
                let token = |query: usize| queries.first + query / queries.group;
                let begin = queries.sight.from(token(first)).start;
                let end = queries.sight.from(token(first + n - 1)).end;
                let segment = segment * SEGMENT..(segment + 1) * SEGMENT;
                let seen = overlap(&segment, &(begin..end.max(begin)));
                if !seen.is_empty() {
                    let own = first * blocks_each..(first + n) * blocks_each;
                    let mut tile = Tile {
                        head,
                        soft_cap: scores.soft_cap,
                        queries,
                        pages: seen.start / PAGE..seen.end.div_ceil(PAGE),
                        seen,
                        first,
                        quants: &quants[own.clone()],
                        scales: &scales[own.clone()],
                        terms: &terms[own],
                        shares,
                        planes,
                        parts: [[Part::default(); TILE_MAX]; PAGES],
                        into: partial.part(first, n),
                    };
                    match n {
                        8 if S::TILE >= 8 => tile.add::<S, 8, 16, 1, 1>(s),
                        4 if S::TILE >= 8 => tile.add::<S, 4, 8, 2, 2>(s),
                        3 if S::TILE >= 8 => tile.add::<S, 3, 6, 2, 2>(s),
                        2 if S::TILE >= 8 => tile.add::<S, 2, 4, 4, 4>(s),
                        1 if S::TILE >= 8 => tile.add::<S, 1, 2, 4, 4>(s),
                        4 if S::TILE >= 4 => tile.add::<S, 4, 8, 1, 1>(s),
                        3 if S::TILE >= 4 => tile.add::<S, 3, 6, 1, 1>(s),
                        2 if S::TILE >= 2 => tile.add::<S, 2, 4, 1, 1>(s),
                        _ => tile.add::<S, 1, 2, 1, 1>(s),
                    }
                }
                first += n;
            }
            merge(s, total, &partial);
        }
    }
}

/// Quantises a block of a query; gives its scale and its quants' sum.
#[inline(always)]
fn quantise<S: Simd>(s: S, row: &[f32], out: &mut [u8; BLOCK]) -> (f32, i32) {
    let (scale, inverse) = scale_of(s, row);
    let mut sum = 0;
    *out = [0; BLOCK];
    for (out, some) in out.chunks_mut(GROUP).zip(row.chunks(GROUP)) {
        for (out, quant) in out.iter_mut().zip(quants(s, some, inverse)) {
            let quant = quant ^ 0x80;
            *out = quant;
            sum += i32::from(quant.cast_signed());
        }
    }
    (scale, sum)
}

/// What the integers of a page's shares stand for.
#[derive(Clone, Copy, Default)]
struct Part {
    /// The share that one stands for.
    scale: f32,
    /// What the zero point of the values adds to the products.
    term: i32,
}

/// Some queries and a segment of positions.
struct Tile<'a, 'b> {
    head: &'a Head<'b>,
    soft_cap: Option<f32>,
    queries: &'a Queries<'a>,
    /// Pages of which at least one query sees something, all of one segment.
    pages: Range<usize>,
    /// Positions from the first to the last that a query sees.
    seen: Range<usize>,
    /// The first query.
    first: usize,
    /// Quantised queries, `[blocks][N][32]`.
    quants: &'a [[u8; BLOCK]],
    /// Scale of each block, times that of all scores, `[blocks][N]`.
    scales: &'a [f32],
    /// What the zero point of the keys adds to each block's products, `[blocks][N]`.
    terms: &'a [i32],
    /// `[N][pages][4 panels][16]`.
    shares: &'a mut [[f32; PANEL]],
    /// Shares as integers, `[pages][2 halves of a page][2 planes: high, low][N][32]`.
    planes: &'a mut [[u8; 32]],
    parts: [[Part; TILE_MAX]; PAGES],
    into: Partial<'a>,
}

/// A page's record in parts.
#[derive(Clone, Copy)]
struct Page<'a> {
    keys: &'a [[u8; 64]],
    /// `[blocks][4 panels][16]` halves.
    key_scales: &'a [[u8; 32]],
    values: &'a [[u8; 64]],
    /// `[4 panels][16]` halves.
    value_scales: &'a [[u8; 32]],
}

/// Four chunks of weights.
#[inline(always)]
fn quad<S: Simd>(s: S, chunks: &[[u8; 64]]) -> [S::B; 4] {
    [s.load_b(&chunks[0]), s.load_b(&chunks[1]), s.load_b(&chunks[2]), s.load_b(&chunks[3])]
}

impl<'a> Head<'a> {
    /// Page number `at`.
    #[inline(always)]
    fn page(&self, at: usize) -> Page<'a> {
        let len = page_bytes(self.head_dim, self.v_head_dim);
        let (keys, rest) = self.pages[at * len..][..len].split_at(element_bytes(self.head_dim));
        let (key_scales, rest) = rest.split_at(2 * PAGE * self.head_dim.div_ceil(BLOCK));
        let (values, value_scales) = rest.split_at(element_bytes(self.v_head_dim));
        Page {
            keys: keys.as_chunks().0,
            key_scales: key_scales.as_chunks().0,
            values: values.as_chunks().0,
            value_scales: value_scales.as_chunks().0,
        }
    }
}

impl Tile<'_, '_> {
    /// Adds the segment to the sums of `N` queries, `P` panels of keys and `E` of values together;
    /// `M` is twice `N`.
    #[inline(always)]
    fn add<S: Simd, const N: usize, const M: usize, const P: usize, const E: usize>(
        &mut self,
        s: S,
    ) {
        for at in 0..self.pages.len() {
            let page = self.head.page(self.pages.start + at);
            // What the next steps read: the keys of the next page and the values of this one.
            let next = self.head.page((self.pages.start + at + 1).min(self.pages.end - 1)).keys;
            let mut panel = 0;
            while panel < PANELS {
                if self.first == 0 {
                    for lines in [next, page.values] {
                        let some = lines.len() * panel / PANELS..lines.len() * (panel + P) / PANELS;
                        for line in &lines[some] {
                            s.prefetch(&line[0], 0);
                        }
                    }
                }
                if self.sees(at, panel * PANEL..(panel + P) * PANEL) {
                    self.products::<S, N, P>(s, &page, at, panel);
                }
                panel += P;
            }
        }
        for n in 0..N {
            self.weigh::<S, N>(s, n);
        }
        let padded = self.head.v_head_dim.div_ceil(GROUP);
        let mut element = 0;
        while element + E <= padded {
            self.sums::<S, N, M, E>(s, element);
            element += E;
        }
        while element < padded {
            self.sums::<S, N, M, 1>(s, element);
            element += 1;
        }
    }

    /// Whether a query may see some of these positions of page `at`.
    #[inline(always)]
    fn sees(&self, at: usize, positions: Range<usize>) -> bool {
        let begin = (self.pages.start + at) * PAGE;
        !overlap(&(begin + positions.start..begin + positions.end), &self.seen).is_empty()
    }

    /// Scores of `N` queries with `P` panels of keys of page `at` of the segment.
    #[inline(always)]
    fn products<S: Simd, const N: usize, const P: usize>(
        &mut self,
        s: S,
        page: &Page<'_>,
        at: usize,
        panel: usize,
    ) {
        let per_panel = page.keys.len() / PANELS;
        let blocks = self.quants.len() / N;
        let mut scores = [[s.splat(0.0); N]; P];
        for block in 0..blocks {
            let x: &[[u8; BLOCK]; N] = self.quants[block * N..].first_chunk().expect("N queries");
            let terms: &[i32; N] = self.terms[block * N..].first_chunk().expect("N queries");
            let factors: &[f32; N] = self.scales[block * N..].first_chunk().expect("N queries");
            for p in 0..P {
                let keys = &page.keys[(panel + p) * per_panel..(panel + p + 1) * per_panel];
                let keys = &keys[8 * block..];
                let mut acc = [s.splat_i(0); N];
                for n in 0..N {
                    acc[n] = s.splat_i(terms[n]);
                }
                acc = if keys.len() >= 8 {
                    s.dot32::<N, Any>(acc, quad(s, keys), quad(s, &keys[4..]), x)
                } else {
                    s.dot16::<N, Any>(acc, quad(s, keys), x, 0)
                };
                let scale = s.load_f16(&page.key_scales[block * PANELS + panel + p]);
                for n in 0..N {
                    let factor = s.mul(scale, s.splat(factors[n]));
                    scores[p][n] = s.fma(s.to_f(acc[n]), factor, scores[p][n]);
                }
            }
        }
        for p in 0..P {
            for n in 0..N {
                s.store(scores[p][n], &mut self.shares[PANELS * (PAGES * n + at) + panel + p]);
            }
        }
    }

    /// Turns the scores of query `n` of `N` into shares and those into integers.
    #[inline(always)]
    fn weigh<S: Simd, const N: usize>(&mut self, s: S, n: usize) {
        let begin = self.pages.start * PAGE;
        let pages = self.pages.len();
        let token = self.queries.first + (self.first + n) / self.queries.group;
        let seen = overlap(&self.queries.sight.from(token), &(begin..begin + pages * PAGE));
        // Relative to the pages; a tile's queries need not all see something of them.
        let seen = if seen.is_empty() { 0..0 } else { seen.start - begin..seen.end - begin };
        let shares = &mut self.shares[PANELS * PAGES * n..][..PANELS * pages];
        if let Some(cap) = self.soft_cap {
            let cap = s.splat(cap);
            for panel in shares.iter_mut() {
                let x = s.mul(cap, tanh(s, s.div(s.load(panel), cap)));
                s.store(x, panel);
            }
        }
        let flat = shares.as_flattened_mut();
        flat[..seen.start].fill(f32::NEG_INFINITY);
        flat[seen.end..].fill(f32::NEG_INFINITY);
        let mut most = [s.splat(f32::NEG_INFINITY); PANELS];
        // A NaN never becomes the maximum, but its own share is NaN.
        for page in shares.as_chunks::<PANELS>().0 {
            for p in 0..PANELS {
                most[p] = s.max(s.load(&page[p]), most[p]);
            }
        }
        let most = s.max_lane(s.max(s.max(most[0], most[1]), s.max(most[2], most[3])));
        self.into.max[n] = most;
        // Where nothing has been seen, nothing has a share.
        let most = s.splat(if most == f32::NEG_INFINITY { 0.0 } else { most });
        let mut sums = [s.splat(0.0); PANELS];
        for (at, page) in shares.as_chunks_mut::<PANELS>().0.iter_mut().enumerate() {
            let whole = seen.start <= at * PAGE && (at + 1) * PAGE <= seen.end;
            let scales = self.head.page(self.pages.start + at).value_scales;
            let mut weighed = [s.splat(0.0); PANELS];
            for p in 0..PANELS {
                let share = share(s, s.sub(s.load(&page[p]), most));
                sums[p] = s.add(sums[p], share);
                weighed[p] = s.mul(share, s.load_f16(&scales[p]));
            }
            if !whole {
                // What is not seen may have any scale.
                for p in 0..PANELS {
                    s.store(weighed[p], &mut page[p]);
                }
                let flat = page.as_flattened_mut();
                let seen = overlap(&seen, &(at * PAGE..(at + 1) * PAGE));
                flat[..seen.start.saturating_sub(at * PAGE).min(PAGE)].fill(0.0);
                flat[seen.end.saturating_sub(at * PAGE).min(PAGE)..].fill(0.0);
                for p in 0..PANELS {
                    weighed[p] = s.load(&page[p]);
                }
            }
            // None is negative: bit patterns have the order of the numbers, with NaN on top.
            let largest = [
                s.max_i(s.bits(weighed[0]), s.bits(weighed[1])),
                s.max_i(s.bits(weighed[2]), s.bits(weighed[3])),
            ];
            let largest = s.max_lane_i(s.max_i(largest[0], largest[1]));
            let largest = f32::from_bits(largest.cast_unsigned());
            let inverse = SHARE_MAX / largest;
            let scale = if !largest.is_finite() {
                f32::NAN
            } else if inverse < f32::INFINITY {
                largest / SHARE_MAX
            } else {
                0.0
            };
            let inverse = s.splat(if scale > 0.0 { inverse } else { 0.0 });
            let mut total = s.splat_i(0);
            for p in 0..PANELS {
                let share = s.round_to_i(s.mul(weighed[p], inverse));
                total = s.add_i(total, share);
                let (high, low) = (s.shr_i(share, 7), s.and_i(share, s.splat_i(127)));
                for (plane, part) in [high, low].into_iter().enumerate() {
                    let row = &mut self.planes[((2 * at + p / 2) * 2 + plane) * N + n];
                    s.store_i8(part, &mut row.as_chunks_mut().0[p % 2]);
                }
            }
            let term = if S::CENTERED { 0 } else { s.sum_i(total).wrapping_mul(-128) };
            self.parts[at][n] = Part { scale, term };
        }
        let sum = s.add(s.add(sums[0], sums[1]), s.add(sums[2], sums[3]));
        self.into.sum[n] = s.sum(sum);
    }

    /// `sums = Σ share · value` for 16 · `E` elements.
    #[inline(always)]
    fn sums<S: Simd, const N: usize, const M: usize, const E: usize>(
        &mut self,
        s: S,
        element: usize,
    ) {
        let mut sums = [[s.splat(0.0); N]; E];
        for at in 0..self.pages.len() {
            let page = self.head.page(self.pages.start + at);
            let mut acc = [[s.splat_i(0); M]; E];
            for half in 0..2 {
                // All shares there are zero.
                if !self.sees(at, half * PAGE / 2..(half + 1) * PAGE / 2) {
                    continue;
                }
                let x = &self.planes[(2 * at + half) * M..];
                let x: &[[u8; 32]; M] = x.first_chunk().expect("two a query");
                for e in 0..E {
                    let values = &page.values[(element + e) * PAGE / 4 + 8 * half..][..8];
                    acc[e] = s.dot32::<M, Any>(acc[e], quad(s, values), quad(s, &values[4..]), x);
                }
            }
            for n in 0..N {
                let Part { scale, term } = self.parts[at][n];
                for e in 0..E {
                    let sum = s.add_i(s.shl_i(acc[e][n], 7), acc[e][N + n]);
                    let sum = s.to_f(s.add_i(sum, s.splat_i(term)));
                    sums[e][n] = s.fma(sum, s.splat(scale), sums[e][n]);
                }
            }
        }
        let v_head_dim = self.head.v_head_dim;
        for n in 0..N {
            let row = &mut self.into.values[n * v_head_dim..(n + 1) * v_head_dim];
            for e in 0..E {
                let out = &mut row[(element + e) * LANES..];
                if let Some(out) = out.first_chunk_mut() {
                    s.store(sums[e][n], out);
                } else {
                    let mut last = [0.0; LANES];
                    s.store(sums[e][n], &mut last);
                    out.copy_from_slice(&last[..out.len()]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
