//! Folds what scales, shifts or pads the operand of a convolution into the convolution.
//!
//! `w * (x * s + t) = (w * s) * x + Σ w * t`: a factor always, a term only where no padding is read,
//! which would have to be scaled and shifted back. Zeros around the operand become padding.

use super::fold::{along, trimmed};
use super::rewrite::{Rewriter, is_weight};
use crate::{Input, Node};
use alloc::vec;
use plan::array::{Conv, List, Pad, PadMode, Pool, PoolKind, Reduce, ReduceKind, Zip};
use plan::{ArrayOp, Op};

/// Runs the pass: what stands before a term that was folded may be a factor.
pub(super) fn run(graph: &mut Rewriter<'_>) -> usize {
    let mut all = 0;
    loop {
        let times = graph.each(rule);
        if times == 0 {
            return all;
        }
        all += times;
        super::dead_code::run(graph.graph);
    }
}

fn rule(graph: &mut Rewriter<'_>, node: &Node) -> Option<Input> {
    let Op::Array(op) = node.op else { return None };
    match op {
        ArrayOp::Conv(conv) => padded(graph, node, conv)
            .or_else(|| term(graph, node, conv))
            .or_else(|| factor(graph, node, conv)),
        ArrayOp::Pool(pool) => pooled(graph, node, pool),
        _ => None,
    }
}

/// A window whose padding takes in that of its operand; `None` if that crops or pads more than
/// space.
fn widened(conv: &Conv, pad: &Pad) -> Option<Conv> {
    let (lead, space) = pad.before.split_at_checked(2)?;
    let (lead_after, space_after) = pad.after.split_at_checked(2)?;
    if lead.iter().chain(lead_after).any(|&n| n != 0) {
        return None;
    }
    let sum = |own: &List<u32>, more: &[i64]| {
        let mut all = [0; tensor::shape::RANK_MAX];
        for (all, (&own, &more)) in all.iter_mut().zip(own.iter().zip(more)) {
            *all = own.checked_add(u32::try_from(more).ok()?)?;
        }
        List::new(&all[..own.len()])
    };
    Some(Conv { before: sum(&conv.before, space)?, after: sum(&conv.after, space_after)?, ..*conv })
}

/// The operator that pads `x` with a constant, with what it pads and with what.
fn pad_of(graph: &Rewriter<'_>, x: Input) -> Option<(Pad, Input, Input)> {
    match graph.writer(x)? {
        (ArrayOp::Pad(pad), inputs) if pad.mode == PadMode::Constant => {
            Some((pad, inputs[0], inputs.get(1).copied().unwrap_or(Input::Absent)))
        }
        _ => None,
    }
}

fn padded(graph: &mut Rewriter<'_>, node: &Node, conv: Conv) -> Option<Input> {
    let (pad, x, value) = pad_of(graph, node.inputs[0])?;
    let with = if value == Input::Absent { 0.0 } else { graph.number(value)? };
    // What padding reads is the operand's zero point.
    let zero = match node.inputs.get(3) {
        Some(&zero @ Input::Weight(_)) => graph.number(zero)?,
        Some(Input::Absent) | None => 0.0,
        Some(_) => return None,
    };
    if (with - zero).abs() > 0.0 || with.is_nan() {
        return None;
    }
    let conv = widened(&conv, &pad)?;
    let mut inputs = node.inputs.clone();
    inputs[0] = x;
    graph.push(ArrayOp::Conv(conv), inputs).map(Input::Value)
}

