use super::super::attributes::{self, Attributes};
use super::*;
use plan::Op;

fn list<T: Copy + Default>(items: &[T]) -> List<T> {
    List::new(items).unwrap()
}

fn round_trip(op: ArrayOp) {
    let printed = attributes::of(&Op::Array(op));
    let list = printed.iter().map(|(key, value)| (*key, value.as_str())).collect();
    let mut read = Attributes { list };
    assert_eq!(attributes::op(op.name(), &mut read), Ok(Op::Array(op)), "{printed:?}");
    assert!(read.list.is_empty());
    let blanks = printed.iter().any(|(_, value)| value.contains([' ', '#', '@', '(', ')']));
    assert!(!blanks && printed.iter().all(|(_, value)| !value.is_empty()), "{printed:?}");
}

#[test]
fn every_operator_reads_back() {
    let names: Vec<&str> = all().iter().map(ArrayOp::name).collect();
    for (i, op) in all().into_iter().enumerate() {
        assert!(!names[..i].contains(&op.name()), "{} is listed twice", op.name());
        round_trip(op);
    }
}

#[test]
fn attributes_read_back_with_their_values() {
    let conv = Conv {
        kernel: list(&[3, 1]),
        strides: list(&[2, 1]),
        dilations: list(&[1, 4]),
        before: list(&[0, 7]),
        after: list(&[1, 0]),
        groups: 4,
    };
    let dims = Shape::new(&[1, 0, 1 << 40]).unwrap();
    let max_index = PoolKind::MaxIndex { column_major: true };
    let pool = Pool { kind: PoolKind::Max, conv, output: list(&[4]), channels: Channels::First };
    let requant = Requant {
        rounding: Rounding::Fp32Even,
        axis: 1,
        zero: -3,
        low: i32::MIN,
        high: i32::MAX,
        to: DType::U8,
    };
    let cases = [
        ArrayOp::Conv(conv),
        ArrayOp::ConvTranspose { conv, output: list(&[5, 6]) },
        ArrayOp::ConvTransposeLast { conv, output: list(&[5, 6]), epilogue: Epilogue::default() },
        ArrayOp::Pool(Pool { kind: max_index, ..pool }),
        ArrayOp::Pool(Pool { kind: PoolKind::Lp { p: 3 }, channels: Channels::Last, ..pool }),
        ArrayOp::ConvLast {
            conv,
            epilogue: Epilogue { requant: Some(requant), ..Epilogue::default() },
        },
        ArrayOp::MatMulFused(Epilogue {
            activation: Some(Map::Clamp { low: -1.5, high: 6.0 }),
            ..Epilogue::default()
        }),
        ArrayOp::View(View { dims, strides: list(&[-3, 0, i64::MAX]), offset: u64::MAX }),
        ArrayOp::Pad(Pad { mode: PadMode::Wrap, before: list(&[-1]), after: list(&[2]) }),
        ArrayOp::Map(Map::IsInf { negative: true, positive: false }),
        ArrayOp::Map(Map::Clamp { low: f32::NEG_INFINITY, high: 1e-30 }),
        ArrayOp::Map(Map::Selu { alpha: 1.673_263_2, gamma: -0.0 }),
        ArrayOp::Resize(Resize {
            dims,
            scales: list(&[1.0, 0.3, 2.5]),
            mode: Interpolation::Cubic { a: -0.75 },
            coordinates: Coordinates::CropAndResize,
            exclude_outside: true,
            antialias: true,
            roi_start: list(&[0.0, -1.5, 0.1]),
            roi_end: list(&[1.0; 3]),
            extrapolation: 10.0,
        }),
        ArrayOp::Recurrent(Recurrent {
            cell: Cell::Gru { linear_before_reset: true },
            direction: Direction::Both,
            hidden: 5,
            clip: Some(0.5),
            activations: [
                Map::Sigmoid,
                Map::LeakyRelu { alpha: 0.1 },
                Map::HardSigmoid { alpha: 0.2, beta: 0.5 },
                Map::Tanh,
                Map::Softsign,
                Map::Relu,
            ],
        }),
        ArrayOp::Quantize { axis: 1, block: 32, to: DType::U16, saturate: false },
        ArrayOp::Triangle { upper: true, k: -7 },
        ArrayOp::Requant(requant),
        ArrayOp::CodePairs(CodePairs {
            zip: Zip::Subtract,
            operands: [Scaled { scale: 0.1, zero: -3 }, Scaled { scale: 1e-7, zero: 255 }],
            result: Scaled { scale: 0.3, zero: 1 },
            low: -128,
            high: 127,
            to: DType::I8,
        }),
    ];
    for op in cases {
        round_trip(op);
    }
}
