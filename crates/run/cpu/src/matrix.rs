//! Weight matrices in panels, and products with them.
//!
//! A panel holds 16 rows; it is what a worker packs, and 16 columns of a product are what it
//! computes. Activations are quantised once for all products that read them. Every output element
//! is summed in ascending order of inputs by one worker, so that it depends on nothing else.

use crate::layout::index;
use crate::pool::{Parts, Split, Team, Tiles};
use kernels::isa::LANES;
use kernels::{ActKind, Acts, Isa, Panels, panel, product_each};
use plan::Weight;
use tensor::{Bytes, TensorType};

/// Tokens that are quantised together: a multiple of every width of tile.
const QUANTISED: usize = 24;

/// Tokens from which on all threads quantise.
const MANY: usize = 2 * QUANTISED;

/// Where one packed matrix is, and what it looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Matrix {
    /// First byte in the region of weights.
    pub(crate) start: usize,
    /// How its elements are stored.
    ty: TensorType,
    /// Rows: outputs of a product.
    pub(crate) outputs: usize,
    /// Elements of a row: inputs of a product.
    inputs: usize,
}

/// Bytes of weights times rows below which dividing a product costs more than it saves.
const SMALL: usize = 32 << 10;

/// Whether there are panels for a type.
pub(crate) fn has_panels(ty: TensorType) -> bool {
    ActKind::of(ty).is_some()
}

impl Matrix {
    /// The matrix of one expert, or the only one, of a weight.
    ///
    /// # Panics
    /// If the weight has no two dimensions (the verifier saw that it has).
    pub(crate) fn of(weight: &Weight, start: usize) -> Self {
        let dims = weight.shape.dims();
        let [outputs, inputs] = [dims[dims.len() - 2], weight.shape.last()].map(index);
        Self { start, ty: weight.ty, outputs, inputs }
    }

    /// The matrix of expert `expert`, where this is the first one's.
    pub(crate) fn of_expert(self, expert: usize) -> Self {
        Self { start: self.start + expert * self.bytes(), ..self }
    }

    /// Bytes of a row as stored in the source.
    pub(crate) fn row_bytes(&self) -> usize {
        index(self.ty.row_bytes(self.inputs as u64).expect("the importer checked the row"))
    }

    /// Bytes of a packed panel.
    pub(crate) fn panel_bytes(&self) -> usize {
        panel::panel_bytes(self.ty, self.inputs).expect("`check` saw a type with panels")
    }

    /// Bytes of all panels.
    pub(crate) fn packed_bytes(&self) -> usize {
        self.outputs.div_ceil(LANES) * self.panel_bytes()
    }

    /// Bytes from this matrix to the next, a multiple of 64.
    pub(crate) fn bytes(&self) -> usize {
        self.packed_bytes().next_multiple_of(64)
    }

    /// Packs up to 16 stored rows into a panel.
    pub(crate) fn pack(&self, rows: &[u8], out: &mut [u8]) {
        let mut each: [&[u8]; LANES] = [&[]; LANES];
        let mut count = 0;
        for (slot, row) in each.iter_mut().zip(rows.chunks_exact(self.row_bytes())) {
            *slot = row;
            count += 1;
        }
        panel::pack(self.ty, self.inputs, &each[..count], out);
    }

    /// The panels.
    fn panels<'a>(&self, weights: &'a [u8]) -> Panels<'a> {
        let bytes = &weights[self.start..][..self.packed_bytes()];
        Panels::new(self.ty, self.outputs, self.inputs, bytes)
    }

    /// Row `row` as numbers.
    pub(crate) fn row(&self, weights: &[u8], row: usize, out: &mut [f32]) {
        self.panels(weights).decode_row(row, out);
    }

    /// How its products want their inputs.
    pub(crate) fn acts(&self) -> ActKind {
        ActKind::of(self.ty).expect("`check` saw a type with panels")
    }

    /// Bytes of scratch that a product with so many rows needs, a multiple of 64.
    pub(crate) fn scratch(&self, rows: usize) -> usize {
        let rows = if rows < MANY { rows } else { rows.next_multiple_of(QUANTISED) };
        self.acts().bytes(self.inputs, rows).next_multiple_of(64)
    }
}

