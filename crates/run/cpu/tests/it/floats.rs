//! Steps that have kernels of their own for floats: against `reference`, for any threads.

use crate::array::{Network, Value, expected, list};
use crate::model::{Memory, noise};
use crate::{alloc, backend, load};
use plan::array::{
    Cell, Channels, Conv, Coordinates, Direction, Epilogue, Interpolation, List, Map, Nearest,
    Pool, PoolKind, Recurrent, Reduce, ReduceKind, Resize, Zip,
};
use plan::*;
use std::sync::Arc;
use tensor::{DType, F16, Shape, cast};

/// Runs networks of one step with 1 to 3 threads: `inputs` are the extents of the operands, the
/// first of them an input, the others constants.
fn check(op: ArrayOp, inputs: &[&[u64]], out: &[u64]) {
    check_computed(op, 1, inputs, out);
}

/// The same with the first `computed` operands as inputs.
fn check_computed(op: ArrayOp, computed: usize, inputs: &[&[u64]], out: &[u64]) {
    check_weights(op, computed, DType::F32, inputs, out);
}

/// A network of one step, and its inputs: the first `computed` operands, and the one in whose place
/// the result is to be, which `over` says.
fn network(
    op: ArrayOp,
    (computed, over): (usize, Option<usize>),
    ty: DType,
    inputs: &[&[u64]],
    out: &[u64],
) -> (Network, Vec<Vec<f32>>) {
    let mut n = Network { plan: Plan::default(), memory: Memory::default() };
    let mut operands: Vec<Value> = Vec::new();
    let mut given = Vec::new();
    for (i, (seed, dims)) in (1..).zip(inputs).enumerate() {
        if *dims == [0] {
            operands.push((Operand::Absent, DType::F32, vec![]));
            continue;
        }
        let numbers = noise(seed, usize::try_from(dims.iter().product::<u64>()).unwrap());
        if i == 1 && ty == DType::F16 {
            let halves: Vec<u8> =
                numbers.iter().flat_map(|&x| F16::from_f32(x).to_le_bytes()).collect();
            operands.push(n.weight(ty, dims, &halves));
            continue;
        }
        if i >= computed && over != Some(i) {
            operands.push(n.weight(DType::F32, dims, cast::to_bytes(&numbers)));
            continue;
        }
        let slot = n.slot(BufferKind::Io, DType::F32, dims);
        n.plan.inputs.push(Port { name: format!("x{i}"), slot: slot.clone() });
        operands.push((Operand::Slot(slot), DType::F32, dims.to_vec()));
        given.push(numbers);
    }
    let operands: Vec<&Value> = operands.iter().collect();
    let (result, ..) = n.step(op, &operands, DType::F32, out);
    let Operand::Slot(mut slot) = result else { unreachable!() };
    if let Some(i) = over {
        let place = n.plan.steps[0].slot(i);
        (slot.buffer, slot.offset) = (place.buffer, place.offset);
        n.plan.steps[0].output = slot.clone();
    }
    n.plan.buffers[slot.buffer.0 as usize].kind = BufferKind::Io;
    n.plan.outputs.push(Port { name: "y".into(), slot });
    (n, given)
}

/// The same with operand 1 of another type, if it is a constant; also with the result in the place
/// of each operand that the backend allows.
fn check_weights(op: ArrayOp, computed: usize, ty: DType, inputs: &[&[u64]], out: &[u64]) {
    let (n, given) = network(op, (computed, None), ty, inputs, out);
    let Freedom { over, part } = backend(1).freedom(&n.plan.steps[0], &n.plan);
    let bytes: Vec<&[u8]> = given.iter().map(|x| cast::to_bytes(x)).collect();
    let want = expected(&n, &bytes).remove(0);
    let want: &[f32] = cast::from_bytes(&want).unwrap();
    let memory = Arc::new(n.memory);
    let mut first = Vec::new();
    for threads in [1, 2, 3] {
        let mut state = load(&n.plan, &memory, &backend(threads));
        for (port, numbers) in given.iter().enumerate() {
            state.input(port).copy_from_slice(cast::to_bytes(numbers));
        }
        let taken = alloc::taken_by(|| state.run(&[], &Uncontrolled).unwrap());
        assert_eq!(taken, 0, "{op:?}");
        let found = state.output(0).to_vec();
        if first.is_empty() {
            first.clone_from(&found);
        }
        assert!(first == found, "{op:?} with {threads} threads");
    }
    for i in over.into_iter().filter(|&i| inputs.get(i).is_some_and(|dims| *dims == out)) {
        let (n, given) = network(op, (computed, Some(i)), ty, inputs, out);
        let memory = Arc::new(n.memory);
        for threads in [1, 3] {
            let mut state = load(&n.plan, &memory, &backend(threads));
            for (port, numbers) in given.iter().enumerate() {
                state.input(port).copy_from_slice(cast::to_bytes(numbers));
            }
            let taken = alloc::taken_by(|| state.run(&[], &Uncontrolled).unwrap());
            assert_eq!(taken, 0, "{op:?}");
            assert!(first == state.output(0), "{op:?} in place of operand {i}");
        }
    }
    if part == Part::Columns {
        check_columns(op, (computed, ty), inputs, out, &first);
    }
    let found: &[f32] = cast::from_bytes(&first).unwrap();
    for (i, (found, want)) in found.iter().zip(want).enumerate() {
        let error = (found - want).abs();
        assert!(error <= 2e-5 * want.abs().max(1.0), "{op:?} {inputs:?} at {i}: {found}, {want}");
    }
}

