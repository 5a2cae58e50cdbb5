//! Rebuilding a graph node by node: what rules see, and how they replace.
//!
//! Nodes are taken in order. A rule sees a node whose operands are already the new ones; it keeps
//! the node, or emits others and names what stands for its result. Whatever is no longer read is
//! left behind for the removal of dead code. A graph output keeps its name; where its value would
//! become an input, a constant or another output, a copy is emitted.

use super::Constants;
use crate::{Graph, Input, Node, ValueId, ops::array::Array};
use alloc::{vec, vec::Vec};
use core::mem::take;
use plan::{ArrayOp, Dim, Op, Weight};
use tensor::{DType, Shape, TensorType};

/// Elements up to which a constant's numbers are asked for.
const NUMBERS_MAX: u64 = 4096;

/// A graph that is being rebuilt.
pub(super) struct Rewriter<'a> {
    pub(super) graph: &'a mut Graph,
    constants: &'a mut dyn Constants,
    /// Where among the new nodes each value is written.
    writers: Vec<Option<usize>>,
    /// How often each value is read, as far as is known: never less than it is once a pass is over.
    uses: Vec<u32>,
}

impl<'a> Rewriter<'a> {
    pub(super) fn new(graph: &'a mut Graph, constants: &'a mut dyn Constants) -> Self {
        Self { graph, constants, writers: Vec::new(), uses: Vec::new() }
    }

    /// Applies `rule` to every node; gives how often it replaced one.
    pub(super) fn each(
        &mut self,
        mut rule: impl FnMut(&mut Self, &Node) -> Option<Input>,
    ) -> usize {
        let nodes = take(&mut self.graph.nodes);
        let values = self.graph.values.len();
        self.writers = vec![None; values];
        self.uses = vec![0; values];
        for input in nodes.iter().flat_map(|node| &node.inputs) {
            if let Input::Value(value) = input {
                self.uses[value.index()] += 1;
            }
        }
        for (_, value) in &self.graph.outputs {
            self.uses[value.index()] += 1;
        }
        let mut renamed: Vec<Option<Input>> = vec![None; values];
        let mut times = 0;
        for mut node in nodes {
            for input in &mut node.inputs {
                if let Input::Value(value) = *input {
                    *input = renamed[value.index()].unwrap_or(*input);
                }
            }
            let others = node.inputs.iter().any(|input| matches!(input, Input::State(_)));
            let array = matches!(node.op, Op::Array(_)) && !others;
            match if array { rule(self, &node) } else { None } {
                Some(Input::Value(value)) if value == node.output => {}
                Some(replacement) => {
                    times += 1;
                    renamed[node.output.index()] = Some(replacement);
                    if let Input::Value(value) = replacement {
                        self.uses[value.index()] += self.uses[node.output.index()];
                    }
                }
                None => {
                    let place = self.graph.nodes.len();
                    self.writers[node.output.index()] = Some(place);
                    self.graph.nodes.push(node);
                }
            }
        }
        self.rename_outputs(&renamed);
        times
    }

    fn rename_outputs(&mut self, renamed: &[Option<Input>]) {
        let mut taken: Vec<ValueId> = self.graph.inputs.iter().map(|(_, value)| *value).collect();
        for place in 0..self.graph.outputs.len() {
            let old = self.graph.outputs[place].1;
            let new = renamed[old.index()].unwrap_or(Input::Value(old));
            let value = match new {
                Input::Value(value) if !taken.contains(&value) => value,
                Input::Value(_) | Input::Weight(_) | Input::State(_) | Input::Absent => {
                    let array = self.array(new).expect("a result is an array");
                    self.push(ArrayOp::Reshape { dims: array.dims }, [new])
                        .expect("an array takes its own extents")
                }
            };
            taken.push(value);
            self.graph.outputs[place].1 = value;
        }
    }

    /// Emits an operator.
    pub(super) fn push(&mut self, op: ArrayOp, inputs: impl Into<Vec<Input>>) -> Option<ValueId> {
        let value = self.graph.push(Op::Array(op), inputs, None).ok()?;
        self.writers.resize(self.graph.values.len(), None);
        self.uses.resize(self.graph.values.len(), 0);
        self.writers[value.index()] = Some(self.graph.nodes.len() - 1);
        Some(value)
    }

