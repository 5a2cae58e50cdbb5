//! Chosen rows of a value.

use super::{Frame, Maker};
use crate::layout::{View, borrow};
use plan::Step;

/// [`plan::Op::SelectRows`].
#[derive(Debug)]
pub(crate) struct Select {
    pub(crate) x: View,
    pub(crate) index: View,
    out: View,
}

impl Select {
    pub(super) fn new(maker: &Maker<'_>, step: &Step) -> Self {
        Self { x: maker.input(step, 0), index: maker.input(step, 1), out: maker.output(step) }
    }

    pub(super) fn run(&self, frame: &mut Frame<'_, '_>) {
        let [write, x, index] = [&self.out, &self.x, &self.index].map(|v| v.range(frame.extents));
        let ([out], [x, index]) = borrow(frame.values, &[write], &[x, index]);
        let width = self.out.width;
        for (row, out) in index.iter().zip(out.chunks_exact_mut(width)) {
            let row = row.to_bits() as usize;
            out.copy_from_slice(&x[row * width..][..width]);
        }
    }
}
