//! Steps that have kernels of their own for floats: against `reference`, for any threads.

use crate::array::{Network, Value, expected, list};
use crate::model::{Memory, noise};
use crate::{alloc, backend, load};
use plan::array::{Channels, Conv, Epilogue, Map, Pool, PoolKind};
use plan::*;
use std::sync::Arc;
use tensor::{DType, cast};

/// Runs networks of one step with 1 to 3 threads: `inputs` are the extents of the operands, the
/// first of them an input, the others constants.
fn check(op: ArrayOp, inputs: &[&[u64]], out: &[u64]) {
    let mut n = Network { plan: Plan::default(), memory: Memory::default() };
    let slot = n.slot(BufferKind::Io, DType::F32, inputs[0]);
    n.plan.inputs.push(Port { name: "x".into(), slot: slot.clone() });
    let mut operands: Vec<Value> = vec![(Operand::Slot(slot), DType::F32, inputs[0].to_vec())];
    for (seed, dims) in (2..).zip(&inputs[1..]) {
        if dims == &[0] {
            operands.push((Operand::Absent, DType::F32, vec![]));
            continue;
        }
        let numbers = noise(seed, usize::try_from(dims.iter().product::<u64>()).unwrap());
        operands.push(n.weight(DType::F32, dims, cast::to_bytes(&numbers)));
    }
    let operands: Vec<&Value> = operands.iter().collect();
    let (result, ..) = n.step(op, &operands, DType::F32, out);
    let Operand::Slot(slot) = result else { unreachable!() };
    n.plan.buffers[slot.buffer.0 as usize].kind = BufferKind::Io;
    n.plan.outputs.push(Port { name: "y".into(), slot });
    let x = noise(1, usize::try_from(inputs[0].iter().product::<u64>()).unwrap());
    let want = expected(&n, cast::to_bytes(&x)).remove(0);
    let want: &[f32] = cast::from_bytes(&want).unwrap();
    let memory = Arc::new(n.memory);
    let mut first = Vec::new();
    for threads in [1, 2, 3] {
        let mut state = load(&n.plan, &memory, &backend(threads));
        state.input(0).copy_from_slice(cast::to_bytes(&x));
        let taken = alloc::taken_by(|| state.run(&[], &Uncontrolled).unwrap());
        assert_eq!(taken, 0, "{op:?}");
        let found = state.output(0).to_vec();
        if first.is_empty() {
            first.clone_from(&found);
        }
        assert!(first == found, "{op:?} with {threads} threads");
    }
    let found: &[f32] = cast::from_bytes(&first).unwrap();
    for (i, (found, want)) in found.iter().zip(want).enumerate() {
        let error = (found - want).abs();
        assert!(error <= 2e-5 * want.abs().max(1.0), "{op:?} {inputs:?} at {i}: {found}, {want}");
    }
}

fn conv(kernel: [u32; 2], strides: [u32; 2], dilations: [u32; 2], groups: u32) -> Conv {
    Conv {
        kernel: list(&kernel),
        strides: list(&strides),
        dilations: list(&dilations),
        before: list(&[kernel[0] / 2 * dilations[0], kernel[1] / 2 * dilations[1]]),
        after: list(&[kernel[0] / 2 * dilations[0], (kernel[1] - 1) / 2 * dilations[1]]),
        groups,
    }
}

fn with(activation: Map) -> Epilogue {
    Epilogue { activation: Some(activation), requant: None }
}

