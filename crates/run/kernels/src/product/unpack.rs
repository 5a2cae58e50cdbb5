//! Unpacking part of a panel for many tiles: a byte a weight, scales as products use them.
//!
//! The bytes are what the fused kernels make in registers, in the same order: for each 32 elements
//! eight chunks of four elements by sixteen rows. Q2_K's weights are multiplied by their
//! sub-blocks' scales at once, as the products fit in a byte.

use core::marker::PhantomData;

use super::dense::Slice;
use crate::{
    acts::{ANCHOR, Terms},
    isa::{Isa, Kernel, Simd},
    panel::layout::{Blocks, Bytes, SubScales, SuperBlocks, part},
};

/// Unpacks units of blocks of 32.
pub(super) struct UnpackBlocks<'a, L> {
    panel: &'a [u8],
    slices: &'a mut [Slice],
    layout: PhantomData<L>,
}

impl<L: Blocks> UnpackBlocks<'_, L> {
    /// Unpacks on the instruction set `isa`; yields the number of elements of k.
    pub(super) fn eval(isa: Isa, panel: &[u8], slices: &mut [Slice]) -> usize {
        isa.run(UnpackBlocks::<L> { panel, slices, layout: PhantomData })
    }
}

impl<L: Blocks> Kernel for UnpackBlocks<'_, L> {
    type Output = usize;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> usize {
        let units = L::Unit::split(self.panel);
        for u in 0..units.len() {
            for b in 0..L::BLOCKS {
                let at = L::BLOCKS * u + b;
                let (slice, block) = (&mut self.slices[at / 8], at % 8);
                write(s, L::quad::<S, 0>(s, &units[u], b), slice, 8 * block);
                write(s, L::quad::<S, 1>(s, &units[u], b), slice, 8 * block + 4);
                let scale = L::scale(s, &units[u], b);
                s.store(scale, &mut slice.scales[block]);
                s.store(s.mul(scale, s.splat(-ANCHOR)), &mut slice.offsets[block]);
                if L::MINIMUM {
                    s.store(L::minimum(s, &units[u], b), &mut slice.minimums[block]);
                }
            }
        }
        32 * L::BLOCKS * units.len()
    }
}

/// Unpacks units of one super-block.
pub(super) struct UnpackSuper<'a, L> {
    panel: &'a [u8],
    slices: &'a mut [Slice],
    layout: PhantomData<L>,
}

impl<L: SuperBlocks> UnpackSuper<'_, L> {
    /// Unpacks on the instruction set `isa`; yields the number of elements of k.
    pub(super) fn eval(isa: Isa, panel: &[u8], slices: &mut [Slice]) -> usize {
        isa.run(UnpackSuper::<L> { panel, slices, layout: PhantomData })
    }
}

impl<L: SuperBlocks> Kernel for UnpackSuper<'_, L> {
    type Output = usize;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> usize {
        let units = L::Unit::split(self.panel);
        let mut scales = [0; 256];
        for u in 0..units.len() {
            let (unit, slice) = (&units[u], &mut self.slices[u]);
            L::sub_scales(s, unit, &mut scales);
            s.store(L::scale(s, unit), &mut slice.scales[0]);
            for j in 0..16 {
                s.store_i(s.load_i8(part(&scales, 16 * j)), &mut slice.factors[j]);
            }
            if matches!(L::TERMS, Terms::Pairs16 | Terms::Pairs32) {
                s.store(L::min_scale(s, unit), &mut slice.offsets[0]);
                let pairs = L::min_pairs(s, unit);
                for p in 0..8 {
                    s.store_b(pairs[p], &mut slice.pairs[p]);
                }
            }
            for outer in 0..8 / L::VARIANTS as usize {
                variant::<S, L, 0>(s, unit, outer, &scales, slice);
                variant::<S, L, 1>(s, unit, outer, &scales, slice);
                variant::<S, L, 2>(s, unit, outer, &scales, slice);
                variant::<S, L, 3>(s, unit, outer, &scales, slice);
                variant::<S, L, 4>(s, unit, outer, &scales, slice);
                variant::<S, L, 5>(s, unit, outer, &scales, slice);
                variant::<S, L, 6>(s, unit, outer, &scales, slice);
                variant::<S, L, 7>(s, unit, outer, &scales, slice);
            }
        }
        256 * units.len()
    }
}

/// Unpacks the 32 elements of one variant.
#[inline(always)]
fn variant<S: Simd, L: SuperBlocks, const VARIANT: u32>(
    s: S,
    unit: &L::Unit,
    outer: usize,
    scales: &SubScales,
    slice: &mut Slice,
) {
    if VARIANT < L::VARIANTS {
        let b = L::VARIANTS as usize * outer + VARIANT as usize;
        let mut first = L::quad::<S, VARIANT, 0>(s, unit, outer);
        let mut second = L::quad::<S, VARIANT, 1>(s, unit, outer);
        if matches!(L::TERMS, Terms::Pairs16) {
            first = times(s, first, s.load_i8(part(scales, 32 * b)));
            second = times(s, second, s.load_i8(part(scales, 32 * b + 16)));
        }
        write(s, first, slice, 8 * b);
        write(s, second, slice, 8 * b + 4);
    }
}

/// Weights times their rows' scales, where products fit in a byte and so do not meet in a lane.
#[inline(always)]
fn times<S: Simd>(s: S, weights: [S::B; 4], scale: S::I) -> [S::B; 4] {
    let mut products = weights;
    for c in 0..4 {
        products[c] = s.as_b(s.mul_i(s.as_i(weights[c]), scale));
    }
    products
}

/// Writes sixteen elements' chunks from `first` on.
#[inline(always)]
fn write<S: Simd>(s: S, weights: [S::B; 4], slice: &mut Slice, first: usize) {
    for c in 0..4 {
        s.store_b(weights[c], &mut slice.weights[first + c]);
    }
}
