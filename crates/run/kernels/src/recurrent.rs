//! Gates of recurrent cells: what a step does with its products.
//!
//! Products of all gates come in, the new state goes out; sixteen units of the state at a time, each
//! by itself, so that bits depend on no instruction set. LSTM: Hochreiter and Schmidhuber 1997 with
//! forget gates; GRU: Cho et al. 2014. Gates stand in ONNX's order.

use crate::exp;
use crate::isa::{Isa, Kernel, LANES, Simd};

/// A step of an LSTM: `sums: [4][h]` are the arguments of the gates i, o, f and c.
///
/// `cell = f · before + i · c`, `hidden = o · tanh(cell)`; `before` of no elements is zeros.
///
/// # Panics
/// If the sizes disagree.
pub fn lstm(isa: Isa, sums: &[f32], before: &[f32], cell: &mut [f32], hidden: &mut [f32]) {
    let h = hidden.len();
    assert!(sums.len() == 4 * h && cell.len() == h, "a number for each unit");
    assert!(before.is_empty() || before.len() == h, "a number for each unit");
    isa.run(Lstm { sums, before, cell, hidden });
}

struct Lstm<'a> {
    sums: &'a [f32],
    before: &'a [f32],
    cell: &'a mut [f32],
    hidden: &'a mut [f32],
}

impl Kernel for Lstm<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { sums, before, cell, hidden } = self;
        let h = hidden.len();
        for at in (0..h).step_by(LANES) {
            let width = LANES.min(h - at);
            let sum = [
                s.load_some(&sums[at..at + width]),
                s.load_some(&sums[h + at..h + at + width]),
                s.load_some(&sums[2 * h + at..2 * h + at + width]),
                s.load_some(&sums[3 * h + at..3 * h + at + width]),
            ];
            let input = exp::sigmoid(s, sum[0]);
            let mut new = s.mul(input, exp::tanh(s, sum[3]));
            if !before.is_empty() {
                new = s.fma(exp::sigmoid(s, sum[2]), s.load_some(&before[at..at + width]), new);
            }
            s.store_some(new, &mut cell[at..at + width]);
            let out = s.mul(exp::sigmoid(s, sum[1]), exp::tanh(s, new));
            s.store_some(out, &mut hidden[at..at + width]);
        }
    }
}

/// The gates z and r of a GRU: `gates: [2][h]` are their arguments and become the gates.
pub fn gru_gates(isa: Isa, gates: &mut [f32]) {
    isa.run(Gates { gates });
}

struct Gates<'a> {
    gates: &'a mut [f32],
}

impl Kernel for Gates<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for part in self.gates.chunks_mut(LANES) {
            let gate = exp::sigmoid(s, s.load_some(part));
            s.store_some(gate, part);
        }
    }
}

/// The end of a step of a GRU: `hidden = (1 - z) · tanh(x + r · new) + z · before`.
///
/// `gates: [2][h]` are z and r as [`gru_gates`] made them, `r` counts only where it is applied
/// behind the product (`after`); `x` is the input's product of the third gate, `new` the state's;
/// `before` of no elements is zeros.
///
/// # Panics
/// If the sizes disagree.
pub fn gru(
    isa: Isa,
    gates: &[f32],
    x: &[f32],
    new: &[f32],
    before: &[f32],
    hidden: &mut [f32],
    after: bool,
) {
    let h = hidden.len();
    assert!(gates.len() == 2 * h && x.len() == h && new.len() == h, "a number for each unit");
    assert!(before.is_empty() || before.len() == h, "a number for each unit");
    isa.run(Gru { gates, x, new, before, hidden, after });
}

struct Gru<'a> {
    gates: &'a [f32],
    x: &'a [f32],
    new: &'a [f32],
    before: &'a [f32],
    hidden: &'a mut [f32],
    after: bool,
}

impl Kernel for Gru<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { gates, x, new, before, hidden, after } = self;
        let h = hidden.len();
        for at in (0..h).step_by(LANES) {
            let width = LANES.min(h - at);
            let z = s.load_some(&gates[at..at + width]);
            let (x, new) = (s.load_some(&x[at..at + width]), s.load_some(&new[at..at + width]));
            let sum = if after {
                s.fma(s.load_some(&gates[h + at..h + at + width]), new, x)
            } else {
                s.add(x, new)
            };
            let mut out = s.mul(s.sub(s.splat(1.0), z), exp::tanh(s, sum));
            if !before.is_empty() {
                out = s.fma(z, s.load_some(&before[at..at + width]), out);
            }
            s.store_some(out, &mut hidden[at..at + width]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::noise;
    use std::vec::Vec;

    fn sigmoid(x: f32) -> f64 {
        1.0 / (1.0 + (-f64::from(x)).exp())
    }

    fn close(found: f32, want: f64) -> bool {
        (f64::from(found) - want).abs() < 1e-6
    }

    #[test]
    fn cells_are_those_of_their_papers_on_every_instruction_set() {
        for h in [1, 16, 21, 64] {
            let sums: Vec<f32> = noise(1, 4 * h).iter().map(|x| 4.0 * x).collect();
            let before = noise(2, h);
            let mut first = Vec::new();
            for isa in Isa::fused() {
                let [mut cell, mut hidden, mut update] = [const { Vec::new() }; 3].map(|mut v| {
                    v.resize(h, f32::NAN);
                    v
                });
                lstm(isa, &sums, &before, &mut cell, &mut hidden);
                let mut gates = sums[..2 * h].to_vec();
                gru_gates(isa, &mut gates);
                let (x, new) = (&sums[2 * h..3 * h], &sums[3 * h..]);
                gru(isa, &gates, x, new, &before, &mut update, true);
                for j in 0..h {
                    let gate = |g: usize| sums[g * h + j];
                    let old = f64::from(before[j]);
                    let new = sigmoid(gate(2)) * old + sigmoid(gate(0)) * f64::from(gate(3)).tanh();
                    assert!(close(cell[j], new), "{isa} cell {j} of {h}");
                    assert!(close(hidden[j], sigmoid(gate(1)) * new.tanh()), "{isa} {j} of {h}");
                    let (z, r) = (sigmoid(gate(0)), sigmoid(gate(1)));
                    let n = (f64::from(gate(2)) + r * f64::from(gate(3))).tanh();
                    assert!(close(update[j], (1.0 - z) * n + z * old), "{isa} update {j} of {h}");
                }
                let all = [cell, hidden, update].concat();
                if first.is_empty() {
                    first.clone_from(&all);
                }
                assert_eq!(first, all, "{isa} {h}");
            }
        }
    }
}
