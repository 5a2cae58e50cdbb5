//! Runs a plan in double precision, all tokens at once, by the book.

use crate::model::Memory;
use plan::op::{Binary, Gating, Mask, NormKind, RopePairs, Unary};
use plan::*;
use std::collections::BTreeMap;

/// A value: rows of numbers.
type Rows = Vec<Vec<f64>>;

fn unary(op: Unary, x: f64) -> f64 {
    match op {
        Unary::Silu => x / (1.0 + (-x).exp()),
        Unary::Gelu => x * 0.5 * (1.0 + erf(x / 2f64.sqrt())),
        Unary::GeluTanh => {
            let u = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3));
            0.5 * x * (1.0 + u.tanh())
        }
        Unary::Relu => x.max(0.0),
        Unary::ReluSquared => x.max(0.0).powi(2),
        Unary::Tanh => x.tanh(),
        Unary::Sigmoid => 1.0 / (1.0 + (-x).exp()),
    }
}

/// The error function by its Taylor row, for small arguments.
fn erf(x: f64) -> f64 {
    let mut term = x;
    let mut sum = x;
    for n in 1..100 {
        term *= -x * x / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    sum * 2.0 / std::f64::consts::PI.sqrt()
}

fn softmax(x: &[f64]) -> Vec<f64> {
    let max = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let exps: Vec<f64> = x.iter().map(|x| (x - max).exp()).collect();
    let sum: f64 = exps.iter().sum();
    exps.iter().map(|e| e / sum).collect()
}

fn product(x: &[f64], matrix: &[Vec<f64>]) -> Vec<f64> {
    matrix.iter().map(|row| row.iter().zip(x).map(|(w, x)| w * x).sum()).collect()
}

struct Oracle<'a> {
    plan: &'a Plan,
    memory: &'a Memory,
    values: BTreeMap<(BufferId, u64), Rows>,
}

