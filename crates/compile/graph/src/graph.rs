//! Values, nodes, weights and states of one graph, and the builder that keeps them consistent.

use crate::ops::{self, OpError};
use alloc::{string::String, vec::Vec};
use core::fmt;
use plan::{Dim, KvCache, Op, StateId, Symbol, SymbolId, Weight, WeightId};
use tensor::DType;

/// Names a value of one graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ValueId(pub u32);

impl ValueId {
    /// The id as an index into [`Graph::values`].
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Prints `v7`.
impl fmt::Display for ValueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}", self.0)
    }
}

/// Element type and extents of a value, outermost first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Type {
    /// Element type.
    pub dtype: DType,
    /// Extents; only the first may be a symbol.
    pub dims: Vec<Dim>,
}

impl Type {
    /// Single-precision rows of a fixed width.
    pub fn rows(rows: Dim, width: u64) -> Self {
        Self { dtype: DType::F32, dims: [rows, Dim::Fixed(width)].into() }
    }

    /// The extent of the last dimension, if it is fixed.
    pub fn width(&self) -> Option<u64> {
        match self.dims.last() {
            Some(Dim::Fixed(n)) => Some(*n),
            Some(Dim::Symbol(_)) | None => None,
        }
    }
}

/// One operand of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    /// The result of an earlier node, or an input of the graph.
    Value(ValueId),
    /// A constant of the model.
    Weight(WeightId),
    /// Something that persists between runs.
    State(StateId),
    /// An optional operand that is not there.
    Absent,
}

impl From<ValueId> for Input {
    fn from(id: ValueId) -> Self {
        Self::Value(id)
    }
}

impl From<WeightId> for Input {
    fn from(id: WeightId) -> Self {
        Self::Weight(id)
    }
}

impl From<StateId> for Input {
    fn from(id: StateId) -> Self {
        Self::State(id)
    }
}

impl<T: Into<Self>> From<Option<T>> for Input {
    fn from(operand: Option<T>) -> Self {
        operand.map_or(Self::Absent, Into::into)
    }
}

/// An operator with its operands and its result.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What is computed.
    pub op: Op,
    /// Operands in the order that [`Op`] documents.
    pub inputs: Vec<Input>,
    /// The value that this node writes.
    pub output: ValueId,
    /// The layer it belongs to, for traces.
    pub layer: Option<u32>,
}

/// A model as operators on typed values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Graph {
    /// Extents that vary from run to run; the first counts the tokens of a run.
    pub symbols: Vec<Symbol>,
    /// Constants.
    pub weights: Vec<Weight>,
    /// Key and value caches.
    pub states: Vec<KvCache>,
    /// Types of all values, by id.
    pub values: Vec<Type>,
    /// Named inputs.
    pub inputs: Vec<(String, ValueId)>,
    /// Nodes in an order in which they can run.
    pub nodes: Vec<Node>,
    /// Named outputs.
    pub outputs: Vec<(String, ValueId)>,
}

fn id(len: usize) -> u32 {
    u32::try_from(len).expect("a graph has fewer than 2^32 of anything")
}

impl Graph {
    /// Adds an extent that each run chooses, up to `max`.
    pub fn symbol(&mut self, name: &str, max: u64) -> SymbolId {
        self.symbols.push(Symbol { name: name.into(), max });
        SymbolId(id(self.symbols.len() - 1))
    }

    /// Adds a constant, or finds it if the same one is there already (a tied head).
    pub fn weight(&mut self, weight: Weight) -> WeightId {
        let place = self.weights.iter().position(|known| *known == weight);
        WeightId(id(place.unwrap_or_else(|| {
            self.weights.push(weight);
            self.weights.len() - 1
        })))
    }

    /// Adds a key and value cache.
    pub fn state(&mut self, cache: KvCache) -> StateId {
        self.states.push(cache);
        StateId(id(self.states.len() - 1))
    }

    /// Adds a named input.
    pub fn input(&mut self, name: &str, ty: Type) -> ValueId {
        let value = self.value(ty);
        self.inputs.push((name.into(), value));
        value
    }

    /// Adds a node and gives its result.
    ///
    /// # Errors
    /// If operands are missing or do not fit the operator or each other.
    pub fn push(
        &mut self,
        op: Op,
        inputs: impl Into<Vec<Input>>,
        layer: Option<u32>,
    ) -> Result<ValueId, OpError> {
        let inputs = inputs.into();
        let ty = ops::infer(self, &op, &inputs)?;
        let output = self.value(ty);
        self.nodes.push(Node { op, inputs, output, layer });
        Ok(output)
    }

    /// Names a value as an output.
    pub fn output(&mut self, name: &str, value: ValueId) {
        self.outputs.push((name.into(), value));
    }

    /// The type of a value.
    pub fn ty(&self, value: ValueId) -> &Type {
        &self.values[value.index()]
    }

    fn value(&mut self, ty: Type) -> ValueId {
        self.values.push(ty);
        ValueId(id(self.values.len() - 1))
    }
}
