//! Joining without copies: what a concatenation joins is written where the result has it.
//!
//! Along the outermost dimension that is larger than one, operands follow each other in one piece each, and
//! whoever wrote them may be anything. Along the last dimension they are columns of the result: then their
//! writers step over the others', which few can, and nothing but the concatenation may read them.

use super::{Home, Place, within};
use crate::{Graph, Input, Node, ValueId, memory::ALIGN};
use alloc::{vec, vec::Vec};
use plan::{ArrayOp, Dim, Freedom, Op, Part};

/// Gives operands of concatenations their homes in the results, where all of one have them there; says
/// whether there was such a one.
pub(super) fn run(
    graph: &Graph,
    freedom: &[Freedom],
    places: &[Option<Place>],
    homes: &mut [Home],
) -> bool {
    let mut writers: Vec<Option<usize>> = vec![None; graph.values.len()];
    let mut readers = vec![0; graph.values.len()];
    for (number, node) in graph.nodes.iter().enumerate() {
        writers[node.output.index()] = Some(number);
        for input in &node.inputs {
            if let Input::Value(value) = input {
                readers[value.index()] += 1;
            }
        }
    }
    let mut joined = false;
    for node in &graph.nodes {
        let Some((all, part)) = parts(graph, node) else { continue };
        let fits = all.iter().enumerate().all(|(i, (value, home))| {
            let at = value.index();
            let Some(writer) = writers[at] else { return false };
            let own = homes[at].is_own && homes[at].value == *value && places[at].is_none();
            let is_joined = matches!(graph.nodes[writer].op, Op::Array(ArrayOp::Concat { .. }));
            let once = all[..i].iter().all(|(other, _)| other != value);
            own && once
                && !is_joined
                && within(&graph.nodes[writer]).is_none()
                && freedom[writer].part >= part
                && (part == Part::Whole || readers[at] == 1)
                && home.offset.is_multiple_of(ALIGN)
        });
        if fits {
            joined = true;
            homes[node.output.index()].is_own = false;
            for (value, home) in all {
                homes[value.index()] = home;
            }
        }
    }
    joined
}

/// The operands of a concatenation with their homes in the result, and what of it they are.
fn parts(graph: &Graph, node: &Node) -> Option<(Vec<(ValueId, Home)>, Part)> {
    let Op::Array(ArrayOp::Concat { axis }) = node.op else { return None };
    let fixed = |value: ValueId| -> Option<Vec<u64>> {
        let dims = graph.ty(value).dims.iter();
        dims.map(|dim| if let Dim::Fixed(n) = dim { Some(*n) } else { None }).collect()
    };
    let (dims, axis) = (fixed(node.output)?, usize::from(axis));
    let behind = |dims: &[u64]| dims[axis..].iter().product::<u64>();
    let part = if dims[..axis].iter().all(|&dim| dim == 1) {
        Part::Whole
    } else if axis + 1 == dims.len() {
        Part::Columns
    } else {
        return None;
    };
    let pitch = (part == Part::Columns).then(|| behind(&dims));
    let (mut all, mut offset) = (Vec::new(), 0);
    for input in &node.inputs {
        let Input::Value(value) = *input else { return None };
        all.push((value, Home { value: node.output, offset, pitch, is_own: true }));
        offset += behind(&fixed(value)?) * graph.ty(value).dtype.bytes();
    }
    (dims.iter().all(|&dim| dim > 0)).then_some((all, part))
}
