//! Values that numpy 2.4 gives for the same operands, rounded to what is compared; operators whose
//! every case is in ONNX's node tests are checked there.

use super::*;
use plan::array::{
    Channels, Conv, Coordinates, Dft, Interpolation, List, Map, Nearest, Pad, PadMode, Pool,
    PoolKind, Reduce, ReduceKind, Resize, View, Zip,
};
use tensor::cast::to_bytes;

fn shape(dims: &[u64]) -> Shape {
    Shape::new(dims).unwrap()
}

fn list<T: Copy + Default>(items: &[T]) -> List<T> {
    List::new(items).unwrap()
}

#[expect(clippy::unnecessary_wraps, reason = "operands are optional")]
fn x<'a, T: tensor::cast::Number>(
    dtype: DType,
    dims: &[u64],
    numbers: &'a [T],
) -> Option<TensorRef<'a>> {
    Some(TensorRef::new(dtype.into(), shape(dims), to_bytes(numbers)).unwrap())
}

fn f32s(dims: &[u64], numbers: &'static [f32]) -> Option<TensorRef<'static>> {
    x(DType::F32, dims, numbers)
}

fn floats(op: &ArrayOp, inputs: &[Option<TensorRef<'_>>], dims: &[u64]) -> Vec<f32> {
    let bytes = evaluate(op, inputs, DType::F32, shape(dims)).unwrap();
    // In parts of three it must be the same.
    if divides(op) {
        let mut parts = vec![0; bytes.len()];
        for (i, part) in parts.chunks_mut(12).enumerate() {
            let mut out = Out::part(DType::F32, shape(dims), 3 * i, part);
            run(op, inputs, &mut out, &mut []).unwrap();
        }
        assert_eq!(parts, bytes, "{op:?} in parts");
    }
    bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

fn close(have: &[f32], want: &[f32]) {
    let near = have.iter().zip(want).all(|(a, b)| (a - b).abs() <= 1e-6 * b.abs().max(1.0));
    assert!(have.len() == want.len() && near, "{have:?}, want {want:?}");
}

#[test]
fn functions_of_elements() {
    let numbers = f32s(&[4], &[-2.5, -0.5, 0.5, 3.0]);
    let cases: [(Map, [f32; 4]); 6] = [
        (Map::Round, [-2.0, 0.0, 0.0, 3.0]),
        (Map::Erf, [-0.999_593, -0.520_499_9, 0.520_499_9, 0.999_977_9]),
        (Map::Gelu, [-0.015_524_16, -0.154_268_77, 0.345_731_23, 2.995_95]),
        (Map::Mish, [-0.196_816_2, -0.220_743_8, 0.375_245_2, 2.986_535]),
        (Map::Clamp { low: -1.0, high: 2.0 }, [-1.0, -0.5, 0.5, 2.0]),
        (Map::Shrink { bias: 0.25, lambda: 1.0 }, [-2.25, 0.0, 0.0, 2.75]),
    ];
    for (map, want) in cases {
        close(&floats(&ArrayOp::Map(map), &[numbers], &[4]), &want);
    }
    let nan = f32s(&[1], &[f32::NAN]);
    for map in [Map::Relu, Map::Erf, Map::Clamp { low: 0.0, high: 1.0 }, Map::Sign] {
        assert!(floats(&ArrayOp::Map(map), &[nan], &[1])[0].is_nan(), "{map:?}");
    }
}

#[test]
fn functions_of_pairs_keep_to_their_types() {
    let (a, b) = ([-7i8, 7, -128, 127], [2i8, -2, 0, 1]);
    let cases = [
        (Zip::Divide, [-3i8, -3, 0, 127]),
        (Zip::FloorDivide, [-4, -4, 0, 127]),
        (Zip::Modulo, [1, -1, 0, 0]),
        (Zip::Remainder, [-1, 1, 0, 0]),
        (Zip::Add, [-5, 5, -128, -128]),
        (Zip::Multiply, [-14, -14, 0, 127]),
        (Zip::ShiftLeft, [-28, 0, -128, -2]),
    ];
    for (zip, want) in cases {
        let inputs = [x(DType::I8, &[4], &a), x(DType::I8, &[4], &b)];
        let have = evaluate(&ArrayOp::Zip(zip), &inputs, DType::I8, shape(&[4])).unwrap();
        assert_eq!(have, to_bytes(&want), "{zip:?}");
    }
    let big = [u64::MAX, 1 << 63];
    let inputs = [x(DType::U64, &[2], &big), x(DType::U64, &[1], &[3u64])];
    let less = evaluate(&ArrayOp::Zip(Zip::Greater), &inputs, DType::Bool, shape(&[2])).unwrap();
    assert_eq!(less, [1, 1]);
    let sum = floats(
        &ArrayOp::Zip(Zip::Subtract),
        &[f32s(&[2, 1], &[1.0, 2.0]), f32s(&[3], &[0.0, 1.0, 5.0])],
        &[2, 3],
    );
    close(&sum, &[1.0, 0.0, -4.0, 2.0, 1.0, -3.0]);
}

#[test]
fn casts_truncate_wrap_and_round_once() {
    let cast = |from: Option<TensorRef<'_>>, to, n| {
        evaluate(&ArrayOp::Cast { to, saturate: true }, &[from], to, shape(&[n])).unwrap()
    };
    assert_eq!(cast(f32s(&[3], &[-1.9, 2.9, 300.0]), DType::I8, 3), [255, 2, 44]);
    assert_eq!(cast(f32s(&[2], &[0.0, f32::NAN]), DType::Bool, 2), [0, 1]);
    assert_eq!(cast(f32s(&[2], &[500.0, 17.0]), DType::F8E4M3, 2), [0x7e, 0x58]);
    // Half a step of a half above 1, and a little: rounding twice would lose the little.
    let above = [1.0 + 2f64.powi(-11) + 2f64.powi(-40)];
    let half = cast(x(DType::F64, &[1], &above), DType::F16, 1);
    assert_eq!(half, 0x3c01u16.to_le_bytes());
}

#[test]
fn moves() {
    let numbers = f32s(&[2, 3], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    let view = View { dims: shape(&[3, 2]), strides: list(&[-1, 3]), offset: 2 };
    close(&floats(&ArrayOp::View(view), &[numbers], &[3, 2]), &[2.0, 5.0, 1.0, 4.0, 0.0, 3.0]);
    let pad = |mode| ArrayOp::Pad(Pad { mode, before: list(&[0, 2]), after: list(&[0, -1]) });
    let row = f32s(&[1, 3], &[1.0, 2.0, 3.0]);
    for (mode, want) in [
        (PadMode::Constant, [0.0, 0.0, 1.0, 2.0]),
        (PadMode::Edge, [1.0, 1.0, 1.0, 2.0]),
        (PadMode::Reflect, [3.0, 2.0, 1.0, 2.0]),
        (PadMode::Symmetric, [2.0, 1.0, 1.0, 2.0]),
        (PadMode::Wrap, [2.0, 3.0, 1.0, 2.0]),
    ] {
        close(&floats(&pad(mode), &[row], &[1, 4]), &want);
    }
    let joined =
        floats(&ArrayOp::Concat { axis: 1 }, &[row, numbers.map(|_| row.unwrap())], &[1, 6]);
    close(&joined, &[1.0, 2.0, 3.0, 1.0, 2.0, 3.0]);
    let upper = floats(&ArrayOp::Triangle { upper: true, k: 1 }, &[numbers], &[2, 3]);
    close(&upper, &[0.0, 1.0, 2.0, 0.0, 0.0, 5.0]);
}

#[test]
fn an_index_outside_is_a_fault() {
    let numbers = f32s(&[3], &[1.0, 2.0, 3.0]);
    let gather = |index: &[i64]| {
        let inputs = [numbers, x(DType::I64, &[index.len() as u64], index)];
        let dims = shape(&[index.len() as u64]);
        evaluate(&ArrayOp::Gather { axis: 0, batch: 0 }, &inputs, DType::F32, dims)
    };
    assert_eq!(gather(&[-1, 0]).unwrap(), to_bytes(&[3.0f32, 1.0]));
    assert_eq!(gather(&[0, 3]), Err(Fault::Index { index: 3, extent: 3 }));
    assert_eq!(gather(&[i64::MIN]), Err(Fault::Index { index: i64::MIN, extent: 3 }));
}

#[test]
fn statistics() {
    let numbers = f32s(&[2, 3], &[1.0, -2.0, 3.0, 4.0, 0.5, -6.0]);
    let reduce = |kind, axes| ArrayOp::Reduce(Reduce { kind, axes, keep: false });
    close(&floats(&reduce(ReduceKind::Mean, 1), &[numbers], &[3]), &[2.5, -0.75, -1.5]);
    close(&floats(&reduce(ReduceKind::L1, 2), &[numbers], &[2]), &[6.0, 10.5]);
    close(&floats(&reduce(ReduceKind::Max, 3), &[numbers], &[]), &[4.0]);
    let exp = floats(&reduce(ReduceKind::LogSumExp, 2), &[numbers], &[2]);
    close(&exp, &[3.132_842_7, 4.029_794_7]);
    let empty = floats(&reduce(ReduceKind::Min, 1), &[f32s(&[0, 1], &[])], &[1]);
    assert_eq!(empty, [f32::INFINITY]);
    let running = ArrayOp::Accumulate { product: false, axis: 1, exclusive: true, reverse: true };
    close(&floats(&running, &[numbers], &[2, 3]), &[1.0, 3.0, 0.0, -5.5, -6.0, 0.0]);
    let best = |largest| {
        let numbers = f32s(&[5], &[2.0, 5.0, 5.0, 1.0, 3.0]);
        let op = ArrayOp::TopK { axis: 0, k: 4, largest };
        evaluate(&op, &[numbers], DType::I64, shape(&[4])).unwrap()
    };
    assert_eq!(best(true), to_bytes(&[1i64, 2, 4, 0]));
    assert_eq!(best(false), to_bytes(&[3i64, 0, 4, 1]));
}

#[test]
fn windows() {
    let conv = Conv {
        kernel: list(&[2]),
        strides: list(&[2]),
        dilations: list(&[2]),
        before: list(&[1]),
        after: list(&[1]),
        groups: 1,
    };
    let row = f32s(&[1, 1, 5], &[1.0, 2.0, 3.0, 4.0, 5.0]);
    let inputs = [row, f32s(&[1, 1, 2], &[10.0, 1.0]), f32s(&[1], &[0.5])];
    close(&floats(&ArrayOp::Conv(conv), &inputs, &[1, 1, 3]), &[2.5, 24.5, 40.5]);
    let transposed = ArrayOp::ConvTranspose { conv, output: list(&[5]) };
    let inputs = [f32s(&[1, 1, 3], &[1.0, 2.0, 3.0]), f32s(&[1, 1, 2], &[10.0, 1.0])];
    close(&floats(&transposed, &inputs, &[1, 1, 5]), &[0.0, 21.0, 0.0, 32.0, 0.0]);
    let pool =
        |kind| ArrayOp::Pool(Pool { kind, conv, output: list(&[3]), channels: Channels::First });
    close(&floats(&pool(PoolKind::Max), &[row], &[1, 1, 3]), &[2.0, 4.0, 4.0]);
    let mean = pool(PoolKind::Average { count_padding: false });
    close(&floats(&mean, &[row], &[1, 1, 3]), &[2.0, 3.0, 4.0]);
    let mean = pool(PoolKind::Average { count_padding: true });
    close(&floats(&mean, &[row], &[1, 1, 3]), &[1.0, 3.0, 2.0]);
    // Integers with zero points; padding reads the operand's.
    let inputs = [
        x(DType::U8, &[1, 1, 2], &[5u8, 7]),
        x(DType::I8, &[1, 1, 2], &[1i8, -1]),
        None,
        x(DType::U8, &[], &[4u8]),
        x(DType::I8, &[], &[1i8]),
    ];
    let conv = Conv { strides: list(&[1]), dilations: list(&[1]), ..conv };
    let have = evaluate(&ArrayOp::Conv(conv), &inputs, DType::I32, shape(&[1, 1, 3])).unwrap();
    assert_eq!(have, to_bytes(&[-2i32, -6, 0]));
}

#[test]
fn samples() {
    let resize = |mode, coordinates| {
        ArrayOp::Resize(Resize {
            dims: shape(&[6]),
            scales: list(&[2.0]),
            mode,
            coordinates,
            exclude_outside: false,
            antialias: false,
            roi_start: List::default(),
            roi_end: List::default(),
            extrapolation: 0.0,
        })
    };
    let row = f32s(&[3], &[1.0, 2.0, 4.0]);
    let linear = resize(Interpolation::Linear, Coordinates::HalfPixel);
    close(&floats(&linear, &[row], &[6]), &[1.0, 1.25, 1.75, 2.5, 3.5, 4.0]);
    let nearest = resize(Interpolation::Nearest(Nearest::Floor), Coordinates::Asymmetric);
    close(&floats(&nearest, &[row], &[6]), &[1.0, 1.0, 2.0, 2.0, 4.0, 4.0]);
}

#[test]
fn transforms_of_every_length_are_sums() {
    for n in [1u64, 2, 3, 8, 12, 30, 97] {
        let numbers: Vec<f64> = (0..2 * n).map(|i| ((i * i * 7 + 3) % 11) as f64 - 5.0).collect();
        let op = ArrayOp::Dft(Dft { axis: 0, length: n, inverse: false, onesided: false });
        let inputs = [x(DType::F64, &[n, 2], &numbers)];
        let have = evaluate(&op, &inputs, DType::F64, shape(&[n, 2])).unwrap();
        for (k, bytes) in have.as_chunks::<16>().0.iter().enumerate() {
            let (mut re, mut im) = (0.0, 0.0);
            for (t, _) in numbers.iter().step_by(2).enumerate() {
                let angle = -core::f64::consts::TAU * ((k * t) as u64 % n) as f64 / n as f64;
                let (a, b) = (numbers[2 * t], numbers[2 * t + 1]);
                re += a * angle.cos() - b * angle.sin();
                im += a * angle.sin() + b * angle.cos();
            }
            let [a, b] = [0, 8].map(|i| f64::from_le_bytes(bytes[i..i + 8].try_into().unwrap()));
            assert!((a - re).abs() + (b - im).abs() < 1e-11, "{n} points, place {k}");
        }
        let back = ArrayOp::Dft(Dft { axis: 0, length: n, inverse: true, onesided: false });
        let spectrum = Some(TensorRef::new(DType::F64.into(), shape(&[n, 2]), &have).unwrap());
        let again = evaluate(&back, &[spectrum], DType::F64, shape(&[n, 2])).unwrap();
        for (bytes, want) in again.as_chunks::<8>().0.iter().zip(&numbers) {
            assert!((f64::from_le_bytes(*bytes) - want).abs() < 1e-11, "{n} points back");
        }
    }
}

/// The imaginary parts that numpy 2.2.6 gives: `numpy.fft.ifft(numpy.arange(0, 100, 10,
/// dtype=numpy.complex64))`; the one in the middle is its rounding, where the truth is 0.
#[test]
fn ten_points_of_singles_come_back_as_they_do_in_numpy() {
    let numbers: Vec<f32> =
        (0..20u8).map(|i| if i % 2 == 0 { f32::from(i) * 5.0 } else { 0.0 }).collect();
    let op = ArrayOp::Dft(Dft { axis: 0, length: 10, inverse: true, onesided: false });
    let inputs = [x(DType::F32, &[10, 2], &numbers)];
    let have = evaluate(&op, &inputs, DType::F32, shape(&[10, 2])).unwrap();
    let have: Vec<f32> = have
        .as_chunks::<8>()
        .0
        .iter()
        .map(|b| f32::from_le_bytes([b[4], b[5], b[6], b[7]]))
        .collect();
    let want = [
        0.0,
        -15.388_419,
        -6.881_91,
        -3.632_713_3,
        -1.624_598_1,
        1.907_348_7e-7,
        1.624_598_1,
        3.632_712_6,
        6.881_91,
        15.388_419,
    ];
    assert_eq!(have, want);
}
