//! Weight matrices as they lie in memory, and products with them.
//!
//! A matrix is cut into panels of 16 rows; a panel is what a worker packs, and 16 columns of a
//! product are what it computes. Every output element is summed in ascending order of inputs by one
//! worker, so that it depends on nothing else.

use crate::layout::{index, numbers_mut};
use crate::pool::{Parts, Split, Team, Tiles};
use plan::Weight;
use tensor::{Bytes, TensorType, decode_row};

/// Rows of a panel.
pub(crate) const PANEL: usize = 16;

/// The shape of one packed matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Matrix {
    /// First byte in the region of weights.
    pub(crate) start: usize,
    /// How its elements are stored.
    pub(crate) ty: TensorType,
    /// Rows: outputs of a product.
    pub(crate) outputs: usize,
    /// Elements of a row: inputs of a product.
    pub(crate) inputs: usize,
}

impl Matrix {
    /// The matrix of one expert, or the only one, of a weight.
    pub(crate) fn of(weight: &Weight, start: usize) -> Self {
        let dims = weight.shape.dims();
        let [outputs, inputs] = [dims[dims.len() - 2], weight.shape.last()].map(index);
        Self { start, ty: weight.ty, outputs, inputs }
    }

    /// Bytes of a row as stored in the source.
    pub(crate) fn row_bytes(&self) -> usize {
        index(self.ty.row_bytes(self.inputs as u64).expect("the importer checked the row"))
    }

    /// Bytes of a packed panel, a multiple of 64.
    pub(crate) fn panel_bytes(&self) -> usize {
        (PANEL * self.row_bytes()).next_multiple_of(64)
    }

    /// Bytes of all panels.
    pub(crate) fn bytes(&self) -> usize {
        self.outputs.div_ceil(PANEL) * self.panel_bytes()
    }

    /// Packs up to 16 stored rows into a panel.
    pub(crate) fn pack(&self, rows: &[u8], panel: &mut [u8]) {
        debug_assert!(rows.len().is_multiple_of(self.row_bytes()), "whole rows");
        panel[..rows.len()].copy_from_slice(rows);
    }

    /// Bytes of scratch that each thread needs in a product.
    pub(crate) fn thread_scratch(&self) -> usize {
        (self.inputs * 4).next_multiple_of(64)
    }

    /// Row `row` as numbers.
    pub(crate) fn row(&self, weights: &[u8], row: usize, out: &mut [f32]) {
        let panel = self.start + row / PANEL * self.panel_bytes();
        let row = &weights[panel + row % PANEL * self.row_bytes()..][..self.row_bytes()];
        decode_row(self.ty, row, out);
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

/// Computes `out = x · matrixᵀ + bias` for some products of the same `x`, `[rows, inputs]`.
pub(crate) fn multiply<const N: usize>(
    team: &mut Team<'_>,
    weights: &[u8],
    x: &[f32],
    products: [Product<'_>; N],
    scratch: &mut [u8],
) {
    let rows = x.len() / products[0].matrix.inputs;
    let each = products.iter().map(|p| p.matrix.thread_scratch()).max().unwrap_or(0);
    let matrices: [_; N] = core::array::from_fn(|i| (products[i].matrix, products[i].bias));
    let mut outs =
        products.map(|product| Tiles::new(product.out, product.matrix.outputs, rows, PANEL));
    team.tiles(
        &mut outs,
        &Parts::new(scratch, each),
        Split::Runs(2),
        |scratch, which, mut tile| {
            let (matrix, bias) = matrices[which];
            let row = numbers_mut::<f32>(scratch);
            let row = &mut row[..matrix.inputs];
            for (i, output) in tile.columns().enumerate() {
                matrix.row(weights, output, row);
                for (t, x) in x.chunks_exact(matrix.inputs).enumerate() {
                    tile.row(t)[i] = dot(x, row) + bias.map_or(0.0, |bias| bias[output]);
                }
            }
        },
    );
}

/// A product of two rows, in lanes.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0f32; 16];
    for (a, b) in a.chunks(16).zip(b.chunks(16)) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b;
        }
    }
    lanes.iter().sum()
}

/// Bytes of the panels of a weight, all experts together.
pub(crate) fn packed_bytes(weight: &Weight) -> Bytes {
    Bytes(Matrix::of(weight, 0).bytes() as u64 * experts(weight))
}

/// Matrices of a weight: 1, or one an expert.
pub(crate) fn experts(weight: &Weight) -> u64 {
    let dims = weight.shape.dims();
    dims[..dims.len() - 2].iter().product()
}
