//! What there is to show of an ONNX file: constants that are listed among the inputs, as old
//! versions of the format ask for, are no inputs here, since they need not be given.

use super::{Extent, Network, Port, shown};
use formats::{
    FormatError,
    onnx::{
        AttributeValue, Contents, Declaration, Dim, Graph, IR_VERSION_MAX, Model, Node, OPSET_MAX,
        OpsetImport, Tensor, Type,
    },
};
use serde_json::json;
use std::collections::{BTreeMap, HashSet};

/// Reads a file.
pub(super) fn read(file: &[u8]) -> Result<Network, FormatError> {
    let model = Model::parse(file)?;
    let mut network = Network { format: "ONNX", ..Network::default() };
    network.head.push(("ir_version", json!(model.ir_version)));
    network.head.push(("opsets", json!(opsets(&model.opset_imports))));
    let producer = format!("{} {}", model.producer_name, model.producer_version);
    for (name, text) in [
        ("producer", shown(producer.trim())),
        ("domain", shown(&model.domain.to_string())),
        ("doc", shown(&model.doc.to_string())),
    ] {
        if !text.is_empty() {
            network.head.push((name, json!(text)));
        }
    }
    if model.model_version != 0 {
        network.head.push(("version", json!(model.model_version)));
    }
    if !model.functions.is_empty() {
        network.head.push(("functions", json!(model.functions.len())));
    }
    notices(&model, &mut network.notices);
    let constants: HashSet<&str> =
        model.graph.initializers.iter().map(|tensor| tensor.name).collect();
    let given = |value: &&Declaration<'_>| !constants.contains(value.name);
    network.inputs = model.graph.inputs.iter().filter(given).map(port).collect();
    network.outputs = model.graph.outputs.iter().map(port).collect();
    count(&model.graph.nodes, &mut network.operators);
    lines(&model.graph, "", &mut network.lines);
    for function in &model.functions {
        count(&function.nodes, &mut network.operators);
        let inputs: Vec<String> = function.inputs.iter().map(|name| shown(name)).collect();
        let (name, inputs) = (shown(function.name), inputs.join(", "));
        network.lines.push(format!("function {name}({inputs}):"));
        function.nodes.iter().for_each(|node| line(node, "  ", &mut network.lines));
    }
    match import::onnx::Network::new(file, &model) {
        Ok(known) => {
            network.unsupported = known.unsupported().iter().map(ToString::to_string).collect();
        }
        Err(error) => network.notices.push(error.to_string()),
    }
    model.for_each_tensor(&mut |tensor| network.constants.push(constant(tensor)));
    for (_, external) in model.external() {
        let bytes = network.external.entry(external.location.to_owned()).or_default();
        *bytes = bytes.saturating_add(external.length);
    }
    for (key, value) in &model.metadata_props {
        network.metadata.push(((*key).to_owned(), value.to_string()));
    }
    Ok(network)
}

/// Versions by domain; ONNX's own domain by its long name.
fn opsets(imports: &[OpsetImport<'_>]) -> BTreeMap<String, i64> {
    let name = |domain: &str| if domain.is_empty() { "ai.onnx".to_owned() } else { shown(domain) };
    imports.iter().map(|import| (name(import.domain), import.version)).collect()
}

fn notices(model: &Model<'_>, notices: &mut Vec<String>) {
    for (what, version, newest) in [
        ("opset", model.opset("").unwrap_or(0), OPSET_MAX),
        ("IR version", model.ir_version, IR_VERSION_MAX),
    ] {
        if version > newest {
            notices.push(format!("{what} {version} is newer than {newest}, the newest known"));
        }
    }
    if model.training_graphs > 0 {
        notices.push("its training graphs are not read".to_owned());
    }
}

fn type_text(ty: &Type<'_>) -> (String, Option<Vec<Extent>>) {
    let of = |name: &str, inner: &Type<'_>| (format!("{name} of {}", type_text(inner).0), None);
    match ty {
        Type::Tensor { element, shape } | Type::SparseTensor { element, shape } => {
            let element = element.map_or("any type", |element| element.name());
            let extent = |dim: &Dim<'_>| match *dim {
                Dim::Known(size) => Extent::Known(size),
                Dim::Named(name) => Extent::Named(name.to_owned()),
                Dim::Unknown => Extent::Free,
            };
            let shape = shape.as_ref().map(|dims| dims.iter().map(extent).collect());
            (element.to_owned(), shape)
        }
        Type::Sequence(inner) => of("sequence", inner),
        Type::Optional(inner) => of("optional", inner),
        Type::Map { value, .. } => of("map", value),
        Type::Opaque { name, .. } => (shown(name), None),
        Type::Unknown => ("any type".to_owned(), None),
    }
}

fn port(value: &Declaration<'_>) -> Port {
    let (ty, shape) = type_text(&value.ty);
    Port { name: value.name.to_owned(), ty, shape, quantization: None }
}

fn constant(tensor: &Tensor<'_>) -> (Port, u64) {
    let bytes = match &tensor.contents {
        Contents::Strings(strings) => strings.iter().map(|text| text.len() as u64).sum(),
        Contents::Bytes(_) | Contents::Typed(_) | Contents::External(_) => {
            tensor.byte_len().unwrap_or(0)
        }
    };
    let shape = tensor.dims.iter().copied().map(Extent::Known).collect();
    let ty = tensor.element.name().to_owned();
    (Port { name: tensor.name.to_owned(), ty, shape: Some(shape), quantization: None }, bytes)
}

fn operator(node: &Node<'_>) -> String {
    if node.domain.is_empty() {
        node.op_type.to_owned()
    } else {
        format!("{}.{}", node.domain, node.op_type)
    }
}

/// The graphs in a node's attributes.
fn subgraphs<'m, 'a>(node: &'m Node<'a>) -> impl Iterator<Item = (&'a str, &'m Graph<'a>)> {
    node.attributes.iter().flat_map(|attribute| {
        let graphs = match &attribute.value {
            AttributeValue::Graph(graph) => std::slice::from_ref(&**graph),
            AttributeValue::Graphs(graphs) => graphs,
            _ => &[],
        };
        graphs.iter().map(|graph| (attribute.name, graph))
    })
}

fn count(nodes: &[Node<'_>], operators: &mut BTreeMap<String, u64>) {
    for node in nodes {
        *operators.entry(operator(node)).or_default() += 1;
        subgraphs(node).for_each(|(_, graph)| count(&graph.nodes, operators));
    }
}

fn lines(graph: &Graph<'_>, indent: &str, out: &mut Vec<String>) {
    graph.nodes.iter().for_each(|node| line(node, indent, out));
}

fn line(node: &Node<'_>, indent: &str, out: &mut Vec<String>) {
    let name = |name: &&str| if name.is_empty() { "-".to_owned() } else { shown(name) };
    let names = |names: &[&str]| names.iter().map(name).collect::<Vec<_>>().join(", ");
    let (inputs, outputs) = (names(&node.inputs), names(&node.outputs));
    out.push(format!("{indent}{outputs} = {}({inputs})", shown(&operator(node))));
    for (name, graph) in subgraphs(node) {
        out.push(format!("{indent}  {}:", shown(name)));
        lines(graph, &format!("{indent}    "), out);
    }
}
