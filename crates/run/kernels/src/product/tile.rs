//! Fused micro-kernels: one panel times one tile of tokens, weights unpacked in registers.
//!
//! Sixteen rows by `N` tokens with all of k inside (Goto and van de Geijn 2008, with the panel as
//! the streamed operand): each chunk of weights is multiplied with all tokens of the tile while it
//! is in a register. For few tokens; many share weights that were unpacked beforehand (`dense`).
//! Both do the same operations in the same order. Bodies are stamped for each width of
//! [`TileWidths`](crate::acts::TileWidths) up to eight.

use core::marker::PhantomData;

use crate::{
    acts::{ANCHOR, ActKind, Terms},
    isa::{Bound, Isa, Kernel, LANES, Simd},
    panel::layout::{Blocks, Bytes, Numbers, SubScales, SuperBlocks, part},
};

/// What a micro-kernel multiplies.
#[derive(Debug)]
pub(super) struct Operands<'a> {
    /// Whole units of the panel.
    pub panel: &'a [u8],
    /// The tile's records for the same elements.
    pub tile: &'a [u8],
    /// The sums so far, `[width][16]`, which the products are added to.
    pub out: &'a mut [[f32; LANES]],
}

/// Stamps a kernel: for each width that a tile may have, the body made for it.
///
/// Operands come by reference: copies would be read in wider pieces than they were just written
/// in, which waits for the stores before.
macro_rules! tile_kernel {
    ($(#[$doc:meta])* $name:ident, $bound:ident, $body:ident) => {
        $(#[$doc])*
        pub(super) struct $name<'r, 'a, L>(&'r mut Operands<'a>, PhantomData<L>);

        impl<L: $bound> $name<'_, '_, L> {
            /// Multiplies on the instruction set `isa`.
            pub(super) fn eval(isa: Isa, operands: &mut Operands<'_>) {
                isa.run_dots($name::<L>(operands, PhantomData));
            }
        }

        impl<L: $bound> Kernel for $name<'_, '_, L> {
            type Output = ();

            #[inline(always)]
            fn run<S: Simd>(self, s: S) {
                let Operands { panel, tile, out } = self.0;
                match out.len() {
                    1 => $body::<S, L, 1>(s, panel, tile, array(out)),
                    2 if S::TILE >= 2 => $body::<S, L, 2>(s, panel, tile, array(out)),
                    4 if S::TILE >= 4 => $body::<S, L, 4>(s, panel, tile, array(out)),
                    8 if S::TILE >= 8 => $body::<S, L, 8>(s, panel, tile, array(out)),
                    width => unreachable!("no tile of few tokens has {width}"),
                }
            }
        }
    };
}

tile_kernel!(
    /// Blocks of 32 weights.
    BlockTile, Blocks, blocks
);
tile_kernel!(
    /// Super-blocks of 256 weights.
    SuperTile, SuperBlocks, super_blocks
);

/// Plain numbers, which are never unpacked beforehand and take tiles of any width.
pub(super) struct NumberTile<'r, 'a, L>(&'r mut Operands<'a>, PhantomData<L>);

impl<L: Numbers> NumberTile<'_, '_, L> {
    /// Multiplies on the instruction set `isa`.
    pub(super) fn eval(isa: Isa, operands: &mut Operands<'_>) {
        isa.run_dots(NumberTile::<L>(operands, PhantomData));
    }
}

impl<L: Numbers> Kernel for NumberTile<'_, '_, L> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Operands { panel, tile, out } = self.0;
        match out.len() {
            1 => numbers::<S, L, 1>(s, panel, tile, array(out)),
            2 if S::TILE >= 2 => numbers::<S, L, 2>(s, panel, tile, array(out)),
            4 if S::TILE >= 4 => numbers::<S, L, 4>(s, panel, tile, array(out)),
            8 if S::TILE >= 8 => numbers::<S, L, 8>(s, panel, tile, array(out)),
            12 if S::TILE >= 12 => numbers::<S, L, 12>(s, panel, tile, array(out)),
            width => unreachable!("no tile has {width} tokens"),
        }
    }
}

