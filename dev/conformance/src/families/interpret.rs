//! Runs an imported graph in double precision, one operator after the other, without any backend.
//!
//! It follows the definitions in `plan::op` and nothing else, keeps no cache (all positions are one
//! run) and knows no family: what differs from an oracle here is the importer's fault, what differs
//! only on a backend is the backend's.

use std::collections::HashMap;

use graph::Input;
use import::{Imported, Model};
use plan::{
    Op,
    op::{Attention, Binary, Experts, Gating, Mask, Norm, NormKind, Rope, RopePairs, Unary},
};

use super::Rows;

/// A value: rows of equal width.
type Matrix = Vec<Vec<f64>>;

/// Rows of logits (or hidden states) for `ids`, all in one run.
///
/// `file` is the whole GGUF file that `model` was read from.
pub(crate) fn run(model: &Model, imported: &Imported, file: &[u8], ids: &[u32]) -> Rows {
    let graph = &imported.graph;
    let run = Run { weights: weights(model, imported, file) };
    let mut values: Vec<Matrix> = vec![Vec::new(); graph.values.len()];
    for (name, value) in &graph.inputs {
        values[value.index()] = if name == "tokens" {
            ids.iter().map(|id| vec![f64::from(*id)]).collect()
        } else {
            (0..ids.len()).map(|row| vec![row as f64]).collect()
        };
    }
    for node in &graph.nodes {
        values[node.output.index()] = run.node(&node.op, &node.inputs, &values);
    }
    let out = &values[graph.outputs[0].1.index()];
    #[expect(clippy::cast_possible_truncation, reason = "goldens are single precision")]
    let flat = out.iter().flatten().map(|x| *x as f32).collect();
    Rows { width: out[0].len(), values: flat }
}

/// All weights of the graph, decoded; rows are those of all but the last dimension.
fn weights(model: &Model, imported: &Imported, file: &[u8]) -> Vec<Matrix> {
    let constants: HashMap<_, _> =
        imported.constants.iter().map(|(name, list)| (name.as_str(), list)).collect();
    let decode = |weight: &plan::Weight| {
        if let Some(list) = constants.get(weight.tensor.as_str()) {
            return vec![list.iter().map(|x| f64::from(*x)).collect()];
        }
        let stored = model.tensors.table().get(&weight.tensor).expect("the importer found it");
        let width = weight.shape.last();
        let row_bytes = weight.row_bytes();
        let skipped = weight.ty.row_bytes(weight.first).expect("parts start at a block");
        let start = usize::try_from(stored.offset + skipped).expect("a case fits in memory");
        let row_bytes = usize::try_from(row_bytes).expect("as above");
        let width = usize::try_from(width).expect("as above");
        let rows = file[start..].chunks_exact(row_bytes);
        let rows = rows.take(usize::try_from(weight.rows()).expect("as above"));
        rows.map(|row| {
            let mut out = vec![0.0; width];
            tensor::block::decode_row(weight.ty, row, &mut out);
            out.into_iter().map(f64::from).collect()
        })
        .collect()
    };
    imported.graph.weights.iter().map(decode).collect()
}

struct Run {
    weights: Vec<Matrix>,
}

