//! Micro-kernels: one panel, or a slice of its k, times one tile of tokens.
//!
//! Sixteen rows by `N` tokens with all of k inside (Goto and van de Geijn 2008, with the panel as
//! the streamed operand): each chunk of weights is multiplied with all tokens of the tile while it
//! is in a register. *Fused*, weights are unpacked in registers; *dense*, they were unpacked to
//! bytes once for many tiles (`unpack`), and only scales are read from the panel. Both do the
//! same operations in the same order. Bodies are stamped for each width of
//! [`TileWidths`](crate::acts::TileWidths).

use core::marker::PhantomData;

use crate::{
    acts::{ActKind, Terms},
    isa::{Bound, Isa, Kernel, LANES, Simd},
    panel::layout::{Blocks, Bytes, Numbers, SubScales, SuperBlocks, part},
};

/// Chunks of sixteen rows by 32 elements, unpacked to a byte a weight, each in its cache line.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(super) struct DenseBlock(pub [[u8; 64]; 8]);

/// What a micro-kernel multiplies.
#[derive(Debug)]
pub(super) struct Operands<'a> {
    /// Whole units of the panel.
    pub panel: &'a [u8],
    /// Their weights as bytes, or nothing for unpacking them in registers. With weights, the tile
    /// has the set's full width.
    pub dense: Option<&'a [DenseBlock]>,
    /// The tile's records for the same elements.
    pub tile: &'a [u8],
    /// The sums so far, `[width][16]`, which the products are added to.
    pub out: &'a mut [[f32; LANES]],
}

