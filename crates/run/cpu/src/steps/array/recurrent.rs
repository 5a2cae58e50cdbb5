//! Recurrent cells: one product over all steps for the inputs, then a product and gates a step.
//!
//! The states live in the result itself, so that a step reads what the step before wrote. Weights
//! are panels, gate by gate.

use super::facts::Known;
use super::{Operands, Packing, Worker};
use crate::layout::{index, numbers_mut};
use crate::pool::{Parts, Split, Tiles};
use kernels::gemm::{self, ROWS_MAX, Residual};
use kernels::isa::{Isa, LANES};
use kernels::recurrent;
use plan::array::{Cell, Direction, Map, Recurrent};
use std::array::from_fn;
use std::ops::Range;
use tensor::Bytes;

/// Multiplications below which dividing work costs more than it saves.
const SMALL: usize = 1 << 17;

/// An LSTM or a GRU with its usual activations.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cells {
    op: Recurrent,
    steps: usize,
    batch: usize,
    width: usize,
    hidden: usize,
    gates: usize,
    /// In which directions each step is read.
    reverse: &'static [bool],
}

impl Cells {
    /// The cells of an operator, if they are of a kind that is known here: whole sequences, no
    /// peepholes, no clipping.
    pub(super) fn new(op: &Recurrent, inputs: &[Option<Known>; 8]) -> Option<Self> {
        let [Some(x), Some(w), Some(r), ..] = inputs else { return None };
        let (usual, gates): (&[Map], usize) = match op.cell {
            Cell::Lstm { input_forget: false } => (&[Map::Sigmoid, Map::Tanh, Map::Tanh], 4),
            Cell::Gru { .. } => (&[Map::Sigmoid, Map::Tanh], 3),
            Cell::Lstm { input_forget: true } | Cell::Rnn => return None,
        };
        let reverse: &[bool] = match op.direction {
            Direction::Forward => &[false],
            Direction::Reverse => &[true],
            Direction::Both => &[false, true],
        };
        let is_usual = |d: usize| op.activations[3 * d..][..usual.len()] == *usual;
        let known = w.constant && r.constant && !x.constant && op.clip.is_none();
        let whole = inputs[4].is_none() && inputs[7].is_none();
        let [steps, batch, width] = [0, 1, 2].map(|d| index(x.dims[d]));
        let hidden = index(op.hidden.into());
        let fits = known && whole && (0..reverse.len()).all(is_usual) && x.len() > 0 && hidden > 0;
        fits.then_some(Self { op: *op, steps, batch, width, hidden, gates, reverse })
    }

    /// How its weights are packed.
    pub(super) fn packing(&self) -> Packing {
        Packing::Gates { gates: u32::try_from(self.gates).expect("at most four") }
    }

    /// Numbers of scratch: the gates' arguments of all steps without and of one step with the
    /// state's part, the biases, and the third gate of a GRU with the state that it is reset to.
    fn scratch_lens(&self) -> [usize; 5] {
        let row = self.gates * self.hidden;
        [self.steps * self.batch * row, row, row, self.hidden, self.hidden]
    }

    /// Scratch.
    pub(super) fn scratch(&self) -> Bytes {
        Bytes(4 * self.scratch_lens().iter().sum::<usize>() as u64).align_up(64)
    }

