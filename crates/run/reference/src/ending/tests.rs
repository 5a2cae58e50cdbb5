//! Fused products against the operators that they stand for: on whole numbers, so that no order
//! of summation or rounding can tell them apart.

use crate::evaluate;
use plan::ArrayOp;
use plan::array::{
    Channels, Conv, Epilogue, List, Map, Pool, PoolKind, Requant, Rounding, View, Zip,
};
use tensor::{DType, Shape, TensorRef};

/// An array that owns its elements.
#[derive(Clone)]
struct Array(DType, Shape, Vec<u8>);

impl Array {
    /// Whole numbers from -9 to 9, or 0 to 18 where none are negative.
    fn noise(dtype: DType, dims: &[u64], seed: u64) -> Self {
        let dims = Shape::new(dims).unwrap();
        let number = |i: u64| ((((i + 17 * seed) * 2_654_435_761) >> 7) % 19) as i8 - 9;
        let all = (0..dims.elements().unwrap()).map(number);
        let bytes = match dtype {
            DType::F32 => all.flat_map(|n| f32::from(n).to_le_bytes()).collect(),
            DType::F64 => all.flat_map(|n| (f64::from(n.abs()) / 64.0).to_le_bytes()).collect(),
            DType::I32 => all.flat_map(|n| i32::from(n).to_le_bytes()).collect(),
            DType::U8 => all.map(|n| (n + 9).to_le_bytes()[0]).collect(),
            _ => all.map(|n| n.to_le_bytes()[0]).collect(),
        };
        Self(dtype, dims, bytes)
    }

    fn run(op: ArrayOp, operands: &[Option<&Self>], dtype: DType, dims: &[u64]) -> Self {
        let operands: Vec<_> = operands.iter().map(|x| x.map(Self::view)).collect();
        let dims = Shape::new(dims).unwrap();
        Self(dtype, dims, evaluate(&op, &operands, dtype, dims).unwrap())
    }

    fn view(&self) -> TensorRef<'_> {
        TensorRef::new(self.0.into(), self.1, &self.2).unwrap()
    }

    /// The dimensions in another order.
    fn turned(&self, order: &[usize]) -> Self {
        let dims: Vec<u64> = order.iter().map(|&d| self.1[d]).collect();
        let steps: Vec<i64> =
            order.iter().map(|&d| self.1[d + 1..].iter().product::<u64>().cast_signed()).collect();
        let view = View {
            dims: Shape::new(&dims).unwrap(),
            strides: List::new(&steps).unwrap(),
            offset: 0,
        };
        Self::run(ArrayOp::View(view), &[Some(self)], self.0, &dims)
    }
}

const LAST: [usize; 4] = [0, 2, 3, 1];

fn window(kernel: &[u32], groups: u32) -> Conv {
    let list = |items: &[u32]| List::new(items).unwrap();
    Conv {
        kernel: list(kernel),
        strides: list(&[2, 1]),
        dilations: list(&[1, 2]),
        before: list(&[1, 0]),
        after: list(&[1, 2]),
        groups,
    }
}

#[test]
fn a_convolution_of_channels_last_is_the_turned_one() {
    for groups in [1, 2, 6] {
        let conv = window(&[3, 2], groups);
        let x = Array::noise(DType::F32, &[2, 6, 7, 5], 1);
        let w = Array::noise(DType::F32, &[12, 6 / u64::from(groups), 3, 2], 2);
        let bias = Array::noise(DType::F32, &[12], 3);
        let dims = [2, 12, 4, 5];
        let sums =
            Array::run(ArrayOp::Conv(conv), &[Some(&x), Some(&w), Some(&bias)], DType::F32, &dims);
        let residual = Array::noise(DType::F32, &dims, 4);
        let added =
            Array::run(ArrayOp::Zip(Zip::Add), &[Some(&sums), Some(&residual)], DType::F32, &dims);
        let clamp = Map::Clamp { low: -100.0, high: 90.0 };
        let want = Array::run(ArrayOp::Map(clamp), &[Some(&added)], DType::F32, &dims);
        let fused = ArrayOp::ConvLast {
            conv,
            epilogue: Epilogue { activation: Some(clamp), requant: None },
        };
        let [x, w, residual] = [x, w, residual].map(|x| x.turned(&LAST));
        let operands = [Some(&x), Some(&w), Some(&bias), Some(&residual)];
        let have = Array::run(fused, &operands, DType::F32, &[2, 4, 5, 12]);
        assert_eq!(have.2, want.turned(&LAST).2, "{groups} groups");
    }
}