/// The same with the result as columns of a wider value, whose others stay as they are.
fn check_columns(
    op: ArrayOp,
    (computed, ty): (usize, DType),
    inputs: &[&[u64]],
    out: &[u64],
    want: &[u8],
) {
    let (mut n, given) = network(op, (computed, None), ty, inputs, out);
    let columns = *out.last().unwrap();
    let mut dims = out.to_vec();
    *dims.last_mut().unwrap() = columns + 32;
    let wide = n.slot(BufferKind::Io, DType::F32, &dims);
    let (buffer, pitch) = (wide.buffer, Some(columns + 32));
    n.plan.steps[0].output = Slot { buffer, offset: 64, pitch, ..n.plan.steps[0].output.clone() };
    n.plan.outputs[0].slot = wide;
    let memory = Arc::new(n.memory);
    let columns = usize::try_from(columns * 4).unwrap();
    for threads in [1, 3] {
        let mut state = load(&n.plan, &memory, &backend(threads));
        for (port, numbers) in given.iter().enumerate() {
            state.input(port).copy_from_slice(cast::to_bytes(numbers));
        }
        state.run(&[], &Uncontrolled).unwrap();
        let rows = state.output(0).chunks_exact(columns + 128);
        for (row, want) in rows.zip(want.chunks_exact(columns)) {
            assert!(row[64..64 + columns] == *want, "{op:?} as columns");
            assert!(row[..64].iter().chain(&row[64 + columns..]).all(|byte| *byte == 0), "{op:?}");
        }
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
        ([3, 3], [1, 1], [1, 1], 1, 32, 80, 11, 10),
        ([3, 3], [1, 1], [1, 1], 1, 16, 48, 22, 27),
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
        check_weights(op(with(Map::Relu)), 1, DType::F16, &[&x, &wt, &[m]], &out);
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
fn transposed_convolutions_are_products_of_their_phases() {
    // Kernel, strides, dilations, pads, channels, filters, height, width, more at the end.
    for (kernel, strides, dilations, pads, c, m, h, w, more) in [
        ([2, 2], [2, 2], [1, 1], 0, 24, 24, 9, 31, 0),
        ([2, 2], [2, 2], [1, 1], 0, 7, 1, 5, 60, 0),
        ([4, 4], [2, 2], [1, 1], 1, 32, 17, 6, 13, 0),
        ([3, 3], [2, 2], [1, 1], 1, 5, 40, 6, 57, 1),
        ([3, 3], [1, 1], [1, 1], 1, 8, 8, 5, 9, 0),
        ([1, 16], [1, 8], [1, 1], 0, 20, 33, 1, 70, 3),
        ([2, 3], [3, 4], [2, 3], 0, 6, 5, 4, 7, 2),
        ([5, 3], [1, 3], [1, 1], 0, 3, 6, 4, 21, 0),
    ] {
        let conv = Conv {
            kernel: list(&kernel),
            strides: list(&strides),
            dilations: list(&dilations),
            before: list(&[pads; 2]),
            after: list(&[pads; 2]),
            groups: 1,
        };
        let covered = |d: usize, n: u32| (n - 1) * strides[d] + dilations[d] * (kernel[d] - 1) + 1;
        let output = [covered(0, h) - 2 * pads, covered(1, w) - 2 * pads + more];
        let [oh, ow] = output.map(u64::from);
        let (x, wt) = ([2, h.into(), w.into(), c], [m, kernel[0].into(), kernel[1].into(), c]);
        let out = [2, oh, ow, m];
        let op = |epilogue| ArrayOp::ConvTransposeLast { conv, output: list(&output), epilogue };
        check(op(Epilogue::default()), &[&x, &wt], &out);
        check(op(with(Map::Relu)), &[&x, &wt, &[m]], &out);
        check(op(with(Map::Sigmoid)), &[&x, &wt, &[m], &out], &out);
        check_weights(op(with(Map::Relu)), 1, DType::F16, &[&x, &wt, &[m]], &out);
    }
    let line = Conv {
        kernel: list(&[8]),
        strides: list(&[4]),
        dilations: list(&[1]),
        before: list(&[2]),
        after: list(&[2]),
        groups: 1,
    };
    let (output, epilogue) = (list(&[120]), with(Map::LeakyRelu { alpha: 0.1 }));
    let op = ArrayOp::ConvTransposeLast { conv: line, output, epilogue };
    check(op, &[&[3, 30, 19], &[21, 8, 19], &[21]], &[3, 120, 21]);
}

#[test]
fn large_products_are_divided_by_columns_too() {
    let one = conv([1, 1], [1, 1], [1, 1], 1);
    let op = ArrayOp::ConvLast { conv: one, epilogue: Epilogue::default() };
    for ty in [DType::F32, DType::F16] {
        let inputs: [&[u64]; 3] = [&[1, 5, 5, 512], &[700, 1, 1, 512], &[700]];
        check_weights(op, 1, ty, &inputs, &[1, 5, 5, 700]);
    }
    let op = ArrayOp::ConvLast { conv: one, epilogue: with(Map::Tanh) };
    check(op, &[&[1, 7, 7, 900], &[700, 1, 1, 900], &[700]], &[1, 7, 7, 700]);
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

#[test]
fn products_of_computed_matrices_are_packed_as_they_run() {
    let op = ArrayOp::MatMul;
    check_computed(op, 2, &[&[130, 40], &[40, 70]], &[130, 70]);
    check_computed(op, 2, &[&[2, 5, 9, 8], &[2, 5, 8, 33]], &[2, 5, 9, 33]);
    check_computed(op, 2, &[&[5, 9, 8], &[2, 1, 8, 3]], &[2, 5, 9, 3]);
    check_computed(op, 2, &[&[4, 9, 8], &[8, 17]], &[4, 9, 17]);
    let fused = ArrayOp::MatMulFused(with(Map::Gelu));
    check_computed(fused, 2, &[&[3, 9, 4], &[3, 4, 21], &[21], &[3, 9, 21]], &[3, 9, 21]);
}

#[test]
fn elements_are_mapped_and_met_with_repeated_ones() {
    check(ArrayOp::Map(Map::Sigmoid), &[&[3, 7, 900]], &[3, 7, 900]);
    check(ArrayOp::Map(Map::Elu { alpha: 0.7 }), &[&[33]], &[33]);
    for (a, b) in [
        ([2, 3, 40, 70], [2, 3, 40, 70]),
        ([2, 3, 40, 70], [1, 1, 1, 70]),
        ([2, 3, 40, 70], [2, 1, 1, 70]),
        ([2, 3, 40, 70], [1, 3, 1, 1]),
        ([2, 3, 40, 70], [2, 3, 40, 1]),
        ([2, 3, 40, 70], [1, 1, 1, 1]),
        ([2, 3, 40, 70], [2, 1, 40, 1]),
        ([2, 1, 40, 1], [1, 3, 1, 70]),
    ] {
        for op in [Zip::Subtract, Zip::Multiply] {
            check_computed(ArrayOp::Zip(op), 2, &[&a, &b], &[2, 3, 40, 70]);
            check_computed(ArrayOp::Zip(op), 2, &[&b, &a], &[2, 3, 40, 70]);
        }
    }
    check(ArrayOp::Zip(Zip::Add), &[&[9, 5], &[5]], &[9, 5]);
}

#[test]
fn rows_become_shares_and_are_normalised_and_reduced() {
    for log in [false, true] {
        check(ArrayOp::Softmax { axis: 2, log }, &[&[2, 90, 50]], &[2, 90, 50]);
    }
    for rms in [false, true] {
        let op = ArrayOp::Normalise { axis: 1, eps: 1e-5, rms };
        check(op, &[&[30, 5, 67], &[5, 67], &[5, 67]], &[30, 5, 67]);
        check(op, &[&[30, 5, 67]], &[30, 5, 67]);
    }
    for kind in [ReduceKind::Mean, ReduceKind::Sum, ReduceKind::Max, ReduceKind::L2] {
        let op = |axes, keep| ArrayOp::Reduce(Reduce { kind, axes, keep });
        check(op(0b0110, true), &[&[2, 13, 7, 100]], &[2, 1, 1, 100]);
        check(op(0b1000, false), &[&[2, 13, 7, 100]], &[2, 13, 7]);
        check(op(0b1111, false), &[&[2, 3, 7, 10]], &[]);
        check(op(0b0001, true), &[&[2, 3, 7, 1]], &[1, 3, 7, 1]);
        check(op(0b0101, true), &[&[2, 3, 7, 4]], &[1, 3, 1, 4]);
    }
}

#[test]
fn images_are_resized_by_tables() {
    let modes = [
        Interpolation::Nearest(Nearest::HalfDown),
        Interpolation::Nearest(Nearest::Floor),
        Interpolation::Linear,
        Interpolation::Cubic { a: -0.75 },
    ];
    let coordinates = [
        Coordinates::HalfPixel,
        Coordinates::HalfPixelSymmetric,
        Coordinates::PytorchHalfPixel,
        Coordinates::AlignCorners,
        Coordinates::Asymmetric,
    ];
    let cases: [(&[u64], &[u64]); 8] = [
        (&[2, 4, 5, 24], &[2, 8, 10, 24]),
        (&[1, 2, 20, 25], &[1, 2, 40, 50]),
        (&[1, 9, 31, 5], &[1, 13, 20, 5]),
        (&[2, 6, 1, 17], &[2, 11, 4, 17]),
        (&[1, 2, 4, 5, 6], &[1, 2, 7, 3, 11]),
        (&[3, 90], &[3, 120]),
        (&[1, 18, 18, 32], &[1, 6, 27, 32]),
        (&[4, 1], &[9, 1]),
    ];
    for ((from, to), mode, coordinates) in cases
        .into_iter()
        .flat_map(|case| modes.map(|mode| (case, mode)))
        .flat_map(|(case, mode)| coordinates.map(|coordinates| (case, mode, coordinates)))
    {
        let scales: Vec<f32> = from.iter().zip(to).map(|(&a, &b)| b as f32 / a as f32).collect();
        let variants: &[(bool, bool)] = match coordinates {
            Coordinates::HalfPixel => &[(false, false), (true, false), (false, true)],
            _ => &[(false, false)],
        };
        for &(exclude_outside, antialias) in variants {
            let op = Resize {
                dims: Shape::new(to).unwrap(),
                scales: List::new(&scales).unwrap(),
                mode,
                coordinates,
                exclude_outside,
                antialias,
                roi_start: List::default(),
                roi_end: List::default(),
                extrapolation: 0.0,
            };
            check(ArrayOp::Resize(op), &[from], to);
        }
    }
}

#[test]
fn channels_are_divided_by_what_their_neighbours_amount_to() {
    for (dims, axis) in [([2, 14, 15, 192], 3), ([2, 30, 5, 7], 1), ([1, 9, 64, 3], 2)] {
        for beta in [0.75, 0.6] {
            let op = ArrayOp::LocalResponse { axis, size: 5, alpha: 0.5, beta, bias: 1.0 };
            check(op, &[&dims], &dims);
        }
    }
}

#[test]
fn recurrent_cells_go_through_their_sequences() {
    let usual = [Map::Sigmoid, Map::Tanh, Map::Tanh];
    for cell in [
        Cell::Lstm { input_forget: false },
        Cell::Gru { linear_before_reset: false },
        Cell::Gru { linear_before_reset: true },
    ] {
        for (direction, d) in
            [(Direction::Forward, 1), (Direction::Reverse, 1), (Direction::Both, 2)]
        {
            for (steps, batch, width, hidden) in [(1, 1, 20, 16), (5, 2, 7, 21), (14, 1, 64, 32)] {
                let mut activations = [Map::Sigmoid; 6];
                let count = if matches!(cell, Cell::Lstm { .. }) { 3 } else { 2 };
                for d in 0..2 {
                    activations[3 * d..3 * d + count].copy_from_slice(&usual[..count]);
                }
                let size = u32::try_from(hidden).unwrap();
                let op = Recurrent { cell, direction, hidden: size, clip: None, activations };
                let (gates, states) =
                    if matches!(cell, Cell::Lstm { .. }) { (4, 2) } else { (3, 1) };
                let x = [steps, batch, width];
                let w = [d, gates * hidden, width];
                let r = [d, gates * hidden, hidden];
                let (b, h) = ([d, 2 * gates * hidden], [d, batch, hidden]);
                let out = [states, steps, d, batch, hidden];
                let op = ArrayOp::Recurrent(op);
                check(op, &[&x, &w, &r], &out);
                let c: &[u64] = if states == 2 { &h } else { &[0] };
                check(op, &[&x, &w, &r, &b, &[0], &h, c], &out);
            }
        }
    }
}
