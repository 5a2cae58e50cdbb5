//! A network of operators on dense arrays: against `reference` step by step, for any threads.

use crate::model::{Memory, noise};
use crate::{alloc, backend, load};
use plan::array::{Channels, Conv, List, Map, Pool, PoolKind, Zip};
use plan::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tensor::{Bytes, DType, Shape, TensorRef, cast::to_bytes};

/// A plan in the making: every value has a buffer of its own, inputs of noise in memory.
pub(crate) struct Network {
    pub(crate) plan: Plan,
    pub(crate) memory: Memory,
}

pub(crate) type Value = (Operand, DType, Vec<u64>);

impl Network {
    pub(crate) fn slot(&mut self, kind: BufferKind, dtype: DType, dims: &[u64]) -> Slot {
        let bytes = Bytes(dims.iter().product::<u64>() * dtype.bytes()).align_up(64);
        let name = format!("value {}", self.plan.buffers.len());
        let buffer = self.plan.name(name, kind, bytes);
        Slot {
            buffer,
            offset: 0,
            dtype,
            dims: dims.iter().map(|&dim| Dim::Fixed(dim)).collect(),
            pitch: None,
        }
    }

    pub(crate) fn weight(&mut self, dtype: DType, dims: &[u64], bytes: &[u8]) -> Value {
        let tensor = format!("w{}", self.plan.weights.len());
        self.memory.0.insert(tensor.clone(), bytes.to_vec());
        let shape = Shape::new(dims).unwrap();
        self.plan.weights.push(Weight { tensor, ty: dtype.into(), shape, first: 0 });
        let id = WeightId(u32::try_from(self.plan.weights.len() - 1).unwrap());
        (Operand::Weight(id), dtype, dims.to_vec())
    }

    pub(crate) fn step(
        &mut self,
        op: ArrayOp,
        inputs: &[&Value],
        dtype: DType,
        dims: &[u64],
    ) -> Value {
        let output = self.slot(BufferKind::Arena, dtype, dims);
        let inputs = inputs.iter().map(|value| value.0.clone()).collect();
        let op = Op::Array(op);
        self.plan.steps.push(Step { op, inputs, output: output.clone(), layer: None });
        (Operand::Slot(output), dtype, dims.to_vec())
    }
}

pub(crate) fn list(items: &[u32]) -> List<u32> {
    List::new(items).unwrap()
}

/// `x: [2, 3, 20, 20]`: convolution, activation, pool, cast, gather, concatenation, product.
fn network() -> Network {
    let mut n = Network { plan: Plan::default(), memory: Memory::default() };
    let slot = n.slot(BufferKind::Io, DType::F32, &[2, 3, 20, 20]);
    n.plan.inputs.push(Port { name: "x".into(), slot: slot.clone() });
    let x = (Operand::Slot(slot), DType::F32, vec![2, 3, 20, 20]);
    let w = n.weight(DType::F32, &[8, 3, 3, 3], to_bytes(&noise(1, 216)));
    let bias = n.weight(DType::F32, &[8], to_bytes(&noise(2, 8)));
    let conv = Conv {
        kernel: list(&[3, 3]),
        strides: list(&[1, 1]),
        dilations: list(&[1, 1]),
        before: list(&[1, 1]),
        after: list(&[1, 1]),
        groups: 1,
    };
    let y = n.step(ArrayOp::Conv(conv), &[&x, &w, &bias], DType::F32, &[2, 8, 20, 20]);
    let y = n.step(ArrayOp::Map(Map::Silu), &[&y], DType::F32, &[2, 8, 20, 20]);
    let pool = Pool {
        kind: PoolKind::Average { count_padding: true },
        conv: Conv { strides: list(&[2, 2]), ..conv },
        output: list(&[10, 10]),
        channels: Channels::First,
    };
    let pooled = n.step(ArrayOp::Pool(pool), &[&y], DType::F32, &[2, 8, 10, 10]);
    let half = ArrayOp::Cast { to: DType::F16, saturate: true };
    let halves = n.step(half, &[&pooled], DType::F16, &[2, 8, 10, 10]);
    let index = n.weight(DType::I64, &[3], to_bytes(&[7i64, -8, 2]));
    let gather = ArrayOp::Gather { axis: 1, batch: 0 };
    let some = n.step(gather, &[&halves, &index], DType::F16, &[2, 3, 10, 10]);
    let all = n.step(ArrayOp::Concat { axis: 1 }, &[&some, &halves], DType::F16, &[2, 11, 10, 10]);
    let b = n.weight(DType::F16, &[10, 17], &[0x3c; 340]);
    let y = n.step(ArrayOp::MatMul, &[&all, &b], DType::F16, &[2, 11, 10, 17]);
    let positive = n.step(ArrayOp::Zip(Zip::Greater), &[&y, &y], DType::Bool, &[2, 11, 10, 17]);
    for (i, (value, dtype, dims)) in [y, positive].into_iter().enumerate() {
        let Operand::Slot(slot) = value else { unreachable!() };
        assert_eq!((slot.dtype, slot.dims.len()), (dtype, dims.len()));
        n.plan.buffers[slot.buffer.0 as usize].kind = BufferKind::Io;
        n.plan.outputs.push(Port { name: format!("y{i}"), slot });
    }
    n
}

