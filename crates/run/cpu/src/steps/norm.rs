//! Norms of rows or of groups within rows.

use super::{Frame, Maker, by_rows};
use crate::layout::{View, borrow};
use crate::weights::Vector;
use kernels::norm::{Affine, layer, rms};
use plan::Step;
use plan::op::{self, NormKind};

/// [`plan::Op::Norm`].
#[derive(Debug)]
pub(crate) struct Norm {
    x: View,
    out: View,
    weight: Option<Vector>,
    bias: Option<Vector>,
    op: op::Norm,
}

impl Norm {
    pub(super) fn new(maker: &Maker<'_>, step: &Step, op: op::Norm) -> Self {
        let vector = |i| step.weight(i).map(|id| maker.placement.vector(id));
        let (x, out) = (maker.input(step, 0), maker.output(step));
        Self { x, out, weight: vector(1), bias: vector(2), op }
    }

    pub(super) fn run(&self, frame: &mut Frame<'_, '_>) {
        let (write, read) = (self.out.range(frame.extents), self.x.range(frame.extents));
        let ([out], [x]) = borrow(frame.values, &[write], &[read]);
        let affine = Affine {
            weight: self.weight.map(|vector| vector.of(frame.weights)),
            offset: self.op.offset,
            bias: self.bias.map(|vector| vector.of(frame.weights)),
        };
        let (width, isa) = (self.out.width, frame.isa);
        by_rows(frame.team, out, width, |first, out| {
            out.copy_from_slice(&x[first * width..][..out.len()]);
            for group in out.chunks_exact_mut(self.op.group.get() as usize) {
                match self.op.kind {
                    NormKind::Rms => rms(isa, group, self.op.eps, affine),
                    NormKind::Layer => layer(isa, group, self.op.eps, affine),
                }
            }
        });
    }
}
