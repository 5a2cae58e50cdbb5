//! `ledge inspect` of an ONNX or TFLite network: what it is given and gives, what it is made of.
//!
//! Only the reader is asked, so that a network whose operators cannot be run is shown as well.
//! Names out of the file are shown without control characters; JSON has them as they are.

use crate::{
    args::Inspect,
    failure::{Failure, Result},
    output::{Output, say},
    verbs::Scene,
};
use engine::EngineError;
use formats::{Kind, Label};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use tensor::Bytes;

mod onnx;
mod tflite;

/// A value that a network is given or gives, or one of its constants.
#[derive(Debug)]
struct Port {
    name: String,
    ty: String,
    /// `None` if not even the number of dimensions is known.
    shape: Option<Vec<Extent>>,
    quantization: Option<Quantization>,
}

/// One dimension of a shape.
#[derive(Debug)]
enum Extent {
    Known(u64),
    Named(String),
    Free,
}

/// Scale and zero point, of the first channel where there are several.
#[derive(Debug)]
struct Quantization {
    scale: f32,
    zero_point: i64,
    channels: usize,
}

/// A network, ready to be shown.
#[derive(Debug, Default)]
struct Network {
    format: &'static str,
    /// What the file says of itself, in the order in which it is shown.
    head: Vec<(&'static str, Value)>,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    /// Name, inputs and outputs of each.
    signatures: Vec<(String, Vec<String>, Vec<String>)>,
    /// How often each operator occurs, sub-graphs and functions included.
    operators: BTreeMap<String, u64>,
    /// Constants: what they are and their bytes.
    constants: Vec<(Port, u64)>,
    /// Other files that hold constants: how many bytes of each.
    external: BTreeMap<String, u64>,
    metadata: Vec<(String, String)>,
    /// The operators as the file has them, a line each.
    lines: Vec<String>,
    /// Operators that cannot be run, each with its node.
    unsupported: Vec<String>,
    notices: Vec<String>,
}

/// Shows a network.
pub(super) fn show(
    label: &str,
    kind: Kind,
    file: &[u8],
    args: &Inspect,
    scene: &Scene,
    output: &mut Output,
) -> Result<()> {
    let read = match kind {
        Kind::TfliteLike => tflite::read(file),
        _ => onnx::read(file),
    };
    let network = read
        .map_err(|source| EngineError::Format { file: label.to_owned(), source })
        .map_err(Failure::from)?;
    if args.graph.is_some() {
        for line in &network.lines {
            output.line(line)?;
        }
    } else if scene.manner.json {
        output.line(&network.object(label, args).to_string())?;
    } else {
        network.text(label, args, output)?;
        if !scene.manner.quiet {
            network.notices.iter().for_each(|notice| say(format_args!("note: {notice}")));
        }
    }
    Ok(())
}

/// A name for a person.
fn shown(name: &str) -> String {
    Label::new(name).as_str().to_owned()
}

impl Port {
    fn shape_text(&self) -> String {
        let Some(shape) = &self.shape else { return "of any shape".to_owned() };
        let dims: Vec<String> = shape
            .iter()
            .map(|dim| match dim {
                Extent::Known(size) => size.to_string(),
                Extent::Named(name) => shown(name),
                Extent::Free => "?".to_owned(),
            })
            .collect();
        format!("[{}]", dims.join(", "))
    }

    fn text(&self) -> String {
        let text = format!("{}  {} {}", shown(&self.name), self.ty, self.shape_text());
        match self.quantization {
            None => text,
            Some(Quantization { scale, zero_point, channels: 0 | 1 }) => {
                format!("{text}  scale {scale}, zero point {zero_point}")
            }
            Some(Quantization { scale, channels, .. }) => {
                format!("{text}  {channels} scales from {scale}")
            }
        }
    }

    fn object(&self) -> Value {
        let shape = self.shape.as_ref().map(|shape| {
            let dims = shape.iter().map(|dim| match dim {
                Extent::Known(size) => json!(size),
                Extent::Named(name) => json!(name),
                Extent::Free => Value::Null,
            });
            dims.collect::<Vec<Value>>()
        });
        let mut object = json!({ "name": self.name, "type": self.ty, "shape": shape });
        if let Some(Quantization { scale, zero_point, channels }) = self.quantization {
            object["quantization"] =
                json!({ "scale": scale, "zero_point": zero_point, "channels": channels });
        }
        object
    }
}

impl Network {
    /// Constants: how many elements, bytes, and tensors of each type.
    fn sums(&self) -> (u64, u64, BTreeMap<&str, u64>) {
        let mut types: BTreeMap<&str, u64> = BTreeMap::new();
        let (mut elements, mut bytes) = (0u64, 0u64);
        for (port, size) in &self.constants {
            *types.entry(&port.ty).or_default() += 1;
            bytes = bytes.saturating_add(*size);
            let known = port.shape.iter().flatten().map(|dim| match dim {
                Extent::Known(size) => *size,
                Extent::Named(_) | Extent::Free => 1,
            });
            elements = elements.saturating_add(known.fold(1, u64::saturating_mul));
        }
        (elements, bytes, types)
    }

