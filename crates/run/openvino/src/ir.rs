//! A region of a plan as `OpenVINO`'s intermediate representation: XML with numbered layers and edges,
//! and the constants' bytes behind each other in a file of their own.
//!
//! One function writes a step ([`ops`]); asking whether a step is taken is writing it alone, without
//! weights, so the two cannot differ. Values are told by the place where the plan keeps them: the
//! last that was written there. Follows `OpenVINO` 2024's operation sets 1 to 7, IR version 11.

mod ops;

use plan::{LoadError, Operand, Plan, Slot, Step, WeightSource};
use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
};
use tensor::{DType, TensorType};

/// A model as text and its constants.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) xml: String,
    pub(crate) weights: Vec<u8>,
}

/// What a layer gives.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    layer: u32,
    port: usize,
    dims: Vec<u64>,
    dtype: DType,
}

/// Why a step is not written: the reason is for people.
#[derive(Debug)]
pub(crate) enum Fault {
    /// There is nothing like it.
    Refused(String),
    /// Its weights cannot be read.
    Load(LoadError),
}

impl From<String> for Fault {
    fn from(reason: String) -> Self {
        Self::Refused(reason)
    }
}

impl From<&str> for Fault {
    fn from(reason: &str) -> Self {
        Self::Refused(reason.to_owned())
    }
}

/// Layers and edges so far.
pub(crate) struct Writer<'p> {
    plan: &'p Plan,
    /// Without them a step is only checked.
    source: Option<&'p dyn WeightSource>,
    layers: String,
    edges: String,
    count: u32,
    weights: Vec<u8>,
    /// Who wrote last at a place: buffer and offset.
    places: BTreeMap<(u32, u64), Node>,
    constants: BTreeMap<u32, Node>,
}

/// Whether a step can be written.
pub(crate) fn check(step: &Step, plan: &Plan) -> Result<(), String> {
    match ops::step(&mut Writer::new(plan, None), step) {
        Ok(_) => Ok(()),
        Err(Fault::Refused(reason)) => Err(reason),
        Err(Fault::Load(error)) => Err(error.to_string()),
    }
}

/// Writes a plan.
pub(crate) fn write(plan: &Plan, source: &dyn WeightSource) -> Result<Model, LoadError> {
    let mut writer = Writer::new(plan, Some(source));
    writer.run().map_err(|fault| match fault {
        Fault::Refused(reason) => crate::failed(&reason),
        Fault::Load(error) => error,
    })?;
    let Writer { layers, edges, mut weights, .. } = writer;
    // No file is empty.
    weights.resize(weights.len().max(1), 0);
    let xml = format!(
        "<?xml version=\"1.0\"?>\n<net name=\"region\" version=\"11\">\n<layers>\n{layers}</layers>\n\
         <edges>\n{edges}</edges>\n</net>\n"
    );
    Ok(Model { xml, weights })
}

/// A list as attributes have it.
fn list(items: impl IntoIterator<Item = impl ToString>) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(",")
}

/// A type's names: of a port, of a constant.
fn names(dtype: DType) -> Result<(&'static str, &'static str), Fault> {
    match dtype {
        DType::F32 => Ok(("FP32", "f32")),
        DType::F16 => Ok(("FP16", "f16")),
        DType::I64 => Ok(("I64", "i64")),
        other => Err(format!("arrays of {other} are not handed over").into()),
    }
}

fn extents(slot: &Slot) -> Vec<u64> {
    slot.dims.iter().map(|dim| dim.at(&[])).collect()
}

/// Adds text.
fn put(to: &mut String, text: fmt::Arguments<'_>) {
    to.write_fmt(text).expect("strings take everything");
}

impl<'p> Writer<'p> {
    fn new(plan: &'p Plan, source: Option<&'p dyn WeightSource>) -> Self {
        Self {
            plan,
            source,
            layers: String::new(),
            edges: String::new(),
            count: 0,
            weights: Vec::new(),
            places: BTreeMap::new(),
            constants: BTreeMap::new(),
        }
    }

    fn run(&mut self) -> Result<(), Fault> {
        let plan = self.plan;
        for port in &plan.inputs {
            let node = self.parameter(&port.slot)?;
            self.places.insert((port.slot.buffer.0, port.slot.offset), node);
        }
        for step in &plan.steps {
            let node = ops::step(self, step)?;
            let node = self.reshaped(node, &extents(&step.output))?;
            self.places.insert((step.output.buffer.0, step.output.offset), node);
        }
        for port in &plan.outputs {
            let node = self.value(&port.slot)?;
            self.layer("Result", "opset1", "", &[&node], None)?;
        }
        Ok(())
    }

    /// What a run is given.
    fn parameter(&mut self, slot: &Slot) -> Result<Node, Fault> {
        if slot.dtype != DType::F32 {
            return Err(format!("arrays of {} are not handed over", slot.dtype).into());
        }
        let dims = extents(slot);
        let settings = format!("shape=\"{}\" element_type=\"f32\"", list(&dims));
        self.layer("Parameter", "opset1", &settings, &[], Some((&dims, DType::F32)))
    }

    /// The value at a place, under the extents that are asked for.
    fn value(&mut self, slot: &Slot) -> Result<Node, Fault> {
        if self.source.is_none() {
            return self.parameter(slot);
        }
        let Some(node) = self.places.get(&(slot.buffer.0, slot.offset)).cloned() else {
            return Err("a value lies where nothing was written".into());
        };
        self.reshaped(node, &extents(slot))
    }

