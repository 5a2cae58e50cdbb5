//! TFLite networks: what a file's first graph takes and gives, and its import for one binding.
//!
//! Types of inputs, outputs and errors are those of [`crate::onnx`], so that whoever runs networks
//! has one form of them. Values keep the file's layout with channels last; those that a window
//! slides over are also held with channels first, and element by element operators follow
//! whichever form there is. Names are those of the first signature, else those of the tensors.
//! Follows the schema, version 3, and the reference kernels of `LiteRT` 2.3.

mod constant;
mod importer;
mod ops;
mod value;
mod variables;

pub use variables::Variable;

use crate::{
    network::{Fault, Host},
    onnx::{self, Bound, Declared, Extent, Imported, NetworkError, Unsupported},
};
use formats::{
    FormatError,
    onnx::ElementType,
    tflite::{Model, Operator, SubGraph, Tensor, TensorType},
};
use std::collections::BTreeSet;
use variables::Named;

/// Whose integer arithmetic quantised operators follow, bit for bit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// `TensorFlow` Lite Micro: microcontroller, phone and browser give the same bytes.
    #[default]
    Tflm,
    /// The reference kernels of `LiteRT`.
    Reference,
    /// XNNPACK, which `LiteRT` uses where nothing else is asked for.
    Xnnpack,
}

/// How the whole numbers of an input or output stand for real ones:
/// `real = (number - zero) * scale`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    /// What one step is.
    pub scale: f32,
    /// The number of 0.
    pub zero: i32,
}

/// A network whose structure was read.
#[derive(Debug)]
pub struct Network<'a> {
    file: &'a [u8],
    model: &'a Model<'a>,
    inputs: Vec<Declared>,
    outputs: Vec<Declared>,
    unsupported: Vec<Unsupported>,
    named: Named<'a>,
}

impl<'a> Network<'a> {
    /// Names what a model that was read out of `file` takes and gives.
    pub fn new(file: &'a [u8], model: &'a Model<'a>) -> Self {
        let mut inputs = Vec::new();
        let mut outputs = Vec::new();
        if let Some(graph) = model.subgraphs.first() {
            let signature = model.signatures.iter().find(|signature| signature.subgraph == 0);
            let given = signature.map_or(&[][..], |signature| &signature.inputs);
            inputs = declared(graph, &graph.inputs, given);
            let given = signature.map_or(&[][..], |signature| &signature.outputs);
            outputs = declared(graph, &graph.outputs, given);
        }
        let (unsupported, named) = (unsupported(model), Named::of(model));
        Self { file, model, inputs, outputs, unsupported, named }
    }

    /// What a run must be given.
    pub fn inputs(&self) -> &[Declared] {
        &self.inputs
    }

    /// What a run gives.
    pub fn outputs(&self) -> &[Declared] {
        &self.outputs
    }

    /// Operators that are not known here, with their places.
    pub fn unsupported(&self) -> &[Unsupported] {
        &self.unsupported
    }

    /// How whole numbers of inputs and of outputs stand for real ones, in their order.
    pub fn scales(&self) -> [Vec<Option<Scale>>; 2] {
        let graph = self.model.subgraphs.first();
        let of = |places: &[usize]| -> Vec<Option<Scale>> {
            let tensors = places.iter().map(|&place| scale(graph?.tensors.get(place)?));
            tensors.collect()
        };
        graph.map_or_else(Default::default, |graph| [of(&graph.inputs), of(&graph.outputs)])
    }

    /// What the network remembers from run to run, with the values before the first one.
    ///
    /// # Errors
    /// As [`onnx::Network::import`], if a graph that gives first values cannot be imported.
    pub fn variables(&self, host: &mut dyn Host) -> Result<Vec<Variable>, NetworkError> {
        variables::first(self, host)
    }

    /// Imports the network for inputs of these types, in the order of [`Network::inputs`].
    ///
    /// `variables` are those of [`Network::variables`]: inputs behind the network's own, and
    /// outputs behind its own.
    ///
    /// # Errors
    /// As [`onnx::Network::import`].
    pub fn import(
        &self,
        bound: &[Bound],
        variables: &[Variable],
        profile: Profile,
        host: &mut dyn Host,
    ) -> Result<Imported, NetworkError> {
        onnx::check_known(&self.unsupported, host)?;
        for (declared, bound) in self.inputs.iter().zip(bound) {
            onnx::check(declared, bound)?;
        }
        if bound.len() != self.inputs.len() {
            let (want, have) = (self.inputs.len(), bound.len());
            let reason = format!("{have} inputs are given, the network takes {want}");
            return Err(NetworkError::Input { name: String::new(), reason });
        }
        importer::import(self, (bound, variables), profile, host)
    }
}

