//! Unpacking part of a panel to a byte a weight, for many tiles.
//!
//! The bytes are what the fused kernels make in registers, in the same order: for each 32 elements
//! eight chunks of four elements by sixteen rows. Scales stay in the panel.

use core::marker::PhantomData;

use super::tile::DenseBlock;
use crate::{
    isa::{Isa, Kernel, Simd},
    panel::layout::{Blocks, Bytes, SuperBlocks},
};

/// Unpacks units of blocks of 32.
pub(super) struct UnpackBlocks<'a, L> {
    panel: &'a [u8],
    dense: &'a mut [DenseBlock],
    layout: PhantomData<L>,
}

impl<L: Blocks> UnpackBlocks<'_, L> {
    /// Unpacks on the instruction set `isa`.
    pub(super) fn eval(isa: Isa, panel: &[u8], dense: &mut [DenseBlock]) {
        isa.run(UnpackBlocks::<L> { panel, dense, layout: PhantomData });
    }
}

impl<L: Blocks> Kernel for UnpackBlocks<'_, L> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let units = L::Unit::split(self.panel);
        for u in 0..units.len() {
            for b in 0..L::BLOCKS {
                let block = &mut self.dense[L::BLOCKS * u + b];
                write::<S, 0>(s, L::quad::<S, 0>(s, &units[u], b), block);
                write::<S, 1>(s, L::quad::<S, 1>(s, &units[u], b), block);
            }
        }
    }
}

/// Unpacks units of one super-block.
pub(super) struct UnpackSuper<'a, L> {
    panel: &'a [u8],
    dense: &'a mut [DenseBlock],
    layout: PhantomData<L>,
}

impl<L: SuperBlocks> UnpackSuper<'_, L> {
    /// Unpacks on the instruction set `isa`.
    pub(super) fn eval(isa: Isa, panel: &[u8], dense: &mut [DenseBlock]) {
        isa.run(UnpackSuper::<L> { panel, dense, layout: PhantomData });
    }
}

impl<L: SuperBlocks> Kernel for UnpackSuper<'_, L> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let units = L::Unit::split(self.panel);
        let (dense, _) = self.dense.as_chunks_mut();
        for u in 0..units.len() {
            let (unit, blocks) = (&units[u], &mut dense[u]);
            for outer in 0..8 / L::VARIANTS as usize {
                variant::<S, L, 0>(s, unit, outer, blocks);
                variant::<S, L, 1>(s, unit, outer, blocks);
                variant::<S, L, 2>(s, unit, outer, blocks);
                variant::<S, L, 3>(s, unit, outer, blocks);
                variant::<S, L, 4>(s, unit, outer, blocks);
                variant::<S, L, 5>(s, unit, outer, blocks);
                variant::<S, L, 6>(s, unit, outer, blocks);
                variant::<S, L, 7>(s, unit, outer, blocks);
            }
        }
    }
}

/// Unpacks the 32 elements of one variant.
#[inline(always)]
fn variant<S: Simd, L: SuperBlocks, const VARIANT: u32>(
    s: S,
    unit: &L::Unit,
    outer: usize,
    blocks: &mut [DenseBlock; 8],
) {
    if VARIANT < L::VARIANTS {
        let block = &mut blocks[L::VARIANTS as usize * outer + VARIANT as usize];
        write::<S, 0>(s, L::quad::<S, VARIANT, 0>(s, unit, outer), block);
        write::<S, 1>(s, L::quad::<S, VARIANT, 1>(s, unit, outer), block);
    }
}

/// Writes sixteen elements.
#[inline(always)]
fn write<S: Simd, const HALF: usize>(s: S, weights: [S::B; 4], block: &mut DenseBlock) {
    for c in 0..4 {
        s.store_b(weights[c], &mut block.0[4 * HALF + c]);
    }
}