impl Run {
    fn node(&self, op: &Op, inputs: &[Input], values: &[Matrix]) -> Matrix {
        let operand = |idx: usize| match inputs.get(idx) {
            Some(Input::Value(value)) => Some(&values[value.index()]),
            Some(Input::Weight(weight)) => Some(&self.weights[weight.0 as usize]),
            Some(Input::State(_) | Input::Absent) | None => None,
        };
        let given = |idx: usize| operand(idx).expect("the verifier saw this operand");
        let vector = |idx: usize| operand(idx).map(|rows| &rows[0]);
        let x = given(0);
        match op {
            Op::Embed { scale } => {
                let table = given(1);
                x.iter()
                    .map(|id| table[index(id[0])].iter().map(|x| x * f64::from(*scale)).collect())
                    .collect()
            }
            Op::EmbedPositions => given(1)[..x.len()].to_vec(),
            Op::Norm(norm) => {
                x.iter().map(|row| normalise(norm, row, vector(1), vector(2))).collect()
            }
            Op::Linear => {
                let (weight, bias) = (given(1), vector(2));
                let product = |row: &Vec<f64>| {
                    let out = weight.iter().map(|weights| dot(weights, row));
                    match bias {
                        Some(bias) => out.zip(bias).map(|(x, b)| x + b).collect(),
                        None => out.collect(),
                    }
                };
                x.iter().map(product).collect()
            }
            Op::Rope(rope) => rotate(rope, x, vector(1)),
            Op::Attention(attention) => attend(attention, x, given(1), given(2)),
            Op::Unary(function) => each(x, |x| unary(*function, x)),
            Op::Binary(binary) => {
                let other = given(1);
                let function = |a: f64, b: f64| match binary {
                    Binary::Add => a + b,
                    Binary::Mul => a * b,
                };
                let row_of = |t: usize| &other[if other.len() == 1 { 0 } else { t }];
                let row = |(t, row): (usize, &Vec<f64>)| {
                    row.iter().zip(row_of(t)).map(|(a, b)| function(*a, *b)).collect()
                };
                x.iter().enumerate().map(row).collect()
            }
            Op::Gated { activation } => {
                let row = |(gate, up): (&Vec<f64>, &Vec<f64>)| gated(*activation, gate, up);
                x.iter().zip(given(1)).map(row).collect()
            }
            Op::Experts(experts) => {
                let weights = [given(2), given(3), given(4)];
                let row =
                    |(x, scores): (&Vec<f64>, &Vec<f64>)| mixture(experts, x, scores, weights);
                x.iter().zip(given(1)).map(row).collect()
            }
            Op::Scale { factor } => each(x, |x| x * f64::from(*factor)),
            Op::SoftCap { cap } => each(x, |x| f64::from(*cap) * (x / f64::from(*cap)).tanh()),
            Op::Array(op) => unreachable!("{} is no operator of sequence models", op.name()),
            Op::SelectRows => given(1).iter().map(|row| x[index(row[0])].clone()).collect(),
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "ids and rows are small whole numbers")]
fn index(id: f64) -> usize {
    id as usize
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn each(x: &Matrix, function: impl Fn(f64) -> f64) -> Matrix {
    x.iter().map(|row| row.iter().map(|x| function(*x)).collect()).collect()
}

fn gated(activation: Unary, gate: &[f64], up: &[f64]) -> Vec<f64> {
    gate.iter().zip(up).map(|(gate, up)| unary(activation, *gate) * up).collect()
}

fn unary(function: Unary, x: f64) -> f64 {
    match function {
        Unary::Silu => x / (1.0 + (-x).exp()),
        Unary::Gelu => 0.5 * x * (1.0 + erf(x / std::f64::consts::SQRT_2)),
        Unary::GeluTanh => {
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3));
            0.5 * x * (1.0 + inner.tanh())
        }
        Unary::Relu => x.max(0.0),
        Unary::ReluSquared => x.max(0.0).powi(2),
        Unary::Tanh => x.tanh(),
        Unary::Sigmoid => 1.0 / (1.0 + (-x).exp()),
    }
}

