//! Walks a file's nodes in order, binding names to values. Functions are entered with a scope and
//! attributes of their own, sub-graphs with a scope that sees the ones around it.

use super::{
    Bound, Declared, Imported, NetworkError, Output, Unsupported,
    call::{Call, Frame, Value},
    constant,
    ops::{self, Rule},
    order::{self, Order},
    scan::{self, label},
};
use crate::network::{Builder, Fault, Host, HostError, Tensor};
use formats::onnx::{Function, Graph, Model, Node, OPSET_MAX, OpsetImport};
use std::{collections::HashMap, rc::Rc};

/// Functions and sub-graphs inside each other.
const DEPTH_MAX: usize = 64;
/// Nodes of one import, loops unrolled and functions inlined.
const NODES_MAX: u64 = 1 << 18;

/// The state of one import.
pub(super) struct Importer<'a, 'h> {
    file: &'a [u8],
    model: &'a Model<'a>,
    pub(super) builder: Builder<'h>,
    scopes: Vec<Scope<'a>>,
    /// The functions that are being inlined.
    frames: Vec<(Rc<Frame<'a>>, &'a [OpsetImport<'a>])>,
    orders: HashMap<*const Node<'a>, Rc<Order<'a>>>,
    unsupported: Vec<Unsupported>,
    nodes: u64,
}

/// Values by name.
#[derive(Default)]
struct Scope<'a> {
    values: HashMap<&'a str, Value>,
    /// A function's body does not see what is around it.
    is_function: bool,
}

/// Imports a network whose structure was checked.
pub(super) fn import<'a>(
    file: &'a [u8],
    model: &'a Model<'a>,
    declared: &[Declared],
    bound: &[Bound],
    host: &mut dyn Host,
) -> Result<Imported, NetworkError> {
    let mut importer = Importer {
        file,
        model,
        builder: Builder::new(host),
        scopes: Vec::new(),
        frames: Vec::new(),
        orders: HashMap::new(),
        unsupported: Vec::new(),
        nodes: 0,
    };
    let mut inputs = Vec::with_capacity(bound.len());
    for (place, (declared, bound)) in declared.iter().zip(bound).enumerate() {
        let narrow = declared.element.and_then(|element| constant::element(element).ok());
        let tensor = importer.builder.input(place, bound.dtype, bound.dims);
        let tensor = tensor.narrowed(narrow.and_then(|(_, narrow)| narrow));
        inputs.push((declared.name.as_str(), Value::Tensor(tensor)));
    }
    let values = importer.main(&inputs);
    if !importer.unsupported.is_empty() {
        return Err(NetworkError::Unsupported(importer.unsupported));
    }
    let values = values?;
    let mut tensors = Vec::with_capacity(values.len());
    for (info, value) in model.graph.outputs.iter().zip(&values) {
        match value {
            Value::Tensor(tensor) => tensors.push(tensor),
            Value::Sequence(_) | Value::Nothing | Value::Unknown => {
                let unsupported = Unsupported {
                    op: "output".into(),
                    version: model.opset("").unwrap_or(1),
                    node: info.name.into(),
                    reason: "a sequence or optional cannot be given out".into(),
                };
                return Err(NetworkError::Unsupported(vec![unsupported]));
            }
        }
    }
    let (stage, ports) = importer.builder.finish(&tensors).map_err(|fault| {
        NetworkError::Structure { node: "outputs".into(), reason: fault.to_string() }
    })?;
    let outputs = model.graph.outputs.iter().zip(&tensors).zip(ports);
    let outputs = outputs.map(|((info, tensor), port)| Output {
        name: info.name.to_owned(),
        dtype: tensor.dtype,
        narrow: tensor.narrow,
        dims: tensor.dims,
        port,
    });
    Ok(Imported { stage, outputs: outputs.collect() })
}

