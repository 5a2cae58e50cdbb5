//! Products with weight matrices; neighbours that share their input run together.
//!
//! Of many rows a product also does what the next step does with its result alone: it adds a
//! residual, or applies a gate. Then less goes through memory; the numbers are the same.

use super::elementwise::{Elementwise, Ending};
use super::{Frame, Maker};
use crate::layout::{View, borrow, index};
use crate::matrix::{
    GROUP_MAX, MANY_ROWS, Matrix, Plus, Product, multiply, multiply_acts, multiply_gated, prepare,
};
use crate::weights::Vector;
use plan::{Plan, Step};
use tensor::Bytes;

/// One or several [`plan::Op::Linear`] of the same input.
#[derive(Debug)]
pub(crate) struct Linear {
    x: View,
    products: Vec<Member>,
    /// The next step, which alone reads the result.
    next: Option<(Elementwise, Ending)>,
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
        Self { x: maker.input(step, 0), products: vec![member], next: None }
    }

    /// Takes `next` into the group if it has the same input and wants it in the same form.
    pub(super) fn join(&mut self, next: &Self) -> bool {
        let same = self.products[0].matrix.acts() == next.products[0].matrix.acts();
        let count = self.products.len() + next.products.len();
        let fits = self.x == next.x && same && count <= GROUP_MAX && self.next.is_none();
        if fits {
            self.products.extend(&next.products);
        }
        fits
    }

    /// Takes over the next step, if that can be done at the end of the product.
    ///
    /// Nothing else may read what the products alone would have left.
    pub(super) fn end_with(&mut self, next: &Elementwise) -> bool {
        if self.next.is_some() {
            return false;
        }
        let ending = match self.products[..] {
            [a] if a.bias.is_none() => next.adds_to(a.out),
            [a, b] if a.bias.is_none() && b.bias.is_none() && a.matrix.is_like(b.matrix) => {
                next.gates(a.out, b.out)
            }
            _ => None,
        };
        self.next = ending.map(|ending| (*next, ending));
        self.next.is_some()
    }

    pub(super) fn run(&self, frame: &mut Frame<'_, '_>) {
        if let Some((next, ending)) = self.next
            && self.x.rows(frame.extents) >= MANY_ROWS
        {
            return self.to_the_end(frame, next.out, ending);
        }
        match self.products[..] {
            [a] => self.group(frame, [a]),
            [a, b] => self.group(frame, [a, b]),
            [a, b, c] => self.group(frame, [a, b, c]),
            [a, b, c, d] => self.group(frame, [a, b, c, d]),
            _ => unreachable!("groups have 1 to {GROUP_MAX} members"),
        }
        if let Some((next, _)) = self.next {
            next.run(frame);
        }
    }

    fn group<const N: usize>(&self, frame: &mut Frame<'_, '_>, members: [Member; N]) {
        let write = members.map(|member| member.out.range(frame.extents));
        let (outs, [x]) = borrow(frame.values, &write, &[self.x.range(frame.extents)]);
        let mut members = members.into_iter();
        let weights = frame.weights;
        let products = outs.map(|out| {
            let member = members.next().expect("as many as outs");
            let plus = Plus::bias(member.bias.map(|bias| bias.of(weights)));
            Product { matrix: member.matrix, plus, out }
        });
        multiply(frame.team, frame.isa, weights, x, products, frame.scratch);
    }

    /// Multiplies, and does the next step with each piece of the result.
    fn to_the_end(&self, frame: &mut Frame<'_, '_>, out: View, ending: Ending) {
        let (weights, first) = (frame.weights, self.products[0].matrix);
        let ([], [x]) = borrow(frame.values, &[], &[self.x.range(frame.extents)]);
        // Once it is prepared, the result may take the input's place.
        let acts = prepare(frame.team, frame.isa, first, x, frame.scratch);
        let out = out.range(frame.extents);
        match ending {
            Ending::Add(residual) => {
                let ([out], [all]) = borrow(frame.values, &[out], &[residual.range(frame.extents)]);
                let product = Product { matrix: first, plus: Plus::All(all), out };
                multiply_acts(frame.team, weights, &acts, [product]);
            }
            Ending::Gate(activation) => {
                let ([out], []) = borrow(frame.values, &[out], &[]);
                let both = [first, self.products[1].matrix];
                multiply_gated(frame.team, weights, &acts, both, activation, out);
            }
        }
    }
}
