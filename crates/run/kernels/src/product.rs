//! Products of packed weights with quantised tokens: `out[token][row] = Σ w[row][k] · x[token][k]`.
//!
//! A lane is a row of the panel, so no sum crosses lanes, and k ascends: every output is one
//! sequence of operations that depends on the weights' type alone. Hence the same bits for every
//! instruction set, tile width, range of panels and number of threads. In single precision, in
//! this order (`fma` rounds once):
//!
//! - numbers: `f = fma(w, x, f)` for each k;
//! - blocks of 32: `f = fma(fma(A + dot, d_w, −A · d_w), d_x, f)`, where `A` is
//!   [`ANCHOR`](crate::acts::ANCHOR), so that the inner term is `dot · d_w` rounded once (NaN if
//!   `d_w` is not finite), then with minimums `f = fma(m, Σ, f)`, where `Σ` is the token's sum
//!   ([`Terms::Sum`](crate::acts::Terms::Sum));
//! - super-blocks of 256: `f = fma(g, d_w · d_x, f)`, where `g` is the integer sum of `dot · scale`
//!   over the sub-blocks, or with minimums, whose sum `n` is an integer too,
//!   `f = fma(fnma(n, dmin, g · d_w), d_x, f)`.
//!
//! `dot` is the integer sum over a block or sub-block, zero points included.

use core::ops::Range;

use tensor::{BlockType, DType, TensorType};

use crate::{
    acts::{ActKind, Acts, DENSE_MIN},
    isa::{Isa, LANES},
    panel::{
        Panels, blocks, k_min, k_signed,
        layout::{Blocks, Numbers, SuperBlocks},
        panel_bytes, plain,
    },
};

mod dense;
mod tile;
mod unpack;

use dense::{
    BlockForm, DenseTiles, Form, Minimums16, Minimums32, Slice, SuperForm, Zero16, Zero32,
};
use tile::{BlockTile, NumberTile, Operands, SuperTile, narrow_limit};
use unpack::{UnpackBlocks, UnpackSuper};

/// The most tokens in a tile.
const TILE_MAX: usize = 12;

/// Bytes of panels that are kept in the second-level cache while all tiles pass over them.
const CACHED_PANELS: usize = 256 << 10;

/// Slices of 256 elements that are unpacked at once: together with a tile's quants they stay in
/// the first-level cache.
const SLICES: usize = 2;

/// Panels that are unpacked together.
const PANELS: usize = 2;

/// Tokens that share an unpacked slice.
const SHARING: usize = 240;

/// Computes some panels' rows for all tokens.
///
/// `out[token · stride + row − first]`, where `first = 16 · panels.start` is the first row of the
/// range; rows beyond the matrix are not written.
///
/// # Panics
/// If `weights` and `acts` differ in k or kind, the range lies beyond the matrix, or `out` is too
/// short for the last token's last row.
pub fn product(
    weights: &Panels<'_>,
    panels: Range<usize>,
    acts: &Acts<'_>,
    out: &mut [f32],
    stride: usize,
) {
    let first = panels.start * LANES;
    product_each(weights, panels, acts, |token, row, values| {
        out[token * stride + row - first..][..values.len()].copy_from_slice(values);
    });
}

/// Computes some panels' rows for all tokens and hands them over in pieces of up to sixteen rows:
/// `each(token, first_row, values)`.
///
/// Every token and row of the range comes exactly once; pieces come in no particular order.
///
/// # Panics
/// If `weights` and `acts` differ in k or kind, or the range lies beyond the matrix.
pub fn product_each(
    weights: &Panels<'_>,
    panels: Range<usize>,
    acts: &Acts<'_>,
    mut each: impl FnMut(usize, usize, &[f32]),
) {
    assert_eq!(Some(acts.kind()), ActKind::of(weights.ty()), "{} weights", weights.ty());
    assert_eq!(acts.k(), weights.k(), "as many elements a token as a row");
    assert!(panels.end <= weights.count(), "panels {panels:?} of {}", weights.count());
    let kernel = Kernel::of(weights.ty()).expect("a type with an activation kind has a product");
    match &kernel.dense {
        Some(code) if acts.tokens() >= DENSE_MIN => dense(code, weights, panels, acts, &mut each),
        _ => fused(kernel.fused, weights, panels, acts, &mut each),
    }
}

