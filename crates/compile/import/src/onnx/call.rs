//! One node as its operator sees it: operands, attributes with defaults, wanted outputs.
//!
//! Which attributes were asked for is remembered: one that nobody asked for is one that nobody
//! knows, and the node is reported as unsupported.

use crate::network::{
    Builder, Fault, Tensor,
    custom::{self, Setting},
};
use formats::onnx::{AttributeValue, Graph, Node, Tensor as Stored};
use std::{cell::RefCell, collections::HashMap, rc::Rc};

/// A value of a file while it is imported.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// An array.
    Tensor(Tensor),
    /// Arrays, or sequences of them.
    Sequence(Rc<Vec<Self>>),
    /// An optional that holds nothing.
    Nothing,
    /// What a node gives that is not supported; everything that reads it is left out.
    Unknown,
}

impl From<Tensor> for Value {
    fn from(tensor: Tensor) -> Self {
        Self::Tensor(tensor)
    }
}

/// What an operator gives.
pub(super) type Outputs = Result<Vec<Value>, Fault>;

/// The only output of an operator.
#[expect(clippy::unnecessary_wraps, reason = "the tail of functions that can fail")]
pub(super) fn one(tensor: Tensor) -> Outputs {
    Ok(vec![tensor.into()])
}

/// Several outputs of an operator, tensors all of them.
#[expect(clippy::unnecessary_wraps, reason = "the tail of functions that can fail")]
pub(super) fn many<const N: usize>(tensors: [Tensor; N]) -> Outputs {
    Ok(tensors.into_iter().map(Value::Tensor).collect())
}

/// Attributes that the caller of a function gave, by name.
pub(super) type Frame<'a> = HashMap<&'a str, &'a AttributeValue<'a>>;

/// Attributes that say nothing about the result.
const IGNORED: [&str; 2] = ["consumed_inputs", "doc_string"];

/// A node with its operands.
#[derive(Debug)]
pub(super) struct Call<'a> {
    pub(super) node: &'a Node<'a>,
    /// The opset of the operator's domain.
    pub(super) version: i64,
    pub(super) inputs: Vec<Option<Value>>,
    /// The function that the node stands in.
    pub(super) frame: Option<Rc<Frame<'a>>>,
    asked: RefCell<Vec<&'static str>>,
}

impl<'a> Call<'a> {
    pub(super) fn new(
        node: &'a Node<'a>,
        version: i64,
        inputs: Vec<Option<Value>>,
        frame: Option<Rc<Frame<'a>>>,
    ) -> Self {
        Self { node, version, inputs, frame, asked: RefCell::new(Vec::new()) }
    }

    /// The value of an attribute, seen through the function that the node stands in.
    pub(super) fn attribute(&self, name: &'static str) -> Option<&'a AttributeValue<'a>> {
        self.asked.borrow_mut().push(name);
        self.resolve(self.node.attribute(name)?)
    }

    pub(super) fn resolve(&self, value: &'a AttributeValue<'a>) -> Option<&'a AttributeValue<'a>> {
        match value {
            AttributeValue::Reference { attribute, .. } => {
                self.frame.as_ref()?.get(attribute).copied()
            }
            other => Some(other),
        }
    }

