//! Networks written by the packages that own the formats, against the tables that those packages
//! print. `tools/goldens/networks.py` describes the tables' lines.

use std::{fmt::Write as _, fs, path::Path};

use ledge_formats::{
    json::Value,
    onnx::{self, Attribute, AttributeValue, Contents, Graph, Node, Tensor, Type},
    tflite,
};

use crate::table::crc32;

/// Names as a JSON list.
fn quoted(names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|name| Value::from(*name).to_string()).collect();
    format!("[{}]", names.join(", "))
}

fn bits(number: f32) -> String {
    format!("{:08x}", number.to_bits())
}

fn tensor_text(tensor: &Tensor<'_>) -> String {
    let head = format!("{} {:?}", tensor.element, tensor.dims);
    match &tensor.contents {
        Contents::External(file) => format!("{head} in {} at {}", file.location, file.offset),
        Contents::Strings(strings) => {
            let strings: Vec<_> = strings.iter().map(|s| str::from_utf8(s).unwrap()).collect();
            format!("{head} {}", quoted(&strings))
        }
        Contents::Bytes(_) | Contents::Typed(_) => {
            format!("{head} {:08x}", crc32(&tensor.bytes().unwrap()))
        }
    }
}

fn type_text(ty: &Type<'_>) -> String {
    let any = || "?".to_owned();
    match ty {
        Type::Tensor { element, shape } => {
            let element = element.map_or_else(any, |ty| ty.to_string());
            let dims = |dims: &Vec<onnx::Dim<'_>>| {
                let dims: Vec<_> = dims.iter().map(ToString::to_string).collect();
                format!("[{}]", dims.join(", "))
            };
            format!("{element} {}", shape.as_ref().map_or_else(any, dims))
        }
        Type::Sequence(inner) => format!("sequence({})", type_text(inner)),
        Type::Optional(inner) => format!("optional({})", type_text(inner)),
        Type::SparseTensor { .. } | Type::Map { .. } | Type::Opaque { .. } | Type::Unknown => any(),
    }
}

fn attribute_lines(table: &mut String, indent: &str, attribute: &Attribute<'_>) {
    use AttributeValue as V;
    let text = match &attribute.value {
        V::Reference { attribute, .. } => format!("of caller {attribute}"),
        V::Float(number) => format!("float {}", bits(*number)),
        V::Int(number) => format!("int {number}"),
        V::String(text) => format!("string {}", Value::from(str::from_utf8(text).unwrap())),
        V::Tensor(tensor) => format!("tensor {}", tensor_text(tensor)),
        V::Floats(numbers) => {
            format!("floats {}", numbers.iter().copied().map(bits).collect::<Vec<_>>().join(" "))
        }
        V::Ints(numbers) => format!("ints {numbers:?}"),
        V::Strings(texts) => {
            let texts: Vec<_> = texts.iter().map(|text| str::from_utf8(text).unwrap()).collect();
            format!("strings {}", quoted(&texts))
        }
        V::Type(ty) => format!("type {}", type_text(ty)),
        V::Graph(_) => "graph".to_owned(),
        other => panic!("{other:?} is not in the golden"),
    };
    writeln!(table, "{indent}attribute {} {text}", attribute.name).unwrap();
    if let V::Graph(graph) = &attribute.value {
        graph_lines(table, &format!("{indent}  "), graph);
    }
}

