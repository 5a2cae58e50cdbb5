//! Tiny plans built by hand, with weights in memory.

use plan::op::{Attention, Experts, Gating, Mask, Norm, NormKind, Rope, RopePairs, Unary};
use plan::*;
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use tensor::{BlockType, Bytes, DType, Shape, TensorType};

/// The first symbol: tokens of a run.
pub(crate) const TOKENS: Dim = Dim::Symbol(SymbolId(0));
/// The second symbol: rows whose results are wanted.
pub(crate) const CHOSEN: Dim = Dim::Symbol(SymbolId(1));

/// Weights in memory.
#[derive(Debug, Default)]
pub(crate) struct Memory(pub(crate) BTreeMap<String, Vec<u8>>);

impl WeightSource for Memory {
    fn read_rows(&self, weight: &Weight, row: u64, out: &mut [u8]) -> Result<(), ReadError> {
        let tensor = weight.tensor.clone();
        let stored =
            self.0.get(&tensor).ok_or(ReadError { tensor, reason: "is not there".into() })?;
        let skipped = weight.ty.row_bytes(weight.first).unwrap();
        let start = usize::try_from(skipped + row * weight.row_bytes()).unwrap();
        out.copy_from_slice(&stored[start..start + out.len()]);
        Ok(())
    }
}

/// Numbers between -1 and 1 that look random.
pub(crate) fn noise(seed: u32, len: usize) -> Vec<f32> {
    let mut x = seed.wrapping_mul(2_654_435_761) | 1;
    let mut next = || {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        x as f32 / 2f32.powi(31) - 1.0
    };
    (0..len).map(|_| next()).collect()
}

/// Builds a plan step by step; every value has a place of its own.
pub(crate) struct Builder {
    pub(crate) plan: Plan,
    pub(crate) memory: Memory,
    arena: BufferId,
    end: u64,
    seed: u32,
}

impl Builder {
    pub(crate) fn new(tokens_max: u64) -> Self {
        let mut plan = Plan::default();
        for name in ["tokens", "chosen"] {
            plan.symbols.push(Symbol { name: name.into(), max: tokens_max });
        }
        let arena = plan.name("arena".into(), BufferKind::Arena, Bytes::ZERO);
        Self { plan, memory: Memory::default(), arena, end: 0, seed: 1 }
    }

    fn slot(&mut self, rows: Dim, width: u64) -> Slot {
        let slot = Slot {
            buffer: self.arena,
            offset: self.end,
            dtype: DType::F32,
            dims: vec![rows, Dim::Fixed(width)],
            pitch: None,
        };
        self.end += (rows.max(&self.plan.symbols) * width * 4).next_multiple_of(64);
        slot
    }

    pub(crate) fn input(&mut self, name: &str, rows: Dim, width: Option<u64>) -> Slot {
        let bytes = Bytes(rows.max(&self.plan.symbols) * 4 * width.unwrap_or(1));
        let buffer = self.plan.name(format!("in.{name}"), BufferKind::Io, bytes);
        let mut dims = vec![rows];
        dims.extend(width.map(Dim::Fixed));
        let dtype = if width.is_some() { DType::F32 } else { DType::U32 };
        let slot = Slot { buffer, offset: 0, dtype, dims, pitch: None };
        self.plan.inputs.push(Port { name: name.into(), slot: slot.clone() });
        slot
    }

    pub(crate) fn output(&mut self, name: &str, slot: &Slot) {
        let bytes = Bytes(slot.dims[0].max(&self.plan.symbols) * slot.width() * 4);
        let buffer = self.plan.name(format!("out.{name}"), BufferKind::Io, bytes);
        for step in &mut self.plan.steps {
            let inputs = step.inputs.iter_mut().filter_map(|input| match input {
                Operand::Slot(slot) => Some(slot),
                _ => None,
            });
            for place in inputs.chain([&mut step.output]) {
                if place == slot {
                    (place.buffer, place.offset) = (buffer, 0);
                }
            }
        }
        let slot = Slot { buffer, offset: 0, ..slot.clone() };
        self.plan.outputs.push(Port { name: name.into(), slot });
    }

    /// A tensor of random numbers.
    pub(crate) fn weight(&mut self, shape: &[u64]) -> Operand {
        self.seed += 1;
        let len = shape.iter().product::<u64>() as usize;
        let width = shape[shape.len() - 1] as f32;
        let scale = if shape.len() > 1 { width.sqrt().recip() * 1.7 } else { 1.0 };
        let numbers: Vec<f32> = noise(self.seed, len).iter().map(|x| x * scale).collect();
        self.weight_of(shape, TensorType::F32, tensor::cast::to_bytes(&numbers).to_vec())
    }

