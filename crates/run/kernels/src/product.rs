//! Products of packed weights with quantised tokens: `out[token][row] = Σ w[row][k] · x[token][k]`.
//!
//! A lane is a row of the panel, so no sum crosses lanes, and k ascends: every output is one
//! sequence of operations that depends on the weights' type alone. Hence the same bits for every
//! instruction set, tile width, range of panels and number of threads. In single precision, in
//! this order (`fma` rounds once):
//!
//! - numbers: `f = fma(w, x, f)` for each k;
//! - blocks of 32: `f = fma(fma(A + dot, d_w, −A · d_w), d_x, f)`, where `A` is
//!   `acts::ANCHOR`, so that the inner term is `dot · d_w` rounded once (NaN if
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
    elementwise::{self, Activation},
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

use dense::{BlockForm, DenseTile, Form, Minimums16, Minimums32, Slice, SuperForm, Zero16, Zero32};
use tile::{BlockTile, NumberTile, Operands, SuperTile, narrow_limit};
use unpack::{UnpackBlocks, UnpackSuper};

/// The most tokens in a tile.
const TILE_MAX: usize = 12;

/// Bytes of panels that are kept in the second-level cache while all tiles pass over them.
const CACHED_PANELS: usize = 256 << 10;

/// About how many elements of k are unpacked at once: those of all panels that are unpacked
/// together stay in the first-level cache with a tile's quants.
const PIECE: usize = 640;

/// Slices of 256 elements that hold a piece.
const SLICES: usize = 3;

/// Panels that are unpacked together.
const PANELS: usize = 2;

/// Tokens that share an unpacked slice: a multiple of every width of tile.
const SHARING: usize = 264;

/// Elements of k that are unpacked at once: equal pieces, as short ones do not pay for taking the
/// sums up and putting them down.
fn piece(weights: &Panels<'_>) -> usize {
    let pieces = weights.k().div_ceil(PIECE);
    let unit = if weights.ty().block_elements() == 256 { 256 } else { 128 };
    weights.k().div_ceil(pieces).next_multiple_of(unit)
}

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

/// Computes some panels' rows for all tokens and hands them over in pieces of a few rows:
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
        Some(code) if acts.tokens() >= DENSE_MIN => {
            dense(code, Sources::One(weights), panels, acts, &mut each);
        }
        _ => fused(kernel.fused, weights, panels, acts, &mut each),
    }
}

/// Computes some panels' rows of two matrices for all tokens, at least [`DENSE_MIN`] of them, and
/// hands over `activation(gate) · up`, as [`product_each`] does.
///
/// # Panics
/// As [`product_each`] does, and if the matrices are not alike, or there are fewer tokens.
pub fn product_gated(
    [gate, up]: &[Panels<'_>; 2],
    activation: Activation,
    panels: Range<usize>,
    acts: &Acts<'_>,
    mut each: impl FnMut(usize, usize, &[f32]),
) {
    for weights in [gate, up] {
        assert_eq!(Some(acts.kind()), ActKind::of(weights.ty()), "{} weights", weights.ty());
        assert_eq!(acts.k(), weights.k(), "as many elements a token as a row");
        assert!(panels.end <= weights.count(), "panels {panels:?} of {}", weights.count());
    }
    assert_eq!((gate.ty(), gate.rows()), (up.ty(), up.rows()), "matrices that are alike");
    assert!(acts.tokens() >= DENSE_MIN, "tokens enough to unpack weights");
    let kernel = Kernel::of(gate.ty()).expect("a type with an activation kind has a product");
    if let Some(code) = &kernel.dense {
        dense(code, Sources::Gated(gate, up, activation), panels, acts, &mut each);
        return;
    }
    // Plain numbers: both products of a panel, then what is made of them.
    for idx in panels {
        for tile in acts.tiles() {
            let mut sums = [[[0.0; LANES]; TILE_MAX]; 2];
            for (weights, sums) in [gate, up].into_iter().zip(&mut sums) {
                let (panel, out) = (weights.panel(idx), &mut sums[..tile.width]);
                (kernel.fused)(acts.isa(), &mut Operands { panel, tile: tile.bytes, out });
            }
            let [gates, ups] = &mut sums;
            let (gates, ups) = (&mut gates[..tile.width], &ups[..tile.width]);
            elementwise::gate(acts.isa(), activation, gates.as_flattened_mut(), ups.as_flattened());
            emit(gate, idx, tile.token, gates, &mut each);
        }
    }
}

/// What the panels are that are multiplied together.
#[derive(Clone, Copy)]
enum Sources<'a, 'b> {
    /// Two neighbours of a matrix.
    One(&'a Panels<'b>),
    /// The same panel of a gate and of what it is applied to.
    Gated(&'a Panels<'b>, &'a Panels<'b>, Activation),
}

/// Multiplies, unpacking in registers.
fn fused(
    multiply: fn(Isa, &mut Operands<'_>),
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
                multiply(acts.isa(), &mut Operands { panel, tile: tile.bytes, out: &mut *sums });
                emit(weights, idx, tile.token, sums, each);
            }
        }
    }
}