/// The error function by its Maclaurin series, or its asymptote where that is 1 to 15 digits.
fn erf(x: f64) -> f64 {
    if x.abs() > 6.0 {
        return x.signum();
    }
    let (mut term, mut sum) = (x, x);
    for n in 1..120u32 {
        term *= -x * x / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    sum * 2.0 / std::f64::consts::PI.sqrt()
}

fn normalise(
    norm: &Norm,
    row: &[f64],
    weight: Option<&Vec<f64>>,
    bias: Option<&Vec<f64>>,
) -> Vec<f64> {
    let group = norm.group.get() as usize;
    let mut out = Vec::with_capacity(row.len());
    for part in row.chunks_exact(group) {
        let mean = match norm.kind {
            NormKind::Rms => 0.0,
            NormKind::Layer => part.iter().sum::<f64>() / group as f64,
        };
        let square = part.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / group as f64;
        let factor = 1.0 / (square + f64::from(norm.eps)).sqrt();
        out.extend(part.iter().enumerate().map(|(i, x)| {
            let weight = weight.map_or(1.0, |w| w[i] + f64::from(norm.offset));
            (x - mean) * factor * weight + bias.map_or(0.0, |b| b[i])
        }));
    }
    out
}

/// The angle of pair `i` one position on: blended frequencies as [`Rope`] defines them.
fn frequency(rope: &Rope, i: usize, factors: Option<&Vec<f64>>) -> f64 {
    let (dims, base) = (f64::from(rope.dims), f64::from(rope.base));
    let plain = base.powf(-2.0 * i as f64 / dims) / factors.map_or(1.0, |factors| factors[i]);
    let scaled = plain * f64::from(rope.scale);
    let Some(yarn) = rope.yarn else { return scaled };
    let bound = |beta: f32| {
        let turns = f64::from(beta) * std::f64::consts::TAU;
        dims * (f64::from(yarn.original_positions) / turns).ln() / (2.0 * base.ln())
    };
    let low = bound(yarn.beta_fast).floor().max(0.0);
    let high = bound(yarn.beta_slow).ceil().min(dims - 1.0);
    let ramp = ((i as f64 - low) / (high - low).max(0.001)).clamp(0.0, 1.0);
    let mix = (1.0 - ramp) * f64::from(yarn.mix);
    scaled * (1.0 - mix) + plain * mix
}

fn rotate(rope: &Rope, x: &Matrix, factors: Option<&Vec<f64>>) -> Matrix {
    let pairs = rope.dims as usize / 2;
    let frequencies: Vec<f64> = (0..pairs).map(|i| frequency(rope, i, factors)).collect();
    let mut out = x.clone();
    for (position, row) in out.iter_mut().enumerate() {
        for head in row.chunks_exact_mut(rope.head_dim as usize) {
            for (i, frequency) in frequencies.iter().enumerate() {
                let (sin, cos) = (position as f64 * frequency).sin_cos();
                let (sin, cos) = (sin * f64::from(rope.magnitude), cos * f64::from(rope.magnitude));
                let (a, b) = match rope.pairs {
                    RopePairs::Interleaved => (2 * i, 2 * i + 1),
                    RopePairs::Half => (i, i + pairs),
                };
                (head[a], head[b]) = (head[a] * cos - head[b] * sin, head[a] * sin + head[b] * cos);
            }
        }
    }
    out
}

fn attend(op: &Attention, q: &Matrix, k: &Matrix, v: &Matrix) -> Matrix {
    let (heads, group) = (op.heads as usize, (op.heads / op.kv_heads) as usize);
    let (dim, v_dim) = (op.head_dim as usize, op.v_head_dim as usize);
    let seen = |t: usize| match op.mask {
        Mask::Full => 0..q.len(),
        Mask::Causal { window } => {
            window.map_or(0, |window| (t + 1).saturating_sub(window.get() as usize))..t + 1
        }
    };
    let attend_one = |t: usize, head: usize| {
        let (kv, query) = (head / group, &q[t][head * dim..][..dim]);
        let score = |key: &Vec<f64>| {
            let score = dot(query, &key[kv * dim..][..dim]) * f64::from(op.scale);
            op.soft_cap.map_or(score, |cap| f64::from(cap) * (score / f64::from(cap)).tanh())
        };
        let shares = softmax(&k[seen(t)].iter().map(score).collect::<Vec<_>>());
        let mut out = vec![0.0; v_dim];
        for (share, value) in shares.iter().zip(&v[seen(t)]) {
            let value = &value[kv * v_dim..][..v_dim];
            out.iter_mut().zip(value).for_each(|(out, value)| *out += share * value);
        }
        out
    };
    (0..q.len()).map(|t| (0..heads).flat_map(|head| attend_one(t, head)).collect()).collect()
}

fn softmax(scores: &[f64]) -> Vec<f64> {
    let max = scores.iter().fold(f64::NEG_INFINITY, |max, x| max.max(*x));
    let powers: Vec<f64> = scores.iter().map(|x| (x - max).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.iter().map(|x| x / sum).collect()
}

fn mixture(op: &Experts, x: &[f64], scores: &[f64], weights: [&Matrix; 3]) -> Vec<f64> {
    let shares = softmax(scores);
    let mut order: Vec<usize> = (0..shares.len()).collect();
    order.sort_by(|a, b| shares[*b].total_cmp(&shares[*a]));
    order.truncate(op.used as usize);
    let sum: f64 = match op.gating {
        Gating::Softmax => 1.0,
        Gating::SoftmaxNormalised => order.iter().map(|e| shares[*e]).sum(),
    };
    let [gate, up, down] = weights;
    let (hidden, width) = (op.hidden as usize, x.len());
    let mut out = vec![0.0; width];
    for e in order {
        let share = shares[e] / sum * f64::from(op.scale);
        let product = |rows: &Matrix, count: usize, x: &[f64]| -> Vec<f64> {
            rows[e * count..][..count].iter().map(|row| dot(row, x)).collect()
        };
        let h = gated(op.activation, &product(gate, hidden, x), &product(up, hidden, x));
        let h = product(down, width, &h);
        out.iter_mut().zip(h).for_each(|(out, h)| *out += share * h);
    }
    out
}
