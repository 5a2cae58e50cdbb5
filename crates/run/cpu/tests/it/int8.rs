//! Operators on bytes against `reference`, to the byte: random shapes, zero points and factors,
//! every way of rounding, every instruction set, one thread and several.

use crate::array::{Network, Value, expected, list};
use crate::{alloc, load};
use core::num::NonZeroUsize;
use ledge_cpu::{CpuBackend, Isa};
use plan::array::{
    Channels, CodePairs, Conv, Epilogue, Pool, PoolKind, Requant, Rounding, Scaled, Zip,
};
use plan::*;
use std::sync::Arc;
use tensor::cast::to_bytes;
use tensor::{DType, Shape};

/// A small generator of repeatable choices (Steele and others 2014, `SplitMix64`).
struct Bits(u64);

impl Bits {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.next() >> 33).unwrap() % from.len()]
    }

    fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 33) % n
    }

    fn bytes(&mut self, len: u64) -> Vec<u8> {
        (0..len).map(|_| self.next().to_le_bytes()[5]).collect()
    }

    /// Factors that bring sums of products of bytes to bytes, some of them awkward.
    fn factors(&mut self, len: u64) -> Vec<f64> {
        let mut one = || match self.next() % 5 {
            0 => self.pick(&[0.5, 0.25, 1.0, 1.5, 0.0, 1.0 / 1024.0]),
            _ => {
                f64::from(u32::try_from(self.below(1 << 30)).unwrap())
                    / f64::from(1u32 << 30)
                    / 64.0
            }
        };
        (0..len).map(|_| one()).collect()
    }
}

const WAYS: [Rounding; 6] = [
    Rounding::Double,
    Rounding::DoubleUp,
    Rounding::SingleAway,
    Rounding::Fp32Even,
    Rounding::Q8,
    Rounding::Reduced,
];

fn requant(bits: &mut Bits, axis: usize) -> Requant {
    let to = bits.pick(&[DType::I8, DType::U8, DType::I8, DType::I16, DType::I32]);
    let (low, high) = match to {
        DType::I8 => (-128, 127),
        DType::U8 => (0, 255),
        DType::I16 => (-32_768, 32_767),
        _ => (i32::MIN, i32::MAX),
    };
    let zero = bits.pick(&[0, 3, 100]);
    let low = if bits.next().is_multiple_of(3) { zero } else { low };
    let axis = u8::try_from(axis).unwrap();
    Requant { rounding: bits.pick(&WAYS), axis, zero, low, high, to }
}

fn new() -> Network {
    Network { plan: Plan::default(), memory: crate::model::Memory::default() }
}

fn input(n: &mut Network, dtype: DType, dims: &[u64]) -> Value {
    let slot = n.slot(BufferKind::Io, dtype, dims);
    n.plan.inputs.push(Port { name: "x".into(), slot: slot.clone() });
    (Operand::Slot(slot), dtype, dims.to_vec())
}

fn absent() -> Value {
    (Operand::Absent, DType::F32, Vec::new())
}

/// Compares outputs with the reference's on every instruction set.
fn check(n: &mut Network, result: Value, x: &[u8], what: &str) {
    let Operand::Slot(slot) = result.0 else { unreachable!() };
    n.plan.buffers[slot.buffer.0 as usize].kind = BufferKind::Io;
    n.plan.outputs.push(Port { name: "y".into(), slot });
    let want = expected(n, &[x]);
    let memory = Arc::new(crate::model::Memory(n.memory.0.clone()));
    for isa in Isa::available() {
        for threads in [1, 3] {
            let threads = NonZeroUsize::new(threads).unwrap();
            let backend = CpuBackend::with_isa(threads, isa).unwrap();
            let mut state = load(&n.plan, &memory, &backend);
            state.input(0)[..x.len()].copy_from_slice(x);
            let taken = alloc::taken_by(|| state.run(&[], &Uncontrolled).unwrap());
            assert_eq!(taken, 0, "{what}");
            let have = &state.output(0)[..want[0].len()];
            assert!(have == want[0], "{isa}, {threads} threads: {what}");
        }
    }
}

/// Zero points, one for each channel or one for all, or none.
fn zeros(bits: &mut Bits, n: &mut Network, dtype: DType, channels: u64) -> Value {
    match bits.next() % 3 {
        0 => absent(),
        1 => n.weight(dtype, &[], &bits.bytes(1)),
        _ => n.weight(dtype, &[channels], &bits.bytes(channels)),
    }
}

