//! What can be said of a file before anything is imported: whether its graphs are graphs, and
//! which of its operators are not known. Nothing of the weights is read.

use super::{NetworkError, Unsupported, ops, order};
use formats::onnx::{Function, Graph, Model, Node};
use std::collections::HashSet;

/// What messages call a node: its name, or that of its first output.
pub(super) fn label(node: &Node<'_>) -> String {
    let named = |name: &&str| !name.is_empty();
    let output = || node.outputs.iter().copied().find(named);
    Some(node.name).filter(named).or_else(output).unwrap_or("?").to_owned()
}

/// The function of the file that defines a node's operator.
pub(super) fn function<'a>(model: &'a Model<'a>, node: &Node<'_>) -> Option<&'a Function<'a>> {
    model.functions.iter().find(|function| {
        (function.name, function.domain, function.overload)
            == (node.op_type, node.domain, node.overload)
    })
}

/// Checks order and names of all graphs and functions.
pub(super) fn structure(model: &Model<'_>) -> Result<(), NetworkError> {
    for function in &model.functions {
        let given: HashSet<&str> = function.inputs.iter().copied().collect();
        nodes(&function.nodes, &given, function.outputs.iter().copied())?;
    }
    graph(&model.graph, &HashSet::new())
}

fn graph<'a>(graph: &'a Graph<'a>, outer: &HashSet<&'a str>) -> Result<(), NetworkError> {
    let mut given = outer.clone();
    given.extend(graph.inputs.iter().map(|input| input.name));
    given.extend(graph.initializers.iter().map(|tensor| tensor.name));
    given.extend(graph.sparse_initializers.iter().map(|tensor| tensor.values.name));
    nodes(&graph.nodes, &given, graph.outputs.iter().map(|output| output.name))
}

fn nodes<'a>(
    list: &'a [Node<'a>],
    given: &HashSet<&'a str>,
    outputs: impl Iterator<Item = &'a str> + Clone,
) -> Result<(), NetworkError> {
    let order = order::order(list, outputs.clone())?;
    let mut known = given.clone();
    for place in order.nodes {
        let node = &list[place];
        let error = |reason| NetworkError::Structure { node: label(node), reason };
        for name in node.inputs.iter().filter(|name| !name.is_empty()) {
            if !known.contains(name) {
                return Err(error(format!("reads `{name}`, which nothing writes")));
            }
        }
        for inner in order::graphs(node) {
            graph(inner, &known)?;
        }
        for name in node.outputs.iter().filter(|name| !name.is_empty()) {
            if given.contains(name) {
                return Err(error(format!("writes `{name}`, which exists already")));
            }
            known.insert(name);
        }
    }
    for name in outputs {
        if !name.is_empty() && !known.contains(name) {
            let reason = format!("output `{name}` is written by nothing");
            return Err(NetworkError::Structure { node: name.to_owned(), reason });
        }
    }
    Ok(())
}

/// Nodes whose operator is not known here, in the order of the file.
pub(super) fn unsupported(model: &Model<'_>) -> Vec<Unsupported> {
    let mut found = Vec::new();
    scan(model, &model.graph.nodes, &mut found);
    for function in &model.functions {
        scan(model, &function.nodes, &mut found);
    }
    found
}

fn scan(model: &Model<'_>, nodes: &[Node<'_>], found: &mut Vec<Unsupported>) {
    for node in nodes {
        if function(model, node).is_none() && ops::find(node.domain, node.op_type).is_none() {
            found.push(Unsupported {
                op: ops::qualified(node.domain, node.op_type),
                version: model.opset(node.domain).unwrap_or(1),
                node: label(node),
                reason: super::UNKNOWN.into(),
            });
        }
        for graph in order::graphs(node) {
            scan(model, &graph.nodes, found);
        }
    }
}