/// Outputs, computed step by step in memory of its own.
pub(crate) fn expected(network: &Network, inputs: &[&[u8]]) -> Vec<Vec<u8>> {
    let mut values = vec![Vec::new(); network.plan.buffers.len()];
    for (port, bytes) in network.plan.inputs.iter().zip(inputs) {
        values[port.slot.buffer.0 as usize] = bytes.to_vec();
    }
    let shape = |slot: &Slot| {
        let dims: Vec<u64> = slot.dims.iter().map(|dim| dim.max(&[])).collect();
        Shape::new(&dims).unwrap()
    };
    for step in &network.plan.steps {
        let Op::Array(op) = &step.op else { unreachable!() };
        let operand = |input: &Operand| match input {
            Operand::Slot(slot) => {
                let bytes = &values[slot.buffer.0 as usize];
                Some(TensorRef::new(slot.dtype.into(), shape(slot), bytes).unwrap())
            }
            Operand::Weight(id) => {
                let weight = &network.plan.weights[id.0 as usize];
                let bytes = &network.memory.0[&weight.tensor];
                Some(TensorRef::new(weight.ty, weight.shape, bytes).unwrap())
            }
            Operand::State(_) | Operand::Absent => None,
        };
        let inputs: Vec<_> = step.inputs.iter().map(operand).collect();
        let (dtype, dims) = (step.output.dtype, shape(&step.output));
        let result = reference::evaluate(op, &inputs, dtype, dims).unwrap();
        values[step.output.buffer.0 as usize] = result;
    }
    let ports = network.plan.outputs.iter();
    ports.map(|port| values[port.slot.buffer.0 as usize].clone()).collect()
}

#[test]
fn networks_are_the_same_for_any_threads_and_allocate_nothing() {
    let network = network();
    let x = noise(5, 2400);
    let want = expected(&network, &[to_bytes(&x)]);
    let memory = Arc::new(Memory(network.memory.0.clone()));
    for threads in [1, 2, 3] {
        let backend = backend(threads);
        let mut state = load(&network.plan, &memory, &backend);
        state.input(0).copy_from_slice(to_bytes(&x));
        let taken = alloc::taken_by(|| state.run(&[], &Uncontrolled).unwrap());
        assert_eq!(taken, 0, "{threads} threads");
        for (port, want) in want.iter().enumerate() {
            assert!(state.output(port) == want, "output {port}, {threads} threads");
        }
    }
}

