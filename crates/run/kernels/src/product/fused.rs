//! Fused products: weights are unpacked in registers on their way to the multiplication.
//!
//! A micro-kernel of sixteen rows by `N` tokens with all of k inside (Goto and van de Geijn 2008,
//! with the panel as the streamed operand): each chunk of weights is multiplied with all tokens of
//! the tile while it is in a register. Bodies are stamped for each width of
//! [`TileWidths`](crate::acts::TileWidths).

use core::marker::PhantomData;

use crate::{
    acts::{ActKind, Terms},
    isa::{Bound, Isa, Kernel, LANES, Simd},
    panel::layout::{Blocks, Bytes, Numbers, SubScales, SuperBlocks, part},
};

/// A panel times a tile, for a layout of type `L`: `out: [width][16]`.
struct Operands<'a, L> {
    panel: &'a [u8],
    tile: &'a [u8],
    out: &'a mut [[f32; LANES]],
    layout: PhantomData<L>,
}

/// Stamps a kernel: for each width that a tile may have, the body made for it.
macro_rules! tile_kernel {
    ($(#[$doc:meta])* $name:ident, $bound:ident, $body:ident) => {
        $(#[$doc])*
        pub(super) struct $name<'a, L>(Operands<'a, L>);

        impl<L: $bound> $name<'_, L> {
            /// Multiplies on the instruction set `isa`.
            pub(super) fn eval(isa: Isa, panel: &[u8], tile: &[u8], out: &mut [[f32; LANES]]) {
                isa.run($name(Operands::<L> { panel, tile, out, layout: PhantomData }));
            }
        }

        impl<L: $bound> Kernel for $name<'_, L> {
            type Output = ();

            #[inline(always)]
            fn run<S: Simd>(self, s: S) {
                let Operands { panel, tile, out, .. } = self.0;
                match out.len() {
                    1 => $body::<S, L, 1>(s, panel, tile, array(out)),
                    2 if S::TILE >= 2 => $body::<S, L, 2>(s, panel, tile, array(out)),
                    4 if S::TILE >= 4 => $body::<S, L, 4>(s, panel, tile, array(out)),
                    8 if S::TILE >= 8 => $body::<S, L, 8>(s, panel, tile, array(out)),
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
tile_kernel!(
    /// Plain numbers.
    NumberTile, Numbers, numbers
);

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

/// Writes the sums of all tokens.
#[inline(always)]
fn finish<S: Simd, const N: usize>(s: S, sums: [S::F; N], out: &mut [[f32; LANES]; N]) {
    for t in 0..N {
        s.store(sums[t], &mut out[t]);
    }
}

/// Blocks of 32: one integer sum, one scale of weights, one of tokens.
#[inline(always)]
fn blocks<S: Simd, L: Blocks, const N: usize>(
    s: S,
    panel: &[u8],
    tile: &[u8],
    out: &mut [[f32; LANES]; N],
) {
    let record_bytes = N * ActKind::Q8(Terms::Sum).record_bytes();
    let zero = !(L::MINIMUM || centered::<S, L::Range>());
    let (scales, terms) = (32 * N, 36 * N);
    let mut f = [s.splat(0.0); N];
    let units = L::Unit::split(panel);
    for (unit, records) in units.iter().zip(tile.chunks_exact(record_bytes * L::BLOCKS)) {
        for (b, record) in records.chunks_exact(record_bytes).enumerate() {
            let x = quants(record, 0);
            let mut acc = begin(s, record, terms, zero);
            acc = s.dot16::<N, L::Range>(acc, L::quad::<S, 0>(s, unit, b), x, 0);
            acc = s.dot16::<N, L::Range>(acc, L::quad::<S, 1>(s, unit, b), x, 1);
            let scale = L::scale(s, unit, b);
            for t in 0..N {
                let scale = s.mul(scale, s.splat(number(record, scales + 4 * t)));
                f[t] = s.fma(s.to_f(acc[t]), scale, f[t]);
            }
            if L::MINIMUM {
                let minimum = L::minimum(s, unit, b);
                for t in 0..N {
                    f[t] = s.fma(minimum, s.splat(number(record, terms + 4 * t)), f[t]);
                }
            }
        }
    }
    finish(s, f, out);
}

/// What the 32-element steps of a super-block share.
struct Step<'a, L: SuperBlocks> {
    unit: &'a L::Unit,
    record: &'a [u8],
    scales: &'a SubScales,
}

/// Adds 32 elements, one sub-block or two, to the sums of integers times sub-block scales.
#[inline(always)]
fn step<S: Simd, L: SuperBlocks, const N: usize, const VARIANT: u32>(
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
    let first = L::quad::<S, VARIANT, 0>(s, at.unit, outer);
    match L::TERMS {
        Terms::Zero16(_) | Terms::Pairs16 => {
            let zero = zero && matches!(L::TERMS, Terms::Zero16(_));
            let mut acc = begin(s, at.record, terms + 8 * N * b, zero);
            acc = s.dot16::<N, L::Range>(acc, first, x, 0);
            let scale = s.to_f(s.load_i8(part(at.scales, 32 * b)));
            for t in 0..N {
                g[t] = s.fma(s.to_f(acc[t]), scale, g[t]);
            }
            let second = L::quad::<S, VARIANT, 1>(s, at.unit, outer);
            let mut acc = begin(s, at.record, terms + 8 * N * b + 4 * N, zero);
            acc = s.dot16::<N, L::Range>(acc, second, x, 1);
            let scale = s.to_f(s.load_i8(part(at.scales, 32 * b + 16)));
            for t in 0..N {
                g[t] = s.fma(s.to_f(acc[t]), scale, g[t]);
            }
        }
        Terms::Zero32(_) | Terms::Pairs32 | Terms::Sum => {
            let zero = zero && matches!(L::TERMS, Terms::Zero32(_));
            let second = L::quad::<S, VARIANT, 1>(s, at.unit, outer);
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
fn super_blocks<S: Simd, L: SuperBlocks, const N: usize>(
    s: S,
    panel: &[u8],
    tile: &[u8],
    out: &mut [[f32; LANES]; N],
) {
    let record_bytes = N * ActKind::Q8K(L::TERMS).record_bytes();
    let mut f = [s.splat(0.0); N];
    let mut scales = [0; 256];
    let units = L::Unit::split(panel);
    for (unit, record) in units.iter().zip(tile.chunks_exact(record_bytes)) {
        L::sub_scales(s, unit, &mut scales);
        let at = Step::<L> { unit, record, scales: &scales };
        let mut g = [s.splat(0.0); N];
        for outer in 0..8 / L::VARIANTS as usize {
            g = step::<S, L, N, 0>(s, &at, outer, g);
            g = step::<S, L, N, 1>(s, &at, outer, g);
            g = step::<S, L, N, 2>(s, &at, outer, g);
            g = step::<S, L, N, 3>(s, &at, outer, g);
            g = step::<S, L, N, 4>(s, &at, outer, g);
            g = step::<S, L, N, 5>(s, &at, outer, g);
            g = step::<S, L, N, 6>(s, &at, outer, g);
            g = step::<S, L, N, 7>(s, &at, outer, g);
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
    let mut f = [s.splat(0.0); N];
    let units = L::Unit::split(panel);
    for (unit, records) in units.iter().zip(tile.chunks_exact(4 * N * L::BLOCKS)) {
        for (b, record) in records.chunks_exact(4 * N).enumerate() {
            let weights = L::widen(s, unit, b);
            for t in 0..N {
                f[t] = s.fma(weights, s.splat(number(record, 4 * t)), f[t]);
            }
        }
    }
    finish(s, f, out);
}
