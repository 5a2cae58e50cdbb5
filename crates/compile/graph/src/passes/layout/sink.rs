//! Operators that compute on the root of their operand and turn their own result.

use super::{Layout, inverse};
use crate::passes::rewrite::{Rewriter, is_weight};
use crate::{Input, Node};
use alloc::vec::Vec;
use core::cmp::Reverse;
use plan::ArrayOp;
use plan::array::{List, Pad, Reduce, Requant, Resize};
use tensor::Shape;

pub(super) fn rule(
    layout: &mut Layout,
    graph: &mut Rewriter<'_>,
    node: &Node,
    op: &ArrayOp,
) -> Option<Input> {
    let get = |i: usize| node.inputs.get(i).copied().unwrap_or(Input::Absent);
    let rank_of = |graph: &Rewriter<'_>, i: usize| graph.array(get(i)).map(|x| x.dims.len());
    match *op {
        ArrayOp::Map(_) | ArrayOp::Cast { .. } | ArrayOp::Lookup => {
            elementwise(layout, graph, node, op)
        }
        ArrayOp::Requant(_) if rank_of(graph, 1)? == 0 => elementwise(layout, graph, node, op),
        ArrayOp::Quantize { block: 0, .. } | ArrayOp::Dequantize { block: 0, .. }
            if rank_of(graph, 1)? == 0 =>
        {
            elementwise(layout, graph, node, op)
        }
        ArrayOp::Quantize { block: 0, .. } | ArrayOp::Dequantize { block: 0, .. }
            if rank_of(graph, 1)? == 1 =>
        {
            one(layout, graph, node, op)
        }
        ArrayOp::Gather { batch: 0, .. } if rank_of(graph, 1)? == 1 => one(layout, graph, node, op),
        ArrayOp::Requant(_)
        | ArrayOp::Pad(_)
        | ArrayOp::Resize(_)
        | ArrayOp::Softmax { .. }
        | ArrayOp::LocalResponse { .. }
        | ArrayOp::Accumulate { .. }
        | ArrayOp::ArgReduce { .. }
        | ArrayOp::TopK { .. } => one(layout, graph, node, op),
        ArrayOp::Zip(_) | ArrayOp::CodePairs(_) | ArrayOp::Select | ArrayOp::Concat { .. } => {
            several(layout, graph, node, op)
        }
        ArrayOp::Reduce(reduce) => reduced(layout, graph, node, reduce),
        _ => None,
    }
}

/// A function of each element: any movement of all of them can wait.
fn elementwise(
    layout: &mut Layout,
    graph: &mut Rewriter<'_>,
    node: &Node,
    op: &ArrayOp,
) -> Option<Input> {
    let (root, moved) = layout.chain(graph, *node.inputs.first()?)?;
    let dims = graph.array(root)?.dims;
    if root == node.inputs[0] || is_weight(root) {
        return None;
    }
    if !moved.keeps_all(&dims) {
        return one(layout, graph, node, op);
    }
    let mut inputs = node.inputs.clone();
    inputs[0] = root;
    let result = graph.push(*op, inputs)?;
    layout.realise(graph, result.into(), &moved)
}

/// The order in which an operand's dimensions stand in its root, if it is another one.
fn other_order(layout: &Layout, graph: &Rewriter<'_>, x: Input) -> Option<(Vec<usize>, u64)> {
    let (root, moved) = layout.chain(graph, x)?;
    if root == x {
        return None;
    }
    let order = moved.order(&graph.array(root)?.dims)?;
    let moves = order.iter().enumerate().any(|(i, &at)| i != at);
    let saved = Layout::cost(graph, root, &moved)?;
    moves.then_some((order, saved))
}

/// An operator whose first operand is an array and whose others do not follow its dimensions.
fn one(layout: &mut Layout, graph: &mut Rewriter<'_>, node: &Node, op: &ArrayOp) -> Option<Input> {
    let (order, _) = other_order(layout, graph, node.inputs[0])?;
    let mut inputs = node.inputs.clone();
    inputs[0] = layout.turned(graph, inputs[0], &order)?;
    let op = renumbered(op, &order)?;
    let result = graph.push(op, inputs)?;
    layout.turned_back(graph, result, &order)
}

