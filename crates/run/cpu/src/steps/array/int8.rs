//! Integer networks: the kernel of an operator on bytes, chosen when the schedule is made.
//!
//! Whatever `reference` would compute from bytes, constants and whole numbers comes out the same,
//! to the byte. Zero points and factors of constants become parameters of channels here; a zero
//! point of the operand, a scale or a zero point of codes may be computed as well, where a network
//! measures its values while it runs. Computed zero points of weights keep the reference.

mod bands;
mod codes;
mod depthwise;
mod layer;
mod panels;
mod pool;
mod product;

pub(crate) use panels::Panels;

use super::{Operands, Place, Source, Worker};
use crate::steps::Maker;
use layer::Layer;
use plan::array::{Requant, Rounding};
use plan::{ArrayOp, Operand, Plan, Step, WeightId};
use tensor::{Bytes, DType, TensorType};

/// What computes an operator on bytes.
#[derive(Debug)]
pub(super) enum Int8 {
    /// A matrix or windows by all channels.
    Product(product::Product),
    /// Windows of each channel by itself.
    Depthwise(depthwise::Depthwise),
    /// Largest or mean of windows.
    Pool(pool::Pool),
    /// A table of all codes.
    Lookup(codes::Lookup),
    /// Sums scaled.
    Scaling(codes::Scaling),
    /// Singles to codes.
    Quantise(codes::Quantise),
    /// Codes to singles.
    Dequantise(codes::Dequantise),
    /// Whole numbers to singles.
    Singles(codes::Singles),
    /// Whole numbers in pairs.
    Pairs(codes::Pairs),
    /// Codes in pairs.
    Codes(codes::Codes),
}

impl Int8 {
    /// The kernel of a step, where there is one.
    pub(super) fn new(
        maker: &Maker<'_>,
        step: &Step,
        op: &ArrayOp,
        (inputs, out): (&[Source], &Place),
    ) -> Option<Self> {
        match op {
            ArrayOp::ConvLast { .. } | ArrayOp::MatMul | ArrayOp::MatMulFused(_) => {
                let layer = Layer::of(step, maker.plan)?;
                Some(if layer.is_depthwise() {
                    Self::Depthwise(depthwise::Depthwise::new(maker, step, layer))
                } else {
                    Self::Product(product::Product::new(maker, step, layer))
                })
            }
            ArrayOp::Pool(pool) => pool::Pool::new(pool, step, maker.plan).map(Self::Pool),
            ArrayOp::Lookup => codes::Lookup::new(step, out).map(Self::Lookup),
            ArrayOp::Requant(op) => codes::Scaling::new(maker, step, op, out)
                .map(Self::Scaling)
                .or_else(|| codes::Quantise::scaled(maker, step, op, out).map(Self::Quantise)),
            ArrayOp::Quantize { .. } => {
                codes::Quantise::divided(maker, step, out).map(Self::Quantise)
            }
            ArrayOp::Dequantize { .. } => {
                codes::Dequantise::new(maker, step, out).map(Self::Dequantise)
            }
            ArrayOp::Cast { .. } => codes::Singles::new(step, out).map(Self::Singles),
            ArrayOp::CodePairs(op) => codes::Codes::new(step, op, maker.plan).map(Self::Codes),
            ArrayOp::Zip(zip) => codes::Pairs::new(*zip, inputs, out).map(Self::Pairs),
            _ => None,
        }
    }

    /// Computes the step.
    pub(super) fn run(&self, worker: &mut Worker<'_, '_>, operands: Operands<'_>, out: &mut [u8]) {
        match self {
            Self::Product(kernel) => kernel.run(worker, operands, out),
            Self::Depthwise(kernel) => kernel.run(worker, operands, out),
            Self::Pool(kernel) => kernel.run(worker, operands, out),
            Self::Lookup(kernel) => kernel.run(worker, operands, out),
            Self::Scaling(kernel) => kernel.run(worker, operands, out),
            Self::Quantise(kernel) => kernel.run(worker, operands, out),
            Self::Dequantise(kernel) => kernel.run(worker, operands, out),
            Self::Singles(kernel) => kernel.run(worker, operands, out),
            Self::Pairs(kernel) => kernel.run(operands, out),
            Self::Codes(kernel) => kernel.run(worker, operands, out),
        }
    }
}

/// Scratch of a step that has a kernel here, all threads together.
pub(super) fn scratch(step: &Step, plan: &Plan, threads: usize) -> Option<Bytes> {
    let layer = Layer::of(step, plan)?;
    Some(Bytes((bands::Bands::new(&layer, 0).scratch() * threads) as u64))
}