fn node_lines(table: &mut String, indent: &str, nodes: &[Node<'_>]) {
    for node in nodes {
        let (name, inputs) = (Value::from(node.name), quoted(&node.inputs));
        let (op, outputs) = (node.op_type, quoted(&node.outputs));
        writeln!(table, "{indent}node {name} {}::{op} {inputs} -> {outputs}", node.domain).unwrap();
        for attribute in &node.attributes {
            attribute_lines(table, &format!("{indent}  "), attribute);
        }
    }
}

fn graph_lines(table: &mut String, indent: &str, graph: &Graph<'_>) {
    let values = [("input", &graph.inputs), ("output", &graph.outputs), ("value", &graph.declared)];
    for (role, values) in values {
        for value in values {
            writeln!(table, "{indent}{role} {} {}", value.name, type_text(&value.ty)).unwrap();
        }
    }
    for tensor in &graph.initializers {
        writeln!(table, "{indent}constant {} {}", tensor.name, tensor_text(tensor)).unwrap();
    }
    for sparse in &graph.sparse_initializers {
        let (values, indices) = (tensor_text(&sparse.values), tensor_text(&sparse.indices));
        let (name, dims) = (sparse.values.name, &sparse.dims);
        writeln!(table, "{indent}sparse {name} {dims:?} of {values} at {indices}").unwrap();
    }
    node_lines(table, indent, &graph.nodes);
}

fn onnx_table(file: &[u8]) -> String {
    let model = onnx::Model::parse(file).unwrap();
    let producer = format!("{} {}", model.producer_name, model.producer_version);
    let mut table = format!("ir {} by {producer}\n", model.ir_version);
    for import in &model.opset_imports {
        writeln!(table, "opset {} {}", Value::from(import.domain), import.version).unwrap();
    }
    for (key, value) in &model.metadata_props {
        writeln!(table, "property {key} {value}").unwrap();
    }
    graph_lines(&mut table, "", &model.graph);
    for function in &model.functions {
        let name = format!("{}::{}", function.domain, function.name);
        let (inputs, outputs) = (quoted(&function.inputs), quoted(&function.outputs));
        let attributes = quoted(&function.attributes);
        writeln!(table, "function {name} {inputs} {attributes} -> {outputs}").unwrap();
        for attribute in &function.attribute_defaults {
            attribute_lines(&mut table, "  ", attribute);
        }
        node_lines(&mut table, "  ", &function.nodes);
    }
    table
}

/// Indices as the schema's numbers.
fn numbers(indices: &[Option<u32>]) -> Vec<i64> {
    indices.iter().map(|idx| idx.map_or(-1, i64::from)).collect()
}

fn tflite_tensor(model: &tflite::Model<'_>, tensor: &tflite::Tensor<'_>) -> String {
    let signature: Vec<i64> =
        tensor.signature.iter().flatten().map(|dim| dim.map_or(-1, u64::cast_signed)).collect();
    let crc = crc32(model.constant(tensor).unwrap_or_default());
    let (name, ty, shape) = (tensor.name, tensor.ty, &tensor.shape);
    let mut text = format!("tensor {name} {ty} {shape:?} {signature:?} {crc:08x}");
    if let Some(quantization) = &tensor.quantization {
        let scales: Vec<String> = quantization.scales.iter().map(bits).collect();
        let (scales, zeros) = (scales.join(" "), quantization.zero_points);
        write!(text, " scales {scales} zeros {zeros:?} along {}", quantization.dimension).unwrap();
    }
    text + if tensor.is_variable { " variable" } else { "" }
}

fn tflite_table(file: &[u8]) -> String {
    let model = tflite::Model::parse(file).unwrap();
    let mut table = String::new();
    for code in &model.operator_codes {
        writeln!(table, "code {} {code} {}", code.builtin, code.version).unwrap();
    }
    for graph in &model.subgraphs {
        let (inputs, outputs) = (&graph.inputs, &graph.outputs);
        writeln!(table, "graph {}\n  inputs {inputs:?} outputs {outputs:?}", graph.name).unwrap();
        for tensor in &graph.tensors {
            writeln!(table, "  {}", tflite_tensor(&model, tensor)).unwrap();
        }
        for operator in &graph.operators {
            let (inputs, outputs) = (numbers(&operator.inputs), numbers(&operator.outputs));
            let (code, kind) = (model.code(operator), operator.options.kind());
            let custom = crc32(operator.custom_options);
            writeln!(
                table,
                "  operator {code} {inputs:?} -> {outputs:?} options {kind} custom {custom:08x}"
            )
            .unwrap();
        }
    }
    for (name, bytes) in &model.metadata {
        writeln!(table, "metadata {name} {:08x}", crc32(bytes)).unwrap();
    }
    for signature in &model.signatures {
        writeln!(table, "signature {} of {}", signature.key, signature.subgraph).unwrap();
        for (role, names) in [("input", &signature.inputs), ("output", &signature.outputs)] {
            for (name, idx) in names {
                writeln!(table, "  {role} {name} {idx}").unwrap();
            }
        }
    }
    table
}

fn golden(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(name)).unwrap()
}

#[test]
fn networks_are_read_as_their_owners_read_them() {
    let want = String::from_utf8(golden("network.txt")).unwrap();
    let onnx = onnx_table(&golden("network.onnx"));
    let tflite = tflite_table(&golden("network.tflite"));
    let got = format!("# network.onnx\n{onnx}# network.tflite\n{tflite}");
    for (got, want) in got.lines().zip(want.lines()) {
        assert_eq!(got, want);
    }
    assert_eq!(got.lines().count(), want.lines().count());
}

#[test]
fn settings_and_sparse_constants_are_read_on_demand() {
    use tflite::options;
    let file = golden("network.tflite");
    let model = tflite::Model::parse(&file).unwrap();
    let [conv, branch, variable, odd] = &*model.subgraphs[0].operators else { panic!("four") };
    let settings = options::Conv2d::read(&conv.options).unwrap();
    let steps = (settings.stride_w, settings.stride_h, settings.dilation_w, settings.dilation_h);
    assert_eq!(steps, (2, 1, 1, 1));
    assert_eq!(
        (settings.padding, settings.activation),
        (options::Padding::Same, options::Activation::Relu)
    );
    assert_eq!(options::variable(&variable.options).unwrap(), ("store", "state"));
    let graphs = options::If::read(&branch.options).unwrap();
    assert_eq!(model.subgraph(graphs.then_subgraph).unwrap().name, "branch");
    assert!(model.subgraph(2).is_err() && options::If::read(&conv.options).is_err());
    // An operator without settings has the defaults.
    assert_eq!(options::Conv2d::read(&odd.options).unwrap().dilation_w, 1);
    let sparse = &model.subgraphs[0].tensors[8];
    let dense = [0f32, 1.0, 0.0, 0.0, 2.0, 0.0, 0.0, 3.0].map(f32::to_le_bytes).concat();
    assert_eq!(*model.expand(sparse).unwrap().unwrap(), dense);
    let free: Vec<_> = model.subgraphs[0].tensors[0].dims().collect();
    assert_eq!(free, [None, Some(8), Some(8), Some(1)]);
}

#[test]
fn cut_anywhere_a_network_is_an_error_or_a_smaller_one() {
    let (onnx, tflite) = (golden("network.onnx"), golden("network.tflite"));
    let mut accepted = 0;
    for cut in 0..onnx.len() {
        match onnx::Model::parse(&onnx[..cut]) {
            // Behind the graph come settings, which a shorter file lacks.
            Ok(model) => {
                assert_eq!(model.graph.nodes.len(), 4);
                accepted += 1;
            }
            Err(error) => assert!(error.to_string().chars().count() <= 300),
        }
    }
    assert!(accepted < 10, "{accepted}");
    for cut in 0..tflite.len() - 4 {
        assert!(tflite::Model::parse(&tflite[..cut]).is_err(), "{cut}");
    }
}