/// Masks and positions: `ids: [40, 30, 1]` of whole numbers that are compared and cast.
#[test]
fn whole_numbers_and_truth_values_are_those_of_the_reference() {
    for dtype in [DType::I32, DType::I64] {
        let mut n = Network { plan: Plan::default(), memory: Memory::default() };
        let slot = n.slot(BufferKind::Io, dtype, &[40, 30, 1]);
        n.plan.inputs.push(Port { name: "ids".into(), slot: slot.clone() });
        let ids = (Operand::Slot(slot), dtype, vec![40, 30, 1]);
        let codes: Vec<i64> = (0..17).collect();
        let small: Vec<i32> = (0..17).collect();
        let wide = dtype == DType::I64;
        let codes = if wide { to_bytes(&codes) } else { to_bytes(&small) };
        let codes = n.weight(dtype, &[17], codes);
        let all: &[u64] = &[40, 30, 17];
        let equal = n.step(ArrayOp::Zip(Zip::Equal), &[&ids, &codes], DType::Bool, all);
        let less = n.step(ArrayOp::Zip(Zip::Less), &[&codes, &ids], DType::Bool, all);
        let both = n.step(ArrayOp::Zip(Zip::Or), &[&equal, &less], DType::Bool, all);
        let sums = n.step(ArrayOp::Zip(Zip::Multiply), &[&ids, &codes], dtype, all);
        let chosen = n.step(ArrayOp::Select, &[&both, &sums, &codes], dtype, all);
        let one = n.weight(dtype, &[], &to_bytes(&[-3i64])[..dtype.bytes() as usize]);
        let chosen = n.step(ArrayOp::Select, &[&equal, &one, &chosen], dtype, all);
        let cast = |to| ArrayOp::Cast { to, saturate: true };
        let floats = n.step(cast(DType::F32), &[&chosen], DType::F32, all);
        let mask = n.step(cast(DType::F32), &[&both], DType::F32, all);
        let above = n.step(ArrayOp::Zip(Zip::Greater), &[&floats, &mask], DType::Bool, all);
        for (i, value) in [equal, chosen, floats, mask, above].into_iter().enumerate() {
            let Operand::Slot(slot) = value.0 else { unreachable!() };
            n.plan.buffers[slot.buffer.0 as usize].kind = BufferKind::Io;
            n.plan.outputs.push(Port { name: format!("y{i}"), slot });
        }
        let ids: Vec<i64> = (0..1200).map(|i| i % 23 - 2).collect();
        let small: Vec<i32> = (0..1200).map(|i| i % 23 - 2).collect();
        let ids = if wide { to_bytes(&ids) } else { to_bytes(&small) };
        let want = expected(&n, &[ids]);
        let memory = Arc::new(Memory(n.memory.0.clone()));
        for threads in [1, 2] {
            let mut state = load(&n.plan, &memory, &backend(threads));
            state.input(0).copy_from_slice(ids);
            let taken = alloc::taken_by(|| state.run(&[], &Uncontrolled).unwrap());
            assert_eq!(taken, 0, "{threads} threads");
            for (port, want) in want.iter().enumerate() {
                assert!(state.output(port) == want, "output {port} of {dtype}");
            }
        }
    }
}

#[test]
fn an_index_outside_of_its_array_is_an_error() {
    let mut network = network();
    network.memory.0.insert("w2".into(), to_bytes(&[7i64, 8, 2]).to_vec());
    let memory = Arc::new(network.memory);
    let mut state = load(&network.plan, &memory, &backend(2));
    let error = state.run(&[], &Uncontrolled).unwrap_err();
    assert_eq!(error, RunError::Outside { op: "gather", index: 8, extent: 8 });
}

/// Weights that say what they are, and count how often they are read.
struct Known {
    memory: Memory,
    reads: AtomicUsize,
}

impl WeightSource for Known {
    fn read_rows(&self, weight: &Weight, row: u64, out: &mut [u8]) -> Result<(), ReadError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.memory.read_rows(weight, row, out)
    }

    fn identity(&self, weight: &Weight) -> Option<u64> {
        let number = weight.tensor.trim_start_matches('w').parse().ok();
        number.filter(|_| self.memory.0.contains_key(&weight.tensor))
    }
}

#[test]
fn programs_share_weights_while_one_of_them_lives() {
    let Network { mut plan, memory } = network();
    let backend = backend(2);
    plan.place(&backend).unwrap();
    let known = Arc::new(Known { memory, reads: AtomicUsize::new(0) });
    let load = || {
        let source = Arc::clone(&known) as Arc<dyn WeightSource>;
        let mut grant = Grant::new(plan.promise().total());
        let program = backend.load(plan.clone(), source, &mut grant, &Uncontrolled).unwrap();
        (program.state(&mut grant).unwrap(), known.reads.swap(0, Ordering::Relaxed))
    };
    let run = |state: &mut Box<dyn State>| {
        state.input(0).fill(0x3e);
        state.run(&[], &Uncontrolled).unwrap();
        state.output(0).to_vec()
    };
    let ((mut first, reads), (mut second, again)) = (load(), load());
    assert!(reads > 0 && again == 0, "{reads} reads, then {again}");
    let expected = run(&mut first);
    drop(first);
    assert_eq!(run(&mut second), expected);
    drop(second);
    assert_eq!(load().1, reads);
}