/// A constant that only a run knows.
fn computed(n: &mut Network, constant: &Value) -> Value {
    n.step(ArrayOp::Reshape { dims: Shape::SCALAR }, &[constant], constant.1, &[])
}

#[test]
fn convolutions_of_bytes_are_exact() {
    let mut bits = Bits(11);
    let byte = [DType::I8, DType::U8];
    for case in 0..150 {
        let (kernel, strides) = bits.pick(&[
            ([1, 1], [1, 1]),
            ([3, 3], [1, 1]),
            ([3, 3], [2, 2]),
            ([1, 4], [1, 3]),
            ([5, 1], [1, 1]),
            ([10, 8], [2, 2]),
        ]);
        let dilations = bits.pick(&[[1, 1], [1, 1], [2, 1], [1, 2]]);
        let (c, m, groups) = bits.pick(&[
            (1, 8, 1),
            (3, 5, 1),
            (8, 33, 1),
            (16, 16, 16),
            (8, 8, 8),
            (24, 24, 24),
            (5, 5, 5),
            (6, 12, 3),
            (4, 40, 2),
            (64, 64, 1),
        ]);
        let pads = bits.pick(&[[0, 0], [1, 1], [2, 0]]);
        let images = bits.pick(&[1, 1, 2]);
        let (h, w) = bits.pick(&[(9, 7), (20, 13), (5, 1), (24, 24)]);
        let conv = Conv {
            kernel: list(&kernel),
            strides: list(&strides),
            dilations: list(&dilations),
            before: list(&pads),
            after: list(&[pads[1], pads[0]]),
            groups,
        };
        let Some(out): Option<Vec<u64>> =
            [h, w].iter().enumerate().map(|(d, &dim)| conv.extent(d, dim)).collect()
        else {
            continue;
        };
        let (x_type, w_type) = (bits.pick(&byte), bits.pick(&byte));
        let mut n = new();
        let x = input(&mut n, x_type, &[images, h, w, c]);
        let per_group = c / u64::from(groups);
        let dims = [m, u64::from(kernel[0]), u64::from(kernel[1]), per_group];
        let weights = n.weight(w_type, &dims, &bits.bytes(dims.iter().product()));
        let bias: Vec<i32> =
            (0..m).map(|_| i32::try_from(bits.below(40_000)).unwrap() - 20_000).collect();
        let bias = n.weight(DType::I32, &[m], to_bytes(&bias));
        let bias = if case % 4 == 0 { absent() } else { bias };
        let x_zero = bits.bytes(1);
        let x_zero = n.weight(x_type, &[], &x_zero);
        let x_zero = match case % 5 {
            0 => absent(),
            1 => computed(&mut n, &x_zero),
            _ => x_zero,
        };
        let w_zero = zeros(&mut bits, &mut n, w_type, m);
        let scaled = !bits.next().is_multiple_of(5);
        let scale = scaled.then(|| requant(&mut bits, 3));
        let count = bits.pick(&[1, m]);
        let factors = bits.factors(count);
        let dims = if count == 1 { vec![] } else { vec![m] };
        let factor = n.weight(DType::F64, &dims, to_bytes(&factors));
        let factor = if scaled { factor } else { absent() };
        let op =
            ArrayOp::ConvLast { conv, epilogue: Epilogue { activation: None, requant: scale } };
        let operands = [&x, &weights, &bias, &absent(), &x_zero, &w_zero, &factor];
        let to = scale.map_or(DType::I32, |scale| scale.to);
        let y = n.step(op, &operands, to, &[images, out[0], out[1], m]);
        let bytes = bits.bytes(images * h * w * c);
        check(&mut n, y, &bytes, &format!("case {case}: {op:?} of {c} at {h} by {w} to {m}"));
    }
}

