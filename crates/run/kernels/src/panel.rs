//! Weights in panels: sixteen rows side by side, in the order in which a product reads them.
//!
//! A panel is `ceil(k / unit)` units one after another, a unit the piece of k stored together:
//! scales first, then chunks of 64 bytes in which bytes 4 r to 4 r + 3 belong to row r. Every
//! unit is a whole number of cache lines (of half ones for F16). Missing rows and missing k are
//! zero, so that kernels have no tails. One layout serves all instruction sets.
//!
//! The layouts stand at their types in `blocks`, `k_min`, `k_signed` and `plain`. Packing moves bits
//! and loses none: [`Panels::decode_row`] gives what the source's row decodes to.

use tensor::{BlockType, DType, TensorType};

use crate::isa::LANES;

pub(crate) mod layout;
pub(crate) mod blocks;
pub(crate) mod k_min;
pub(crate) mod k_signed;
pub(crate) mod plain;

use layout::{Bytes, Layout};

/// Something done with the layout of a weight type.
trait Visit {
    type Output;
    fn visit<L: Layout>(self) -> Self::Output;
}

/// Calls `visitor` with the layout of `ty`, if there is one.
fn visit<V: Visit>(ty: TensorType, visitor: V) -> Option<V::Output> {
    Some(match ty {
        TensorType::Plain(DType::F32) => visitor.visit::<plain::F32>(),
        TensorType::Plain(DType::F16) => visitor.visit::<plain::F16>(),
        TensorType::Plain(DType::BF16) => visitor.visit::<plain::BF16>(),
        TensorType::Plain(_) => return None,
        TensorType::Block(block) => match block {
            BlockType::Q4_0 => visitor.visit::<blocks::Q4_0>(),
            BlockType::Q4_1 => visitor.visit::<blocks::Q4_1>(),
            BlockType::Q5_0 => visitor.visit::<blocks::Q5_0>(),
            BlockType::Q5_1 => visitor.visit::<blocks::Q5_1>(),
            BlockType::Q8_0 => visitor.visit::<blocks::Q8_0>(),
            BlockType::IQ4_NL => visitor.visit::<blocks::IQ4_NL>(),
            BlockType::MXFP4 => visitor.visit::<blocks::MXFP4>(),
            BlockType::Q2_K => visitor.visit::<k_min::Q2_K>(),
            BlockType::Q3_K => visitor.visit::<k_signed::Q3_K>(),
            BlockType::Q4_K => visitor.visit::<k_min::Q4_K>(),
            BlockType::Q5_K => visitor.visit::<k_min::Q5_K>(),
            BlockType::Q6_K => visitor.visit::<k_signed::Q6_K>(),
            BlockType::IQ4_XS => visitor.visit::<k_signed::IQ4_XS>(),
        },
    })
}

/// Bytes of one panel of `k` elements a row, or `None` for a type without panels.
pub fn panel_bytes(ty: TensorType, k: usize) -> Option<usize> {
    struct Size(usize);
    impl Visit for Size {
        type Output = usize;
        fn visit<L: Layout>(self) -> usize {
            self.0.div_ceil(L::BLOCKS * L::BLOCK_K) * L::Unit::LEN
        }
    }
    visit(ty, Size(k))
}

/// Bytes of all panels of a matrix of `rows` rows of `k` elements.
pub fn packed_bytes(ty: TensorType, rows: usize, k: usize) -> Option<usize> {
    rows.div_ceil(LANES).checked_mul(panel_bytes(ty, k)?)
}

/// Packs up to sixteen rows into one panel.
///
/// `rows[r]`: a whole stored row of `k` elements of type `ty`; `panel`: [`panel_bytes`], all of
/// them written.
///
/// # Panics
/// If `ty` has no panels, there are more than sixteen rows, or a length is wrong.
pub fn pack(ty: TensorType, k: usize, rows: &[&[u8]], panel: &mut [u8]) {
    struct Pack<'a> {
        rows: &'a [&'a [u8]],
        panel: &'a mut [u8],
    }
    impl Visit for Pack<'_> {
        type Output = ();
        fn visit<L: Layout>(self) {
            let units = L::Unit::split_mut(self.panel);
            for (r, row) in self.rows.iter().enumerate() {
                for (b, block) in L::Block::split(row).iter().enumerate() {
                    L::pack(block, b % L::BLOCKS, r, &mut units[b / L::BLOCKS]);
                }
            }
        }
    }
    assert!(rows.len() <= LANES, "{} rows in one panel", rows.len());
    assert_eq!(panel_bytes(ty, k), Some(panel.len()), "one panel of {ty}, {k} elements a row");
    let row_bytes = ty.row_bytes(k as u64);
    for row in rows {
        assert_eq!(row_bytes, Some(row.len() as u64), "a row of {k} elements of {ty}");
    }
    panel.fill(0);
    visit(ty, Pack { rows, panel });
}

/// A matrix packed into panels: `w: [rows / 16 panels][k / unit][16 rows]`.
#[derive(Clone, Copy, Debug)]
pub struct Panels<'a> {
    ty: TensorType,
    k: usize,
    rows: usize,
    panel_bytes: usize,
    bytes: &'a [u8],
}

impl<'a> Panels<'a> {
    /// Sees `bytes` as the packed matrix of `rows` rows of `k` elements.
    ///
    /// # Panics
    /// If `ty` has no panels or `bytes` is not [`packed_bytes`] long.
    pub fn new(ty: TensorType, rows: usize, k: usize, bytes: &'a [u8]) -> Self {
        assert_eq!(packed_bytes(ty, rows, k), Some(bytes.len()), "{ty} [{rows}, {k}]");
        let panel_bytes = panel_bytes(ty, k).expect("a type that has packed bytes has panels");
        Self { ty, k, rows, panel_bytes, bytes }
    }

    /// The type of the weights.
    pub const fn ty(&self) -> TensorType {
        self.ty
    }

    /// Elements of a row.
    pub const fn k(&self) -> usize {
        self.k
    }

    /// Rows of the matrix.
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// Number of panels.
    pub const fn count(&self) -> usize {
        self.rows.div_ceil(LANES)
    }

    /// Bytes of one panel.
    pub const fn panel_bytes(&self) -> usize {
        self.panel_bytes
    }

    /// The bytes of one panel.
    pub fn panel(&self, idx: usize) -> &'a [u8] {
        &self.bytes[idx * self.panel_bytes..(idx + 1) * self.panel_bytes]
    }

    /// Decodes one row, as `tensor::decode_row` does from the source: for embeddings.
    ///
    /// # Panics
    /// If `row` is beyond the matrix or `out` is not `k` long.
    pub fn decode_row(&self, row: usize, out: &mut [f32]) {
        struct Decode<'a> {
            ty: TensorType,
            row: usize,
            panel: &'a [u8],
            out: &'a mut [f32],
        }
        impl Visit for Decode<'_> {
            type Output = ();
            fn visit<L: Layout>(self) {
                let units = L::Unit::split(self.panel);
                for (b, out) in self.out.chunks_exact_mut(L::BLOCK_K).enumerate() {
                    let block = L::unpack(&units[b / L::BLOCKS], b % L::BLOCKS, self.row);
                    tensor::decode_row(self.ty, block.as_slice(), out);
                }
            }
        }
        assert!(row < self.rows, "row {row} of {}", self.rows);
        assert_eq!(out.len(), self.k, "a row has {} elements", self.k);
        let panel = self.panel(row / LANES);
        visit(self.ty, Decode { ty: self.ty, row: row % LANES, panel, out });
    }
}

#[cfg(test)]
mod tests;
