//! Products of packed weights with quantised tokens: `out[token][row] = Σ w[row][k] · x[token][k]`.
//!
//! A lane is a row of the panel, so no sum crosses lanes, and k ascends: every output is one
//! sequence of operations that depends on the weights' type alone. Hence the same bits for every
//! instruction set, tile width, range of panels and number of threads. In single precision, in
//! this order (`fma` rounds once):
//!
//! - numbers: `f = fma(w, x, f)` for each k;
//! - blocks of 32: `f = fma(dot, d_w · d_x, f)`, then with minimums `f = fma(m, Σ, f)`,
//!   where `Σ` is the token's sum ([`Terms::Sum`](crate::acts::Terms::Sum));
//! - super-blocks of 256: `g = fma(dot, scale, g)` over the sub-blocks, then
//!   `f = fma(g, d_w · d_x, f)`, or with minimums, whose sum `n` is an integer,
//!   `f = fma(fnma(n, dmin, g · d_w), d_x, f)`.
//!
//! `dot` is the integer sum over a block or sub-block, zero points included.

use core::ops::Range;

use tensor::{BlockType, DType, TensorType};

use crate::{
    acts::{ActKind, Acts},
    isa::{Isa, LANES},
    panel::{
        Panels, blocks, k_min, k_signed,
        layout::{Blocks, Numbers, SuperBlocks},
        panel_bytes, plain,
    },
};

mod tile;
mod unpack;

use tile::{BlockTile, DenseBlock, NumberTile, Operands, SuperTile};
use unpack::{UnpackBlocks, UnpackSuper};

/// The most tokens in a tile.
const TILE_MAX: usize = 8;

/// Bytes of panels that are kept in the second-level cache while all tiles pass over them.
const CACHED_PANELS: usize = 256 << 10;

/// Elements of k that are unpacked at once: the bytes, 16 KiB, stay in the first-level cache.
const SLICE_K: usize = 1024;

/// Tokens that share an unpacked slice, and whose quants stay in the second-level cache.
const SHARING: usize = 128;

/// Fewer tokens than this do not pay for unpacking.
const SHARING_MIN: usize = 16;

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
    let wide = acts.isa().tile();
    // Blocks of 32 are unpacked in registers as fast where tiles are wide (one thread of a Xeon,
    // 8 tokens a tile, GMAC/s: Q4_0 256 against 215, Q4_1 236 against 175).
    let pays = kernel.dear || wide < TILE_MAX;
    let sharing = match kernel.unpack {
        Some(_) if pays && acts.tokens() >= SHARING_MIN => acts.tokens() / wide * wide,
        _ => 0,
    };
    for first in (0..sharing).step_by(SHARING) {
        let tokens = first..sharing.min(first + SHARING);
        dense(&kernel, weights, panels.clone(), acts, tokens, &mut each);
    }
    fused(&kernel, weights, panels, acts, sharing, &mut each);
}

/// Multiplies tokens from `from` on, unpacking in registers.
fn fused(
    kernel: &Kernel,
    weights: &Panels<'_>,
    panels: Range<usize>,
    acts: &Acts<'_>,
    from: usize,
    each: &mut impl FnMut(usize, usize, &[f32]),
) {
    let step = (CACHED_PANELS / weights.panel_bytes().max(1)).max(1);
    for start in panels.clone().step_by(step) {
        for tile in acts.tiles().filter(|tile| tile.token >= from) {
            for idx in start..panels.end.min(start + step) {
                let mut sums = [[0.0; LANES]; TILE_MAX];
                let sums = &mut sums[..tile.width];
                let panel = weights.panel(idx);
                let operands = Operands { panel, dense: None, tile: tile.bytes, out: sums };
                (kernel.multiply)(acts.isa(), operands);
                emit(weights, idx, tile.token, sums, each);
            }
        }
    }
}