/// Only what lies below every element, or what an average counts as zeros, is padding of a pool.
fn pooled(graph: &mut Rewriter<'_>, node: &Node, pool: Pool) -> Option<Input> {
    let (pad, x, value) = pad_of(graph, node.inputs[0])?;
    let with = if value == Input::Absent { 0.0 } else { graph.number(value)? };
    let unpadded = pool.conv.before.iter().chain(pool.conv.after.iter()).all(|&n| n == 0);
    let (kind, fits) = match pool.kind {
        PoolKind::Max => (PoolKind::Max, with.is_infinite() && with < 0.0),
        PoolKind::Average { count_padding } => {
            let whole = unpadded || count_padding;
            (PoolKind::Average { count_padding: true }, whole && with.abs() <= 0.0)
        }
        PoolKind::MaxIndex { .. } | PoolKind::Lp { .. } => return None,
    };
    // A last window beyond the padding would count differently.
    let inside = (0..pool.output.len()).all(|i| {
        let dims = graph.array(node.inputs[0]).map(|x| x.dims);
        let spatial = pool.channels.spatial();
        dims.and_then(|dims| pool.conv.extent(i, dims[spatial + i]))
            .is_some_and(|places| u64::from(pool.output[i]) <= places)
    });
    if !fits || !inside || pool.channels != plan::array::Channels::First {
        return None;
    }
    let conv = widened(&pool.conv, &pad)?;
    graph.push(ArrayOp::Pool(Pool { kind, conv, ..pool }), [x]).map(Input::Value)
}

/// A value and a constant, whichever stands first, of a function of pairs that nothing else reads.
fn with_constant(graph: &Rewriter<'_>, x: Input, zip: Zip) -> Option<(Input, Input)> {
    match graph.sole_writer(x)? {
        (ArrayOp::Zip(found), inputs) if found == zip => {
            match (is_weight(inputs[0]), is_weight(inputs[1])) {
                (false, true) => Some((inputs[0], inputs[1])),
                (true, false) => Some((inputs[1], inputs[0])),
                _ => None,
            }
        }
        _ => None,
    }
}

/// A constant for each channel of a convolution's operand, shaped as its weights are.
fn per_input(
    graph: &mut Rewriter<'_>,
    node: &Node,
    conv: &Conv,
    constant: Input,
    x: Input,
) -> Option<Input> {
    let (dims, w) = (graph.array(x)?.dims, graph.array(node.inputs[1])?);
    let from = graph.array(node.inputs[0])?;
    let floats = w.dtype == from.dtype && from.dtype.is_float();
    if !floats || !is_weight(node.inputs[1]) || from.dims != dims {
        return None;
    }
    let vector = along(graph, constant, &dims, 1)?;
    let mut shape = vec![1; w.dims.len()];
    if conv.groups == 1 {
        shape[1] = dims[1];
    } else if u64::from(conv.groups) == dims[1] && w.dims[0] == dims[1] {
        shape[0] = dims[1];
    } else {
        return None;
    }
    graph.reshaped(vector, &shape)
}

fn factor(graph: &mut Rewriter<'_>, node: &Node, conv: Conv) -> Option<Input> {
    let (x, constant) = with_constant(graph, node.inputs[0], Zip::Multiply)?;
    let scale = per_input(graph, node, &conv, constant, x)?;
    let mut inputs = node.inputs.clone();
    inputs[0] = x;
    inputs[1] = graph.derive(ArrayOp::Zip(Zip::Multiply), &[inputs[1], scale])?;
    graph.push(ArrayOp::Conv(conv), inputs).map(Input::Value)
}

fn term(graph: &mut Rewriter<'_>, node: &Node, conv: Conv) -> Option<Input> {
    let (x, constant) = with_constant(graph, node.inputs[0], Zip::Add)?;
    if conv.before.iter().chain(conv.after.iter()).any(|&n| n != 0) {
        return None;
    }
    let term = per_input(graph, node, &conv, constant, x)?;
    let mut inputs = node.inputs.clone();
    inputs.resize(3, Input::Absent);
    let products = graph.derive(ArrayOp::Zip(Zip::Multiply), &[inputs[1], term])?;
    let axes = u8::try_from((1u32 << graph.array(products)?.dims.len()) - 2).ok()?;
    let sum = Reduce { kind: ReduceKind::Sum, axes, keep: false };
    let sums = graph.derive(ArrayOp::Reduce(sum), &[products])?;
    inputs[0] = x;
    inputs[2] = match inputs[2] {
        Input::Absent => sums,
        bias => graph.derive(ArrayOp::Zip(Zip::Add), &[bias, sums])?,
    };
    graph.push(ArrayOp::Conv(conv), trimmed(inputs)).map(Input::Value)
}