#[test]
fn sums_of_codes_become_codes() {
    let conv = window(&[3, 2], 1);
    let x = Array::noise(DType::U8, &[1, 4, 7, 5], 1);
    let w = Array::noise(DType::I8, &[5, 4, 3, 2], 2);
    let bias = Array::noise(DType::I32, &[5], 3);
    let x_zero = Array::noise(DType::U8, &[], 4);
    let w_zero = Array::noise(DType::I8, &[5], 5);
    let factor = Array::noise(DType::F64, &[5], 6);
    let dims = [1, 5, 4, 5];
    let operands = [Some(&x), Some(&w), Some(&bias), Some(&x_zero), Some(&w_zero)];
    let sums = Array::run(ArrayOp::Conv(conv), &operands, DType::I32, &dims);
    let requant = Requant {
        rounding: Rounding::Double,
        axis: 1,
        zero: -4,
        low: -90,
        high: 100,
        to: DType::I8,
    };
    let want =
        Array::run(ArrayOp::Requant(requant), &[Some(&sums), Some(&factor)], DType::I8, &dims);
    let epilogue = Epilogue { activation: None, requant: Some(Requant { axis: 3, ..requant }) };
    let [x, w] = [x, w].map(|x| x.turned(&LAST));
    let operands =
        [Some(&x), Some(&w), Some(&bias), None, Some(&x_zero), Some(&w_zero), Some(&factor)];
    let have =
        Array::run(ArrayOp::ConvLast { conv, epilogue }, &operands, DType::I8, &[1, 4, 5, 5]);
    assert_eq!(have.2, want.turned(&LAST).2);
}

#[test]
fn products_of_matrices_end_as_their_chains_do() {
    let a = Array::noise(DType::F32, &[2, 3, 4], 1);
    let b = Array::noise(DType::F32, &[4, 5], 2);
    let bias = Array::noise(DType::F32, &[5], 3);
    let residual = Array::noise(DType::F32, &[2, 3, 5], 4);
    let dims = [2, 3, 5];
    let float = |op, operands: [&Array; 2]| Array::run(op, &operands.map(Some), DType::F32, &dims);
    let sums = float(ArrayOp::MatMul, [&a, &b]);
    let sums = float(ArrayOp::Zip(Zip::Add), [&sums, &bias]);
    let sums = float(ArrayOp::Zip(Zip::Add), [&sums, &residual]);
    let want = Array::run(ArrayOp::Map(Map::Relu), &[Some(&sums)], DType::F32, &dims);
    let op = ArrayOp::MatMulFused(Epilogue { activation: Some(Map::Relu), requant: None });
    let operands = [Some(&a), Some(&b), Some(&bias), Some(&residual)];
    assert_eq!(Array::run(op, &operands, DType::F32, &dims).2, want.2);

    let (a, b) = (Array::noise(DType::I8, &[3, 4], 1), Array::noise(DType::U8, &[4, 5], 2));
    let (a_zero, b_zero) = (Array::noise(DType::I8, &[3, 1], 3), Array::noise(DType::U8, &[5], 4));
    let (bias, factor) = (Array::noise(DType::I32, &[5], 5), Array::noise(DType::F64, &[5], 6));
    let operands = [Some(&a), Some(&b), Some(&a_zero), Some(&b_zero)];
    let sums = Array::run(ArrayOp::MatMul, &operands, DType::I32, &[3, 5]);
    let sums = Array::run(ArrayOp::Zip(Zip::Add), &[Some(&sums), Some(&bias)], DType::I32, &[3, 5]);
    let requant = Requant {
        rounding: Rounding::SingleAway,
        axis: 1,
        zero: 100,
        low: 0,
        high: 255,
        to: DType::U8,
    };
    let want =
        Array::run(ArrayOp::Requant(requant), &[Some(&sums), Some(&factor)], DType::U8, &[3, 5]);
    let op = ArrayOp::MatMulFused(Epilogue { activation: None, requant: Some(requant) });
    let operands =
        [Some(&a), Some(&b), Some(&bias), None, Some(&a_zero), Some(&b_zero), Some(&factor)];
    assert_eq!(Array::run(op, &operands, DType::U8, &[3, 5]).2, want.2);
}

#[test]
fn pools_of_channels_last_are_the_turned_ones() {
    let kinds = [
        PoolKind::Max,
        PoolKind::Average { count_padding: true },
        PoolKind::Average { count_padding: false },
        PoolKind::Lp { p: 2 },
    ];
    for (kind, dtype) in kinds.iter().flat_map(|&kind| [(kind, DType::F32), (kind, DType::I8)]) {
        if dtype == DType::I8 && matches!(kind, PoolKind::Lp { .. }) {
            continue;
        }
        let x = Array::noise(dtype, &[2, 3, 7, 5], 1);
        let output = List::new(&[4, 5]).unwrap();
        let first = Pool { kind, conv: window(&[3, 2], 1), output, channels: Channels::First };
        let want = Array::run(ArrayOp::Pool(first), &[Some(&x)], dtype, &[2, 3, 4, 5]);
        let last = ArrayOp::Pool(Pool { channels: Channels::Last, ..first });
        let have = Array::run(last, &[Some(&x.turned(&LAST))], dtype, &[2, 4, 5, 3]);
        assert_eq!(have.2, want.turned(&LAST).2, "{kind:?} of {dtype}");
    }
}
