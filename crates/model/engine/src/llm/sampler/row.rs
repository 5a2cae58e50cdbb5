//! A row of logits, and what one pass over it found.
//!
//! The pass refuses what is no logit and keeps the largest of each block, so that whoever looks for
//! large ones passes over the other blocks. What is found never depends on the size of the blocks.

use super::{NonFinite, token};
use kernels::logits::{BLOCK, Rows};

/// Room for what a pass finds.
#[derive(Debug)]
pub(super) struct Peaks {
    rows: Rows,
    /// The largest of each block: `[vocabulary / BLOCK]`.
    blocks: Vec<f32>,
}

/// A row of logits that can be sampled from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row<'a> {
    /// `[vocabulary]`.
    pub(super) logits: &'a [f32],
    /// The largest of each block.
    pub(super) peaks: &'a [f32],
    /// The largest of all.
    pub(super) max: f32,
    rows: Rows,
}

impl Peaks {
    /// Room for rows of `vocabulary` logits.
    pub(super) fn for_rows_of(vocabulary: usize) -> Self {
        Self { rows: Rows::detect(), blocks: vec![0.0; vocabulary.div_ceil(BLOCK)] }
    }

    /// Looks at a row of as many logits.
    ///
    /// # Errors
    /// [`NonFinite`] if there is NaN or `+∞`, or nothing but `-∞`.
    pub(super) fn look<'a>(&'a mut self, logits: &'a [f32]) -> Result<Row<'a>, NonFinite> {
        let found = self.rows.look(logits, &mut self.blocks);
        if !found.usable {
            let bad = logits.iter().position(|&logit| logit.is_nan() || logit == f32::INFINITY);
            let index = bad.expect("the pass met one");
            return Err(NonFinite::Logit { token: token(index), value: logits[index] });
        }
        if found.max == f32::NEG_INFINITY {
            return Err(NonFinite::NothingLeft);
        }
        Ok(Row { logits, peaks: &self.blocks, max: found.max, rows: self.rows })
    }
}

impl<'a> Row<'a> {
    /// `Σ exp(logit - max)`.
    pub(super) fn total(&self) -> f64 {
        self.rows.sum(self.logits, self.max)
    }

    /// The tokens whose logits are `bar` at least, with these, by ascending ids.
    pub(super) fn at_least(&self, bar: f32) -> impl Iterator<Item = (usize, f32)> + use<'a> {
        let blocks = self.peaks.iter().zip(self.logits.chunks(BLOCK)).enumerate();
        let high = blocks.filter(move |(_, (peak, _))| **peak >= bar);
        let all = high.flat_map(|(i, (_, block))| (i * BLOCK..).zip(block.iter().copied()));
        all.filter(move |(_, logit)| *logit >= bar)
    }
}
