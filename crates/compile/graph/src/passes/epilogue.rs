//! What follows a product becomes part of it: bias, residual, activation, scaling to codes.
//!
//! Where nothing else reads the sums, an addition of a vector over channels becomes the bias, one
//! of an array like the result the residual, a function of each element the activation, and a
//! requantisation the end of an integer product. Sums are then written once.

use super::fold::{along, trimmed};
use super::rewrite::{Rewriter, is_weight};
use crate::{Input, Node};
use alloc::vec::Vec;
use plan::array::{Epilogue, Map, Requant, Zip};
use plan::{ArrayOp, Op};

/// Runs the pass.
pub(super) fn run(graph: &mut Rewriter<'_>) -> usize {
    graph.each(rule)
}

/// Places of the operands behind the factors.
const BIAS: usize = 2;
const RESIDUAL: usize = 3;
const FACTOR: usize = 6;

/// A product that can take on more: its epilogue, all its operands, and itself without them.
struct Product {
    op: ArrayOp,
    epilogue: Epilogue,
    inputs: Vec<Input>,
}

impl Product {
    /// The product that writes `sums`, if nothing else reads them.
    fn of(graph: &Rewriter<'_>, sums: Input) -> Option<Self> {
        let (op, mut inputs) = graph.sole_writer(sums)?;
        let epilogue = match op {
            ArrayOp::ConvLast { epilogue, .. }
            | ArrayOp::ConvTransposeLast { epilogue, .. }
            | ArrayOp::MatMulFused(epilogue) => epilogue,
            ArrayOp::MatMul => {
                // Zero points stand behind bias and residual there.
                let at = BIAS.min(inputs.len());
                inputs.splice(at..at, [Input::Absent; 2]);
                Epilogue::default()
            }
            _ => return None,
        };
        inputs.resize(FACTOR + 1, Input::Absent);
        let ends = epilogue.activation.is_some() || epilogue.requant.is_some();
        (!ends).then_some(Self { op, epilogue, inputs })
    }

    fn push(self, graph: &mut Rewriter<'_>) -> Option<Input> {
        let op = match self.op {
            ArrayOp::ConvLast { conv, .. } => ArrayOp::ConvLast { conv, epilogue: self.epilogue },
            ArrayOp::ConvTransposeLast { conv, output, .. } => {
                ArrayOp::ConvTransposeLast { conv, output, epilogue: self.epilogue }
            }
            _ => ArrayOp::MatMulFused(self.epilogue),
        };
        graph.push(op, trimmed(self.inputs)).map(Input::Value)
    }
}

fn rule(graph: &mut Rewriter<'_>, node: &Node) -> Option<Input> {
    let Op::Array(op) = node.op else { return None };
    match op {
        ArrayOp::Map(map) => activation(graph, node, map),
        ArrayOp::Requant(requant) => scaling(graph, node, requant),
        ArrayOp::Zip(Zip::Add) => {
            let (a, b) = (*node.inputs.first()?, *node.inputs.get(1)?);
            // The later of two products takes on the other.
            let (a, b) = if later(b, a) { (b, a) } else { (a, b) };
            added(graph, node, a, b).or_else(|| added(graph, node, b, a))
        }
        ArrayOp::Zip(Zip::Subtract) => {
            let (a, b) = (*node.inputs.first()?, *node.inputs.get(1)?);
            let b = if is_weight(b) {
                graph.derive(ArrayOp::Map(Map::Negate), &[b])?
            } else {
                return None;
            };
            added(graph, node, a, b)
        }
        _ => None,
    }
}

fn later(a: Input, b: Input) -> bool {
    matches!((a, b), (Input::Value(a), Input::Value(b)) if a.0 > b.0)
}

fn activation(graph: &mut Rewriter<'_>, node: &Node, map: Map) -> Option<Input> {
    let sums = *node.inputs.first()?;
    let (from, to) = (graph.array(sums)?, graph.array(node.output.into())?);
    if !from.dtype.is_float() || from.dtype != to.dtype {
        return None;
    }
    let mut product = Product::of(graph, sums)?;
    product.epilogue.activation = Some(map);
    product.push(graph)
}

fn scaling(graph: &mut Rewriter<'_>, node: &Node, requant: Requant) -> Option<Input> {
    let (sums, factor) = (*node.inputs.first()?, *node.inputs.get(1)?);
    let from = graph.array(sums)?;
    let varies = !graph.array(factor)?.dims.is_empty();
    let last = from.dims.len().checked_sub(1)?;
    if !from.dtype.is_integer() || (varies && usize::from(requant.axis) != last) {
        return None;
    }
    let mut product = Product::of(graph, sums)?;
    product.epilogue.requant = Some(requant);
    product.inputs[FACTOR] = factor;
    product.push(graph)
}

/// `sums + term`: a bias or a residual.
fn added(graph: &mut Rewriter<'_>, node: &Node, sums: Input, term: Input) -> Option<Input> {
    let from = graph.array(sums)?;
    let to = graph.array(node.output.into())?;
    if from.dims != to.dims {
        return None;
    }
    let mut product = Product::of(graph, sums)?;
    let last = from.dims.len().checked_sub(1)?;
    if is_weight(term)
        && product.inputs[RESIDUAL] == Input::Absent
        && let Some(vector) = along(graph, term, &from.dims, last)
    {
        product.inputs[BIAS] = match product.inputs[BIAS] {
            Input::Absent => vector,
            bias if is_weight(bias) => graph.derive(ArrayOp::Zip(Zip::Add), &[bias, vector])?,
            _ => return None,
        };
        return product.push(graph);
    }
    let fits = graph.array(term)?.dims == from.dims && from.dtype.is_float();
    if !fits || product.inputs[RESIDUAL] != Input::Absent {
        return None;
    }
    product.inputs[RESIDUAL] = term;
    product.push(graph)
}