#[test]
fn convolutions_are_products_of_windows() {
    // Kernel, strides, dilations, groups, channels, filters, height, width.
    for (kernel, strides, dilations, groups, c, m, h, w) in [
        ([1, 1], [1, 1], [1, 1], 1, 20, 35, 7, 5),
        ([3, 3], [1, 1], [1, 1], 1, 32, 64, 9, 11),
        ([3, 3], [2, 2], [1, 1], 1, 3, 24, 20, 21),
        ([7, 7], [2, 2], [1, 1], 1, 3, 17, 15, 14),
        ([3, 5], [1, 2], [2, 3], 1, 16, 8, 12, 19),
        ([1, 1], [2, 2], [1, 1], 1, 24, 40, 9, 8),
        ([1, 1], [1, 1], [1, 1], 4, 24, 40, 9, 8),
        ([3, 3], [1, 1], [1, 1], 3, 15, 9, 6, 7),
        ([3, 3], [1, 1], [1, 1], 21, 21, 21, 9, 30),
        ([5, 5], [2, 1], [1, 2], 16, 16, 16, 9, 30),
        ([3, 3], [1, 1], [1, 1], 6, 6, 12, 5, 4),
        ([2, 4], [1, 1], [1, 1], 1, 2, 3, 1, 4),
    ] {
        let conv = conv(kernel, strides, dilations, groups);
        let [oh, ow] = [(0, h), (1, w)].map(|(d, dim)| conv.extent(d, dim).unwrap());
        let (x, wt) =
            ([2, h, w, c], [m, kernel[0].into(), kernel[1].into(), c / u64::from(groups)]);
        let out = [2, oh, ow, m];
        let op = |epilogue| ArrayOp::ConvLast { conv, epilogue };
        check(op(Epilogue::default()), &[&x, &wt], &out);
        check(op(with(Map::Relu)), &[&x, &wt, &[m]], &out);
        check(op(with(Map::HardSwish)), &[&x, &wt, &[m], &out], &out);
        check(op(with(Map::Silu)), &[&x, &wt, &[0], &out], &out);
    }
    let line = Conv {
        kernel: list(&[5]),
        strides: list(&[2]),
        dilations: list(&[1]),
        before: list(&[3]),
        after: list(&[1]),
        groups: 1,
    };
    for c in [1, 19] {
        let op = ArrayOp::ConvLast { conv: line, epilogue: with(Map::Tanh) };
        check(op, &[&[3, 30, c], &[7, 5, c], &[7]], &[3, 15, 7]);
    }
}

#[test]
fn large_products_are_divided_by_columns_too() {
    let one = conv([1, 1], [1, 1], [1, 1], 1);
    let op = ArrayOp::ConvLast { conv: one, epilogue: Epilogue::default() };
    check(op, &[&[1, 5, 5, 512], &[700, 1, 1, 512], &[700]], &[1, 5, 5, 700]);
    check(ArrayOp::MatMul, &[&[130, 300], &[300, 450]], &[130, 450]);
    check(ArrayOp::MatMul, &[&[1, 300], &[300, 450]], &[1, 450]);
    check(ArrayOp::MatMul, &[&[2, 3, 5, 8], &[2, 3, 8, 33]], &[2, 3, 5, 33]);
    check(ArrayOp::MatMul, &[&[2, 3, 5, 8], &[1, 8, 33]], &[2, 3, 5, 33]);
    check(ArrayOp::MatMul, &[&[1, 3, 5, 8], &[2, 3, 8, 33]], &[2, 3, 5, 33]);
    let fused = ArrayOp::MatMulFused(with(Map::Gelu));
    check(fused, &[&[9, 40], &[40, 21], &[21], &[9, 21]], &[9, 21]);
}

#[test]
fn pools_slide_over_channels_that_stand_last() {
    for kind in [
        PoolKind::Max,
        PoolKind::Average { count_padding: true },
        PoolKind::Average { count_padding: false },
    ] {
        for (kernel, strides, c, h, w) in
            [([3, 3], [2, 2], 40, 13, 15), ([2, 3], [1, 1], 5, 4, 9), ([7, 7], [1, 1], 16, 7, 7)]
        {
            let conv = conv(kernel, strides, [1, 1], 1);
            let [oh, ow] = [(0, h), (1, w)].map(|(d, dim)| conv.extent(d, dim).unwrap());
            let output = list(&[oh, ow].map(|dim| u32::try_from(dim).unwrap()));
            let pool = Pool { kind, conv, output, channels: Channels::Last };
            check(ArrayOp::Pool(pool), &[&[2, h, w, c]], &[2, oh, ow, c]);
        }
    }
}