/// Multiplies, unpacking in registers.
fn fused(
    multiply: fn(Isa, Operands<'_>),
    weights: &Panels<'_>,
    panels: Range<usize>,
    acts: &Acts<'_>,
    each: &mut impl FnMut(usize, usize, &[f32]),
) {
    let step = (CACHED_PANELS / weights.panel_bytes().max(1)).max(1);
    for start in panels.clone().step_by(step) {
        for tile in acts.tiles() {
            for idx in start..panels.end.min(start + step) {
                let mut sums = [[0.0; LANES]; TILE_MAX];
                let sums = &mut sums[..tile.width];
                let panel = weights.panel(idx);
                multiply(acts.isa(), Operands { panel, tile: tile.bytes, out: sums });
                emit(weights, idx, tile.token, sums, each);
            }
        }
    }
}

/// Unpacked slices of one panel, and the sums of its rows for a group of tokens.
#[repr(C, align(64))]
struct Unpacked {
    slices: [Slice; SLICES],
    sums: [[f32; LANES]; SHARING],
}

impl Unpacked {
    const EMPTY: Self = Self { slices: [Slice::EMPTY; SLICES], sums: [[0.0; LANES]; SHARING] };
}

/// Multiplies, unpacking each slice of k once for a group of tokens.
///
/// Two panels at a time, so that tokens' quants, which may not fit in the second-level cache, come
/// from afar half as often. Takes 60 KiB of stack, as the crate does not allocate.
fn dense(
    code: &DenseCode,
    weights: &Panels<'_>,
    panels: Range<usize>,
    acts: &Acts<'_>,
    each: &mut impl FnMut(usize, usize, &[f32]),
) {
    let k = SLICES * 256;
    let panel_slice_bytes = panel_bytes(weights.ty(), k).expect("it has a product");
    #[expect(clippy::large_stack_arrays, reason = "the crate does not allocate")]
    let mut scratch = [const { Unpacked::EMPTY }; PANELS];
    let mut first = 0;
    while first < acts.tokens() {
        let tokens = SHARING.min(acts.tokens() - first);
        for start in panels.clone().step_by(PANELS) {
            let count = PANELS.min(panels.end - start);
            for one in &mut scratch[..count] {
                one.sums[..tokens].fill([0.0; LANES]);
            }
            for at in (0..weights.panel_bytes()).step_by(panel_slice_bytes) {
                let mut unpacked = 0;
                for (i, one) in scratch[..count].iter_mut().enumerate() {
                    let panel = &weights.panel(start + i)[at..];
                    let panel = &panel[..panel.len().min(panel_slice_bytes)];
                    unpacked = (code.unpack)(acts.isa(), panel, &mut one.slices);
                }
                let from = at / panel_slice_bytes * k;
                for run in acts.runs(first, tokens) {
                    for one in &mut scratch[..count] {
                        let slice = dense::Operands {
                            slices: &one.slices,
                            tiles: run.records(from, unpacked),
                            narrow_limit: code.narrow_limit,
                            out: &mut one.sums[run.token - first..][..run.tokens],
                        };
                        (code.multiply)(acts.isa(), slice);
                    }
                }
            }
            for (i, one) in scratch[..count].iter().enumerate() {
                emit(weights, start + i, first, &one.sums[..tokens], each);
            }
        }
        first += tokens;
    }
}

/// Hands over the sums of a panel for tokens from `token` on.
fn emit(
    weights: &Panels<'_>,
    idx: usize,
    token: usize,
    sums: &[[f32; LANES]],
    each: &mut impl FnMut(usize, usize, &[f32]),
) {
    let row = idx * LANES;
    let count = LANES.min(weights.rows() - row);
    for (t, values) in sums.iter().enumerate() {
        each(token + t, row, &values[..count]);
    }
}

/// The code for one type of weights.
struct Kernel {
    /// Multiplies a panel with a tile.
    fused: fn(Isa, Operands<'_>),
    /// The way of many tokens; none for plain numbers, where there is nothing to unpack.
    dense: Option<DenseCode>,
}

/// The code for many tokens.
struct DenseCode {
    /// Unpacks whole units and says how many elements of k they are.
    unpack: fn(Isa, &[u8], &mut [Slice]) -> usize,
    /// Multiplies what was unpacked with tiles.
    multiply: fn(Isa, dense::Operands<'_>),
    /// The largest peak at which integer sums of sub-blocks fit in 16 bits.
    narrow_limit: i32,
}

impl Kernel {
    /// Plain numbers.
    fn numbers<L: Numbers>() -> Self {
        Self { fused: NumberTile::<L>::eval, dense: None }
    }

    /// Blocks of 32.
    fn blocks<L: Blocks, M: Form>() -> Self {
        let (unpack, multiply) = (UnpackBlocks::<L>::eval, DenseTiles::<M>::eval);
        let dense = Some(DenseCode { unpack, multiply, narrow_limit: 0 });
        Self { fused: BlockTile::<L>::eval, dense }
    }

    /// Super-blocks.
    fn super_blocks<L: SuperBlocks, M: Form>() -> Self {
        let (unpack, multiply) = (UnpackSuper::<L>::eval, DenseTiles::<M>::eval);
        let dense = Some(DenseCode { unpack, multiply, narrow_limit: narrow_limit::<L>() });
        Self { fused: SuperTile::<L>::eval, dense }
    }

    /// The code for a type, if there is a product for it.
    fn of(ty: TensorType) -> Option<Self> {
        Some(match ty {
            TensorType::Plain(DType::F32) => Self::numbers::<plain::F32>(),
            TensorType::Plain(DType::F16) => Self::numbers::<plain::F16>(),
            TensorType::Plain(DType::BF16) => Self::numbers::<plain::BF16>(),
            TensorType::Plain(_) => return None,
            TensorType::Block(block) => match block {
                BlockType::Q4_0 => Self::blocks::<blocks::Q4_0, BlockForm<31, false>>(),
                BlockType::Q4_1 => Self::blocks::<blocks::Q4_1, BlockForm<31, true>>(),
                BlockType::Q5_0 => Self::blocks::<blocks::Q5_0, BlockForm<31, false>>(),
                BlockType::Q5_1 => Self::blocks::<blocks::Q5_1, BlockForm<31, true>>(),
                BlockType::Q8_0 => Self::blocks::<blocks::Q8_0, BlockForm<255, false>>(),
                BlockType::IQ4_NL => Self::blocks::<blocks::IQ4_NL, BlockForm<255, false>>(),
                BlockType::MXFP4 => Self::blocks::<blocks::MXFP4, BlockForm<31, false>>(),
                BlockType::Q2_K => Self::super_blocks::<k_min::Q2_K, SuperForm<Minimums16>>(),
                BlockType::Q3_K => Self::super_blocks::<k_signed::Q3_K, SuperForm<Zero16>>(),
                BlockType::Q4_K => Self::super_blocks::<k_min::Q4_K, SuperForm<Minimums32>>(),
                BlockType::Q5_K => Self::super_blocks::<k_min::Q5_K, SuperForm<Minimums32>>(),
                BlockType::Q6_K => Self::super_blocks::<k_signed::Q6_K, SuperForm<Zero16>>(),
                BlockType::IQ4_XS => Self::super_blocks::<k_signed::IQ4_XS, SuperForm<Zero32>>(),
            },
        })
    }
}

#[cfg(test)]
mod tests;
