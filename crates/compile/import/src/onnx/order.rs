//! The order in which a graph's nodes can run, and when each value was read for the last time.
//! Files need not be sorted; nodes that wait for each other are an error.

use super::{NetworkError, scan::label};
use formats::onnx::{AttributeValue, Graph, Node};
use std::collections::{HashMap, HashSet};

/// Nodes in an order in which they can run.
#[derive(Debug, Default)]
pub(super) struct Order<'a> {
    /// Places in the graph's list.
    pub(super) nodes: Vec<usize>,
    /// Names that nobody reads after the node at the same place of `nodes`.
    pub(super) done: Vec<Vec<&'a str>>,
}

/// Orders nodes whose list of outputs is read by `kept` after the last of them.
pub(super) fn order<'a>(
    nodes: &'a [Node<'a>],
    kept: impl Iterator<Item = &'a str>,
) -> Result<Order<'a>, NetworkError> {
    let mut writer: HashMap<&str, usize> = HashMap::new();
    for (place, node) in nodes.iter().enumerate() {
        for name in node.outputs.iter().filter(|name| !name.is_empty()) {
            if writer.insert(name, place).is_some() {
                let reason = format!("value `{name}` is written twice");
                return Err(NetworkError::Structure { node: label(node), reason });
            }
        }
    }
    let reads: Vec<Vec<&str>> = nodes.iter().map(reads).collect();
    let mut sorted = Vec::with_capacity(nodes.len());
    // 0: not seen, 1: waits for its inputs, 2: in place.
    let mut state = vec![0u8; nodes.len()];
    for root in 0..nodes.len() {
        // Depth first without recursion: a file can chain a million nodes.
        let mut stack = vec![(root, 0usize)];
        while let Some((place, next)) = stack.pop() {
            if next == 0 {
                if state[place] == 2 {
                    continue;
                }
                state[place] = 1;
            }
            match reads[place].get(next) {
                Some(name) => {
                    stack.push((place, next + 1));
                    if let Some(&before) = writer.get(name)
                        && state[before] != 2
                    {
                        if state[before] == 1 {
                            let reason = format!("waits for `{name}`, which waits for the node");
                            return Err(NetworkError::Structure {
                                node: label(&nodes[place]),
                                reason,
                            });
                        }
                        stack.push((before, 0));
                    }
                }
                None if state[place] == 1 => {
                    state[place] = 2;
                    sorted.push(place);
                }
                None => {}
            }
        }
    }
    let mut last: HashMap<&str, usize> = HashMap::new();
    for (when, &place) in sorted.iter().enumerate() {
        for name in reads[place].iter().chain(&nodes[place].outputs) {
            last.insert(name, when);
        }
    }
    for name in kept {
        last.remove(name);
    }
    let mut done = vec![Vec::new(); sorted.len()];
    for (name, when) in last {
        done[when].push(name);
    }
    Ok(Order { nodes: sorted, done })
}

/// Names that a node reads, and those that its sub-graphs read from around them.
fn reads<'a>(node: &'a Node<'a>) -> Vec<&'a str> {
    let mut names: Vec<&str> =
        node.inputs.iter().copied().filter(|name| !name.is_empty()).collect();
    for graph in graphs(node) {
        let own: HashSet<&str> = graph
            .inputs
            .iter()
            .map(|input| input.name)
            .chain(graph.initializers.iter().map(|tensor| tensor.name))
            .chain(graph.sparse_initializers.iter().map(|tensor| tensor.values.name))
            .chain(graph.nodes.iter().flat_map(|inner| inner.outputs.iter().copied()))
            .collect();
        let read = graph.nodes.iter().flat_map(reads);
        let read = read.chain(graph.outputs.iter().map(|output| output.name));
        names.extend(read.filter(|name| !own.contains(name)));
    }
    names
}

/// The sub-graphs of a node.
pub(super) fn graphs<'a>(node: &'a Node<'a>) -> impl Iterator<Item = &'a Graph<'a>> {
    node.attributes.iter().flat_map(|attribute| match &attribute.value {
        AttributeValue::Graph(graph) => std::slice::from_ref(&**graph),
        AttributeValue::Graphs(graphs) => graphs.as_slice(),
        _ => &[],
    })
}