    /// A tensor of random numbers, stored as `ty`.
    pub(crate) fn quantised(&mut self, shape: &[u64], ty: TensorType) -> Operand {
        self.seed += 1;
        let width = shape[shape.len() - 1] as usize;
        let numbers = noise(self.seed, shape.iter().product::<u64>() as usize);
        let mut bytes = vec![0; ty.row_bytes(numbers.len() as u64).unwrap() as usize];
        let row_bytes = ty.row_bytes(width as u64).unwrap() as usize;
        for (row, out) in numbers.chunks(width).zip(bytes.chunks_mut(row_bytes)) {
            let row: Vec<f32> = row.iter().map(|x| x * 0.1).collect();
            tensor::encode_row(ty, &row, out);
        }
        self.weight_of(shape, ty, bytes)
    }

    pub(crate) fn weight_of(&mut self, shape: &[u64], ty: TensorType, bytes: Vec<u8>) -> Operand {
        let id = WeightId(u32::try_from(self.plan.weights.len()).unwrap());
        let tensor = format!("w{}", id.0);
        self.memory.0.insert(tensor.clone(), bytes);
        let shape = Shape::new(shape).unwrap();
        self.plan.weights.push(Weight { tensor, ty, shape, first: 0 });
        Operand::Weight(id)
    }

    pub(crate) fn step(&mut self, op: Op, inputs: Vec<Operand>, rows: Dim, width: u64) -> Slot {
        let output = self.slot(rows, width);
        let layer = u32::try_from(self.plan.steps.len()).ok();
        self.plan.steps.push(Step { op, inputs, output: output.clone(), layer });
        output
    }

    pub(crate) fn linear(&mut self, x: &Slot, outputs: u64) -> Slot {
        let weight = self.weight(&[outputs, x.width()]);
        self.step(Op::Linear, vec![Operand::Slot(x.clone()), weight], x.dims[0], outputs)
    }

    pub(crate) fn norm(&mut self, x: &Slot, kind: NormKind, group: u32, offset: f32) -> Slot {
        let weight = self.weight(&[u64::from(group)]);
        let bias = match kind {
            NormKind::Layer => self.weight(&[u64::from(group)]),
            NormKind::Rms => Operand::Absent,
        };
        let group = NonZeroU32::new(group).unwrap();
        let op = Op::Norm(Norm { kind, eps: 1e-5, offset, group });
        self.step(op, vec![Operand::Slot(x.clone()), weight, bias], x.dims[0], x.width())
    }

    /// `op(a, b)` for values of the same shape, or of `a` alone.
    pub(crate) fn of(&mut self, op: Op, a: &Slot, b: Option<&Slot>) -> Slot {
        let inputs = [Some(a), b].into_iter().flatten().cloned().map(Operand::Slot).collect();
        self.step(op, inputs, a.dims[0], a.width())
    }

    pub(crate) fn finish(mut self) -> (Plan, Arc<Memory>) {
        self.plan.buffers[self.arena.0 as usize].bytes = Bytes(self.end);
        (self.plan, Arc::new(self.memory))
    }
}

/// What the attention layers of a test model look like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layers {
    pub(crate) heads: u32,
    pub(crate) kv_heads: u32,
    pub(crate) head_dim: u32,
    pub(crate) v_head_dim: u32,
    pub(crate) window: Option<u32>,
    pub(crate) soft_cap: Option<f32>,
    pub(crate) sinks: bool,
    pub(crate) pairs: RopePairs,
    pub(crate) kv: KvType,
    pub(crate) activation: Unary,
    pub(crate) norm: NormKind,
    /// Experts and how many are used, in place of the gated product.
    pub(crate) experts: Option<(u32, u32)>,
}

pub(crate) const LAYERS: Layers = Layers {
    heads: 4,
    kv_heads: 2,
    head_dim: 8,
    v_head_dim: 8,
    window: None,
    soft_cap: None,
    sinks: false,
    pairs: RopePairs::Interleaved,
    kv: KvType::F32,
    activation: Unary::Silu,
    norm: NormKind::Rms,
    experts: None,
};

/// Positions of the test models' caches.
pub(crate) const POSITIONS: u64 = 700;
/// Entries of the test models' tables.
pub(crate) const VOCABULARY: u64 = 50;
const WIDTH: u64 = 24;
const HIDDEN: u64 = 40;

