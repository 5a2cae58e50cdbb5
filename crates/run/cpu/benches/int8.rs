//! Integer networks of real models' shapes, with weights of random bits.
//!
//! `cargo bench -p ledge-cpu --bench int8 -- [THREADS]`: prints each network's time, its
//! multiplications a second and their part of what the instructions allow, and the time of its
//! layers.
#![expect(clippy::disallowed_methods, reason = "a bench is a program")]
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a program for the developer")]

use ledge_cpu::CpuBackend;
use plan::array::{Conv, Epilogue, List, Requant, Rounding};
use plan::{
    ArrayOp, Backend, BufferId, BufferKind, Control, Dim, Grant, Op, Operand, Plan, Port,
    ReadError, Slot, Span, Step, Trace, Uncontrolled, Weight, WeightId, WeightSource, Who,
};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tensor::{Bytes, DType, Shape, TensorType};

/// A layer: kernel, stride, channels of the result; 0 for a convolution of each by itself.
type Layer = ([u32; 2], u32, u64);

const PLAIN: [u32; 2] = [1, 1];
const THREE: [u32; 2] = [3, 3];

/// Networks: extents of the image, and layers.
const NETWORKS: &[(&str, [u64; 3], &[Layer])] = &[
    ("keyword spotting", [49, 40, 1], &[([10, 8], 2, 8)]),
    (
        "MNIST",
        [28, 28, 1],
        &[(THREE, 2, 32), (THREE, 1, 0), (PLAIN, 1, 64), (THREE, 2, 0), (PLAIN, 1, 128)],
    ),
    (
        "wake word",
        [17, 1, 64],
        &[
            ([17, 1], 1, 0),
            (PLAIN, 1, 64),
            (PLAIN, 1, 64),
            (PLAIN, 1, 64),
            (PLAIN, 1, 64),
            (PLAIN, 1, 64),
            (PLAIN, 1, 64),
            (PLAIN, 1, 1),
        ],
    ),
    (
        "person detection",
        [96, 96, 1],
        &[
            (THREE, 2, 8),
            (THREE, 1, 0),
            (PLAIN, 1, 16),
            (THREE, 2, 0),
            (PLAIN, 1, 32),
            (THREE, 1, 0),
            (PLAIN, 1, 32),
            (THREE, 2, 0),
            (PLAIN, 1, 64),
            (THREE, 1, 0),
            (PLAIN, 1, 64),
            (THREE, 2, 0),
            (PLAIN, 1, 128),
            (THREE, 1, 0),
            (PLAIN, 1, 128),
            (THREE, 1, 0),
            (PLAIN, 1, 128),
            (THREE, 2, 0),
            (PLAIN, 1, 256),
            (THREE, 1, 0),
            (PLAIN, 1, 256),
        ],
    ),
    (
        "a quarter of ResNet-50's third stage",
        [14, 14, 1024],
        &[(PLAIN, 1, 256), (THREE, 1, 256), (PLAIN, 1, 1024)],
    ),
];

/// Weights of random bits, factors below one.
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
        if weight.ty == TensorType::Plain(DType::F64) {
            for factor in out.chunks_exact_mut(8) {
                factor.copy_from_slice(&0.000_71f64.to_le_bytes());
            }
        }
        Ok(())
    }
}

fn weight(plan: &mut Plan, dtype: DType, dims: &[u64]) -> Operand {
    let id = WeightId(u32::try_from(plan.weights.len()).unwrap());
    let shape = Shape::new(dims).unwrap();
    plan.weights.push(Weight { tensor: format!("w{}", id.0), ty: dtype.into(), shape, first: 0 });
    Operand::Weight(id)
}