#[test]
fn products_of_bytes_are_exact() {
    let mut bits = Bits(12);
    let byte = [DType::I8, DType::U8];
    for case in 0..80 {
        let (rows, k, m) = bits.pick(&[
            (1, 64, 12),
            (1, 4000, 4),
            (1, 700, 2000),
            (3, 17, 33),
            (9, 64, 64),
            (100, 130, 96),
        ]);
        let (x_type, w_type) = (bits.pick(&byte), bits.pick(&byte));
        let mut n = new();
        let x = input(&mut n, x_type, &[rows, k]);
        let weights = n.weight(w_type, &[k, m], &bits.bytes(k * m));
        let x_zero = bits.bytes(1);
        let x_zero = n.weight(x_type, &[], &x_zero);
        let x_zero = if case % 2 == 0 { x_zero } else { computed(&mut n, &x_zero) };
        let w_zero = zeros(&mut bits, &mut n, w_type, m);
        let y = if case % 3 == 0 {
            let operands = [&x, &weights, &x_zero, &w_zero];
            n.step(ArrayOp::MatMul, &operands, DType::I32, &[rows, m])
        } else {
            let bias: Vec<i32> =
                (0..m).map(|_| i32::try_from(bits.below(40_000)).unwrap() - 20_000).collect();
            let bias = n.weight(DType::I32, &[m], to_bytes(&bias));
            let scale = requant(&mut bits, 1);
            let factor = n.weight(DType::F64, &[m], to_bytes(&bits.factors(m)));
            let op = ArrayOp::MatMulFused(Epilogue { activation: None, requant: Some(scale) });
            let operands = [&x, &weights, &bias, &absent(), &x_zero, &w_zero, &factor];
            n.step(op, &operands, scale.to, &[rows, m])
        };
        let bytes = bits.bytes(rows * k);
        check(&mut n, y, &bytes, &format!("case {case}: {rows} by {k} to {m}"));
    }
}

#[test]
fn pools_of_bytes_are_exact() {
    let mut bits = Bits(13);
    for case in 0..60 {
        let dtype = bits.pick(&[DType::I8, DType::U8]);
        let kernel = bits.pick(&[[2, 2], [3, 3], [3, 1]]);
        let pads = bits.pick(&[[0, 0], [1, 1], [1, 0]]);
        let (h, w, c) = bits.pick(&[(7, 7, 4), (8, 5, 16), (3, 3, 40)]);
        let conv = Conv {
            kernel: list(&kernel),
            strides: list(&bits.pick(&[[1, 1], [2, 2]])),
            dilations: list(&bits.pick(&[[1, 1], [2, 1]])),
            before: list(&pads),
            after: list(&pads),
            groups: 1,
        };
        let Some(out): Option<Vec<u64>> =
            [h, w].iter().enumerate().map(|(d, &dim)| conv.extent(d, dim)).collect()
        else {
            continue;
        };
        let count_padding = bits.next().is_multiple_of(2);
        let kind = bits.pick(&[PoolKind::Max, PoolKind::Average { count_padding }]);
        let output = list(&[u32::try_from(out[0]).unwrap(), u32::try_from(out[1]).unwrap()]);
        let mut n = new();
        let x = input(&mut n, dtype, &[2, h, w, c]);
        let op = ArrayOp::Pool(Pool { kind, conv, output, channels: Channels::Last });
        let y = n.step(op, &[&x], dtype, &[2, out[0], out[1], c]);
        let bytes = bits.bytes(2 * h * w * c);
        check(&mut n, y, &bytes, &format!("case {case}: {op:?} of {dtype}"));
    }
}

#[test]
fn tables_and_scaled_sums_are_exact() {
    let mut bits = Bits(14);
    for dtype in [DType::I8, DType::U8] {
        for to in [DType::I8, DType::U8, DType::I32, DType::F32, DType::I16] {
            let dims = [3, 5, 50, 61];
            let mut n = new();
            let x = input(&mut n, dtype, &dims);
            let table: Vec<u8> =
                bits.bytes(256 * to.bytes()).iter().map(|byte| byte & 63).collect();
            let table = n.weight(to, &[256], &table);
            let y = n.step(ArrayOp::Lookup, &[&x, &table], to, &dims);
            let bytes = bits.bytes(dims.iter().product());
            check(&mut n, y, &bytes, &format!("{dtype} to {to}"));
        }
    }
    for case in 0..40 {
        let dims = bits.pick(&[[2, 3, 20], [40, 30, 40], [1, 1, 3]]);
        let axis = bits.pick(&[2, 2, 0]);
        let count = bits.pick(&[1, dims[axis]]);
        let scale = requant(&mut bits, axis);
        let mut n = new();
        let x = input(&mut n, DType::I32, &dims);
        let shape = if count == 1 { vec![] } else { vec![count] };
        let factor = n.weight(DType::F64, &shape, to_bytes(&bits.factors(count)));
        let y = n.step(ArrayOp::Requant(scale), &[&x, &factor], scale.to, &dims);
        let sums: Vec<i32> = (0..dims.iter().product::<u64>())
            .map(|i| {
                let sum = i32::from_le_bytes(bits.next().to_le_bytes()[..4].try_into().unwrap());
                if i % 3 == 0 { sum } else { sum >> 14 }
            })
            .collect();
        check(&mut n, y, to_bytes(&sums), &format!("case {case}: {scale:?} at {dims:?}"));
    }
}

