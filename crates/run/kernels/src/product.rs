//! Products of packed weights with quantised tokens: `out[token][row] = Σ w[row][k] · x[token][k]`.
//!
//! A lane is a row of the panel, so no sum crosses lanes, and k ascends: every output is one
//! sequence of operations that depends on the weights' type alone. Hence the same bits for every
//! instruction set, tile width, range of panels and number of threads. In single precision, in
//! this order (`fma` rounds once):
//!
//! - numbers: `f = fma(w, x, f)` for each k;
//! - blocks of 32: `f = fma(dot, d_w · d_x, f)`, then with minimums `f = fma(m, d_x · Σx, f)`;
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
    panel::{Panels, blocks, k_min, k_signed, plain},
};

mod fused;

use fused::{BlockTile, NumberTile, SuperTile};

/// The most tokens in a tile.
pub(crate) const TILE_MAX: usize = 8;

/// Bytes of panels that are kept in the second-level cache while all tiles pass over them.
const CACHED_PANELS: usize = 256 << 10;

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
    let tile = tile_of(weights.ty()).expect("a type with an activation kind has a product");
    let step = (CACHED_PANELS / weights.panel(0).len().max(1)).max(1);
    let mut tile_out = [[0.0; LANES]; TILE_MAX];
    for start in panels.clone().step_by(step) {
        for tokens in acts.tiles() {
            for idx in start..panels.end.min(start + step) {
                let rows = &mut tile_out[..tokens.width];
                tile(acts.isa(), weights.panel(idx), tokens.bytes, rows);
                let row = idx * LANES;
                let count = LANES.min(weights.rows() - row);
                for (t, values) in rows.iter().enumerate() {
                    each(tokens.token + t, row, &values[..count]);
                }
            }
        }
    }
}

/// One panel times one tile: `(isa, panel, tile, out)` with `out: [width][16]`.
type TileFn = fn(Isa, &[u8], &[u8], &mut [[f32; LANES]]);

/// The product kernel of a type.
fn tile_of(ty: TensorType) -> Option<TileFn> {
    Some(match ty {
        TensorType::Plain(DType::F32) => NumberTile::<plain::F32>::eval,
        TensorType::Plain(DType::F16) => NumberTile::<plain::F16>::eval,
        TensorType::Plain(DType::BF16) => NumberTile::<plain::BF16>::eval,
        TensorType::Plain(_) => return None,
        TensorType::Block(block) => match block {
            BlockType::Q4_0 => BlockTile::<blocks::Q4_0>::eval,
            BlockType::Q4_1 => BlockTile::<blocks::Q4_1>::eval,
            BlockType::Q5_0 => BlockTile::<blocks::Q5_0>::eval,
            BlockType::Q5_1 => BlockTile::<blocks::Q5_1>::eval,
            BlockType::Q8_0 => BlockTile::<blocks::Q8_0>::eval,
            BlockType::IQ4_NL => BlockTile::<blocks::IQ4_NL>::eval,
            BlockType::MXFP4 => BlockTile::<blocks::MXFP4>::eval,
            BlockType::Q2_K => SuperTile::<k_min::Q2_K>::eval,
            BlockType::Q3_K => SuperTile::<k_signed::Q3_K>::eval,
            BlockType::Q4_K => SuperTile::<k_min::Q4_K>::eval,
            BlockType::Q5_K => SuperTile::<k_min::Q5_K>::eval,
            BlockType::Q6_K => SuperTile::<k_signed::Q6_K>::eval,
            BlockType::IQ4_XS => SuperTile::<k_signed::IQ4_XS>::eval,
        },
    })
}

#[cfg(test)]
mod tests;
