//! Prompt and decode rates of a model's shapes, with weights of random bits.
//!
//! `cargo bench -p ledge-cpu --bench model -- [THREADS] [POSITIONS]`: SmolLM2-135M (30 layers, 576
//! wide, 9/3 heads of 64, hidden 1536, 49152 tokens) in `Q4_1` with a `Q8_0` head; a prompt of 512
//! in one chunk, then decoding after POSITIONS (512) positions. Prints tokens a second and GB/s of
//! packed weights.
#![expect(clippy::disallowed_methods, reason = "a bench is a program")]
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a program for the developer")]

use ledge_cpu::CpuBackend;
use plan::op::{Attention, Binary, Mask, Norm, NormKind, Rope, RopePairs, Unary};
use plan::{
    Backend, BufferId, BufferKind, Dim, Grant, KvCache, KvType, Op, Operand, Plan, Port, ReadError,
    Slot, StateId, Step, Symbol, SymbolId, Uncontrolled, Weight, WeightId, WeightSource,
};
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::Instant;
use tensor::{BlockType, Bytes, DType, Shape, TensorType};

const LAYERS: u32 = 30;
const WIDTH: u64 = 576;
const HIDDEN: u64 = 1536;
const VOCABULARY: u64 = 49152;
const HEADS: u32 = 9;
const KV_HEADS: u32 = 3;
const HEAD: u32 = 64;
const CHUNK: u64 = 512;
const TOKENS: Dim = Dim::Symbol(SymbolId(0));
const CHOSEN: Dim = Dim::Symbol(SymbolId(1));

/// Weights of pseudo-random bits, small scales.
struct Random;

impl WeightSource for Random {
    fn read_rows(&self, weight: &Weight, row: u64, out: &mut [u8]) -> Result<(), ReadError> {
        let mut x = row.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        for byte in out.iter_mut() {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            *byte = x.to_le_bytes()[3];
        }
        let scale = tensor::F16::from_f32(0.01).to_le_bytes();
        match weight.ty {
            TensorType::Block(BlockType::Q4_1) => {
                for block in out.chunks_exact_mut(20) {
                    block[..2].copy_from_slice(&scale);
                    block[2..4].copy_from_slice(&tensor::F16::from_f32(-0.075).to_le_bytes());
                }
            }
            TensorType::Block(_) => {
                for block in out.chunks_exact_mut(34) {
                    block[..2].copy_from_slice(&scale);
                }
            }
            TensorType::Plain(_) => {
                for number in out.chunks_exact_mut(4) {
                    number.copy_from_slice(&1f32.to_le_bytes());
                }
            }
        }
        Ok(())
    }
}

struct Builder {
    plan: Plan,
    end: u64,
}

impl Builder {
    fn step(&mut self, op: Op, inputs: Vec<Operand>, rows: Dim, width: u64) -> Slot {
        let dims = vec![rows, Dim::Fixed(width)];
        let output =
            Slot { buffer: BufferId(0), offset: self.end, dtype: DType::F32, dims, pitch: None };
        self.end += (rows.max(&self.plan.symbols) * width * 4).next_multiple_of(64);
        self.plan.steps.push(Step { op, inputs, output: output.clone(), layer: None });
        output
    }

    fn weight(&mut self, shape: &[u64], ty: TensorType) -> Operand {
        let id = WeightId(u32::try_from(self.plan.weights.len()).unwrap());
        let shape = Shape::new(shape).unwrap();
        self.plan.weights.push(Weight { tensor: format!("w{}", id.0), ty, shape, first: 0 });
        Operand::Weight(id)
    }

    fn linear(&mut self, x: &Slot, outputs: u64) -> Slot {
        let weight = self.weight(&[outputs, x.width()], BlockType::Q4_1.into());
        self.step(Op::Linear, vec![Operand::Slot(x.clone()), weight], x.dims[0], outputs)
    }

    fn norm(&mut self, x: &Slot) -> Slot {
        let weight = self.weight(&[WIDTH], TensorType::F32);
        let group = NonZeroU32::new(576).unwrap();
        let op = Op::Norm(Norm { kind: NormKind::Rms, eps: 1e-5, offset: 0.0, group });
        self.step(op, vec![Operand::Slot(x.clone()), weight], x.dims[0], WIDTH)
    }

    fn of(&mut self, op: Op, a: &Slot, b: Option<&Slot>) -> Slot {
        let inputs = [Some(a), b].into_iter().flatten().cloned().map(Operand::Slot).collect();
        self.step(op, inputs, a.dims[0], a.width())
    }
}