/// One product of a group that shares its input.
#[derive(Debug)]
pub(crate) struct Product<'a> {
    /// The matrix.
    pub(crate) matrix: Matrix,
    /// Added to every row of the result.
    pub(crate) bias: Option<&'a [f32]>,
    /// The result, `[rows, outputs]`.
    pub(crate) out: &'a mut [f32],
}

/// The most products that share an input.
pub(crate) const GROUP_MAX: usize = 4;

/// Computes `out = x · matrixᵀ + bias` for products of the same `x`, `[rows, inputs]`.
///
/// All matrices have the same inputs and want them in the same form.
pub(crate) fn multiply<const N: usize>(
    team: &mut Team<'_>,
    isa: Isa,
    weights: &[u8],
    x: &[f32],
    products: [Product<'_>; N],
    scratch: &mut [u8],
) {
    let first = products[0].matrix;
    let (kind, k) = (first.acts(), first.inputs);
    let rows = x.len() / k;
    let scratch = &mut scratch[..first.scratch(rows)];
    quantise(team, isa, kind, k, x, scratch);
    let acts = Acts::from_bytes(isa, kind, k, rows, scratch);
    let matrices: [Matrix; N] = core::array::from_fn(|i| products[i].matrix);
    let each: [_; N] = core::array::from_fn(|i| (matrices[i].panels(weights), products[i].bias));
    let mut outs =
        products.map(|product| Tiles::new(product.out, product.matrix.outputs, rows, LANES));
    let work = rows.saturating_mul(matrices.iter().map(Matrix::packed_bytes).sum());
    // Of many tokens a panel is worth sharing, of few it is read in a microsecond.
    let grain = if rows < MANY { 2 } else { 1 };
    let split = if work < SMALL { Split::Caller } else { Split::Runs(grain) };
    team.tiles(&mut outs, &Parts::none(), split, |_, which, mut tile| {
        let (panels, bias) = &each[which];
        let columns = tile.columns();
        let range = columns.start / LANES..columns.end.div_ceil(LANES);
        product_each(panels, range, &acts, |token, row, values| {
            let out = &mut tile.row(token)[row - columns.start..][..values.len()];
            match bias {
                None => out.copy_from_slice(values),
                Some(bias) => {
                    for ((out, value), bias) in out.iter_mut().zip(values).zip(&bias[row..]) {
                        *out = value + bias;
                    }
                }
            }
        });
    });
}

/// Quantises `x`, `[rows, k]`, into `out`, by all threads where there are many rows.
fn quantise(team: &mut Team<'_>, isa: Isa, kind: ActKind, k: usize, x: &[f32], out: &mut [u8]) {
    if x.len() < MANY * k {
        Acts::quantise(isa, kind, k, x, out);
        return;
    }
    // Whole groups of tokens are whole tiles, wherever the rows are cut.
    debug_assert!(QUANTISED.is_multiple_of(isa.tile()), "groups of whole tiles");
    let tokens = x.len() / k;
    let group = kind.bytes(k, QUANTISED);
    let groups = x.len().div_ceil(QUANTISED * k);
    team.rows(&mut out[..groups * group], group, &Parts::none(), |_, first, out| {
        let x = &x[first * QUANTISED * k..];
        let len = x.len().min(out.len() / group * QUANTISED * k);
        Acts::quantise_part(isa, kind, k, tokens, first * QUANTISED, &x[..len], out);
    });
}

/// Bytes of the panels of a weight, all experts together.
pub(crate) fn packed_bytes(weight: &Weight) -> Bytes {
    Bytes((Matrix::of(weight, 0).bytes() as u64).saturating_mul(experts(weight)))
}

/// Matrices of a weight: 1, or one an expert.
pub(crate) fn experts(weight: &Weight) -> u64 {
    let dims = weight.shape.dims();
    dims[..dims.len() - 2].iter().product()
}