    /// The operator that writes a value, with its operands.
    pub(super) fn writer(&self, input: Input) -> Option<(ArrayOp, &[Input])> {
        let Input::Value(value) = input else { return None };
        let node = &self.graph.nodes[(*self.writers.get(value.index())?)?];
        match node.op {
            Op::Array(op) => Some((op, &node.inputs)),
            _ => None,
        }
    }

    /// As [`Rewriter::writer`], if nothing else reads the value.
    pub(super) fn sole_writer(&self, input: Input) -> Option<(ArrayOp, Vec<Input>)> {
        let Input::Value(value) = input else { return None };
        if self.uses[value.index()] > 1 {
            return None;
        }
        self.writer(input).map(|(op, inputs)| (op, inputs.to_vec()))
    }

    /// Type and extents of an operand.
    pub(super) fn array(&self, input: Input) -> Option<Array> {
        match input {
            Input::Value(value) => {
                let ty = self.graph.ty(value);
                let dims: Option<Vec<u64>> = ty
                    .dims
                    .iter()
                    .map(|dim| match dim {
                        Dim::Fixed(n) => Some(*n),
                        Dim::Symbol(_) => None,
                    })
                    .collect();
                Some(Array { dtype: ty.dtype, dims: Shape::new(&dims?)? })
            }
            Input::Weight(id) => {
                let weight = self.graph.weights.get(id.0 as usize)?;
                match weight.ty {
                    TensorType::Plain(dtype) => Some(Array { dtype, dims: weight.shape }),
                    TensorType::Block(_) => None,
                }
            }
            Input::State(_) | Input::Absent => None,
        }
    }

    /// The elements of a small constant.
    pub(super) fn numbers(&mut self, input: Input) -> Option<Vec<f64>> {
        let Input::Weight(id) = input else { return None };
        let weight = &self.graph.weights[id.0 as usize];
        (weight.shape.elements()? <= NUMBERS_MAX).then(|| self.constants.numbers(weight))?
    }

    /// The one number that a constant is.
    pub(super) fn number(&mut self, input: Input) -> Option<f64> {
        let one = self.array(input)?.dims.elements()? == 1;
        if one { self.numbers(input)?.first().copied() } else { None }
    }

    /// The number 1.
    pub(super) fn one(&mut self, dtype: DType) -> Option<Input> {
        self.constant(dtype, 1.0)
    }

    /// A number.
    pub(super) fn constant(&mut self, dtype: DType, value: f32) -> Option<Input> {
        let weight = self.constants.number(dtype, value)?;
        Some(self.graph.weight(weight).into())
    }

    /// All codes of a type of one byte, the least first.
    pub(super) fn all_codes(&mut self, dtype: DType) -> Option<Input> {
        let weight = self.constants.codes(dtype)?;
        Some(self.graph.weight(weight).into())
    }

    /// A constant computed from others; `None` if one of the operands is none.
    pub(super) fn derive(&mut self, op: ArrayOp, operands: &[Input]) -> Option<Input> {
        let arrays: Vec<Option<Array>> = operands.iter().map(|x| self.array(*x)).collect();
        let result = crate::ops::array::result(&op, &arrays).ok()?;
        let weights: Option<Vec<Option<&Weight>>> = operands
            .iter()
            .map(|input| match input {
                Input::Weight(id) => Some(self.graph.weights.get(id.0 as usize)),
                Input::Absent => Some(None),
                Input::Value(_) | Input::State(_) => None,
            })
            .collect();
        let weight = self.constants.derive(&op, &weights?, result)?;
        Some(self.graph.weight(weight).into())
    }

    /// A constant with other extents.
    pub(super) fn reshaped(&mut self, weight: Input, dims: &[u64]) -> Option<Input> {
        if *self.array(weight)?.dims == *dims {
            return Some(weight);
        }
        self.derive(ArrayOp::Reshape { dims: Shape::new(dims)? }, &[weight])
    }
}

/// Whether an operand is a constant.
pub(super) fn is_weight(input: Input) -> bool {
    matches!(input, Input::Weight(_))
}