/// Multiplies a group of tokens in tiles of full width, unpacking each slice of k once.
///
/// Takes 24 KiB of stack, as the crate does not allocate.
fn dense(
    kernel: &Kernel,
    weights: &Panels<'_>,
    panels: Range<usize>,
    acts: &Acts<'_>,
    tokens: Range<usize>,
    each: &mut impl FnMut(usize, usize, &[f32]),
) {
    let Some(unpack) = kernel.unpack else { return };
    let (isa, wide) = (acts.isa(), acts.isa().tile());
    let mut scratch = [DenseBlock([[0; 64]; 8]); SLICE_K / 32];
    let mut sums = [[0.0; LANES]; SHARING];
    let sums = &mut sums[..tokens.len()];
    let slice_bytes = panel_bytes(weights.ty(), SLICE_K).expect("it has a product");
    let record_bytes = acts.kind().bytes(SLICE_K, wide);
    for idx in panels {
        sums.fill([0.0; LANES]);
        for (slice, panel) in weights.panel(idx).chunks(slice_bytes).enumerate() {
            unpack(isa, panel, &mut scratch);
            for (i, out) in sums.chunks_mut(wide).enumerate() {
                let tile = acts.full_tile(tokens.start + i * wide);
                let tile = &tile[slice * record_bytes..];
                let tile = &tile[..tile.len().min(record_bytes)];
                (kernel.multiply)(isa, Operands { panel, dense: Some(&scratch), tile, out });
            }
        }
        emit(weights, idx, tokens.start, sums, each);
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

/// Unpacks whole units to bytes.
type Unpack = fn(Isa, &[u8], &mut [DenseBlock]);

/// The code for one type of weights.
struct Kernel {
    /// Multiplies whole units with a tile.
    multiply: fn(Isa, Operands<'_>),
    /// Unpacks, where there is something to unpack.
    unpack: Option<Unpack>,
    /// Unpacking takes many instructions.
    dear: bool,
}

impl Kernel {
    /// Plain numbers: there is nothing to unpack.
    fn numbers<L: Numbers>() -> Self {
        Self { multiply: NumberTile::<L>::eval, unpack: None, dear: false }
    }

    /// Blocks of 32.
    fn blocks<L: Blocks>() -> Self {
        // Whole bytes are unpacked already.
        let unpack = if L::WHOLE { None } else { Some(UnpackBlocks::<L>::eval as Unpack) };
        Self { multiply: BlockTile::<L>::eval, unpack, dear: false }
    }

    /// Super-blocks.
    fn super_blocks<L: SuperBlocks>() -> Self {
        let unpack = Some(UnpackSuper::<L>::eval as Unpack);
        Self { multiply: SuperTile::<L>::eval, unpack, dear: true }
    }

    /// The code for a type, if there is a product for it.
    fn of(ty: TensorType) -> Option<Self> {
        Some(match ty {
            TensorType::Plain(DType::F32) => Self::numbers::<plain::F32>(),
            TensorType::Plain(DType::F16) => Self::numbers::<plain::F16>(),
            TensorType::Plain(DType::BF16) => Self::numbers::<plain::BF16>(),
            TensorType::Plain(_) => return None,
            TensorType::Block(block) => match block {
                BlockType::Q4_0 => Self::blocks::<blocks::Q4_0>(),
                BlockType::Q4_1 => Self::blocks::<blocks::Q4_1>(),
                BlockType::Q5_0 => Self::blocks::<blocks::Q5_0>(),
                BlockType::Q5_1 => Self::blocks::<blocks::Q5_1>(),
                BlockType::Q8_0 => Self::blocks::<blocks::Q8_0>(),
                BlockType::IQ4_NL => Self::blocks::<blocks::IQ4_NL>(),
                BlockType::MXFP4 => Self::blocks::<blocks::MXFP4>(),
                BlockType::Q2_K => Self::super_blocks::<k_min::Q2_K>(),
                BlockType::Q3_K => Self::super_blocks::<k_signed::Q3_K>(),
                BlockType::Q4_K => Self::super_blocks::<k_min::Q4_K>(),
                BlockType::Q5_K => Self::super_blocks::<k_min::Q5_K>(),
                BlockType::Q6_K => Self::super_blocks::<k_signed::Q6_K>(),
                BlockType::IQ4_XS => Self::super_blocks::<k_signed::IQ4_XS>(),
            },
        })
    }
}

#[cfg(test)]
mod tests;
