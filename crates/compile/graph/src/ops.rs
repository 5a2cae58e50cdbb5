//! What each operator accepts and the type of what it gives: one file an operator.
//!
//! A rule sees the graph and the operands and returns the result's type, or the first operand
//! that does not fit. Rules hold for any extents; they never look at weights' bytes.

pub mod array;
mod attention;
mod elementwise;
mod embed;
mod experts;
mod linear;
mod norm;
mod rope;
mod rows;

use crate::{Graph, Input, Type, ValueId};
use alloc::{format, string::String};
use plan::{KvCache, Op, Weight};
use tensor::DType;

/// An operand that does not fit its operator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{op}: {reason}")]
pub struct OpError {
    /// The operator.
    pub op: &'static str,
    /// Which operand, what it is and what it should be.
    pub reason: String,
}

/// The type of what `op` gives for these operands.
///
/// # Errors
/// If operands are missing or do not fit the operator or each other.
pub fn infer(graph: &Graph, op: &Op, inputs: &[Input]) -> Result<Type, OpError> {
    let operands = Operands { graph, op: op.name(), inputs };
    match op {
        Op::Embed { .. } => embed::embed(&operands),
        Op::EmbedPositions => embed::positions(&operands),
        Op::Norm(norm) => norm::infer(&operands, norm),
        Op::Linear => linear::infer(&operands),
        Op::Rope(rope) => rope::infer(&operands, rope),
        Op::Attention(attention) => attention::infer(&operands, attention),
        Op::Unary(_) | Op::Scale { .. } | Op::SoftCap { .. } => elementwise::unary(&operands),
        Op::Binary(_) => elementwise::binary(&operands),
        Op::Gated { .. } => elementwise::gated(&operands),
        Op::Experts(experts) => experts::infer(&operands, experts),
        Op::SelectRows => rows::select(&operands),
        Op::Array(op) => array::infer(&operands, op),
    }
}

/// Operands of one node, fetched by kind with an error that names the place.
struct Operands<'a> {
    graph: &'a Graph,
    op: &'static str,
    inputs: &'a [Input],
}

impl<'a> Operands<'a> {
    fn error(&self, reason: String) -> OpError {
        OpError { op: self.op, reason }
    }

    fn require(&self, holds: bool, reason: impl FnOnce() -> String) -> Result<(), OpError> {
        if holds { Ok(()) } else { Err(self.error(reason())) }
    }

    /// At most `max` operands.
    fn at_most(&self, max: usize) -> Result<(), OpError> {
        self.require(self.inputs.len() <= max, || {
            format!("takes at most {max} operands, has {}", self.inputs.len())
        })
    }

    fn get(&self, i: usize) -> Input {
        self.inputs.get(i).copied().unwrap_or(Input::Absent)
    }

    fn value_id(&self, i: usize) -> Result<ValueId, OpError> {
        match self.get(i) {
            Input::Value(id) if id.index() < self.graph.values.len() => Ok(id),
            other => Err(self.error(format!("operand {i} must be a value, is {other:?}"))),
        }
    }

    /// Operand `i`: a value of this element type and rank.
    fn value(&self, i: usize, dtype: DType, rank: usize) -> Result<&'a Type, OpError> {
        let ty = self.graph.ty(self.value_id(i)?);
        self.require(ty.dtype == dtype && ty.dims.len() == rank, || {
            format!("operand {i} must be {dtype} of rank {rank}, is {ty:?}")
        })?;
        Ok(ty)
    }

    /// Operand `i`: rows of single precision, with their width.
    fn rows(&self, i: usize) -> Result<(&'a Type, u64), OpError> {
        let ty = self.value(i, DType::F32, 2)?;
        let width = ty.width().filter(|width| *width > 0);
        width.map(|width| (ty, width)).ok_or_else(|| {
            self.error(format!("operand {i} must have rows of a fixed width, is {ty:?}"))
        })
    }

    fn weight(&self, i: usize) -> Result<&'a Weight, OpError> {
        match self.get(i) {
            Input::Weight(id) if (id.0 as usize) < self.graph.weights.len() => {
                Ok(&self.graph.weights[id.0 as usize])
            }
            other => Err(self.error(format!("operand {i} must be a weight, is {other:?}"))),
        }
    }

    /// Operand `i`: a weight of exactly this shape.
    fn weight_of(&self, i: usize, shape: &[u64]) -> Result<(), OpError> {
        let weight = self.weight(i)?;
        self.require(weight.shape.dims() == shape, || {
            format!("tensor `{}` must have shape {shape:?}, has {}", weight.tensor, weight.shape)
        })
    }

    /// Operand `i`: absent, or a weight of exactly this shape.
    fn optional_weight_of(&self, i: usize, shape: &[u64]) -> Result<(), OpError> {
        match self.get(i) {
            Input::Absent => Ok(()),
            Input::Value(_) | Input::Weight(_) | Input::State(_) => self.weight_of(i, shape),
        }
    }

    /// Operand `i`: absent, or a cache.
    fn optional_cache(&self, i: usize) -> Result<Option<&'a KvCache>, OpError> {
        match self.get(i) {
            Input::Absent => Ok(None),
            Input::State(id) if (id.0 as usize) < self.graph.states.len() => {
                Ok(Some(&self.graph.states[id.0 as usize]))
            }
            other => Err(self.error(format!("operand {i} must be a cache, is {other:?}"))),
        }
    }
}