/// A tile's output as an array.
#[inline(always)]
fn array<const N: usize>(out: &mut [[f32; LANES]]) -> &mut [[f32; LANES]; N] {
    out.try_into().expect("the caller has matched the length")
}

/// The 32 quants of each token, from `at` on.
#[inline(always)]
pub(super) fn quants<const N: usize>(record: &[u8], at: usize) -> &[[u8; 32]; N] {
    record[at..].as_chunks().0.first_chunk().expect("a record has whole blocks of quants")
}

/// A word of a record as an integer.
#[inline(always)]
pub(super) fn word(record: &[u8], at: usize) -> i32 {
    i32::from_le_bytes(*record[at..].first_chunk().expect("words lie within a record"))
}

/// A word of a record as a number.
#[inline(always)]
pub(super) fn number(record: &[u8], at: usize) -> f32 {
    f32::from_bits(word(record, at).cast_unsigned())
}

/// Integer sums that begin at a plane of terms, or all at `start` where there is no such plane.
#[inline(always)]
pub(super) fn begin<S: Simd, const N: usize>(
    s: S,
    record: &[u8],
    plane: Option<usize>,
    start: i32,
) -> [S::I; N] {
    let mut acc = [s.splat_i(start); N];
    if let Some(at) = plane {
        for t in 0..N {
            acc[t] = s.splat_i(word(record, at + 4 * t));
        }
    }
    acc
}

/// Whether the set's dot product takes the zero point of these weights away itself.
#[inline(always)]
pub(super) fn centered<S: Simd, R: Bound>() -> bool {
    S::CENTERED && R::MAX >= 128
}

/// Bytes from a unit to the one that is asked for while it is multiplied. The hardware alone runs
/// too short where arithmetic is between the reads: of a Xeon's 36 GB/s two threads got 23 without,
/// 26 to 30 at 1 KiB, 36 at 4 KiB.
const AHEAD: usize = 4096;

/// Asks for the unit [`AHEAD`] of this one; panels follow each other, so its end is none.
#[inline(always)]
fn prefetch<S: Simd, U: Bytes>(s: S, unit: &U) {
    for i in (0..U::LEN).step_by(64) {
        s.prefetch(&unit.as_slice()[i], AHEAD);
    }
}

/// Asks for one of eight parts of it: of a long unit, all lines at once are more than a core can
/// wait for, and arithmetic then waits with them.
#[inline(always)]
fn prefetch_part<S: Simd, U: Bytes>(s: S, unit: &U, part: usize) {
    let lines = U::LEN / 64;
    for i in part * lines / 8..(part + 1) * lines / 8 {
        s.prefetch(&unit.as_slice()[64 * i], AHEAD);
    }
}

/// The sums so far.
#[inline(always)]
fn resume<S: Simd, const N: usize>(s: S, out: &[[f32; LANES]; N]) -> [S::F; N] {
    let mut sums = [s.splat(0.0); N];
    for t in 0..N {
        sums[t] = s.load(&out[t]);
    }
    sums
}

/// Writes the sums of all tokens.
#[inline(always)]
fn finish<S: Simd, const N: usize>(s: S, sums: [S::F; N], out: &mut [[f32; LANES]; N]) {
    for t in 0..N {
        s.store(sums[t], &mut out[t]);
    }
}

