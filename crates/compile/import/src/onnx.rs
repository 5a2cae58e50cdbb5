//! ONNX networks: what a file's graph takes and gives, and its import for one binding.
//!
//! [`Network::new`] checks the structure of a file that was read (order, names, known operators)
//! without touching weights; [`Network::import`] then walks the nodes for inputs of these extents
//! and gives the stages to run. Every operator is one small function in `ops`, written for the
//! newest opset and asked to mind the version of the model where schemas differ; functions and
//! sub-graphs are inlined, loops unrolled. What is not supported is collected over the whole file
//! and told at once. Follows ONNX 1.23 (IR 14, opset 28).

mod call;
mod constant;
mod error;
mod importer;
mod ops;
mod order;
mod scan;

pub use error::{NetworkError, Unsupported};

use crate::network::{Fault, Host, Narrow, Port, Stage};
use formats::onnx::{Declaration, Dim, ElementType, Graph, Model, OPSET_MAX, Type};
use tensor::{DType, Shape};

/// A declared extent of an input or output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Always this many.
    Fixed(u64),
    /// Chosen by each run; equal names are equal extents.
    Named(String),
    /// Chosen by each run.
    Free,
}

/// An input or output as the file declares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared {
    /// Its name.
    pub name: String,
    /// Element type as the file names it; none where it does not say or it is no tensor.
    pub element: Option<ElementType>,
    /// Extents; none if not even their number is known.
    pub dims: Option<Vec<Extent>>,
}

/// A network whose structure was checked.
#[derive(Debug)]
pub struct Network<'a> {
    file: &'a [u8],
    model: &'a Model<'a>,
    inputs: Vec<Declared>,
    outputs: Vec<Declared>,
    unsupported: Vec<Unsupported>,
    notices: Vec<String>,
}

/// What an import gives: the last stage (earlier ones went to the host) and the outputs.
#[derive(Debug)]
pub struct Imported {
    /// The stage that is left to run.
    pub stage: Stage,
    /// Where each output comes from, in the file's order.
    pub outputs: Vec<Output>,
}

/// An output of a network with its type in this binding.
#[derive(Clone, Debug)]
pub struct Output {
    /// Its name.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// What the elements really are, where they are narrower than their type.
    pub narrow: Option<Narrow>,
    /// Extents.
    pub dims: Shape,
    /// Where the elements are.
    pub port: Port,
}

/// The type of an input in one binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bound {
    /// Element type.
    pub dtype: DType,
    /// Extents.
    pub dims: Shape,
}

impl<'a> Network<'a> {
    /// Checks the structure of a model that was read out of `file`.
    ///
    /// # Errors
    /// [`NetworkError::Structure`] with the node if names are written twice, read but never
    /// written, or nodes wait for each other. Operators that are not supported are no error here:
    /// see [`Network::unsupported`].
    pub fn new(file: &'a [u8], model: &'a Model<'a>) -> Result<Self, NetworkError> {
        scan::structure(model)?;
        let graph = &model.graph;
        let constant = |name: &str| {
            graph.initializers.iter().any(|tensor| tensor.name == name)
                || graph.sparse_initializers.iter().any(|tensor| tensor.values.name == name)
        };
        let inputs = graph.inputs.iter().filter(|info| !constant(info.name)).map(declared);
        let mut notices = Vec::new();
        for import in &model.opset_imports {
            if import.domain.is_empty() && import.version > OPSET_MAX {
                notices.push(format!(
                    "the model asks for opset {}; operators are read as of opset {OPSET_MAX}",
                    import.version
                ));
            }
        }
        Ok(Self {
            file,
            model,
            inputs: inputs.collect(),
            outputs: graph.outputs.iter().map(declared).collect(),
            unsupported: scan::unsupported(model),
            notices,
        })
    }

    /// What a run must be given. Initialisers that are listed as inputs are constants.
    pub fn inputs(&self) -> &[Declared] {
        &self.inputs
    }

    /// What a run gives.
    pub fn outputs(&self) -> &[Declared] {
        &self.outputs
    }

    /// Operators that are not known here, with the nodes that use them.
    pub fn unsupported(&self) -> &[Unsupported] {
        &self.unsupported
    }