/// Stamps a kernel: for each width that a tile may have, the bodies made for it.
macro_rules! tile_kernel {
    ($(#[$doc:meta])* $name:ident, $bound:ident, $body:ident) => {
        $(#[$doc])*
        pub(super) struct $name<'a, L>(Operands<'a>, PhantomData<L>);

        impl<L: $bound> $name<'_, L> {
            /// Multiplies on the instruction set `isa`.
            pub(super) fn eval(isa: Isa, operands: Operands<'_>) {
                isa.run($name::<L>(operands, PhantomData));
            }
        }

        impl<L: $bound> Kernel for $name<'_, L> {
            type Output = ();

            #[inline(always)]
            fn run<S: Simd>(self, s: S) {
                let Operands { panel, dense, tile, out } = self.0;
                let (fused, no) = (dense.is_none(), &[][..]);
                let weights = dense.unwrap_or(no);
                match out.len() {
                    1 if fused => $body::<S, L, 1, false>(s, panel, no, tile, array(out)),
                    2 if fused && S::TILE >= 2 => {
                        $body::<S, L, 2, false>(s, panel, no, tile, array(out));
                    }
                    4 if fused && S::TILE >= 4 => {
                        $body::<S, L, 4, false>(s, panel, no, tile, array(out));
                    }
                    8 if fused && S::TILE >= 8 => {
                        $body::<S, L, 8, false>(s, panel, no, tile, array(out));
                    }
                    1 if S::TILE == 1 => $body::<S, L, 1, true>(s, panel, weights, tile, array(out)),
                    2 if S::TILE == 2 => $body::<S, L, 2, true>(s, panel, weights, tile, array(out)),
                    4 if S::TILE == 4 => $body::<S, L, 4, true>(s, panel, weights, tile, array(out)),
                    8 if S::TILE == 8 => $body::<S, L, 8, true>(s, panel, weights, tile, array(out)),
                    width => unreachable!("no tile has {width} tokens"),
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

/// Plain numbers, which are never unpacked beforehand.
pub(super) struct NumberTile<'a, L>(Operands<'a>, PhantomData<L>);

impl<L: Numbers> NumberTile<'_, L> {
    /// Multiplies on the instruction set `isa`.
    pub(super) fn eval(isa: Isa, operands: Operands<'_>) {
        isa.run(NumberTile::<L>(operands, PhantomData));
    }
}

impl<L: Numbers> Kernel for NumberTile<'_, L> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Operands { panel, tile, out, .. } = self.0;
        match out.len() {
            1 => numbers::<S, L, 1>(s, panel, tile, array(out)),
            2 if S::TILE >= 2 => numbers::<S, L, 2>(s, panel, tile, array(out)),
            4 if S::TILE >= 4 => numbers::<S, L, 4>(s, panel, tile, array(out)),
            8 if S::TILE >= 8 => numbers::<S, L, 8>(s, panel, tile, array(out)),
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
fn quants<const N: usize>(record: &[u8], at: usize) -> &[[u8; 32]; N] {
    record[at..].as_chunks().0.first_chunk().expect("a record has whole blocks of quants")
}

/// A word of a record as an integer.
#[inline(always)]
fn word(record: &[u8], at: usize) -> i32 {
    i32::from_le_bytes(*record[at..].first_chunk().expect("words lie within a record"))
}

/// A word of a record as a number.
#[inline(always)]
fn number(record: &[u8], at: usize) -> f32 {
    f32::from_bits(word(record, at).cast_unsigned())
}

/// Sixteen elements' weights: half a dense block.
#[inline(always)]
fn bytes<S: Simd, const HALF: usize>(s: S, block: &DenseBlock) -> [S::B; 4] {
    [
        s.load_b(&block.0[4 * HALF]),
        s.load_b(&block.0[4 * HALF + 1]),
        s.load_b(&block.0[4 * HALF + 2]),
        s.load_b(&block.0[4 * HALF + 3]),
    ]
}

/// Accumulators that begin at a plane of terms, or at zero where there is no zero point.
#[inline(always)]
fn begin<S: Simd, const N: usize>(s: S, record: &[u8], at: usize, zero: bool) -> [S::I; N] {
    let mut acc = [s.splat_i(0); N];
    if zero {
        for t in 0..N {
            acc[t] = s.splat_i(word(record, at + 4 * t));
        }
    }
    acc
}

/// Whether the set's dot product takes the zero point of these weights away itself.
#[inline(always)]
fn centered<S: Simd, R: Bound>() -> bool {
    S::CENTERED && R::MAX >= 128
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
fn blocks<S: Simd, L: Blocks, const N: usize, const DENSE: bool>(
    s: S,
    panel: &[u8],
    dense: &[DenseBlock],
    tile: &[u8],
    out: &mut [[f32; LANES]; N],
) {
    let record_bytes = N * ActKind::Q8(Terms::Sum).record_bytes();
    let mut f = resume(s, out);
    let units = L::Unit::split(panel);
    let count = units.len().min(tile.len() / (record_bytes * L::BLOCKS));
    for u in 0..count {
        for b in 0..L::BLOCKS / 2 {
            let at = L::BLOCKS * u + 2 * b;
            let records = &tile[at * record_bytes..(at + 2) * record_bytes];
            let (first, second) = records.split_at(record_bytes);
            let unit = &units[u];
            let dense = if DENSE { &dense[at..at + 2] } else { dense };
            let mut one = begin_block::<S, L, N>(s, first);
            // With eight tokens, two lots of sums leave too few registers for anything else:
            // measured 173 to 218 GMAC/s instead of 223 to 234.
            if S::PAIRED && (N < 8 || L::WHOLE) {
                let mut two = begin_block::<S, L, N>(s, second);
                one = half::<S, L, N, DENSE, 0>(s, unit, dense, 2 * b, first, one);
                two = half::<S, L, N, DENSE, 0>(s, unit, dense, 2 * b + 1, second, two);
                one = half::<S, L, N, DENSE, 1>(s, unit, dense, 2 * b, first, one);
                two = half::<S, L, N, DENSE, 1>(s, unit, dense, 2 * b + 1, second, two);
                f = fold::<S, L, N>(s, unit, 2 * b, first, one, f);
                f = fold::<S, L, N>(s, unit, 2 * b + 1, second, two, f);
            } else {
                one = half::<S, L, N, DENSE, 0>(s, unit, dense, 2 * b, first, one);
                one = half::<S, L, N, DENSE, 1>(s, unit, dense, 2 * b, first, one);
                f = fold::<S, L, N>(s, unit, 2 * b, first, one, f);
                let mut two = begin_block::<S, L, N>(s, second);
                two = half::<S, L, N, DENSE, 0>(s, unit, dense, 2 * b + 1, second, two);
                two = half::<S, L, N, DENSE, 1>(s, unit, dense, 2 * b + 1, second, two);
                f = fold::<S, L, N>(s, unit, 2 * b + 1, second, two, f);
            }
        }
    }
    finish(s, f, out);
}

/// The integer sums of a block at their start.
#[inline(always)]
fn begin_block<S: Simd, L: Blocks, const N: usize>(s: S, record: &[u8]) -> [S::I; N] {
    begin(s, record, 36 * N, !(L::MINIMUM || centered::<S, L::Range>()))
}

/// Adds half of block `b` of the unit to its integer sums; `dense` has the pair it belongs to.
#[inline(always)]
fn half<S: Simd, L: Blocks, const N: usize, const DENSE: bool, const HALF: usize>(
    s: S,
    unit: &L::Unit,
    dense: &[DenseBlock],
    b: usize,
    record: &[u8],
    acc: [S::I; N],
) -> [S::I; N] {
    let weights =
        if DENSE { bytes::<S, HALF>(s, &dense[b % 2]) } else { L::quad::<S, HALF>(s, unit, b) };
    s.dot16::<N, L::Range>(acc, weights, quants(record, 0), HALF)
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
    for t in 0..N {
        let scale = s.mul(scale, s.splat(number(record, 32 * N + 4 * t)));
        f[t] = s.fma(s.to_f(acc[t]), scale, f[t]);
    }
    if L::MINIMUM {
        let minimum = L::minimum(s, unit, b);
        for t in 0..N {
            f[t] = s.fma(minimum, s.splat(number(record, 36 * N + 4 * t)), f[t]);
        }
    }
    f
}

/// What the 32-element steps of a super-block share.
struct Step<'a, L: SuperBlocks> {
    unit: &'a L::Unit,
    dense: &'a [DenseBlock],
    record: &'a [u8],
    scales: &'a SubScales,
}

/// Adds 32 elements, one sub-block or two, to the sums of integers times sub-block scales.
#[inline(always)]
fn step<S: Simd, L: SuperBlocks, const N: usize, const DENSE: bool, const VARIANT: u32>(
    s: S,
    at: &Step<'_, L>,
    outer: usize,
    mut g: [S::F; N],
) -> [S::F; N] {
    if VARIANT >= L::VARIANTS {
        return g;
    }
    let b = L::VARIANTS as usize * outer + VARIANT as usize;
    let terms = 260 * N;
    let x = quants(at.record, 32 * N * b);
    let zero = !centered::<S, L::Range>();
    let first = if DENSE {
        bytes::<S, 0>(s, &at.dense[b])
    } else {
        L::quad::<S, VARIANT, 0>(s, at.unit, outer)
    };
    let second = if DENSE {
        bytes::<S, 1>(s, &at.dense[b])
    } else {
        L::quad::<S, VARIANT, 1>(s, at.unit, outer)
    };
    match L::TERMS {
        Terms::Zero16(_) | Terms::Pairs16 => {
            let zero = zero && matches!(L::TERMS, Terms::Zero16(_));
            let mut acc = begin(s, at.record, terms + 8 * N * b, zero);
            acc = s.dot16::<N, L::Range>(acc, first, x, 0);
            let scale = s.to_f(s.load_i8(part(at.scales, 32 * b)));
            for t in 0..N {
                g[t] = s.fma(s.to_f(acc[t]), scale, g[t]);
            }
            let mut acc = begin(s, at.record, terms + 8 * N * b + 4 * N, zero);
            acc = s.dot16::<N, L::Range>(acc, second, x, 1);
            let scale = s.to_f(s.load_i8(part(at.scales, 32 * b + 16)));
            for t in 0..N {
                g[t] = s.fma(s.to_f(acc[t]), scale, g[t]);
            }
        }
        Terms::Zero32(_) | Terms::Pairs32 | Terms::Sum => {
            let zero = zero && matches!(L::TERMS, Terms::Zero32(_));
            let mut acc = begin(s, at.record, terms + 4 * N * b, zero);
            acc = s.dot16::<N, L::Range>(acc, first, x, 0);
            acc = s.dot16::<N, L::Range>(acc, second, x, 1);
            let scale = s.to_f(s.load_i8(part(at.scales, 16 * b)));
            for t in 0..N {
                g[t] = s.fma(s.to_f(acc[t]), scale, g[t]);
            }
        }
    }
    g
}

/// Super-blocks of 256: integer sums by sub-block, small scales, one scale at the end.
#[inline(always)]
fn super_blocks<S: Simd, L: SuperBlocks, const N: usize, const DENSE: bool>(
    s: S,
    panel: &[u8],
    dense: &[DenseBlock],
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
        let dense = if DENSE { &dense[8 * u..8 * u + 8] } else { dense };
        let at = Step::<L> { unit, dense, record, scales: &scales };
        let mut g = [s.splat(0.0); N];
        for outer in 0..8 / L::VARIANTS as usize {
            g = step::<S, L, N, DENSE, 0>(s, &at, outer, g);
            g = step::<S, L, N, DENSE, 1>(s, &at, outer, g);
            g = step::<S, L, N, DENSE, 2>(s, &at, outer, g);
            g = step::<S, L, N, DENSE, 3>(s, &at, outer, g);
            g = step::<S, L, N, DENSE, 4>(s, &at, outer, g);
            g = step::<S, L, N, DENSE, 5>(s, &at, outer, g);
            g = step::<S, L, N, DENSE, 6>(s, &at, outer, g);
            g = step::<S, L, N, DENSE, 7>(s, &at, outer, g);
        }
        let scale = L::scale(s, unit);
        if matches!(L::TERMS, Terms::Pairs16 | Terms::Pairs32) {
            let pairs = L::min_pairs(s, unit);
            let mut minimums = [s.splat_i(0); N];
            for p in 0..8 {
                if p < L::TERMS.per_256() {
                    for t in 0..N {
                        let sums = word(record, 260 * N + 4 * N * p + 4 * t);
                        minimums[t] = s.dot_pairs(minimums[t], pairs[p], sums);
                    }
                }
            }
            let min_scale = L::min_scale(s, unit);
            for t in 0..N {
                let product = s.fnma(s.to_f(minimums[t]), min_scale, s.mul(g[t], scale));
                f[t] = s.fma(product, s.splat(number(record, 256 * N + 4 * t)), f[t]);
            }
        } else {
            for t in 0..N {
                let scale = s.mul(scale, s.splat(number(record, 256 * N + 4 * t)));
                f[t] = s.fma(g[t], scale, f[t]);
            }
        }
    }
    finish(s, f, out);
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
        for b in 0..L::BLOCKS {
            let weights = L::widen(s, unit, b);
            for t in 0..N {
                f[t] = s.fma(weights, s.splat(number(record, 4 * (N * b + t))), f[t]);
            }
        }
    }
    finish(s, f, out);
}