    /// The first attribute that the operator did not ask for.
    pub(super) fn unknown(&self) -> Option<&'a str> {
        let asked = self.asked.borrow();
        let known = |name: &&str| asked.contains(name) || IGNORED.contains(name);
        self.node.attributes.iter().map(|attribute| attribute.name).find(|name| !known(name))
    }

    fn wrong(name: &str, want: &str) -> Fault {
        Fault::invalid(format!("attribute `{name}` must be {want}"))
    }

    pub(super) fn int(&self, name: &'static str, default: i64) -> Result<i64, Fault> {
        match self.attribute(name) {
            Some(AttributeValue::Int(value)) => Ok(*value),
            None => Ok(default),
            Some(_) => Err(Self::wrong(name, "a whole number")),
        }
    }

    pub(super) fn flag(&self, name: &'static str, default: bool) -> Result<bool, Fault> {
        Ok(self.int(name, i64::from(default))? != 0)
    }

    #[expect(clippy::cast_precision_loss, reason = "as Python's exporters write whole numbers")]
    pub(super) fn float(&self, name: &'static str, default: f32) -> Result<f32, Fault> {
        match self.attribute(name) {
            Some(AttributeValue::Float(value)) => Ok(*value),
            Some(AttributeValue::Int(value)) => Ok(*value as f32),
            None => Ok(default),
            Some(_) => Err(Self::wrong(name, "a number")),
        }
    }

    pub(super) fn text(&self, name: &'static str, default: &'static str) -> Result<&'a str, Fault> {
        match self.attribute(name) {
            Some(AttributeValue::String(bytes)) => {
                std::str::from_utf8(bytes).map_err(|_| Self::wrong(name, "text"))
            }
            None => Ok(default),
            Some(_) => Err(Self::wrong(name, "text")),
        }
    }

    pub(super) fn ints(&self, name: &'static str) -> Result<Option<&'a [i64]>, Fault> {
        match self.attribute(name) {
            Some(AttributeValue::Ints(list)) => Ok(Some(list)),
            Some(AttributeValue::Int(one)) => Ok(Some(std::slice::from_ref(one))),
            None => Ok(None),
            Some(_) => Err(Self::wrong(name, "a list of whole numbers")),
        }
    }

    pub(super) fn floats(&self, name: &'static str) -> Result<Option<&'a [f32]>, Fault> {
        match self.attribute(name) {
            Some(AttributeValue::Floats(list)) => Ok(Some(list)),
            None => Ok(None),
            Some(_) => Err(Self::wrong(name, "a list of numbers")),
        }
    }

    pub(super) fn texts(&self, name: &'static str) -> Result<Option<Vec<&'a str>>, Fault> {
        match self.attribute(name) {
            Some(AttributeValue::Strings(list)) => list
                .iter()
                .map(|bytes| std::str::from_utf8(bytes).map_err(|_| Self::wrong(name, "texts")))
                .collect::<Result<_, _>>()
                .map(Some),
            None => Ok(None),
            Some(_) => Err(Self::wrong(name, "a list of texts")),
        }
    }

    pub(super) fn stored(&self, name: &'static str) -> Result<Option<&'a Stored<'a>>, Fault> {
        match self.attribute(name) {
            Some(AttributeValue::Tensor(tensor)) => Ok(Some(tensor)),
            None => Ok(None),
            Some(_) => Err(Self::wrong(name, "a tensor")),
        }
    }

    pub(super) fn graph(&self, name: &'static str) -> Result<&'a Graph<'a>, Fault> {
        match self.attribute(name) {
            Some(AttributeValue::Graph(graph)) => Ok(graph),
            _ => Err(Self::wrong(name, "a graph")),
        }
    }

    /// Operand `i` of any kind.
    pub(super) fn value(&self, i: usize) -> Option<&Value> {
        self.inputs.get(i).and_then(Option::as_ref)
    }

    /// Operand `i`, which must be there.
    pub(super) fn tensor(&self, i: usize) -> Result<&Tensor, Fault> {
        self.optional(i)?.ok_or_else(|| Fault::invalid(format!("input {i} is missing")))
    }

    /// Operand `i`, if it is there.
    pub(super) fn optional(&self, i: usize) -> Result<Option<&Tensor>, Fault> {
        match self.value(i) {
            Some(Value::Tensor(tensor)) => Ok(Some(tensor)),
            None | Some(Value::Nothing) => Ok(None),
            Some(Value::Sequence(_) | Value::Unknown) => {
                Err(Fault::invalid(format!("input {i} must be a tensor")))
            }
        }
    }

    /// All operands, all of which must be there.
    pub(super) fn tensors(&self) -> Result<Vec<&Tensor>, Fault> {
        (0..self.inputs.len()).map(|i| self.tensor(i)).collect()
    }

    /// What an operator of this name gives that was registered.
    pub(super) fn custom(&self, b: &mut Builder<'_>, name: String) -> Outputs {
        let mut used = custom::Call { name, ..custom::Call::default() };
        used.results.resize_with(self.node.outputs.len(), custom::Declared::default);
        for attribute in &self.node.attributes {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let setting = match self.resolve(&attribute.value) {
                None => continue,
                Some(AttributeValue::Int(value)) => Setting::Int(*value),
                Some(AttributeValue::Float(value)) => Setting::Float(*value),
                Some(AttributeValue::String(bytes)) => Setting::Text(text(bytes)),
                Some(AttributeValue::Ints(list)) => Setting::Ints(list.clone()),
                Some(AttributeValue::Floats(list)) => Setting::Floats(list.clone()),
                Some(_) => {
                    let reason = "holds no numbers and no text";
                    let name = attribute.name;
                    return Err(Fault::unsupported(format!("attribute `{name}` {reason}")));
                }
            };
            used.attributes.insert(attribute.name.to_owned(), setting);
        }
        let operands = (0..self.inputs.len()).map(|i| self.optional(i));
        let operands: Vec<Option<&Tensor>> = operands.collect::<Result<_, _>>()?;
        Ok(b.custom(used, &operands)?.into_iter().map(Value::from).collect())
    }

    /// Whether somebody reads output `i`.
    pub(super) fn wants(&self, i: usize) -> bool {
        self.node.outputs.get(i).is_some_and(|name| !name.is_empty())
    }
}