impl Oracle<'_> {
    fn weight(&self, id: WeightId) -> Rows {
        let weight = &self.plan.weights[id.0 as usize];
        let mut rows = Vec::new();
        for row in 0..weight.rows() {
            let mut bytes = vec![0; weight.row_bytes() as usize];
            self.memory.read_rows(weight, row, &mut bytes).unwrap();
            let mut numbers = vec![0.0; weight.shape.last() as usize];
            tensor::decode_row(weight.ty, &bytes, &mut numbers);
            rows.push(numbers.into_iter().map(f64::from).collect());
        }
        rows
    }

    fn value(&self, step: &Step, i: usize) -> &Rows {
        let slot = step.slot(i);
        &self.values[&(slot.buffer, slot.offset)]
    }

    fn optional(&self, step: &Step, i: usize) -> Option<Vec<f64>> {
        step.weight(i).map(|id| self.weight(id).concat())
    }

    fn step(&self, step: &Step) -> Rows {
        let x = || self.value(step, 0).clone();
        let table = |i| self.weight(step.weight(i).unwrap());
        match step.op {
            Op::Embed { scale } => {
                let table = table(1);
                let row = |id: &Vec<f64>| table[id[0] as usize].iter();
                x().iter().map(|id| row(id).map(|x| x * f64::from(scale)).collect()).collect()
            }
            Op::Array(op) => unreachable!("{} is no operator of sequence models", op.name()),
            Op::EmbedPositions => table(1)[..x().len()].to_vec(),
            Op::SelectRows => {
                let (x, index) = (x(), self.value(step, 1));
                index.iter().map(|i| x[i[0] as usize].clone()).collect()
            }
            Op::Linear => {
                let (matrix, bias) = (table(1), self.optional(step, 2));
                let add = |i: usize| bias.as_ref().map_or(0.0, |bias| bias[i]);
                x().iter()
                    .map(|x| {
                        product(x, &matrix).iter().enumerate().map(|(i, y)| y + add(i)).collect()
                    })
                    .collect()
            }
            Op::Norm(op) => {
                let (weight, bias) = (self.optional(step, 1), self.optional(step, 2));
                let group = op.group.get() as usize;
                let one = |x: &[f64]| {
                    let n = x.len() as f64;
                    let mean = match op.kind {
                        NormKind::Rms => 0.0,
                        NormKind::Layer => x.iter().sum::<f64>() / n,
                    };
                    let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
                    let root = (variance + f64::from(op.eps)).sqrt();
                    let affine = |(i, x): (usize, &f64)| {
                        let w = weight.as_ref().map_or(1.0, |w| w[i] + f64::from(op.offset));
                        (x - mean) / root * w + bias.as_ref().map_or(0.0, |b| b[i])
                    };
                    x.iter().enumerate().map(affine).collect::<Vec<f64>>()
                };
                x().iter().map(|row| row.chunks(group).flat_map(one).collect()).collect()
            }
            Op::Rope(op) => {
                let factors = self.optional(step, 1);
                let (dims, head) = (op.dims as usize, op.head_dim as usize);
                let mut rows = x();
                for (position, row) in rows.iter_mut().enumerate() {
                    for head in row.chunks_mut(head) {
                        for pair in 0..dims / 2 {
                            let power = -2.0 * pair as f64 / dims as f64;
                            let factor = factors.as_ref().map_or(1.0, |f| f[pair]);
                            let frequency = f64::from(op.base).powf(power) / factor;
                            let angle = position as f64 * frequency * f64::from(op.scale);
                            let (sin, cos) = angle.sin_cos();
                            let (i, j) = match op.pairs {
                                RopePairs::Interleaved => (2 * pair, 2 * pair + 1),
                                RopePairs::Half => (pair, pair + dims / 2),
                            };
                            let (a, b, m) = (head[i], head[j], f64::from(op.magnitude));
                            head[i] = m * (a * cos - b * sin);
                            head[j] = m * (a * sin + b * cos);
                        }
                    }
                }
                rows
            }
            Op::Attention(op) => self.attention(step, &op),
            Op::Unary(op) => map(&x(), |x| unary(op, x)),
            Op::Scale { factor } => map(&x(), |x| x * f64::from(factor)),
            Op::SoftCap { cap } => map(&x(), |x| f64::from(cap) * (x / f64::from(cap)).tanh()),
            Op::Gated { activation } => {
                zip(&x(), self.value(step, 1), |x, y| unary(activation, x) * y)
            }
            Op::Binary(op) => {
                let row = |id| vec![self.weight(id).concat(); x().len()];
                let y = step.weight(1).map_or_else(|| self.value(step, 1).clone(), row);
                zip(&x(), &y, |x, y| match op {
                    Binary::Add => x + y,
                    Binary::Mul => x * y,
                })
            }
            Op::Experts(op) => {
                let (gate, up, down) = (table(2), table(3), table(4));
                let (hidden, width) = (op.hidden as usize, x()[0].len());
                let expert = |x: &[f64], e: usize| {
                    let gate = product(x, &gate[e * hidden..(e + 1) * hidden]);
                    let up = product(x, &up[e * hidden..(e + 1) * hidden]);
                    let mid = gate.iter().zip(&up).map(|(g, u)| unary(op.activation, *g) * u);
                    product(&mid.collect::<Vec<_>>(), &down[e * width..(e + 1) * width])
                };
                let row = |(x, scores): (&Vec<f64>, &Vec<f64>)| {
                    let shares = softmax(scores);
                    let mut best: Vec<usize> = (0..scores.len()).collect();
                    best.sort_by(|a, b| shares[*b].total_cmp(&shares[*a]));
                    best.truncate(op.used as usize);
                    let sum: f64 = match op.gating {
                        Gating::Softmax => 1.0,
                        Gating::SoftmaxNormalised => best.iter().map(|e| shares[*e]).sum(),
                    };
                    let mut out = vec![0.0; width];
                    for e in best {
                        let share = shares[e] / sum * f64::from(op.scale);
                        for (out, y) in out.iter_mut().zip(expert(x, e)) {
                            *out += share * y;
                        }
                    }
                    out
                };
                x().iter().zip(self.value(step, 1)).map(row).collect()
            }
        }
    }

    fn attention(&self, step: &Step, op: &op::Attention) -> Rows {
        let [q, k, v] = [0, 1, 2].map(|i| self.value(step, i));
        let (dim, v_dim) = (op.head_dim as usize, op.v_head_dim as usize);
        let group = (op.heads / op.kv_heads) as usize;
        let sinks = self.optional(step, 4);
        let row = |position: usize| {
            let seen = match op.mask {
                Mask::Full => 0..q.len(),
                Mask::Causal { window } => {
                    let window = window.map_or(usize::MAX, |w| w.get() as usize);
                    (position + 1).saturating_sub(window)..position + 1
                }
            };
            let mut out = Vec::new();
            for head in 0..op.heads as usize {
                let query = &q[position][head * dim..(head + 1) * dim];
                let g = head / group;
                let scores: Vec<f64> = seen
                    .clone()
                    .map(|at| {
                        let key = &k[at][g * dim..(g + 1) * dim];
                        let dot: f64 = query.iter().zip(key).map(|(q, k)| q * k).sum();
                        let score = dot * f64::from(op.scale);
                        op.soft_cap
                            .map_or(score, |cap| f64::from(cap) * (score / f64::from(cap)).tanh())
                    })
                    .collect();
                // The sink's share goes to nothing.
                let sink = sinks.as_ref().map(|sinks| sinks[head]);
                let shares = softmax(&[scores, sink.into_iter().collect()].concat());
                for element in g * v_dim..(g + 1) * v_dim {
                    out.push(seen.clone().zip(&shares).map(|(at, p)| p * v[at][element]).sum());
                }
            }
            out
        };
        (0..q.len()).map(row).collect()
    }
}

fn map(x: &Rows, f: impl Fn(f64) -> f64) -> Rows {
    x.iter().map(|row| row.iter().map(|x| f(*x)).collect()).collect()
}

fn zip(x: &Rows, y: &Rows, f: impl Fn(f64, f64) -> f64) -> Rows {
    x.iter().zip(y).map(|(x, y)| x.iter().zip(y).map(|(x, y)| f(*x, *y)).collect()).collect()
}

/// The first output of a plan for these inputs, from an empty state.
pub(crate) fn run(plan: &Plan, memory: &Memory, inputs: &[Vec<u32>]) -> Rows {
    let mut values = BTreeMap::new();
    for (port, ids) in plan.inputs.iter().zip(inputs) {
        let rows = ids.iter().map(|id| vec![f64::from(*id)]).collect();
        values.insert((port.slot.buffer, port.slot.offset), rows);
    }
    let mut oracle = Oracle { plan, memory, values };
    for step in &plan.steps {
        let out = oracle.step(step);
        oracle.values.insert((step.output.buffer, step.output.offset), out);
    }
    let slot = &plan.outputs[0].slot;
    oracle.values.remove(&(slot.buffer, slot.offset)).unwrap()
}