/// Blocks of 32, in pairs: one integer sum, one scale of weights, one of tokens.
#[inline(always)]
fn blocks<S: Simd, L: Blocks, const N: usize>(
    s: S,
    panel: &[u8],
    tile: &[u8],
    out: &mut [[f32; LANES]; N],
) {
    let record_bytes = N * ActKind::Q8(Terms::Sum).record_bytes();
    let mut f = resume(s, out);
    let units = L::Unit::split(panel);
    let count = units.len().min(tile.len() / (record_bytes * L::BLOCKS));
    for u in 0..count {
        prefetch(s, &units[u]);
        for b in 0..L::BLOCKS / 2 {
            let at = L::BLOCKS * u + 2 * b;
            let records = &tile[at * record_bytes..(at + 2) * record_bytes];
            let (first, second) = records.split_at(record_bytes);
            let unit = &units[u];
            let mut one = begin_block::<S, L, N>(s, first);
            // With eight tokens, two lots of sums leave too few registers for anything else:
            // measured 173 to 218 GMAC/s instead of 223 to 234.
            if S::PAIRED && (N < 8 || L::WHOLE) {
                let mut two = begin_block::<S, L, N>(s, second);
                one = half::<S, L, N, 0>(s, unit, 2 * b, first, one);
                two = half::<S, L, N, 0>(s, unit, 2 * b + 1, second, two);
                one = half::<S, L, N, 1>(s, unit, 2 * b, first, one);
                two = half::<S, L, N, 1>(s, unit, 2 * b + 1, second, two);
                f = fold::<S, L, N>(s, unit, 2 * b, first, one, f);
                f = fold::<S, L, N>(s, unit, 2 * b + 1, second, two, f);
            } else {
                one = half::<S, L, N, 0>(s, unit, 2 * b, first, one);
                one = half::<S, L, N, 1>(s, unit, 2 * b, first, one);
                f = fold::<S, L, N>(s, unit, 2 * b, first, one, f);
                let mut two = begin_block::<S, L, N>(s, second);
                two = half::<S, L, N, 0>(s, unit, 2 * b + 1, second, two);
                two = half::<S, L, N, 1>(s, unit, 2 * b + 1, second, two);
                f = fold::<S, L, N>(s, unit, 2 * b + 1, second, two, f);
            }
        }
    }
    finish(s, f, out);
}

/// The integer sums of a block at their start.
#[inline(always)]
fn begin_block<S: Simd, L: Blocks, const N: usize>(s: S, record: &[u8]) -> [S::I; N] {
    let plane = if L::MINIMUM || centered::<S, L::Range>() { None } else { Some(36 * N) };
    begin(s, record, plane, ANCHOR.to_bits().cast_signed())
}

/// Adds half of block `b` of the unit to its integer sums.
#[inline(always)]
fn half<S: Simd, L: Blocks, const N: usize, const HALF: usize>(
    s: S,
    unit: &L::Unit,
    b: usize,
    record: &[u8],
    acc: [S::I; N],
) -> [S::I; N] {
    s.dot16::<N, L::Range>(acc, L::quad::<S, HALF>(s, unit, b), quants(record, 0), HALF)
}

/// Adds the integer sums of block `b`, scaled, to the tokens' sums.
#[inline(always)]
fn fold<S: Simd, L: Blocks, const N: usize>(
    s: S,
    unit: &L::Unit,
    b: usize,
    record: &[u8],
    acc: [S::I; N],
    mut f: [S::F; N],
) -> [S::F; N] {
    let scale = L::scale(s, unit, b);
    let offset = s.mul(scale, s.splat(-ANCHOR));
    for t in 0..N {
        let dot = s.anchored(acc[t], scale, offset);
        f[t] = s.fma(dot, s.splat(number(record, 32 * N + 4 * t)), f[t]);
    }
    if L::MINIMUM {
        let minimum = L::minimum(s, unit, b);
        for t in 0..N {
            f[t] = s.fma(minimum, s.splat(number(record, 36 * N + 4 * t)), f[t]);
        }
    }
    f
}

/// Whether no integer sum of a sub-block of this record leaves 16 bits.
#[inline(always)]
pub(super) fn is_narrow<const N: usize>(record: &[u8], terms: Terms, limit: i32) -> bool {
    let mut narrow = true;
    if terms.has_peak() {
        for t in 0..N {
            narrow &= word(record, 260 * N + 4 * N * terms.per_256() + 4 * t) <= limit;
        }
    }
    narrow
}

