//! Numbers that are quantised on both sides of an operator stay codes: products become products of
//! integers, functions of one element tables, sums of codes one step.
//!
//! A product of dequantised operands is a dequantised product of their codes, with bias and scale of the
//! sums; where it is quantised next, its sums are scaled to codes at once. What only moves or compares
//! elements between dequantising and quantising moves codes. Roundings are those of
//! `Rounding::Fp32Even`, which is how onnxruntime scales sums. A dequantised constant that is still read
//! becomes the constant that it stands for.

mod ends;
mod products;

use super::dead_code;
use super::rewrite::{Rewriter, is_weight};
use crate::{Input, Node};
use alloc::{vec, vec::Vec};
use plan::array::{Interpolation, Pad, PadMode, Pool, PoolKind, Resize, Scaled, View, Zip};
use plan::{ArrayOp, Op};
use tensor::{DType, Shape};

/// Runs the pass.
pub(super) fn run(graph: &mut Rewriter<'_>) -> usize {
    let fused = graph.each(rule);
    dead_code::run(graph.graph);
    fused + graph.each(rest)
}

fn rule(graph: &mut Rewriter<'_>, node: &Node) -> Option<Input> {
    let Op::Array(op) = node.op else { return None };
    match op {
        ArrayOp::Conv(conv) => products::conv(graph, node, conv),
        ArrayOp::MatMul => products::matmul(graph, node),
        ArrayOp::Zip(Zip::Add) => products::bias(graph, node),
        ArrayOp::Quantize { block: 0, to, .. } => ends::quantise(graph, node, to),
        _ => None,
    }
}

/// What is still dequantised: constants become numbers, sums of products singles that are scaled.
fn rest(graph: &mut Rewriter<'_>, node: &Node) -> Option<Input> {
    let Op::Array(op @ ArrayOp::Dequantize { axis, block, .. }) = node.op else { return None };
    let x = *node.inputs.first()?;
    if node.inputs.iter().all(|&input| is_weight(input) || input == Input::Absent) {
        return graph.derive(op, &node.inputs);
    }
    let (array, scale) = (graph.array(x)?, *node.inputs.get(1)?);
    if array.dtype != DType::I32 || node.inputs.len() > 2 || block != 0 || !is_weight(scale) {
        return None;
    }
    let mut dims = vec![1; array.dims.len() - usize::from(axis).min(array.dims.len())];
    let varies = !graph.array(scale)?.dims.is_empty();
    if varies {
        *dims.first_mut()? = *array.dims.get(usize::from(axis))?;
    }
    let scale = if varies { graph.reshaped(scale, &dims)? } else { scale };
    let singles = graph.push(ArrayOp::Cast { to: DType::F32, saturate: true }, [x])?;
    graph.push(ArrayOp::Zip(Zip::Multiply), [singles.into(), scale]).map(Input::Value)
}

/// Whole numbers that stand for real ones.
#[derive(Clone, Copy, Debug)]
struct Codes {
    /// The numbers.
    x: Input,
    dtype: DType,
    dims: Shape,
    /// What one stands for: a constant of one number, or of one for each index along `axis`.
    scale: Input,
    /// The code of 0, of as many; 0 where it is absent.
    zero: Input,
    axis: usize,
}

impl Codes {
    /// What an operand was dequantised from, moved as the operand was since.
    fn of(graph: &mut Rewriter<'_>, x: Input) -> Option<Self> {
        let (op, inputs) = graph.writer(x)?;
        let inputs = inputs.to_vec();
        let from = *inputs.first()?;
        match op {
            ArrayOp::Dequantize { axis, block: 0, to: DType::F32 } => {
                let (scale, zero) = (*inputs.get(1)?, *inputs.get(2).unwrap_or(&Input::Absent));
                let array = graph.array(from)?;
                let constant = is_weight(scale) && (is_weight(zero) || zero == Input::Absent);
                let axis = usize::from(axis);
                let codes =
                    Self { x: from, dtype: array.dtype, dims: array.dims, scale, zero, axis };
                let known = codes.is_bytes() || array.dtype == DType::I32;
                (constant && known).then_some(codes)
            }
            ArrayOp::Reshape { .. } => {
                let codes = Self::movable(graph, from)?;
                (codes.is_even(graph)?).then(|| codes.through(graph, op, vec![]))?
            }
            ArrayOp::View(view) => {
                let codes = Self::movable(graph, from)?;
                let axis = if codes.is_even(graph)? { 0 } else { codes.moved_axis(&view)? };
                let codes = codes.through(graph, op, vec![])?;
                Some(Self { axis, ..codes })
            }
            ArrayOp::Pool(Pool { kind: PoolKind::Max, .. })
            | ArrayOp::Resize(Resize {
                mode: Interpolation::Nearest(_), antialias: false, ..
            }) => Self::even_bytes(graph, from)?.through(graph, op, vec![]),
            ArrayOp::Gather { .. } => {
                Self::even_bytes(graph, from)?.through(graph, op, inputs.get(1..)?.to_vec())
            }
            ArrayOp::Pad(Pad { mode, .. }) => {
                let codes = Self::even_bytes(graph, from)?;
                let fill = match (mode, inputs.get(1)) {
                    (PadMode::Constant, None | Some(Input::Absent)) => 0.0,
                    (PadMode::Constant, Some(&fill)) => graph.number(fill)?,
                    _ => 0.0,
                };
                let zero = if codes.zero == Input::Absent { vec![] } else { vec![codes.zero] };
                let known = mode != PadMode::Constant || fill.abs() <= 0.0;
                (known).then(|| codes.through(graph, op, zero))?
            }
            ArrayOp::Concat { .. } => Self::joined(graph, op, &inputs),
            _ => None,
        }
    }

