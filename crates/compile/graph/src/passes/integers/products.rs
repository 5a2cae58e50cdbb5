//! Products of dequantised operands as products of their codes, which then are dequantised.

use super::Codes;
use crate::passes::fold::trimmed;
use crate::passes::rewrite::{Rewriter, is_weight};
use crate::{Input, Node};
use alloc::vec;
use plan::ArrayOp;
use plan::array::{Conv, Zip};
use tensor::DType;

/// By how much a bias' scale may differ from that of the sums, which it is taken for.
const NEAR: f64 = 1e-3;

/// `(x, w, bias?)` with constant weights of one scale, or one for each channel of the result.
pub(super) fn conv(graph: &mut Rewriter<'_>, node: &Node, conv: Conv) -> Option<Input> {
    let w = weights(graph, *node.inputs.get(1)?, 0)?;
    let x = Codes::even_bytes(graph, *node.inputs.first()?)?;
    let scale = graph.derive(ArrayOp::Zip(Zip::Multiply), &[w.scale, x.scale])?;
    let bias = match node.inputs.get(2) {
        None | Some(Input::Absent) => Input::Absent,
        Some(&bias) => whole(graph, bias, scale)?,
    };
    let sums = graph.push(ArrayOp::Conv(conv), trimmed(vec![x.x, w.x, bias, x.zero, w.zero]))?;
    dequantised(graph, sums.into(), scale, 1)
}

/// `(a, b)` with a constant matrix `b` of one scale, or one for each column.
pub(super) fn matmul(graph: &mut Rewriter<'_>, node: &Node) -> Option<Input> {
    let b = weights(graph, *node.inputs.get(1)?, 1)?;
    let a = Codes::even_bytes(graph, *node.inputs.first()?)?;
    if b.dims.len() != 2 || a.dims.len() < 2 {
        return None;
    }
    let scale = graph.derive(ArrayOp::Zip(Zip::Multiply), &[b.scale, a.scale])?;
    let sums = graph.push(ArrayOp::MatMul, trimmed(vec![a.x, b.x, a.zero, b.zero]))?;
    dequantised(graph, sums.into(), scale, a.dims.len() - 1)
}

/// `sums + bias` of a product of codes, whose bias stands in their scale.
pub(super) fn bias(graph: &mut Rewriter<'_>, node: &Node) -> Option<Input> {
    let (a, b) = (*node.inputs.first()?, *node.inputs.get(1)?);
    let (sums, term) = if is_sums(graph, a)? { (a, b) } else { (b, a) };
    if !is_sums(graph, sums)? || graph.array(sums)?.dims != graph.array(node.output.into())?.dims {
        return None;
    }
    let sums = Codes::of(graph, sums)?;
    let term = whole(graph, term, sums.scale)?;
    let n = graph.array(term)?.dims.elements()?;
    if n != 1 && n != sums.dims.last() {
        return None;
    }
    let term = graph.reshaped(term, &[n])?;
    let moved = graph.push(ArrayOp::Zip(Zip::Add), [sums.x, term])?;
    dequantised(graph, moved.into(), sums.scale, sums.axis)
}

/// Whether an operand is a product of matrices of codes, dequantised along its last dimension.
fn is_sums(graph: &Rewriter<'_>, x: Input) -> Option<bool> {
    let Some((ArrayOp::Dequantize { axis, block: 0, .. }, inputs)) = graph.writer(x) else {
        return Some(false);
    };
    let array = graph.array(inputs[0])?;
    let last = usize::from(axis) + 1 == array.dims.len();
    let product = matches!(graph.writer(inputs[0]), Some((ArrayOp::MatMul, _)));
    Some(product && last && array.dtype == DType::I32)
}

/// Constant bytes whose scales, if there are many, vary along `axis`.
fn weights(graph: &mut Rewriter<'_>, w: Input, axis: usize) -> Option<Codes> {
    let codes = Codes::of(graph, w)?;
    let along = codes.is_even(graph)? || codes.axis == axis;
    (along && codes.is_bytes() && is_weight(codes.x)).then_some(codes)
}

/// A constant of 32-bit integers in this scale: a bias.
fn whole(graph: &mut Rewriter<'_>, bias: Input, scale: Input) -> Option<Input> {
    let codes = Codes::of(graph, bias)?;
    if codes.dtype != DType::I32 || !is_weight(codes.x) {
        return None;
    }
    let zero = codes.zero == Input::Absent
        || graph.numbers(codes.zero)?.iter().all(|zero| zero.abs() <= 0.0);
    let (own, want) = (graph.numbers(codes.scale)?, graph.numbers(scale)?);
    let near = |(own, want): (&f64, &f64)| (own - want).abs() <= NEAR * want.abs();
    let alike = match (&own[..], &want[..]) {
        ([own], want) => want.iter().all(|want| near((own, want))),
        (own, [want]) => own.iter().all(|own| near((own, want))),
        (own, want) => own.len() == want.len() && own.iter().zip(want).all(near),
    };
    (zero && alike).then_some(codes.x)
}

/// Sums as the real numbers that they stand for.
fn dequantised(graph: &mut Rewriter<'_>, sums: Input, scale: Input, axis: usize) -> Option<Input> {
    let op = ArrayOp::Dequantize { axis: u8::try_from(axis).ok()?, block: 0, to: DType::F32 };
    graph.push(op, [sums, scale]).map(Input::Value)
}