    /// Operators by how often they occur, then by name.
    fn histogram(&self) -> Vec<(&str, u64)> {
        let mut list: Vec<_> = self.operators.iter().map(|(name, n)| (&**name, *n)).collect();
        list.sort_by_key(|&(name, count)| (std::cmp::Reverse(count), name));
        list
    }

    fn text(&self, label: &str, args: &Inspect, output: &mut Output) -> Result<()> {
        let mut row = |name: &str, value: &str| output.line(&format!("{name:<14} {value}"));
        row("model", &shown(label))?;
        row("format", self.format)?;
        for (name, value) in &self.head {
            row(name, &super::words(value))?;
        }
        for (role, ports) in [("inputs", &self.inputs), ("outputs", &self.outputs)] {
            for (idx, port) in ports.iter().enumerate() {
                row(if idx == 0 { role } else { "" }, &port.text())?;
            }
        }
        for (name, inputs, outputs) in &self.signatures {
            let names = |names: &[String]| {
                names.iter().map(|name| shown(name)).collect::<Vec<_>>().join(", ")
            };
            let text = format!("{}: {} → {}", shown(name), names(inputs), names(outputs));
            row("signature", &text)?;
        }
        let (elements, bytes, types) = self.sums();
        row("parameters", &elements.to_string())?;
        row("bytes", &format!("{bytes} ({})", Bytes(bytes)))?;
        row("types", &super::words(&json!(types)))?;
        let count: u64 = self.operators.values().sum();
        let names: Vec<String> =
            self.histogram().into_iter().map(|(name, n)| format!("{n} {}", shown(name))).collect();
        row("operators", &format!("{count}: {}", names.join(", ")))?;
        for line in &self.unsupported {
            row("unsupported", &shown(line))?;
        }
        for (file, bytes) in &self.external {
            row("external", &format!("{} ({})", shown(file), Bytes(*bytes)))?;
        }
        for (key, value) in &self.metadata {
            row("metadata", &format!("{} = {}", shown(key), shown(value)))?;
        }
        if args.tensors {
            output.line("")?;
            let width = self.constants.iter().map(|(port, _)| port.name.chars().count()).max();
            let width = width.unwrap_or(0).min(80);
            for (port, bytes) in &self.constants {
                let (name, ty, shape) = (shown(&port.name), &port.ty, port.shape_text());
                output.line(&format!("{name:<width$}  {ty:<8} {shape:<16} {}", Bytes(*bytes)))?;
            }
        }
        Ok(())
    }

    fn object(&self, label: &str, args: &Inspect) -> Value {
        let ports = |ports: &[Port]| ports.iter().map(Port::object).collect::<Vec<_>>();
        let mut object = Map::new();
        object.insert("model".to_owned(), json!(label));
        object.insert("format".to_owned(), json!(self.format));
        object.extend(self.head.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        object.insert("inputs".to_owned(), json!(ports(&self.inputs)));
        object.insert("outputs".to_owned(), json!(ports(&self.outputs)));
        let signatures = self.signatures.iter().map(
            |(name, inputs, outputs)| json!({ "name": name, "inputs": inputs, "outputs": outputs }),
        );
        object.insert("signatures".to_owned(), signatures.collect());
        let (elements, bytes, types) = self.sums();
        object.insert("parameters".to_owned(), json!(elements));
        object.insert("bytes".to_owned(), json!(bytes));
        object.insert("types".to_owned(), json!(types));
        let operators = self.histogram().into_iter().map(|(name, n)| (name.to_owned(), json!(n)));
        object.insert("operators".to_owned(), Value::Object(operators.collect()));
        let external = self.external.iter().map(|(file, n)| json!({ "file": file, "bytes": n }));
        object.insert("external".to_owned(), external.collect());
        let metadata = self.metadata.iter().map(|(key, value)| (key.clone(), json!(value)));
        object.insert("metadata".to_owned(), Value::Object(metadata.collect()));
        object.insert("unsupported".to_owned(), json!(self.unsupported));
        object.insert("notices".to_owned(), json!(self.notices));
        if args.tensors {
            let tensors = self.constants.iter().map(|(port, bytes)| {
                let mut object = port.object();
                object["bytes"] = json!(bytes);
                object
            });
            object.insert("tensors".to_owned(), tensors.collect());
        }
        Value::Object(object)
    }
}