    /// What a person should know, such as an opset newer than known.
    pub fn notices(&self) -> &[String] {
        &self.notices
    }

    /// The graph of the file.
    pub fn graph(&self) -> &'a Graph<'a> {
        &self.model.graph
    }

    /// Imports the network for inputs of these types, in the order of [`Network::inputs`].
    ///
    /// # Errors
    /// [`NetworkError::Unsupported`] with everything that is not supported;
    /// [`NetworkError::Node`] for the first node that breaks its operator's rules;
    /// [`NetworkError::Pending`] if a value is needed that the host cannot give yet.
    pub fn import(&self, bound: &[Bound], host: &mut dyn Host) -> Result<Imported, NetworkError> {
        check_known(&self.unsupported, host)?;
        for (declared, bound) in self.inputs.iter().zip(bound) {
            check(declared, bound)?;
        }
        if bound.len() != self.inputs.len() {
            let (want, have) = (self.inputs.len(), bound.len());
            let reason = format!("{have} inputs are given, the network takes {want}");
            return Err(NetworkError::Input { name: String::new(), reason });
        }
        importer::import(self.file, self.model, &self.inputs, bound, host)
    }
}

/// What is said of an operator that has no rule.
pub(crate) const UNKNOWN: &str =
    "the operator is not known; a program that has it can add it with `Network::register`";

/// Refuses operators that are neither known nor registered with the host.
pub(crate) fn check_known(unknown: &[Unsupported], host: &dyn Host) -> Result<(), NetworkError> {
    let missing = unknown.iter().filter(|entry| !host.knows(&entry.op));
    let missing: Vec<Unsupported> = missing.cloned().collect();
    if missing.is_empty() { Ok(()) } else { Err(NetworkError::Unsupported(missing)) }
}

/// Whether an input of this type may be given for this declaration.
pub(crate) fn check(declared: &Declared, bound: &Bound) -> Result<(), NetworkError> {
    let refuse = |reason| Err(NetworkError::Input { name: declared.name.clone(), reason });
    if let Some(element) = declared.element {
        let (dtype, _) = constant::element(element)
            .or_else(|fault| refuse(fault.to_string()).map(|()| (DType::U8, None)))?;
        if dtype != bound.dtype {
            return refuse(format!("must be {element}, is {}", bound.dtype));
        }
    }
    let Some(dims) = &declared.dims else { return Ok(()) };
    let fits = |(want, have): (&Extent, &u64)| match want {
        Extent::Fixed(n) => n == have,
        Extent::Named(_) | Extent::Free => true,
    };
    if dims.len() != bound.dims.len() || !dims.iter().zip(&*bound.dims).all(fits) {
        return refuse(format!("must be {}, is {}", extents(dims), bound.dims));
    }
    Ok(())
}

/// The type that elements of a file's type are held in, if they can be computed with.
pub fn stored_as(element: ElementType) -> Option<DType> {
    constant::element(element).ok().map(|(dtype, _)| dtype)
}

/// Type, extents and elements of a tensor that stands in a file of its own.
///
/// # Errors
/// If it holds strings, names another file, or has a type that is not known here.
pub fn elements(
    tensor: &formats::onnx::Tensor<'_>,
) -> Result<(DType, Option<Narrow>, Shape, Vec<u8>), Fault> {
    constant::elements(tensor)
}

/// Extents for people, such as `[1, batch, ?]`.
pub fn extents(dims: &[Extent]) -> String {
    let words: Vec<String> = dims
        .iter()
        .map(|dim| match dim {
            Extent::Fixed(n) => n.to_string(),
            Extent::Named(name) => name.clone(),
            Extent::Free => "?".into(),
        })
        .collect();
    format!("[{}]", words.join(", "))
}

fn declared(info: &Declaration<'_>) -> Declared {
    let (element, dims) = match &info.ty {
        Type::Tensor { element, shape } => (*element, shape.as_ref()),
        _ => (None, None),
    };
    let extent = |dim: &Dim<'_>| match dim {
        Dim::Known(n) => Extent::Fixed(*n),
        Dim::Named(name) => Extent::Named((*name).to_owned()),
        Dim::Unknown => Extent::Free,
    };
    let dims = dims.map(|dims| dims.iter().map(extent).collect());
    Declared { name: info.name.to_owned(), element, dims }
}