/// A plan of the layers, and the multiplications of each.
fn network(image: [u64; 3], layers: &[Layer]) -> (Plan, Vec<u64>) {
    let mut plan = Plan::default();
    let slot = |plan: &mut Plan, kind, [h, w, c]: [u64; 3]| {
        let bytes = Bytes(h * w * c).align_up(64);
        let buffer: BufferId = plan.name("value".into(), kind, bytes);
        let dims = [1, h, w, c].map(Dim::Fixed).to_vec();
        Slot { buffer, offset: 0, dtype: DType::I8, dims, pitch: None }
    };
    let mut image = image;
    let mut x = slot(&mut plan, BufferKind::Io, image);
    plan.inputs.push(Port { name: "x".into(), slot: x.clone() });
    let mut work = Vec::new();
    for &(kernel, stride, channels) in layers {
        let list = |a: u32, b: u32| List::new(&[a, b]).unwrap();
        let [h, w, c] = image;
        let (groups, m) =
            if channels == 0 { (u32::try_from(c).unwrap(), c) } else { (1, channels) };
        let pad = |d: usize| if image[d] > u64::from(kernel[d]) { kernel[d] - 1 } else { 0 };
        let conv = Conv {
            kernel: list(kernel[0], kernel[1]),
            strides: list(stride, stride),
            dilations: list(1, 1),
            before: list(pad(0) / 2, pad(1) / 2),
            after: list(pad(0).div_ceil(2), pad(1).div_ceil(2)),
            groups,
        };
        let requant = Requant {
            rounding: Rounding::Double,
            axis: 3,
            zero: -128,
            low: -128,
            high: 127,
            to: DType::I8,
        };
        let window = [u64::from(kernel[0]), u64::from(kernel[1]), c / u64::from(groups)];
        let w_dims = [m, window[0], window[1], window[2]];
        let inputs = vec![
            Operand::Slot(x),
            weight(&mut plan, DType::I8, &w_dims),
            weight(&mut plan, DType::I32, &[m]),
            Operand::Absent,
            weight(&mut plan, DType::I8, &[]),
            Operand::Absent,
            weight(&mut plan, DType::F64, &[m]),
        ];
        image = [conv.extent(0, h).unwrap(), conv.extent(1, w).unwrap(), m];
        work.push(image.iter().product::<u64>() * window.iter().product::<u64>());
        let output = slot(&mut plan, BufferKind::Arena, image);
        let epilogue = Epilogue { activation: None, requant: Some(requant) };
        let op = Op::Array(ArrayOp::ConvLast { conv, epilogue });
        plan.steps.push(Step { op, inputs, output: output.clone(), layer: None });
        x = output;
    }
    plan.buffers[x.buffer.0 as usize].kind = BufferKind::Io;
    plan.outputs.push(Port { name: "y".into(), slot: x });
    (plan, work)
}

/// Notes what each layer takes.
struct Notes {
    begin: Instant,
    layers: Mutex<Vec<Duration>>,
}

impl Trace for Notes {
    fn now(&self) -> Duration {
        self.begin.elapsed()
    }

    fn note(&self, span: Span) {
        if span.who == Who::All {
            let mut layers = self.layers.lock().unwrap();
            let least = &mut layers[span.unit as usize];
            *least = (*least).min(span.end.saturating_sub(span.begin));
        }
    }
}

struct Noting<'a>(&'a Notes);

impl Control for Noting<'_> {
    fn cancelled(&self) -> bool {
        false
    }

    fn progress(&self, _: u64, _: u64) {}

    fn trace(&self) -> Option<&dyn Trace> {
        Some(self.0)
    }
}

fn main() {
    let threads = std::env::args().find_map(|arg| arg.parse::<usize>().ok()).unwrap_or(1);
    let threads = NonZeroUsize::new(threads).unwrap();
    let backend = CpuBackend::new(threads).unwrap();
    let probe = backend.probe(Bytes::mib(1)).unwrap();
    let start = Instant::now();
    let roof = probe.dots(20_000) as f64 / start.elapsed().as_secs_f64() / 1e9;
    println!("{threads} threads, {}, roof {roof:.0} GMAC/s", backend.isa());
    for (name, image, layers) in NETWORKS {
        let (mut plan, work) = network(*image, layers);
        plan.place(&backend).unwrap();
        let mut grant = Grant::new(plan.promise().total());
        let program = backend.load(plan, Arc::new(Random), &mut grant, &Uncontrolled).unwrap();
        let mut state = program.state(&mut grant).unwrap();
        state.input(0).fill(3);
        let mut times = Vec::new();
        let began = Instant::now();
        while began.elapsed() < Duration::from_millis(400) {
            let start = Instant::now();
            for _ in 0..10 {
                state.run(&[], &Uncontrolled).unwrap();
            }
            times.push(start.elapsed().as_secs_f64() / 10.0);
        }
        times.sort_by(f64::total_cmp);
        let time = times[times.len() / 2];
        let rate = work.iter().sum::<u64>() as f64 / time / 1e9;
        let part = 100.0 * rate / roof;
        println!("{name}: {:.2} us, {rate:.1} GMAC/s, {part:.0} % of roof", time * 1e6);
        let layers = Mutex::new(vec![Duration::MAX; work.len()]);
        let notes = Notes { begin: Instant::now(), layers };
        for _ in 0..500 {
            state.run(&[], &Noting(&notes)).unwrap();
        }
        for (i, (least, work)) in notes.layers.lock().unwrap().iter().zip(work).enumerate() {
            let rate = work as f64 / least.as_secs_f64() / 1e9;
            println!("  layer {i}: {:.2} us, {rate:.1} GMAC/s", least.as_secs_f64() * 1e6);
        }
    }
}