#[test]
fn pairs_of_codes_are_exact() {
    let mut bits = Bits(16);
    let dims = [2, 30, 40, 19];
    let parts: [&[u64]; 6] = [&dims, &dims, &[19], &[2, 1, 1, 19], &[30, 1, 1], &[]];
    for case in 0..36 {
        let b_dims = parts[case % 6];
        let (a_dims, b_dims) =
            if case % 4 == 0 { (b_dims, &dims[..]) } else { (&dims[..], b_dims) };
        let [a_type, b_type, to] = [0; 3].map(|_| bits.pick(&[DType::I8, DType::U8]));
        let (low, high) = if to == DType::I8 { (-128, 127) } else { (0, 255) };
        let mut scaled = || Scaled {
            scale: bits.pick(&[0.5, 0.013, 0.021, 3e-4]),
            zero: if to == DType::I8 {
                bits.pick(&[-128, 0, 17])
            } else {
                bits.pick(&[0, 128, 255])
            },
        };
        let op = CodePairs {
            zip: [Zip::Add, Zip::Subtract, Zip::Multiply][case % 3],
            operands: [scaled(), scaled()],
            result: scaled(),
            low: if case % 5 == 0 { low + 60 } else { low },
            high,
            to,
        };
        let mut n = new();
        let a = input(&mut n, a_type, a_dims);
        let held = bits.bytes(b_dims.iter().product());
        let b = n.weight(b_type, b_dims, &held);
        let y = n.step(ArrayOp::CodePairs(op), &[&a, &b], to, &dims);
        let bytes = bits.bytes(a_dims.iter().product());
        check(&mut n, y, &bytes, &format!("case {case}: {op:?} of {a_dims:?} and {b_dims:?}"));
    }
}

#[test]
fn codes_of_computed_scales_are_exact() {
    let mut bits = Bits(15);
    for case in 0..16 {
        let dims = bits.pick(&[[3, 7], [250, 200]]);
        let dtype = bits.pick(&[DType::I8, DType::U8]);
        let x: Vec<f32> = (0..dims[0] * dims[1])
            .map(|_| {
                f32::from(i16::from_le_bytes(bits.next().to_le_bytes()[..2].try_into().unwrap()))
            })
            .collect();
        let codes = bits.bytes(dims[0] * dims[1]);
        let mut n = new();
        let scale = n.weight(DType::F32, &[], to_bytes(&[bits.pick(&[300.0f32, 0.037, 1.0])]));
        let zero = n.weight(dtype, &[], &bits.bytes(1));
        let (scale, zero) = (computed(&mut n, &scale), computed(&mut n, &zero));
        let zero = if case % 4 == 0 { absent() } else { zero };
        let name = format!("case {case}: {dtype} at {dims:?}");
        if case % 2 == 0 {
            let x_value = input(&mut n, DType::F32, &dims);
            let op = ArrayOp::Quantize { axis: 0, block: 0, to: dtype, saturate: true };
            let y = n.step(op, &[&x_value, &scale, &zero], dtype, &dims);
            check(&mut n, y, to_bytes(&x), &name);
        } else {
            let x_value = input(&mut n, dtype, &dims);
            let op = ArrayOp::Dequantize { axis: 0, block: 0, to: DType::F32 };
            let y = n.step(op, &[&x_value, &scale, &zero], DType::F32, &dims);
            check(&mut n, y, &codes, &name);
        }
    }
}

#[test]
fn whole_numbers_become_the_nearest_singles() {
    let mut bits = Bits(16);
    for dtype in [DType::I8, DType::U8, DType::I32] {
        for dims in [[3, 7], [250, 200]] {
            let bytes = bits.bytes(dims[0] * dims[1] * dtype.bytes());
            let mut n = new();
            let x = input(&mut n, dtype, &dims);
            let op = ArrayOp::Cast { to: DType::F32, saturate: true };
            let y = n.step(op, &[&x], DType::F32, &dims);
            check(&mut n, y, &bytes, &format!("{dtype} at {dims:?}"));
        }
    }
}