    /// An operand of a step; none where it is absent.
    fn operand(&mut self, step: &Step, place: usize) -> Result<Option<Node>, Fault> {
        match step.input(place) {
            Operand::Slot(slot) => self.value(slot).map(Some),
            Operand::Absent => Ok(None),
            Operand::State(_) => Err("states are not handed over".into()),
            Operand::Weight(id) => {
                if let Some(node) = self.constants.get(&id.0) {
                    return Ok(Some(node.clone()));
                }
                let weight = &self.plan.weights[id.0 as usize];
                let TensorType::Plain(dtype @ (DType::F32 | DType::F16)) = weight.ty else {
                    return Err(format!("weights of {} are not handed over", weight.ty).into());
                };
                let mut bytes = Vec::new();
                if let Some(source) = self.source {
                    bytes.resize(weight.stored_bytes().to_usize().unwrap_or(0), 0);
                    let read = source.read_rows(weight, 0, &mut bytes);
                    read.map_err(|error| Fault::Load(error.into()))?;
                    source.release(weight);
                }
                let mut node = self.constant(dtype, weight.shape.dims(), &bytes)?;
                if dtype != DType::F32 {
                    let dims = node.dims.clone();
                    let to = "destination_type=\"f32\"";
                    node =
                        self.layer("Convert", "opset1", to, &[&node], Some((&dims, DType::F32)))?;
                }
                self.constants.insert(id.0, node.clone());
                Ok(Some(node))
            }
        }
    }

    /// An operand that must be there.
    fn needed(&mut self, step: &Step, place: usize) -> Result<Node, Fault> {
        self.operand(step, place)?.ok_or_else(|| format!("operand {place} is missing").into())
    }

    fn constant(&mut self, dtype: DType, dims: &[u64], bytes: &[u8]) -> Result<Node, Fault> {
        let (_, element) = names(dtype)?;
        let (shape, offset, size) = (list(dims), self.weights.len(), bytes.len());
        self.weights.extend_from_slice(bytes);
        let settings = format!(
            "element_type=\"{element}\" shape=\"{shape}\" offset=\"{offset}\" size=\"{size}\""
        );
        self.layer("Const", "opset1", &settings, &[], Some((dims, dtype)))
    }

    /// Whole numbers along one dimension.
    fn integers(&mut self, numbers: &[u64]) -> Result<Node, Fault> {
        let bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
        self.constant(DType::I64, &[numbers.len() as u64], &bytes)
    }

    /// The same elements under other extents.
    fn reshaped(&mut self, node: Node, dims: &[u64]) -> Result<Node, Fault> {
        if node.dims == dims {
            return Ok(node);
        }
        if node.dims.iter().product::<u64>() != dims.iter().product::<u64>() {
            return Err("a value is read in parts".into());
        }
        let shape = self.integers(dims)?;
        let dtype = node.dtype;
        self.layer(
            "Reshape",
            "opset1",
            "special_zero=\"false\"",
            &[&node, &shape],
            Some((dims, dtype)),
        )
    }

    /// The dimensions in another order.
    fn transposed(&mut self, node: &Node, order: &[usize]) -> Result<Node, Fault> {
        let dims: Vec<u64> = order.iter().map(|&from| node.dims[from]).collect();
        let numbers: Vec<u64> = order.iter().map(|&from| from as u64).collect();
        let order = self.integers(&numbers)?;
        self.layer("Transpose", "opset1", "", &[node, &order], Some((&dims, node.dtype)))
    }

    /// Adds a layer with its edges.
    fn layer(
        &mut self,
        kind: &str,
        version: &str,
        settings: &str,
        inputs: &[&Node],
        output: Option<(&[u64], DType)>,
    ) -> Result<Node, Fault> {
        let layer = self.count;
        self.count += 1;
        let mut text = format!(
            "<layer id=\"{layer}\" name=\"n{layer}\" type=\"{kind}\" version=\"{version}\">\n"
        );
        if !settings.is_empty() {
            put(&mut text, format_args!("<data {settings}/>\n"));
        }
        let port = |place: usize, dims: &[u64], dtype: DType| {
            let (precision, _) = names(dtype)?;
            let mut port = format!("<port id=\"{place}\" precision=\"{precision}\">");
            for dim in dims {
                put(&mut port, format_args!("<dim>{dim}</dim>"));
            }
            Ok::<_, Fault>(port + "</port>")
        };
        if !inputs.is_empty() {
            text.push_str("<input>");
            for (place, input) in inputs.iter().enumerate() {
                text.push_str(&port(place, &input.dims, input.dtype)?);
                let Node { layer: from, port: out, .. } = input;
                put(
                    &mut self.edges,
                    format_args!(
                        "<edge from-layer=\"{from}\" from-port=\"{out}\" to-layer=\"{layer}\" to-port=\"{place}\"/>\n"
                    ),
                );
            }
            text.push_str("</input>\n");
        }
        let port_of_output = inputs.len();
        let mut node = Node { layer, port: port_of_output, dims: Vec::new(), dtype: DType::F32 };
        if let Some((dims, dtype)) = output {
            let port = port(port_of_output, dims, dtype)?;
            put(&mut text, format_args!("<output>{port}</output>\n"));
            (node.dims, node.dtype) = (dims.to_vec(), dtype);
        }
        text.push_str("</layer>\n");
        self.layers.push_str(&text);
        Ok(node)
    }
}