/// An operator whose operands all follow the result's dimensions.
fn several(
    layout: &mut Layout,
    graph: &mut Rewriter<'_>,
    node: &Node,
    op: &ArrayOp,
) -> Option<Input> {
    let rank = graph.array(node.output.into())?.dims.len();
    let mut leads: Vec<(Vec<usize>, u64, u64)> = Vec::new();
    for &x in &node.inputs {
        let array = graph.array(x)?;
        if array.dims.len() == rank
            && let Some((order, saved)) = other_order(layout, graph, x)
        {
            leads.push((order, saved, array.dims.elements()?));
        }
    }
    leads.sort_by_key(|(_, saved, elements)| Reverse((*saved, *elements)));
    let (order, ..) = leads.first()?.clone();
    // What the operands cost so against what they cost as they are.
    let (mut cost, mut saved) = (0, 0);
    let mut turned = Vec::with_capacity(node.inputs.len());
    for &x in &node.inputs {
        let (root, moved) = layout.chain(graph, x)?;
        saved += Layout::cost(graph, root, &moved)?;
        let dims = graph.array(x)?.dims;
        if dims.elements()? == 1 && dims.len() < rank {
            turned.push((x, None));
            continue;
        }
        let mut all = alloc::vec![1; rank - dims.len()];
        all.extend(dims.iter());
        let moved = moved.reshape(&all)?.permuted(&order);
        cost += Layout::cost(graph, root, &moved)?;
        turned.push((root, Some(moved)));
    }
    if cost > 0 && cost >= saved {
        return None;
    }
    let mut inputs = Vec::with_capacity(turned.len());
    for (root, moved) in turned {
        inputs.push(match moved {
            Some(moved) => layout.realise(graph, root, &moved)?,
            None => root,
        });
    }
    let op = renumbered(op, &order)?;
    let result = graph.push(op, inputs)?;
    layout.turned_back(graph, result, &order)
}

/// A statistic: the dimensions that stay follow each other as they do in the root.
fn reduced(
    layout: &mut Layout,
    graph: &mut Rewriter<'_>,
    node: &Node,
    reduce: Reduce,
) -> Option<Input> {
    let (order, _) = other_order(layout, graph, node.inputs[0])?;
    let x = layout.turned(graph, node.inputs[0], &order)?;
    let is_reduced = |at: usize| reduce.axes >> at & 1 == 1;
    let axes = order.iter().enumerate().filter(|(_, at)| is_reduced(**at));
    let axes = axes.fold(0, |all, (i, _)| all | 1 << i);
    let result = graph.push(ArrayOp::Reduce(Reduce { axes, ..reduce }), [x])?;
    if reduce.keep {
        return layout.turned_back(graph, result, &order);
    }
    // Positions among the dimensions that stay.
    let kept: Vec<usize> = order.iter().copied().filter(|&at| !is_reduced(at)).collect();
    let rest: Vec<usize> =
        kept.iter().map(|&at| kept.iter().filter(|&&other| other < at).count()).collect();
    layout.turned_back(graph, result, &rest)
}

/// The operator on an operand whose dimension `i` is dimension `order[i]` of its own.
fn renumbered(op: &ArrayOp, order: &[usize]) -> Option<ArrayOp> {
    let back = inverse(order);
    let axis_of = |axis: u8| u8::try_from(*back.get(usize::from(axis))?).ok();
    Some(match *op {
        ArrayOp::Concat { axis } => ArrayOp::Concat { axis: axis_of(axis)? },
        ArrayOp::Gather { axis, batch } => ArrayOp::Gather { axis: axis_of(axis)?, batch },
        ArrayOp::Softmax { axis, log } => ArrayOp::Softmax { axis: axis_of(axis)?, log },
        ArrayOp::ArgReduce { largest, axis, last } => {
            ArrayOp::ArgReduce { largest, axis: axis_of(axis)?, last }
        }
        ArrayOp::Accumulate { product, axis, exclusive, reverse } => {
            ArrayOp::Accumulate { product, axis: axis_of(axis)?, exclusive, reverse }
        }
        ArrayOp::LocalResponse { axis, size, alpha, beta, bias } => {
            ArrayOp::LocalResponse { axis: axis_of(axis)?, size, alpha, beta, bias }
        }
        ArrayOp::TopK { axis, k, largest } => ArrayOp::TopK { axis: axis_of(axis)?, k, largest },
        ArrayOp::Quantize { axis, block, to, saturate } => {
            ArrayOp::Quantize { axis: axis_of(axis)?, block, to, saturate }
        }
        ArrayOp::Dequantize { axis, block, to } => {
            ArrayOp::Dequantize { axis: axis_of(axis)?, block, to }
        }
        ArrayOp::Requant(op) => ArrayOp::Requant(Requant { axis: axis_of(op.axis)?, ..op }),
        ArrayOp::Pad(Pad { mode, before, after }) => {
            ArrayOp::Pad(Pad { mode, before: list(&before, order)?, after: list(&after, order)? })
        }
        ArrayOp::Resize(op) => ArrayOp::Resize(Resize {
            dims: Shape::new(&list(&List::new(&op.dims)?, order)?)?,
            scales: list(&op.scales, order)?,
            roi_start: list(&op.roi_start, order)?,
            roi_end: list(&op.roi_end, order)?,
            ..op
        }),
        ArrayOp::Map(_)
        | ArrayOp::Cast { .. }
        | ArrayOp::Lookup
        | ArrayOp::Zip(_)
        | ArrayOp::CodePairs(_)
        | ArrayOp::Select => *op,
        _ => return None,
    })
}

/// One item for each dimension, in another order; none stay none.
fn list<T: Copy + Default>(items: &List<T>, order: &[usize]) -> Option<List<T>> {
    if items.is_empty() {
        return Some(*items);
    }
    let items: Option<Vec<T>> = order.iter().map(|&at| items.get(at).copied()).collect();
    List::new(&items?)
}