/// A language model of two layers with a tied head; logits for chosen rows.
pub(crate) fn language_model(layers: Layers, tokens_max: u64) -> (Plan, Arc<Memory>) {
    let mut b = Builder::new(tokens_max);
    let ids = b.input("ids", TOKENS, None);
    let chosen = b.input("rows", CHOSEN, None);
    let table = b.weight(&[VOCABULARY, WIDTH]);
    let embed = Op::Embed { scale: 1.5 };
    let mut x = b.step(embed, vec![Operand::Slot(ids), table.clone()], TOKENS, WIDTH);
    for _ in 0..2 {
        x = attention_layer(&mut b, layers, &x);
        x = match layers.experts {
            None => gated_layer(&mut b, layers, &x),
            Some((count, used)) => experts_layer(&mut b, layers, &x, count, used),
        };
    }
    let rows = vec![Operand::Slot(x), Operand::Slot(chosen)];
    let x = b.step(Op::SelectRows, rows, CHOSEN, WIDTH);
    let x = b.norm(&x, layers.norm, 24, 1.0);
    let logits = b.step(Op::Linear, vec![Operand::Slot(x), table], CHOSEN, VOCABULARY);
    let logits = b.of(Op::SoftCap { cap: 5.0 }, &logits, None);
    b.output("logits", &logits);
    b.finish()
}

fn attention_layer(b: &mut Builder, layers: Layers, x: &Slot) -> Slot {
    let Layers { heads, kv_heads, head_dim, v_head_dim, .. } = layers;
    let normed = b.norm(x, layers.norm, 24, 0.0);
    let q = b.linear(&normed, u64::from(heads * head_dim));
    let k = b.linear(&normed, u64::from(kv_heads * head_dim));
    let v = b.linear(&normed, u64::from(kv_heads * v_head_dim));
    let q = b.norm(&q, NormKind::Rms, head_dim, 1.0);
    let dims = head_dim / 2 * 2;
    let rope = Op::Rope(Rope {
        pairs: layers.pairs,
        head_dim,
        dims,
        base: 100.0,
        scale: 0.5,
        yarn: None,
        magnitude: 1.1,
    });
    let [q, k] = [q, k].map(|x| {
        let factors = b.weight_of(
            &[u64::from(dims / 2)],
            TensorType::F32,
            (0..dims / 2).flat_map(|i| (1.0 + i as f32 / 4.0).to_le_bytes()).collect(),
        );
        b.step(rope, vec![Operand::Slot(x.clone()), factors], TOKENS, x.width())
    });
    let state = StateId(u32::try_from(b.plan.states.len()).unwrap());
    let size = |n| NonZeroU32::new(n).unwrap();
    b.plan.states.push(KvCache {
        kv_heads: size(kv_heads),
        head_dim: size(head_dim),
        v_head_dim: size(v_head_dim),
        ty: layers.kv,
        positions: POSITIONS,
    });
    let attention = Op::Attention(Attention {
        heads,
        kv_heads,
        head_dim,
        v_head_dim,
        scale: 0.9,
        soft_cap: layers.soft_cap,
        mask: Mask::Causal { window: layers.window.map(size) },
    });
    let mut inputs = [q, k, v].map(Operand::Slot).to_vec();
    inputs.push(Operand::State(state));
    if layers.sinks {
        inputs.push(b.weight(&[u64::from(heads)]));
    }
    let out = b.step(attention, inputs, TOKENS, u64::from(heads * v_head_dim));
    let out = b.linear(&out, WIDTH);
    let bias = b.weight(&[WIDTH]);
    let out = b.step(Op::Binary(op::Binary::Add), vec![Operand::Slot(out), bias], TOKENS, WIDTH);
    b.of(Op::Binary(op::Binary::Add), x, Some(&out))
}

fn gated_layer(b: &mut Builder, layers: Layers, x: &Slot) -> Slot {
    let normed = b.norm(x, layers.norm, 24, 0.0);
    let gate = b.linear(&normed, HIDDEN);
    let up = b.linear(&normed, HIDDEN);
    let hidden = b.of(Op::Gated { activation: layers.activation }, &gate, Some(&up));
    let down = b.weight(&[WIDTH, HIDDEN]);
    let bias = b.weight(&[WIDTH]);
    let out = b.step(Op::Linear, vec![Operand::Slot(hidden), down, bias], TOKENS, WIDTH);
    let out = b.of(Op::Scale { factor: 0.7 }, &out, None);
    b.of(Op::Binary(op::Binary::Add), x, Some(&out))
}