fn model(positions: u64) -> Plan {
    let mut plan = Plan::default();
    for (name, max) in [("tokens", CHUNK), ("chosen", 1)] {
        plan.symbols.push(Symbol { name: name.into(), max });
    }
    plan.name("arena".into(), BufferKind::Arena, Bytes::ZERO);
    let mut b = Builder { plan, end: 0 };
    let mut inputs = Vec::new();
    for (name, rows, max) in [("ids", TOKENS, CHUNK), ("rows", CHOSEN, 1)] {
        let buffer = b.plan.name(name.into(), BufferKind::Io, Bytes(max * 4));
        let slot = Slot { buffer, offset: 0, dtype: DType::U32, dims: vec![rows], pitch: None };
        b.plan.inputs.push(Port { name: name.into(), slot: slot.clone() });
        inputs.push(Operand::Slot(slot));
    }
    let table = b.weight(&[VOCABULARY, WIDTH], BlockType::Q8_0.into());
    let embed = Op::Embed { scale: 1.0 };
    let mut x = b.step(embed, vec![inputs[0].clone(), table.clone()], TOKENS, WIDTH);
    let size = |n| NonZeroU32::new(n).unwrap();
    for layer in 0..LAYERS {
        let normed = b.norm(&x);
        let [q, k, v] = [HEADS, KV_HEADS, KV_HEADS].map(|n| b.linear(&normed, u64::from(n * HEAD)));
        let rope = Op::Rope(Rope {
            pairs: RopePairs::Interleaved,
            head_dim: HEAD,
            dims: HEAD,
            base: 100_000.0,
            scale: 1.0,
            yarn: None,
            magnitude: 1.0,
        });
        let (q, k) = (b.of(rope, &q, None), b.of(rope, &k, None));
        b.plan.states.push(KvCache {
            kv_heads: size(KV_HEADS),
            head_dim: size(HEAD),
            v_head_dim: size(HEAD),
            ty: KvType::F16,
            positions,
        });
        let attention = Op::Attention(Attention {
            heads: HEADS,
            kv_heads: KV_HEADS,
            head_dim: HEAD,
            v_head_dim: HEAD,
            scale: 0.125,
            soft_cap: None,
            mask: Mask::Causal { window: None },
        });
        let mut operands = [q, k, v].map(Operand::Slot).to_vec();
        operands.push(Operand::State(StateId(layer)));
        let out = b.step(attention, operands, TOKENS, WIDTH);
        let out = b.linear(&out, WIDTH);
        x = b.of(Op::Binary(Binary::Add), &x, Some(&out));
        let normed = b.norm(&x);
        let (gate, up) = (b.linear(&normed, HIDDEN), b.linear(&normed, HIDDEN));
        let hidden = b.of(Op::Gated { activation: Unary::Silu }, &gate, Some(&up));
        let out = b.linear(&hidden, WIDTH);
        x = b.of(Op::Binary(Binary::Add), &x, Some(&out));
    }
    let x = b.step(Op::SelectRows, vec![Operand::Slot(x), inputs[1].clone()], CHOSEN, WIDTH);
    let x = b.norm(&x);
    let logits = b.step(Op::Linear, vec![Operand::Slot(x), table], CHOSEN, VOCABULARY);
    b.plan.outputs.push(Port { name: "logits".into(), slot: logits });
    b.plan.buffers[0].bytes = Bytes(b.end);
    b.plan
}

/// Seconds that this thread has had a processor, where the system tells; wall time elsewhere.
///
/// On a machine with other work this is what one thread's work costs, whatever the others do.
fn busy(start: Instant) -> f64 {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let ran = told.and_then(|line| line.split(' ').next()?.parse::<f64>().ok());
    ran.map_or_else(|| start.elapsed().as_secs_f64(), |ns| ns / 1e9)
}

fn main() {
    let mut numbers = std::env::args().filter_map(|arg| arg.parse::<u64>().ok());
    let threads = numbers.next().map_or(2, |n| usize::try_from(n).unwrap());
    let after = numbers.next().unwrap_or(512);
    let backend = CpuBackend::new(NonZeroUsize::new(threads).unwrap()).unwrap();
    let mut plan = model(after.max(CHUNK) + 200);
    plan.place(&backend).unwrap();
    let packed = plan.bytes_of(BufferKind::PackedWeights);
    let mut grant = Grant::new(plan.promise().total());
    let start = Instant::now();
    let program = backend.load(plan, Arc::new(Random), &mut grant, &Uncontrolled).unwrap();
    println!("{threads} threads, {}, {packed}, load {:?}", backend.isa(), start.elapsed());
    let mut state = program.state(&mut grant).unwrap();
    let ids: Vec<u32> = (0..512).map(|i| i * 97 % 49152).collect();
    state.input(0).copy_from_slice(tensor::cast::to_bytes(&ids));
    let mut best = f64::INFINITY;
    let mut own = f64::INFINITY;
    for _ in 0..3 {
        state.truncate(0);
        let start = Instant::now();
        let before = busy(start);
        state.run(&[CHUNK, 1], &Uncontrolled).unwrap();
        best = best.min(start.elapsed().as_secs_f64());
        own = own.min(busy(start) - before);
    }
    println!("caller busy for {:.1} ms", own * 1e3);
    println!("prompt of {CHUNK}: {:.1} ms, {:.0} tok/s", best * 1e3, CHUNK as f64 / best);
    while state.positions() < after {
        let n = CHUNK.min(after - state.positions());
        state.run(&[n, 1], &Uncontrolled).unwrap();
    }
    let start = Instant::now();
    let before = busy(start);
    let mut times: Vec<f64> = (0..200)
        .map(|_| {
            let start = Instant::now();
            state.run(&[1, 1], &Uncontrolled).unwrap();
            start.elapsed().as_secs_f64()
        })
        .collect();
    println!("caller busy for {:.2} ms a token", (busy(start) - before) * 1e3 / 200.0);
    times.sort_by(f64::total_cmp);
    for (name, time) in [("best", times[0]), ("median", times[times.len() / 2])] {
        let rate = packed.0 as f64 / time / 1e9;
        println!("decode {name}: {:.2} ms, {:.0} tok/s, {rate:.1} GB/s", time * 1e3, 1.0 / time);
    }
}