impl From<FormatError> for Fault {
    fn from(error: FormatError) -> Self {
        match error {
            FormatError::Unsupported { .. } => Self::unsupported(error.to_string()),
            _ => Self::invalid(error.to_string()),
        }
    }
}

/// Names and types of a graph's inputs or outputs.
fn declared(graph: &SubGraph<'_>, places: &[usize], signature: &[(&str, usize)]) -> Vec<Declared> {
    let mut used = BTreeSet::new();
    let mut list = Vec::with_capacity(places.len());
    for &place in places {
        let Some(tensor) = graph.tensors.get(place) else { continue };
        let named = signature.iter().find(|(_, idx)| *idx == place).map(|(name, _)| *name);
        let mut name = named.unwrap_or(tensor.name).to_owned();
        // Tensors may have no name, or one that others have too.
        if name.is_empty() || !used.insert(name.clone()) {
            name = format!("{name}#{}", list.len());
            used.insert(name.clone());
        }
        list.push(Declared { name, element: element(tensor.ty), dims: extents(tensor) });
    }
    list
}

/// The one scale of a tensor of whole numbers.
fn scale(tensor: &Tensor<'_>) -> Option<Scale> {
    let quantization = tensor.quantization.as_deref()?;
    let whole = tensor.ty.dtype().is_some_and(tensor::DType::is_integer);
    let scale = quantization.scale(0).filter(|scale| scale.is_finite() && *scale > 0.0)?;
    let zero = i32::try_from(quantization.zero_point(0)).ok()?;
    (whole && quantization.scales.len() == 1).then_some(Scale { scale, zero })
}

/// Declared extents; none if not even their number is known.
fn extents(tensor: &Tensor<'_>) -> Option<Vec<Extent>> {
    let unknown = tensor.shape.is_empty() && !tensor.has_rank && tensor.signature.is_some();
    let extent = |dim: Option<u64>| dim.map_or(Extent::Free, Extent::Fixed);
    (!unknown).then(|| tensor.dims().map(extent).collect())
}

/// The same type by its name in the other format; none for what is no array.
fn element(ty: TensorType) -> Option<ElementType> {
    use ElementType as E;
    use TensorType as T;
    Some(match ty {
        T::Float32 => E::Float,
        T::Float16 => E::Float16,
        T::Bfloat16 => E::Bfloat16,
        T::Float64 => E::Double,
        T::Int8 => E::Int8,
        T::Uint8 => E::Uint8,
        T::Int16 => E::Int16,
        T::Uint16 => E::Uint16,
        T::Int32 => E::Int32,
        T::Uint32 => E::Uint32,
        T::Int64 => E::Int64,
        T::Uint64 => E::Uint64,
        T::Bool => E::Bool,
        T::Int4 => E::Int4,
        T::Uint4 => E::Uint4,
        T::Int2 => E::Int2,
        T::Float8E4m3fn => E::Float8E4m3fn,
        T::Float8E5m2 => E::Float8E5m2,
        T::String | T::Complex64 | T::Complex128 | T::Resource | T::Variant => return None,
    })
}

/// What messages call an operator: the name of its first output, or its place.
fn label(graph: &SubGraph<'_>, operator: &Operator<'_>) -> String {
    let first = operator.outputs.iter().flatten().next();
    let tensor = first.and_then(|&idx| graph.tensors.get(usize::try_from(idx).ok()?));
    match tensor {
        Some(tensor) if !tensor.name.is_empty() => tensor.name.to_owned(),
        _ => format!("operator at byte {}", operator.at),
    }
}

/// Every use of an operator that has no rule, in all graphs.
fn unsupported(model: &Model<'_>) -> Vec<Unsupported> {
    let mut list = Vec::new();
    for graph in &model.subgraphs {
        for operator in &graph.operators {
            let code = model.code(operator);
            if ops::find(&code).is_none() {
                list.push(Unsupported {
                    op: code.to_string(),
                    version: code.version.into(),
                    node: label(graph, operator),
                    reason: onnx::UNKNOWN.into(),
                });
            }
        }
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_signature_and_the_unknown_is_listed_at_once() {
        let file = include_bytes!("../../../input/formats/tests/goldens/network.tflite");
        let model = Model::parse(file).expect("the golden is read");
        let network = Network::new(file, &model);
        let names = |list: &[Declared]| -> Vec<String> {
            list.iter().map(|declared| declared.name.clone()).collect()
        };
        assert_eq!(names(network.inputs()), ["picture", "choice"]);
        assert_eq!(names(network.outputs()), ["result", "odd"]);
        let mut unknown: Vec<&str> =
            network.unsupported().iter().map(|entry| entry.op.as_str()).collect();
        unknown.sort_unstable();
        assert_eq!(unknown, ["Odd"]);
    }
}