    pub(super) fn run(&self, worker: &mut Worker<'_, '_>, operands: Operands<'_>, out: &mut [f32]) {
        let Self { steps, batch, width, hidden, gates, .. } = *self;
        let isa = worker.isa;
        let [x, w, r, b, h0, c0] = [0, 1, 2, 3, 5, 6].map(|i| operands.elements::<f32>(i));
        let row = gates * hidden;
        let mut rest: &mut [f32] = numbers_mut(&mut worker.scratch[..]);
        let [sums, arguments, bias, new, reset] = self.scratch_lens().map(|len| {
            let (some, others) = core::mem::take(&mut rest).split_at_mut(len);
            rest = others;
            some
        });
        let directions = self.reverse.len();
        let (all_h, all_c) = out.split_at_mut(steps * directions * batch * hidden);
        for (d, &reverse) in self.reverse.iter().enumerate() {
            let biases = b.get(2 * d * row..(2 * d + 2) * row).unwrap_or_default();
            let (of_inputs, of_states) = biases.split_at(biases.len() / 2);
            // Both are added at once, but for the gate whose state's part is reset.
            bias.fill(0.0);
            for (i, bias) in bias.iter_mut().enumerate().take(of_inputs.len()) {
                let both = matches!(self.op.cell, Cell::Lstm { .. }) || i < 2 * hidden;
                *bias = of_inputs[i] + if both { of_states[i] } else { 0.0 };
            }
            let inputs = Gates::new(w, d, [gates, width, hidden]);
            let states = Gates::new(r, d, [gates, hidden, hidden]);
            let small = steps * batch * row * width < SMALL;
            let split = if small { Split::Caller } else { Split::Runs(1) };
            let mut tiles = [Tiles::new(&mut *sums, row, isa.rows(), row)];
            let begin = &*bias;
            worker.team.tiles(&mut tiles, &Parts::none(), split, |_, _, mut tile| {
                let mut first = tile.rows().start;
                while first < tile.rows().end {
                    let end = tile.rows().end.min(first + isa.rows());
                    let mut outs = tile.some::<ROWS_MAX>(first..end);
                    inputs.multiply(
                        isa,
                        0..gates,
                        begin,
                        &x[first * width..],
                        &mut outs[..end - first],
                    );
                    first = end;
                }
            });
            for step in 0..steps {
                let at = if reverse { steps - 1 - step } else { step };
                for n in 0..batch {
                    let place = |step: usize| {
                        let first = ((step * directions + d) * batch + n) * hidden;
                        first..first + hidden
                    };
                    let before = step.checked_sub(1).map(place);
                    let first = (d * batch + n) * hidden..(d * batch + n + 1) * hidden;
                    let sums = &sums[(at * batch + n) * row..][..row];
                    let (h, now) = states_of(all_h, h0, &first, before.clone(), place(step));
                    match self.op.cell {
                        Cell::Lstm { .. } => {
                            states.multiply(isa, 0..4, sums, h, &mut [&mut *arguments]);
                            let (c, cell) = states_of(all_c, c0, &first, before, place(step));
                            recurrent::lstm(isa, arguments, c, cell, now);
                        }
                        Cell::Gru { linear_before_reset: after } => {
                            let (zr, third) = sums.split_at(2 * hidden);
                            let gates = &mut arguments[..2 * hidden];
                            states.multiply(isa, 0..2, zr, h, &mut [&mut *gates]);
                            recurrent::gru_gates(isa, gates);
                            let begin = of_states.get(2 * hidden..).unwrap_or_default();
                            let r = &gates[hidden..];
                            for (i, reset) in reset.iter_mut().enumerate() {
                                let h = h.get(i).copied().unwrap_or(0.0);
                                *reset = if after { h } else { h * r[i] };
                            }
                            states.multiply(isa, 2..3, begin, reset, &mut [&mut *new]);
                            recurrent::gru(isa, gates, third, new, h, now, after);
                        }
                        Cell::Rnn => unreachable!("it is computed by the reference"),
                    }
                }
            }
        }
    }
}

/// The state before a step, from the result or as it was given, and where it goes.
fn states_of<'a>(
    all: &'a mut [f32],
    given: &'a [f32],
    first: &Range<usize>,
    before: Option<Range<usize>>,
    now: Range<usize>,
) -> (&'a [f32], &'a mut [f32]) {
    let (done, rest) = all.split_at_mut(now.start);
    let before = match before {
        Some(before) => &done[before],
        None => given.get(first.clone()).unwrap_or_default(),
    };
    (before, &mut rest[..now.len()])
}

/// The columns of all gates of one direction, in panels.
struct Gates<'a> {
    panels: &'a [f32],
    k: usize,
    hidden: usize,
}

impl<'a> Gates<'a> {
    /// Direction `d` of constant `all` with so many gates, of `k` times `hidden` each.
    fn new(all: &'a [f32], d: usize, [gates, k, hidden]: [usize; 3]) -> Self {
        let len = gates * gemm::packed_len(hidden, k);
        Self { panels: &all[d * len..(d + 1) * len], k, hidden }
    }

    /// `out[r] = begin + x[r] · columns` for the columns of some gates; no row of `x` is zeros.
    fn multiply(
        &self,
        isa: Isa,
        gates: Range<usize>,
        begin: &[f32],
        x: &[f32],
        out: &mut [&mut [f32]],
    ) {
        let Self { k, hidden, .. } = *self;
        if x.is_empty() {
            for out in out {
                out[..begin.len()].copy_from_slice(begin);
                out[begin.len()..].fill(0.0);
            }
            return;
        }
        let offsets: [u32; ROWS_MAX] = from_fn(|r| u32::try_from(r * k).unwrap_or(u32::MAX));
        let len = gemm::packed_len(hidden, k);
        // Panels that are full follow each other over all gates.
        let together = if hidden.is_multiple_of(LANES) { gates.len() } else { 1 };
        for (i, gate) in gates.clone().step_by(together).enumerate() {
            let (columns, rows) = (i * hidden..(i + together) * hidden, out.len());
            let product = gemm::Product {
                x,
                edge: &[],
                offsets: &offsets[..out.len()],
                step: Some(k),
                piece: k,
                panels: &self.panels[gate * len..(gate + together) * len],
                bias: begin.get(columns.clone()).unwrap_or_default(),
                residual: Residual::Absent,
                low: f32::NEG_INFINITY,
                high: f32::INFINITY,
                ahead: &[],
            };
            let mut outs: [&mut [f32]; ROWS_MAX] = from_fn(|_| Default::default());
            for (to, row) in outs.iter_mut().zip(&mut *out) {
                *to = &mut row[columns.clone()];
            }
            gemm::multiply(isa, &product, &mut outs[..rows]);
        }
    }
}