/// The largest [peak](crate::acts) at which integer sums of sub-blocks fit in 16 bits.
pub(super) const fn narrow_limit<L: SuperBlocks>() -> i32 {
    let largest = match L::TERMS {
        Terms::Zero16(zero) => {
            let above = L::Range::MAX - zero as u32;
            if above > zero as u32 { above } else { zero as u32 }
        }
        Terms::Zero32(_) | Terms::Sum | Terms::Pairs32 | Terms::Pairs16 => L::Range::MAX,
    };
    (32767 / largest).cast_signed()
}

/// What the 32-element steps of a super-block share.
struct Step<'a, L: SuperBlocks> {
    unit: &'a L::Unit,
    record: &'a [u8],
    scales: &'a SubScales,
    narrow: bool,
}

/// `sums + acc · scale` in every token.
#[inline(always)]
pub(super) fn scaled<S: Simd, const N: usize>(
    s: S,
    mut sums: [S::I; N],
    acc: [S::I; N],
    scale: S::I,
    narrow: bool,
) -> [S::I; N] {
    if narrow {
        let factor = s.factor(scale);
        for t in 0..N {
            sums[t] = s.fold(sums[t], acc[t], factor);
        }
    } else {
        for t in 0..N {
            sums[t] = s.add_i(sums[t], s.mul_i(acc[t], scale));
        }
    }
    sums
}

/// Adds 32 elements, one sub-block or two, to the sums of integers times sub-block scales.
#[inline(always)]
fn step<S: Simd, L: SuperBlocks, const N: usize, const VARIANT: u32>(
    s: S,
    at: &Step<'_, L>,
    outer: usize,
    sums: [S::I; N],
) -> [S::I; N] {
    if VARIANT >= L::VARIANTS {
        return sums;
    }
    let b = L::VARIANTS as usize * outer + VARIANT as usize;
    prefetch_part(s, at.unit, b);
    let x = quants(at.record, 32 * N * b);
    let plane = super_plane::<S, L::Range, N>(L::TERMS, b);
    let first = L::quad::<S, VARIANT, 0>(s, at.unit, outer);
    let second = L::quad::<S, VARIANT, 1>(s, at.unit, outer);
    let acc = s.dot16::<N, L::Range>(begin(s, at.record, plane, 0), first, x, 0);
    if matches!(L::TERMS, Terms::Zero16(_) | Terms::Pairs16) {
        let scale = s.load_i8(part(at.scales, 32 * b));
        let sums = scaled(s, sums, acc, scale, at.narrow);
        let plane = plane.map(|at| at + 4 * N);
        let acc = s.dot16::<N, L::Range>(begin(s, at.record, plane, 0), second, x, 1);
        let scale = s.load_i8(part(at.scales, 32 * b + 16));
        scaled(s, sums, acc, scale, at.narrow)
    } else {
        let acc = s.dot16::<N, L::Range>(acc, second, x, 1);
        scaled(s, sums, acc, s.load_i8(part(at.scales, 16 * b)), at.narrow)
    }
}

/// Where in a record the terms of zero points for 32 elements begin, if sums begin at them.
#[inline(always)]
pub(super) fn super_plane<S: Simd, R: Bound, const N: usize>(
    terms: Terms,
    b: usize,
) -> Option<usize> {
    match terms {
        Terms::Zero16(_) if !centered::<S, R>() => Some(260 * N + 8 * N * b),
        Terms::Zero32(_) if !centered::<S, R>() => Some(260 * N + 4 * N * b),
        _ => None,
    }
}

