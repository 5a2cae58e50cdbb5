//! Recurrent cells, step by step in double precision (ONNX RNN, GRU and LSTM, opset 22).

use crate::Inputs;
use crate::map::apply;
use crate::number::{Numbers, store};
use crate::walk::{Out, size};
use plan::array::{Cell, Direction, Recurrent};
use tensor::cast;

fn gates(cell: Cell) -> usize {
    match cell {
        Cell::Rnn => 1,
        Cell::Gru { .. } => 3,
        Cell::Lstm { .. } => 4,
    }
}

/// Hidden and cell state, both products of all gates, and the reset hidden state.
pub(crate) fn scratch_bytes(op: &Recurrent) -> u64 {
    8 * u64::from(op.hidden) * (3 + 2 * gates(op.cell) as u64)
}

/// Operands of one direction.
struct Weights<'a> {
    w: Numbers<'a, f64>,
    r: Numbers<'a, f64>,
    b: Option<Numbers<'a, f64>>,
    p: Option<Numbers<'a, f64>>,
    /// The direction's place among the directions.
    d: usize,
    inputs: usize,
    hidden: usize,
    gates: usize,
}

impl Weights<'_> {
    /// `out[row] = bias + w[row] · x` for rows of all gates; `x` is the operand from `at` on.
    fn project(&self, x: &Numbers<'_, f64>, at: usize, out: &mut [f64]) {
        let rows = self.gates * self.hidden;
        for (row, out) in out.iter_mut().enumerate() {
            let start = (self.d * rows + row) * self.inputs;
            let bias = self.b.map_or(0.0, |b| b.at(self.d * 2 * rows + row));
            *out = (0..self.inputs).fold(bias, |sum, i| sum + self.w.at(start + i) * x.at(at + i));
        }
    }

    /// `out = bias + r · h` for the rows of gates from `first` on.
    fn recur(&self, h: &[f64], first: usize, out: &mut [f64]) {
        let rows = self.gates * self.hidden;
        for (row, out) in (first * self.hidden..).zip(out) {
            let start = (self.d * rows + row) * self.hidden;
            let bias = self.b.map_or(0.0, |b| b.at(self.d * 2 * rows + rows + row));
            *out = h.iter().enumerate().fold(bias, |sum, (i, h)| sum + self.r.at(start + i) * h);
        }
    }

    fn peephole(&self, gate: usize, j: usize) -> f64 {
        self.p.map_or(0.0, |p| p.at((self.d * 3 + gate) * self.hidden + j))
    }
}

pub(crate) fn recurrent(
    op: &Recurrent,
    inputs: &Inputs<'_, '_>,
    out: &mut Out<'_>,
    scratch: &mut [u8],
) {
    let x = inputs.at(0);
    let [steps, batch, width] = [0, 1, 2].map(|d| size(x.shape()[d]));
    let hidden = size(op.hidden.into());
    let gates = gates(op.cell);
    let rows = gates * hidden;
    let bytes = size(scratch_bytes(op));
    let scratch: &mut [f64] =
        cast::from_bytes_mut(&mut scratch[..bytes]).expect("scratch is aligned to 8");
    let (h, rest) = scratch.split_at_mut(hidden);
    let (c, rest) = rest.split_at_mut(hidden);
    let (reset, rest) = rest.split_at_mut(hidden);
    let (wx, rh) = rest.split_at_mut(rows);
    let put = store::<f64>(out.dtype);
    let numbers = |i: usize| inputs.get(i).map(Numbers::<'_, f64>::of);
    let lengths: Option<Numbers<'_, i128>> = inputs.get(4).map(Numbers::of);
    let (h0, c0) = (numbers(5), numbers(6));
    let x: Numbers<'_, f64> = Numbers::of(x);
    let directions: &[bool] = match op.direction {
        Direction::Forward => &[false],
        Direction::Reverse => &[true],
        Direction::Both => &[false, true],
    };
    for (d, &reverse) in directions.iter().enumerate() {
        let weights = Weights {
            w: Numbers::of(inputs.at(1)),
            r: Numbers::of(inputs.at(2)),
            b: numbers(3),
            p: numbers(7),
            d,
            inputs: width,
            hidden,
            gates,
        };
        let activate: [_; 3] = core::array::from_fn(|i| {
            let (map, clip) = (op.activations[3 * d + i], op.clip.map(f64::from));
            move |x: f64| apply(map, clip.map_or(x, |clip| x.clamp(-clip, clip)))
        });
        for n in 0..batch {
            let first = (d * batch + n) * hidden;
            for j in 0..hidden {
                h[j] = h0.map_or(0.0, |h0| h0.at(first + j));
                c[j] = c0.map_or(0.0, |c0| c0.at(first + j));
            }
            let length = lengths
                .map_or(steps, |lengths| usize::try_from(lengths.at(n)).unwrap_or(0).min(steps));
            for t in 0..steps {
                if t < length {
                    let at = if reverse { length - 1 - t } else { t };
                    weights.project(&x, (at * batch + n) * width, wx);
                    step(op.cell, &weights, &activate, [h, c, reset, wx, rh]);
                }
                for j in 0..hidden {
                    let to = (t * directions.len() * batch + d * batch + n) * hidden + j;
                    put(out.bytes, to, h[j]);
                    if let Cell::Lstm { .. } = op.cell {
                        put(out.bytes, steps * directions.len() * batch * hidden + to, c[j]);
                    }
                }
            }
        }
    }
}

/// One step: new hidden (and cell) state from `wx`, the gates' input products.
fn step(
    cell: Cell,
    weights: &Weights<'_>,
    activate: &[impl Fn(f64) -> f64; 3],
    [h, c, reset, wx, rh]: [&mut [f64]; 5],
) {
    let n = weights.hidden;
    let [f, g, k] = activate;
    match cell {
        Cell::Rnn => {
            weights.recur(h, 0, rh);
            for j in 0..n {
                h[j] = f(wx[j] + rh[j]);
            }
        }
        Cell::Gru { linear_before_reset } => {
            weights.recur(h, 0, rh);
            if !linear_before_reset {
                for j in 0..n {
                    reset[j] = f(wx[n + j] + rh[n + j]) * h[j];
                }
                weights.recur(reset, 2, &mut rh[2 * n..]);
            }
            for j in 0..n {
                let update = f(wx[j] + rh[j]);
                let reset = if linear_before_reset { f(wx[n + j] + rh[n + j]) } else { 1.0 };
                let new = g(wx[2 * n + j] + reset * rh[2 * n + j]);
                h[j] = (1.0 - update) * new + update * h[j];
            }
        }
        Cell::Lstm { input_forget } => {
            weights.recur(h, 0, rh);
            for j in 0..n {
                let sum = |gate: usize| wx[gate * n + j] + rh[gate * n + j];
                let old = c[j];
                let input = f(sum(0) + weights.peephole(0, j) * old);
                let forget = if input_forget {
                    1.0 - input
                } else {
                    f(sum(2) + weights.peephole(2, j) * old)
                };
                c[j] = forget * old + input * g(sum(3));
                let output = f(sum(1) + weights.peephole(1, j) * c[j]);
                h[j] = output * k(c[j]);
            }
        }
    }
}
