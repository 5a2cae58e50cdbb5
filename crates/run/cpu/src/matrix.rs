//! Weight matrices in panels, and products with them.
//!
//! A panel holds 16 rows; it is what a worker packs, and 16 columns of a product are what it
//! computes. Activations are quantised once for all products that read them. Every output element
//! is summed in ascending order of inputs by one worker, so that it depends on nothing else.

use crate::layout::index;
use crate::pool::{Parts, Split, Team, Tiles};
use kernels::elementwise::Activation;
use kernels::isa::LANES;
use kernels::{ActKind, Acts, DENSE_MIN, Isa, Panels, panel, product_each, product_gated};
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

    /// Whether another has the same extents and type.
    pub(crate) fn is_like(self, other: Self) -> bool {
        self == Self { start: self.start, ..other }
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
    /// Added to the result.
    pub(crate) plus: Plus<'a>,
    /// The result, `[rows, outputs]`.
    pub(crate) out: &'a mut [f32],
}

/// What is added to a product.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Plus<'a> {
    Nothing,
    /// To every row, `[outputs]`.
    Row(&'a [f32]),
    /// `[rows, outputs]`.
    All(&'a [f32]),
}

impl<'a> Plus<'a> {
    /// A bias, if there is one.
    pub(crate) fn bias(bias: Option<&'a [f32]>) -> Self {
        bias.map_or(Self::Nothing, Self::Row)
    }
}

/// The most products that share an input.
pub(crate) const GROUP_MAX: usize = 4;

/// Rows from which on whole panels of a product stay in a cache, so that its end may do more.
pub(crate) const MANY_ROWS: usize = DENSE_MIN;

/// Computes `out = x · matrixᵀ + plus` for products of the same `x`, `[rows, inputs]`.
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
    let acts = prepare(team, isa, products[0].matrix, x, scratch);
    multiply_acts(team, weights, &acts, products);
}

/// Brings `x` into the form that products with `matrix` want.
pub(crate) fn prepare<'a>(
    team: &mut Team<'_>,
    isa: Isa,
    matrix: Matrix,
    x: &[f32],
    scratch: &'a mut [u8],
) -> Acts<'a> {
    let (kind, k) = (matrix.acts(), matrix.inputs);
    let rows = x.len() / k;
    let scratch = &mut scratch[..matrix.scratch(rows)];
    quantise(team, isa, kind, k, x, scratch);
    Acts::from_bytes(isa, kind, k, rows, scratch)
}

/// The products of [`multiply`], of an input that was prepared.
pub(crate) fn multiply_acts<const N: usize>(
    team: &mut Team<'_>,
    weights: &[u8],
    acts: &Acts<'_>,
    products: [Product<'_>; N],
) {
    let rows = acts.tokens();
    let matrices: [Matrix; N] = core::array::from_fn(|i| products[i].matrix);
    let each: [_; N] = core::array::from_fn(|i| (matrices[i].panels(weights), products[i].plus));
    let mut outs =
        products.map(|product| Tiles::new(product.out, product.matrix.outputs, rows, LANES));
    let work = rows.saturating_mul(matrices.iter().map(Matrix::packed_bytes).sum());
    team.tiles(&mut outs, &Parts::none(), split(rows, work), |_, which, mut tile| {
        let (panels, plus) = &each[which];
        let columns = tile.columns();
        let range = columns.start / LANES..columns.end.div_ceil(LANES);
        product_each(panels, range, acts, |token, row, values| {
            let out = &mut tile.row(token)[row - columns.start..][..values.len()];
            match plus {
                Plus::Nothing => out.copy_from_slice(values),
                Plus::Row(bias) => put_sum(out, values, &bias[row..]),
                Plus::All(all) => put_sum(out, values, &all[token * panels.rows() + row..]),
            }
        });
    });
}

/// How a product of `rows` rows and `work`, bytes of weights times rows, is divided.
fn split(rows: usize, work: usize) -> Split {
    // Of many tokens a panel is worth sharing, of few it is read in a microsecond.
    let grain = if rows < MANY { 2 } else { 1 };
    if work < SMALL { Split::Caller } else { Split::Runs(grain) }
}

/// Computes `out = activation(x · gateᵀ) · (x · upᵀ)` for at least [`MANY_ROWS`] rows.
///
/// Both matrices are alike.
pub(crate) fn multiply_gated(
    team: &mut Team<'_>,
    weights: &[u8],
    acts: &Acts<'_>,
    [gate, up]: [Matrix; 2],
    activation: Activation,
    out: &mut [f32],
) {
    let panels = [gate, up].map(|matrix| matrix.panels(weights));
    let mut outs = [Tiles::new(out, gate.outputs, acts.tokens(), LANES)];
    let work = acts.tokens().saturating_mul(2 * gate.packed_bytes());
    team.tiles(&mut outs, &Parts::none(), split(acts.tokens(), work), |_, _, mut tile| {
        let columns = tile.columns();
        let range = columns.start / LANES..columns.end.div_ceil(LANES);
        product_gated(&panels, activation, range, acts, |token, row, values| {
            tile.row(token)[row - columns.start..][..values.len()].copy_from_slice(values);
        });
    });
}

/// Writes sums of a few numbers, at most two panels'.
///
/// They are copied at once: additions one by one would be small writes to distant lines, of which
/// few can wait for their lines.
fn put_sum(out: &mut [f32], a: &[f32], b: &[f32]) {
    let mut sums = [0.0; 2 * LANES];
    let sums = &mut sums[..out.len()];
    for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
        *sum = a + b;
    }
    out.copy_from_slice(sums);
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