/// Super-blocks of 256: integer sums by sub-block, small scales, one scale at the end.
#[inline(always)]
fn super_blocks<S: Simd, L: SuperBlocks, const N: usize>(
    s: S,
    panel: &[u8],
    tile: &[u8],
    out: &mut [[f32; LANES]; N],
) {
    let record_bytes = N * ActKind::Q8K(L::TERMS).record_bytes();
    let mut f = resume(s, out);
    let mut scales = [0; 256];
    let units = L::Unit::split(panel);
    let count = units.len().min(tile.len() / record_bytes);
    for u in 0..count {
        let (unit, record) = (&units[u], &tile[u * record_bytes..(u + 1) * record_bytes]);
        L::sub_scales(s, unit, &mut scales);
        let narrow = !matches!(L::TERMS, Terms::Zero32(_))
            && is_narrow::<N>(record, L::TERMS, narrow_limit::<L>());
        let at = Step::<L> { unit, record, scales: &scales, narrow };
        let mut sums = [s.splat_i(0); N];
        for outer in 0..8 / L::VARIANTS as usize {
            sums = step::<S, L, N, 0>(s, &at, outer, sums);
            sums = step::<S, L, N, 1>(s, &at, outer, sums);
            sums = step::<S, L, N, 2>(s, &at, outer, sums);
            sums = step::<S, L, N, 3>(s, &at, outer, sums);
            sums = step::<S, L, N, 4>(s, &at, outer, sums);
            sums = step::<S, L, N, 5>(s, &at, outer, sums);
            sums = step::<S, L, N, 6>(s, &at, outer, sums);
            sums = step::<S, L, N, 7>(s, &at, outer, sums);
        }
        let scale = L::scale(s, unit);
        if matches!(L::TERMS, Terms::Pairs16 | Terms::Pairs32) {
            let pairs = L::min_pairs(s, unit);
            f = fold_minimums(s, L::TERMS, record, sums, scale, &pairs, L::min_scale(s, unit), f);
        } else {
            f = fold_super(s, record, sums, scale, f);
        }
    }
    finish(s, f, out);
}

/// Adds a super-block's sums to the tokens' sums.
#[inline(always)]
pub(super) fn fold_super<S: Simd, const N: usize>(
    s: S,
    record: &[u8],
    sums: [S::I; N],
    scale: S::F,
    mut f: [S::F; N],
) -> [S::F; N] {
    for t in 0..N {
        let scale = s.mul(scale, s.splat(number(record, 256 * N + 4 * t)));
        f[t] = s.fma(s.to_f(sums[t]), scale, f[t]);
    }
    f
}

/// Adds a super-block's sums, less those of its minimums, to the tokens' sums.
#[inline(always)]
pub(super) fn fold_minimums<S: Simd, const N: usize>(
    s: S,
    terms: Terms,
    record: &[u8],
    sums: [S::I; N],
    scale: S::F,
    pairs: &[S::B; 8],
    min_scale: S::F,
    mut f: [S::F; N],
) -> [S::F; N] {
    let mut minimums = [s.splat_i(0); N];
    for p in 0..8 {
        if p < terms.per_256() {
            for t in 0..N {
                let sums = word(record, 260 * N + 4 * N * p + 4 * t);
                minimums[t] = s.dot_pairs(minimums[t], pairs[p], sums);
            }
        }
    }
    for t in 0..N {
        let product = s.fnma(s.to_f(minimums[t]), min_scale, s.mul(s.to_f(sums[t]), scale));
        f[t] = s.fma(product, s.splat(number(record, 256 * N + 4 * t)), f[t]);
    }
    f
}

/// Plain numbers.
#[inline(always)]
fn numbers<S: Simd, L: Numbers, const N: usize>(
    s: S,
    panel: &[u8],
    tile: &[u8],
    out: &mut [[f32; LANES]; N],
) {
    let mut f = resume(s, out);
    let units = L::Unit::split(panel);
    let record_bytes = 4 * N * L::BLOCKS;
    let count = units.len().min(tile.len() / record_bytes);
    for u in 0..count {
        let (unit, record) = (&units[u], &tile[u * record_bytes..(u + 1) * record_bytes]);
        prefetch(s, unit);
        for b in 0..L::BLOCKS {
            let weights = L::widen(s, unit, b);
            for t in 0..N {
                f[t] = s.fma(weights, s.splat(number(record, 4 * (N * b + t))), f[t]);
            }
        }
    }
    finish(s, f, out);
}