/// How the weights of a step are packed, if operand `i` is them.
pub(super) fn packing(step: &Step, i: usize, plan: &Plan) -> Option<Panels> {
    if i != 1 {
        return None;
    }
    Layer::of(step, plan).map(|layer| Panels::of(&layer))
}

/// The extents of a slot.
fn extents(step: &Step, i: usize, plan: &Plan) -> Option<Vec<usize>> {
    let Operand::Slot(slot) = step.input(i) else { return None };
    slot.dims.iter().map(|dim| usize::try_from(dim.max(&plan.symbols)).ok()).collect()
}

/// The constant operand `i`.
fn weight(step: &Step, i: usize) -> Option<WeightId> {
    match step.input(i) {
        Operand::Weight(id) => Some(*id),
        Operand::Slot(_) | Operand::State(_) | Operand::Absent => None,
    }
}

fn dtype_of(plan: &Plan, id: WeightId) -> Option<DType> {
    match plan.weights[id.0 as usize].ty {
        TensorType::Plain(dtype) => Some(dtype),
        TensorType::Block(_) => None,
    }
}

/// A constant's elements, or one that all share.
#[derive(Clone, Copy)]
struct Constant<'a> {
    dtype: DType,
    bytes: &'a [u8],
}

impl<'a> Constant<'a> {
    /// Constant operand `i`, where there is one.
    fn of(maker: &Maker<'a>, step: &Step, i: usize) -> Option<Self> {
        let id = weight(step, i)?;
        let bytes = &maker.weights[maker.placement.raw(id)];
        Some(Self { dtype: dtype_of(maker.plan, id)?, bytes })
    }

    fn len(&self) -> usize {
        self.bytes.len() / usize::try_from(self.dtype.bytes()).unwrap_or(1)
    }

    /// Element `i`, or the only one.
    fn at<const N: usize>(&self, i: usize) -> [u8; N] {
        let (all, _) = self.bytes.as_chunks::<N>();
        all[if all.len() == 1 { 0 } else { i }]
    }

    /// A whole number.
    fn integer(&self, i: usize) -> i32 {
        match self.dtype {
            DType::I8 => i8::from_le_bytes(self.at(i)).into(),
            DType::U8 => u8::from_le_bytes(self.at(i)).into(),
            DType::I32 => i32::from_le_bytes(self.at(i)),
            other => unreachable!("the graph's rules allow no {other} here"),
        }
    }

    /// A double.
    fn double(&self, i: usize) -> f64 {
        f64::from_le_bytes(self.at(i))
    }
}

/// A way of rounding as kernels name it.
fn rounding(rounding: Rounding) -> kernels::int8::Rounding {
    match rounding {
        Rounding::Double => kernels::int8::Rounding::Double,
        Rounding::DoubleUp => kernels::int8::Rounding::DoubleUp,
        Rounding::SingleAway => kernels::int8::Rounding::SingleAway,
        Rounding::Fp32Even => kernels::int8::Rounding::Fp32Even,
        Rounding::Q8 => kernels::int8::Rounding::Q8,
        Rounding::Reduced => kernels::int8::Rounding::Reduced,
    }
}

/// What scaled numbers are stored as.
fn to(dtype: DType) -> Option<kernels::int8::scale::To> {
    match dtype {
        DType::I8 => Some(kernels::int8::scale::To::I8),
        DType::U8 => Some(kernels::int8::scale::To::U8),
        DType::I16 => Some(kernels::int8::scale::To::I16),
        DType::I32 => Some(kernels::int8::scale::To::I32),
        _ => None,
    }
}

/// How a step scales its sums, and the word of each of so many channels.
fn scaling(
    op: &Requant,
    factors: Constant<'_>,
    channels: usize,
) -> Option<(kernels::int8::Scale, Vec<kernels::int8::Word>)> {
    let way = rounding(op.rounding);
    let word = |i| kernels::int8::Word::new(way, factors.double(i));
    let words: Vec<_> = (0..channels).map(word).collect();
    let scale = kernels::int8::Scale::new(way, op.zero, (op.low, op.high), to(op.to)?);
    Some((scale.of(words.iter().copied()), words))
}

/// The bytes of operand `i`; none where it is absent.
fn bytes<'a>(operands: &Operands<'a>, i: usize) -> &'a [u8] {
    operands.get(i).map_or(&[], |(_, bytes)| bytes)
}
