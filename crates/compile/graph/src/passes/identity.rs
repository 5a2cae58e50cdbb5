//! Drops operators that change nothing: views, reshapes and casts to what is there already,
//! products with 1, differences to 0, bounds without limits, chains of casts that lose nothing.

use super::rewrite::Rewriter;
use crate::{Input, Node};
use plan::array::{List, Map, View, Zip};
use plan::{ArrayOp, Op};

/// Runs the pass.
pub(super) fn run(graph: &mut Rewriter<'_>) -> usize {
    let kept: alloc::vec::Vec<_> = graph.graph.outputs.iter().map(|(_, value)| *value).collect();
    graph.each(|graph, node| if kept.contains(&node.output) { None } else { rule(graph, node) })
}

fn rule(graph: &mut Rewriter<'_>, node: &Node) -> Option<Input> {
    let Op::Array(op) = node.op else { return None };
    let x = *node.inputs.first()?;
    let from = graph.array(x)?;
    match op {
        ArrayOp::Cast { to, .. } if to == from.dtype => Some(x),
        ArrayOp::Reshape { dims } => {
            if dims == from.dims {
                return Some(x);
            }
            let (ArrayOp::Reshape { .. }, inputs) = graph.writer(x)? else { return None };
            let x = inputs[0];
            if graph.array(x)?.dims == dims {
                return Some(x);
            }
            graph.push(op, [x]).map(Input::Value)
        }
        ArrayOp::View(View { dims, strides, offset: 0 })
            if dims == from.dims && strides == contiguous(&dims) =>
        {
            Some(x)
        }
        ArrayOp::Concat { .. } if node.inputs.len() == 1 => Some(x),
        ArrayOp::Map(Map::Clamp { low: f32::NEG_INFINITY, high: f32::INFINITY }) => Some(x),
        ArrayOp::Map(Map::Relu) if matches!(graph.writer(x)?.0, ArrayOp::Map(Map::Relu)) => Some(x),
        ArrayOp::Zip(zip) => {
            let b = *node.inputs.get(1)?;
            let neutral = match zip {
                Zip::Multiply | Zip::Divide => 1.0,
                Zip::Subtract => 0.0,
                _ => return None,
            };
            // What has more dimensions than the value would give it more.
            let keeps = |graph: &Rewriter<'_>, x, y| {
                Some(graph.array(x)?.dims.len() >= graph.array(y)?.dims.len())
            };
            if keeps(graph, x, b)? && graph.number(b).is_some_and(|n| is(n, neutral)) {
                return Some(x);
            }
            let turns = zip == Zip::Multiply && keeps(graph, b, x)?;
            (turns && graph.number(x).is_some_and(|n| is(n, neutral))).then_some(b)
        }
        _ => None,
    }
}

#[expect(clippy::float_cmp, reason = "only the number itself changes nothing")]
fn is(n: f64, neutral: f64) -> bool {
    n == neutral
}

/// Steps of a row-major array.
fn contiguous(dims: &[u64]) -> List<i64> {
    let mut steps = [0; tensor::shape::RANK_MAX];
    let mut step = 1i64;
    for (place, &dim) in steps[..dims.len()].iter_mut().zip(dims).rev() {
        *place = step;
        step = step.saturating_mul(dim.cast_signed());
    }
    List::new(&steps[..dims.len()]).expect("as many as an array has dimensions")
}