fn experts_layer(b: &mut Builder, layers: Layers, x: &Slot, count: u32, used: u32) -> Slot {
    let normed = b.norm(x, layers.norm, 24, 0.0);
    let router = b.linear(&normed, u64::from(count));
    let n = u64::from(count);
    let [gate, up] = [(); 2].map(|()| b.weight(&[n, HIDDEN, WIDTH]));
    let down = b.weight(&[n, WIDTH, HIDDEN]);
    let experts = Op::Experts(Experts {
        count,
        used,
        hidden: 40,
        activation: layers.activation,
        gating: Gating::SoftmaxNormalised,
        scale: 1.3,
    });
    let inputs = vec![Operand::Slot(normed), Operand::Slot(router), gate, up, down];
    let out = b.step(experts, inputs, TOKENS, WIDTH);
    b.of(Op::Binary(op::Binary::Add), x, Some(&out))
}

/// Products of all kinds of packed weights: a table that is also the head, wide enough for blocks
/// of 256, and a matrix of each kind whose rows fill no panel.
pub(crate) fn quantised_model(tokens_max: u64) -> (Plan, Arc<Memory>) {
    let mut b = Builder::new(tokens_max);
    let ids = b.input("ids", TOKENS, None);
    let chosen = b.input("rows", CHOSEN, None);
    let table = b.quantised(&[VOCABULARY, 256], BlockType::Q8_0.into());
    let mut x =
        b.step(Op::Embed { scale: 1.0 }, vec![Operand::Slot(ids), table.clone()], TOKENS, 256);
    let types = [BlockType::Q4_1, BlockType::Q4_0, BlockType::Q6_K, BlockType::Q4_K];
    for ty in types.map(TensorType::from).into_iter().chain([DType::F16.into()]) {
        let normed = b.norm(&x, NormKind::Layer, 256, 0.0);
        let [up, down] = [[72, 256], [256, 256]].map(|shape| b.quantised(&shape, ty));
        let narrow = b.step(Op::Linear, vec![Operand::Slot(normed.clone()), up], TOKENS, 72);
        let wide = b.step(Op::Linear, vec![Operand::Slot(normed), down], TOKENS, 256);
        let narrow = b.of(Op::Unary(Unary::Tanh), &narrow, None);
        let back = b.linear(&narrow, 256);
        let wide = b.of(Op::Binary(op::Binary::Add), &wide, Some(&back));
        x = b.of(Op::Unary(Unary::Tanh), &wide, None);
    }
    let x = b.step(Op::SelectRows, vec![Operand::Slot(x), Operand::Slot(chosen)], CHOSEN, 256);
    let logits = b.step(Op::Linear, vec![Operand::Slot(x), table], CHOSEN, VOCABULARY);
    let logits = b.of(Op::Scale { factor: 0.1 }, &logits, None);
    b.output("logits", &logits);
    b.finish()
}

/// An encoder: learned positions, full attention without a cache, an activation of its own.
pub(crate) fn encoder(activation: Unary, tokens_max: u64) -> (Plan, Arc<Memory>) {
    let mut b = Builder::new(tokens_max);
    let ids = b.input("ids", TOKENS, None);
    b.input("unused", CHOSEN, None);
    let table = b.weight(&[VOCABULARY, WIDTH]);
    let x = b.step(Op::Embed { scale: 1.0 }, vec![Operand::Slot(ids), table], TOKENS, WIDTH);
    let places = b.weight(&[tokens_max, WIDTH]);
    let like = vec![Operand::Slot(x.clone()), places];
    let places = b.step(Op::EmbedPositions, like, TOKENS, WIDTH);
    let x = b.of(Op::Binary(op::Binary::Add), &x, Some(&places));
    let x = b.norm(&x, NormKind::Layer, 24, 0.0);
    let qkv = [(); 3].map(|()| b.linear(&x, WIDTH));
    let attention = Op::Attention(Attention {
        heads: 3,
        kv_heads: 3,
        head_dim: 8,
        v_head_dim: 8,
        scale: 0.6,
        soft_cap: None,
        mask: Mask::Full,
    });
    let out = b.step(attention, qkv.map(Operand::Slot).to_vec(), TOKENS, WIDTH);
    let x = b.of(Op::Binary(op::Binary::Mul), &x, Some(&out));
    let x = b.of(Op::Unary(activation), &x, None);
    b.output("hidden", &x);
    b.finish()
}