    /// Codes that are worth moving: sums of products are scaled first.
    fn movable(graph: &mut Rewriter<'_>, x: Input) -> Option<Self> {
        Self::of(graph, x).filter(|codes| codes.is_bytes() || is_weight(codes.x))
    }

    /// Codes of a byte that all have one scale.
    fn even_bytes(graph: &mut Rewriter<'_>, x: Input) -> Option<Self> {
        let codes = Self::of(graph, x)?;
        (codes.is_bytes() && codes.is_even(graph)?).then_some(codes)
    }

    /// Codes of one scale behind each other.
    fn joined(graph: &mut Rewriter<'_>, op: ArrayOp, inputs: &[Input]) -> Option<Self> {
        let mut parts: Vec<Input> = Vec::with_capacity(inputs.len());
        let mut first: Option<Self> = None;
        for &input in inputs {
            let codes = Self::even_bytes(graph, input)?;
            let first = *first.get_or_insert(codes);
            if !first.is_alike(graph, &codes)? {
                return None;
            }
            parts.push(codes.x);
        }
        let (codes, rest) = (first?, parts.split_off(1));
        codes.through(graph, op, rest)
    }

    /// The codes that an operator gives which takes them as they are.
    fn through(self, graph: &mut Rewriter<'_>, op: ArrayOp, others: Vec<Input>) -> Option<Self> {
        let mut inputs = vec![self.x];
        inputs.extend(others);
        let x = if inputs.iter().all(|&input| is_weight(input)) {
            graph.derive(op, &inputs)?
        } else {
            graph.push(op, inputs)?.into()
        };
        Some(Self { x, dims: graph.array(x)?.dims, ..self })
    }

    const fn is_bytes(&self) -> bool {
        matches!(self.dtype, DType::I8 | DType::U8)
    }

    /// Whether all have one scale and one zero point.
    fn is_even(&self, graph: &Rewriter<'_>) -> Option<bool> {
        let zero = self.zero == Input::Absent || graph.array(self.zero)?.dims.is_empty();
        Some(graph.array(self.scale)?.dims.is_empty() && zero)
    }

    /// Whether codes of both stand for the same.
    fn is_alike(&self, graph: &mut Rewriter<'_>, other: &Self) -> Option<bool> {
        let (own, others) = (self.scaled(graph)?, other.scaled(graph)?);
        Some(self.dtype == other.dtype && own == others)
    }

    /// The one scale and the one zero point.
    #[expect(clippy::cast_possible_truncation, reason = "scales are singles, zero points codes")]
    fn scaled(&self, graph: &mut Rewriter<'_>) -> Option<Scaled> {
        let scale = graph.number(self.scale)? as f32;
        let zero = if self.zero == Input::Absent { 0 } else { graph.number(self.zero)? as i32 };
        (scale.is_finite() && scale > 0.0).then_some(Scaled { scale, zero })
    }

    /// Where the dimension along which scales vary stands in a view that only exchanges dimensions.
    fn moved_axis(&self, view: &View) -> Option<usize> {
        let dims = &self.dims;
        if view.offset != 0 || view.dims.elements() != dims.elements() {
            return None;
        }
        let step = dims.iter().skip(self.axis + 1).product::<u64>();
        let mut at = view.dims.iter().zip(view.strides.iter());
        let found =
            at.position(|(&dim, &stride)| dim == dims[self.axis] && stride == step.cast_signed())?;
        // All elements are there once if every other dimension has a step of its own too.
        let mut steps: Vec<(i64, u64)> = view
            .strides
            .iter()
            .copied()
            .zip(view.dims.iter().copied())
            .filter(|(_, dim)| *dim > 1)
            .collect();
        steps.sort_unstable();
        let mut next = 1;
        for (stride, dim) in steps {
            if stride != next {
                return None;
            }
            next = next.checked_mul(dim.cast_signed())?;
        }
        Some(found)
    }
}
