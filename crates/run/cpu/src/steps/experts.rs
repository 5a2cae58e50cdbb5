//! Mixture of experts: each row visits the experts that its router prefers.
//!
//! Rows are grouped by expert, so that an expert's matrices are read once for all rows that chose
//! it; results are kept by row and rank and summed in the order of ranks, so that a row's sum does
//! not depend on its neighbours.

use super::elementwise::activation;
use super::{Frame, Maker, by_rows, float_bytes, floats};
use crate::layout::{View, borrow};
use crate::matrix::{Matrix, Plus, Product, multiply};
use kernels::Isa;
use kernels::elementwise::{Activation, add_scaled, gate, softmax};
use plan::op::{self, Gating};
use plan::{Plan, Step, WeightId};
use tensor::Bytes;

/// Rows that are worked on together.
const ROWS: usize = 128;

/// [`plan::Op::Experts`].
#[derive(Debug)]
pub(crate) struct Experts {
    x: View,
    router: View,
    out: View,
    gate: Matrix,
    up: Matrix,
    down: Matrix,
    sizes: Sizes,
    activation: Activation,
    gating: Gating,
    scale: f32,
}

/// Extents that do not change.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    count: usize,
    used: usize,
    hidden: usize,
    width: usize,
    rows: usize,
}

impl Sizes {
    fn of(step: &Step, plan: &Plan, op: &op::Experts) -> Self {
        let index = |n: u64| usize::try_from(n).unwrap_or(usize::MAX / 4096);
        Self {
            count: op.count as usize,
            used: op.used as usize,
            hidden: op.hidden as usize,
            width: index(step.output.width()),
            rows: index(step.output.dims[0].max(&plan.symbols)).min(ROWS),
        }
    }

    /// Numbers of the parts of scratch: shares, choices, members, gathered rows, gates, ups, an
    /// expert's results, all results.
    fn parts(&self) -> [usize; 8] {
        let (visits, rows) = (self.rows * self.used, self.rows);
        let (wide, deep) = (rows * self.width, rows * self.hidden);
        [visits, visits, rows, wide, deep, deep, wide, self.count.max(visits * self.width)]
            .map(|len| len.next_multiple_of(16))
    }
}

/// The product with one expert's matrix.
fn product(all: Matrix, expert: usize, out: &mut [f32]) -> Product<'_> {
    Product { matrix: all.of_expert(expert), plus: Plus::Nothing, out }
}

/// Scratch: everything above, and what products need.
pub(super) fn scratch(step: &Step, plan: &Plan, op: op::Experts) -> Bytes {
    let sizes = Sizes::of(step, plan, &op);
    let own: usize = sizes.parts().into_iter().map(float_bytes).sum();
    let matrix = |i| {
        let id: WeightId = step.weight(i).expect("the verifier saw a matrix");
        Matrix::of(&plan.weights[id.0 as usize], 0).scratch(sizes.rows)
    };
    let products = (2..5).map(matrix).max().unwrap_or(0);
    Bytes((own + products) as u64)
}

impl Experts {
    pub(super) fn new(maker: &Maker<'_>, step: &Step, op: op::Experts) -> Self {
        let matrix = |i| maker.placement.matrix(step.weight(i).expect("the verifier saw a matrix"));
        Self {
            x: maker.input(step, 0),
            router: maker.input(step, 1),
            out: maker.output(step),
            gate: matrix(2),
            up: matrix(3),
            down: matrix(4),
            sizes: Sizes::of(step, maker.plan, &op),
            activation: activation(op.activation),
            gating: op.gating,
            scale: op.scale,
        }
    }

    pub(super) fn run(&self, frame: &mut Frame<'_, '_>) {
        let [write, x, router] =
            [&self.out, &self.x, &self.router].map(|view| view.range(frame.extents));
        let ([out], [x, router]) = borrow(frame.values, &[write], &[x, router]);
        let Sizes { count, used, width, .. } = self.sizes;
        let isa = frame.isa;
        let own: usize = self.sizes.parts().iter().sum();
        let (own, products) = frame.scratch.split_at_mut(own * 4);
        let mut rest = floats(own);
        let [shares, choices, members, gathered, gates, ups, results, all] =
            self.sizes.parts().map(|len| {
                let (part, after) = core::mem::take(&mut rest).split_at_mut(len);
                rest = after;
                part
            });
        let chunks = out.chunks_mut(ROWS * width).zip(x.chunks(ROWS * width));
        for ((out, x), router) in chunks.zip(router.chunks(ROWS * count)) {
            let rows = out.len() / width;
            for (row, scores) in router.chunks_exact(count).enumerate() {
                let shares = &mut shares[row * used..][..used];
                let choices = &mut choices[row * used..][..used];
                self.choose(isa, scores, shares, choices, &mut all[..count]);
            }
            for expert in 0..count {
                // `members`: the visits to this expert, as numbers of (row, rank).
                let mut visits = 0;
                for (visit, choice) in choices[..rows * used].iter().enumerate() {
                    if choice.to_bits() as usize == expert {
                        members[visits] = f32::from_bits(u32::try_from(visit).expect("few rows"));
                        let row = visit / used;
                        gathered[visits * width..][..width]
                            .copy_from_slice(&x[row * width..][..width]);
                        visits += 1;
                    }
                }
                if visits == 0 {
                    continue;
                }
                let hidden = visits * self.sizes.hidden;
                let x = &gathered[..visits * width];
                let (gates, ups) = (&mut gates[..hidden], &mut ups[..hidden]);
                let results = &mut results[..visits * width];
                let pair = [product(self.gate, expert, gates), product(self.up, expert, ups)];
                multiply(frame.team, isa, frame.weights, x, pair, products);
                by_rows(frame.team, gates, self.sizes.hidden, |first, gates| {
                    let ups = &ups[first * self.sizes.hidden..][..gates.len()];
                    gate(isa, self.activation, gates, ups);
                });
                let last = [product(self.down, expert, results)];
                multiply(frame.team, isa, frame.weights, gates, last, products);
                for (member, result) in members.iter().zip(results.chunks_exact(width)) {
                    let visit = member.to_bits() as usize;
                    all[visit * width..][..width].copy_from_slice(result);
                }
            }
            out.fill(0.0);
            for (row, out) in out.chunks_exact_mut(width).enumerate() {
                for visit in row * used..(row + 1) * used {
                    add_scaled(isa, out, shares[visit], &all[visit * width..][..width]);
                }
            }
        }
    }

    /// The experts of highest score and their shares, best first, ties to the lower index.
    fn choose(
        &self,
        isa: Isa,
        scores: &[f32],
        shares: &mut [f32],
        choices: &mut [f32],
        all: &mut [f32],
    ) {
        all.copy_from_slice(scores);
        softmax(isa, all);
        for rank in 0..shares.len() {
            let mut best = None;
            for (expert, score) in scores.iter().enumerate() {
                let id = f32::from_bits(u32::try_from(expert).expect("few experts"));
                let taken = choices[..rank].iter().any(|c| c.to_bits() == id.to_bits());
                // NaN never wins, but is taken where nothing else is left.
                if !taken && best.is_none_or(|(_, _, most): (_, _, f32)| *score > most) {
                    best = Some((id, all[expert], if score.is_nan() { f32::MIN } else { *score }));
                }
            }
            let (id, share, _) = best.expect("no more are used than there are");
            (choices[rank], shares[rank]) = (id, share);
        }
        let sum = match self.gating {
            Gating::Softmax => 1.0,
            Gating::SoftmaxNormalised => shares.iter().sum::<f32>(),
        };
        for share in shares {
            *share = *share / sum * self.scale;
        }
    }
}