/// Panels' unpacked slices, and the sums of their rows for a group of tokens.
#[repr(C, align(64))]
struct Unpacked {
    panels: [[Slice; SLICES]; PANELS],
    sums: [[[f32; LANES]; PANELS]; SHARING],
}

impl Unpacked {
    #[expect(clippy::large_stack_arrays, reason = "the crate does not allocate")]
    const EMPTY: Self =
        Self { panels: [[Slice::EMPTY; SLICES]; PANELS], sums: [[[0.0; LANES]; PANELS]; SHARING] };
}

/// Multiplies, unpacking each slice of k once for a group of tokens.
///
/// Two panels at a time: a tile's quants come from the second-level cache once for both. Sums are
/// handed over tile by tile, so that the lines that they go to are fetched while the next tile is
/// multiplied. Takes 75 KiB of stack, as the crate does not allocate.
fn dense(
    code: &DenseCode,
    sources: Sources<'_, '_>,
    panels: Range<usize>,
    acts: &Acts<'_>,
    each: &mut impl FnMut(usize, usize, &[f32]),
) {
    let (weights, step) = match sources {
        Sources::One(weights) => (weights, PANELS),
        Sources::Gated(gate, ..) => (gate, 1),
    };
    let k = piece(weights);
    let piece_bytes = panel_bytes(weights.ty(), k).expect("it has a product");
    let mut scratch = Unpacked::EMPTY;
    let Unpacked { panels: slices, sums } = &mut scratch;
    let mut first = 0;
    while first < acts.tokens() {
        let tokens = SHARING.min(acts.tokens() - first);
        for start in panels.clone().step_by(step) {
            // Panels that are multiplied, and those that come of it.
            let left = step.min(panels.end - start);
            let count = if step == 1 { PANELS } else { left };
            sums[..tokens].fill([[0.0; LANES]; PANELS]);
            for at in (0..weights.panel_bytes()).step_by(piece_bytes) {
                let mut unpacked = 0;
                for (i, slices) in slices[..count].iter_mut().enumerate() {
                    let panel = match sources {
                        Sources::One(weights) => weights.panel(start + i),
                        Sources::Gated(gate, up, _) => [gate, up][i].panel(start),
                    };
                    let panel = &panel[at..];
                    let panel = &panel[..panel.len().min(piece_bytes)];
                    unpacked = (code.unpack)(acts.isa(), panel, slices);
                }
                let last = at + piece_bytes >= weights.panel_bytes();
                for run in acts.runs(first, tokens) {
                    for i in 0..run.tokens / run.width {
                        let token = run.token + i * run.width;
                        let out = &mut sums[token - first..][..run.width];
                        let mut tile = dense::Operands {
                            panels: &slices[..count],
                            tile: run.records(i, at / piece_bytes * k, unpacked),
                            narrow_limit: code.narrow_limit,
                            out: &mut *out,
                        };
                        (code.multiply)(acts.isa(), &mut tile);
                        if !last {
                            continue;
                        }
                        let row = start * LANES;
                        let rows = (left * LANES).min(weights.rows() - row);
                        if let Sources::Gated(.., activation) = sources {
                            gate_tile(acts.isa(), activation, out);
                        }
                        for (t, values) in out.iter().enumerate() {
                            each(token + t, row, &values.as_flattened()[..rows]);
                        }
                    }
                }
            }
        }
        first += tokens;
    }
}

/// Puts `activation(gate) · up` in the place of the gates, which the first panel has.
fn gate_tile(isa: Isa, activation: Activation, sums: &mut [dense::Sums]) {
    let mut parts = [[[0.0; LANES]; TILE_MAX]; PANELS];
    let [gates, ups] = &mut parts;
    for ((gate, up), sums) in gates.iter_mut().zip(ups.iter_mut()).zip(&*sums) {
        (*gate, *up) = (sums[0], sums[1]);
    }
    let (gates, ups) = (&mut gates[..sums.len()], &ups[..sums.len()]);
    elementwise::gate(isa, activation, gates.as_flattened_mut(), ups.as_flattened());
    for (gate, sums) in gates.iter().zip(sums) {
        sums[0] = *gate;
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
    fused: fn(Isa, &mut Operands<'_>),
    /// The way of many tokens; none for plain numbers, where there is nothing to unpack.
    dense: Option<DenseCode>,
}

/// The code for many tokens.
struct DenseCode {
    /// Unpacks whole units and says how many elements of k they are.
    unpack: fn(Isa, &[u8], &mut [Slice]) -> usize,
    /// Multiplies what was unpacked with a tile.
    multiply: fn(Isa, &mut dense::Operands<'_>),
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
        let (unpack, multiply) = (UnpackBlocks::<L>::eval, DenseTile::<M>::eval);
        let dense = Some(DenseCode { unpack, multiply, narrow_limit: 0 });
        Self { fused: BlockTile::<L>::eval, dense }
    }

    /// Super-blocks.
    fn super_blocks<L: SuperBlocks, M: Form>() -> Self {
        let (unpack, multiply) = (UnpackSuper::<L>::eval, DenseTile::<M>::eval);
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
