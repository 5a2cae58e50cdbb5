//! Products with weight matrices; neighbours that share their input run together.

use super::{Frame, Maker};
use crate::layout::{View, borrow, index};
use crate::matrix::{GROUP_MAX, Matrix, Product, multiply};
use crate::weights::Vector;
use plan::{Plan, Step};
use tensor::Bytes;

/// One or several [`plan::Op::Linear`] of the same input.
#[derive(Debug)]
pub(crate) struct Linear {
    x: View,
    products: Vec<Member>,
}

/// One product of the group.
#[derive(Clone, Copy, Debug)]
struct Member {
    matrix: Matrix,
    bias: Option<Vector>,
    out: View,
}

/// Scratch of a step by itself; a group needs no more, as its members share their input.
pub(super) fn scratch(step: &Step, plan: &Plan) -> Bytes {
    let id = step.weight(1).expect("the verifier saw a matrix");
    let rows = index(step.output.dims[0].max(&plan.symbols));
    Bytes(Matrix::of(&plan.weights[id.0 as usize], 0).scratch(rows) as u64)
}

impl Linear {
    pub(super) fn new(maker: &Maker<'_>, step: &Step) -> Self {
        let matrix = maker.placement.matrix(step.weight(1).expect("the verifier saw a matrix"));
        let bias = step.weight(2).map(|id| maker.placement.vector(id));
        let member = Member { matrix, bias, out: maker.output(step) };
        Self { x: maker.input(step, 0), products: vec![member] }
    }

    /// Takes `next` into the group if it has the same input and wants it in the same form.
    pub(super) fn join(&mut self, next: &Self) -> bool {
        let same = self.products[0].matrix.acts() == next.products[0].matrix.acts();
        let count = self.products.len() + next.products.len();
        let fits = self.x == next.x && same && count <= GROUP_MAX;
        if fits {
            self.products.extend(&next.products);
        }
        fits
    }

    pub(super) fn run(&self, frame: &mut Frame<'_, '_>) {
        match self.products[..] {
            [a] => self.group(frame, [a]),
            [a, b] => self.group(frame, [a, b]),
            [a, b, c] => self.group(frame, [a, b, c]),
            [a, b, c, d] => self.group(frame, [a, b, c, d]),
            _ => unreachable!("groups have 1 to {GROUP_MAX} members"),
        }
    }

    fn group<const N: usize>(&self, frame: &mut Frame<'_, '_>, members: [Member; N]) {
        let write = members.map(|member| member.out.range(frame.extents));
        let (outs, [x]) = borrow(frame.values, &write, &[self.x.range(frame.extents)]);
        let mut members = members.into_iter();
        let weights = frame.weights;
        let products = outs.map(|out| {
            let member = members.next().expect("as many as outs");
            let bias = member.bias.map(|bias| bias.of(weights));
            Product { matrix: member.matrix, bias, out }
        });
        multiply(frame.team, frame.isa, weights, x, products, frame.scratch);
    }
}