impl<'a> Importer<'a, '_> {
    fn main(&mut self, inputs: &[(&str, Value)]) -> Result<Vec<Value>, NetworkError> {
        let graph = &self.model.graph;
        let args = graph.inputs.iter().map(|info| {
            inputs.iter().find(|(name, _)| *name == info.name).map(|(_, value)| value.clone())
        });
        self.graph(graph, args.collect())
    }

    /// Runs a graph with these inputs; those that are not there are initialisers.
    pub(super) fn graph(
        &mut self,
        graph: &'a Graph<'a>,
        args: Vec<Option<Value>>,
    ) -> Result<Vec<Value>, NetworkError> {
        let mut scope = Scope::default();
        let failed = |name: &str, fault: Fault| NetworkError::Structure {
            node: name.to_owned(),
            reason: fault.to_string(),
        };
        if self.scopes.len() > DEPTH_MAX {
            let fault = Fault::invalid(format!("graphs are nested deeper than {DEPTH_MAX}"));
            return Err(failed(graph.name, fault));
        }
        let constants = graph.initializers.len().saturating_add(graph.sparse_initializers.len());
        self.builder.count(constants).map_err(|fault| failed(graph.name, fault))?;
        for tensor in &graph.initializers {
            let value = match constant::constant(self.file, tensor) {
                Ok(value) => Value::Tensor(value),
                Err(Fault::Unsupported(reason)) => {
                    self.unsupported.push(Unsupported {
                        op: "initializer".into(),
                        version: self.model.opset("").unwrap_or(1),
                        node: tensor.name.to_owned(),
                        reason,
                    });
                    Value::Unknown
                }
                Err(fault) => return Err(failed(tensor.name, fault)),
            };
            scope.values.insert(tensor.name, value);
        }
        for tensor in &graph.sparse_initializers {
            let name = tensor.values.name;
            let value =
                constant::sparse(&self.builder, tensor).map_err(|fault| failed(name, fault))?;
            scope.values.insert(name, value.into());
        }
        for (info, arg) in graph.inputs.iter().zip(args) {
            if let Some(value) = arg {
                scope.values.insert(info.name, value);
            }
        }
        self.scopes.push(scope);
        let outputs = || graph.outputs.iter().map(|output| output.name);
        let values = self.nodes(&graph.nodes, outputs);
        self.scopes.pop();
        values
    }

    /// Inlines a function of the file.
    fn function(
        &mut self,
        function: &'a Function<'a>,
        call: &Call<'a>,
    ) -> Result<Vec<Value>, NetworkError> {
        let mut frame = Frame::new();
        for default in &function.attribute_defaults {
            frame.insert(default.name, &default.value);
        }
        for attribute in &call.node.attributes {
            if let Some(value) = call.resolve(&attribute.value) {
                frame.insert(attribute.name, value);
            }
        }
        let mut scope = Scope { is_function: true, ..Scope::default() };
        for (name, value) in function.inputs.iter().zip(&call.inputs) {
            if let Some(value) = value {
                scope.values.insert(name, value.clone());
            }
        }
        self.scopes.push(scope);
        self.frames.push((Rc::new(frame), &function.opset_imports));
        let values = self.nodes(&function.nodes, || function.outputs.iter().copied());
        self.frames.pop();
        self.scopes.pop();
        values
    }

    /// Runs nodes in the topmost scope and gives the values of these names.
    fn nodes<I: Iterator<Item = &'a str>>(
        &mut self,
        nodes: &'a [Node<'a>],
        outputs: impl Fn() -> I,
    ) -> Result<Vec<Value>, NetworkError> {
        let key = nodes.as_ptr();
        let order = if let Some(order) = self.orders.get(&key) {
            order.clone()
        } else {
            let order = Rc::new(order::order(nodes, outputs())?);
            self.orders.insert(key, order.clone());
            order
        };
        for (&place, done) in order.nodes.iter().zip(&order.done) {
            let node = &nodes[place];
            let values = self.node(node)?;
            let scope = self.scopes.last_mut().expect("a graph has a scope while it runs");
            let mut values = values.into_iter();
            for name in &node.outputs {
                let value = values.next();
                if !name.is_empty() {
                    let missing = || NetworkError::Node {
                        node: label(node),
                        op: node.op_type.to_owned(),
                        reason: format!("has no output for `{name}`"),
                    };
                    scope.values.insert(name, value.ok_or_else(missing)?);
                }
            }
            for name in done {
                scope.values.remove(name);
            }
        }
        outputs()
            .map(|name| {
                self.find(name).ok_or_else(|| NetworkError::Structure {
                    node: name.to_owned(),
                    reason: "the output has no value".into(),
                })
            })
            .collect()
    }

    fn find(&self, name: &str) -> Option<Value> {
        for scope in self.scopes.iter().rev() {
            if let Some(value) = scope.values.get(name) {
                return Some(value.clone());
            }
            if scope.is_function {
                break;
            }
        }
        None
    }

    /// The opset of a domain where the walk stands.
    fn opset(&self, domain: &str) -> i64 {
        let own = self.frames.last().and_then(|(_, imports)| {
            imports.iter().find(|import| import.domain == domain).map(|import| import.version)
        });
        own.or_else(|| self.model.opset(domain)).unwrap_or(OPSET_MAX)
    }

    fn node(&mut self, node: &'a Node<'a>) -> Result<Vec<Value>, NetworkError> {
        self.nodes += 1;
        let node_error = |reason: String| NetworkError::Node {
            node: label(node),
            op: ops::qualified(node.domain, node.op_type),
            reason,
        };
        if self.nodes > NODES_MAX {
            return Err(node_error(format!("loops unroll to more than {NODES_MAX} nodes")));
        }
        if self.scopes.len() > DEPTH_MAX {
            return Err(node_error(format!("graphs are nested deeper than {DEPTH_MAX}")));
        }
        let inputs: Vec<Option<Value>> = node
            .inputs
            .iter()
            .map(|name| if name.is_empty() { None } else { self.find(name) })
            .collect();
        let unknown = || vec![Value::Unknown; node.outputs.len()];
        if inputs.iter().flatten().any(|value| matches!(value, Value::Unknown)) {
            return Ok(unknown());
        }
        let frame = self.frames.last().map(|(frame, _)| frame.clone());
        let call = Call::new(node, self.opset(node.domain), inputs, frame);
        if let Some(function) = scan::function(self.model, node) {
            return self.function(function, &call);
        }
        self.builder.enter(label(node));
        let result = match ops::find(node.domain, node.op_type) {
            Some(Rule::Control(control)) => match control(self, &call) {
                Ok(values) => Ok(values),
                Err(Halt::Network(error)) => return Err(error),
                Err(Halt::Fault(fault)) => Err(fault),
            },
            Some(rule) => rule.apply(&mut self.builder, &call, self.file),
            None => match ops::qualified(node.domain, node.op_type) {
                name if self.builder.knows(&name) => call.custom(&mut self.builder, name),
                _ => Err(Fault::unsupported(super::UNKNOWN)),
            },
        };
        let known = ops::find(node.domain, node.op_type).is_some();
        let result = result.and_then(|values| match call.unknown().filter(|_| known) {
            Some(name) => Err(Fault::unsupported(format!("attribute `{name}` is not known"))),
            None => Ok(values),
        });
        match result {
            Ok(values) => Ok(values),
            Err(Fault::Unsupported(reason)) => {
                self.unsupported.push(Unsupported {
                    op: ops::qualified(node.domain, node.op_type),
                    version: call.version,
                    node: label(node),
                    reason,
                });
                Ok(unknown())
            }
            Err(Fault::Invalid(reason) | Fault::Host(HostError::Evaluate(reason))) => {
                Err(node_error(reason))
            }
            Err(Fault::Host(HostError::Pending)) => Err(NetworkError::Pending {
                node: label(node),
                op: ops::qualified(node.domain, node.op_type),
            }),
            Err(Fault::Host(source)) => Err(NetworkError::Host { node: label(node), source }),
        }
    }
}

/// Why a control operator stopped: its own fault, or that of a node inside.
pub(super) enum Halt {
    Network(NetworkError),
    Fault(Fault),
}

impl From<Fault> for Halt {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<NetworkError> for Halt {
    fn from(error: NetworkError) -> Self {
        Self::Network(error)
    }
}

/// A tensor out of a value.
pub(super) fn tensor(value: &Value) -> Result<&Tensor, Fault> {
    match value {
        Value::Tensor(tensor) => Ok(tensor),
        Value::Sequence(_) | Value::Nothing | Value::Unknown => {
            Err(Fault::invalid("a tensor is needed, not a sequence or optional"))
        }
    }
}
