//! TFLite: sub-graphs, tensors, operators and signatures, borrowed from the file's bytes.
//!
//! Whatever the bytes are, the answer is a [`Model`] or an error that names the place. Weights
//! stay where they are, at any alignment; the tables take at most 4 × the file + 16 MiB. What is
//! accepted holds: every index leads to a tensor, buffer, operator code or sub-graph that exists,
//! every dense constant has exactly the bytes that its type and shape need, and names of other
//! files cannot leave the model's folder. Options of operators are read on demand
//! ([`options`]), so that a file with operators that nobody knows is still listed. Follows
//! `schema.fbs` version 3 of `LiteRT` 2.3.

use std::{borrow::Cow, fmt};

use crate::{
    FormatError, Kind, Label, Place,
    budget::Budget,
    flatbuffer::{Table, Tables},
    limits, location, sniff,
};

mod graph;
mod tensor;
mod quantization;
mod sparsity;
mod builtin;
pub mod metadata;
pub mod options;

pub use crate::flatbuffer::{List, Scalar};
pub use graph::{Operator, SubGraph};
pub use options::Options;
pub use quantization::{Details, Quantization};
pub use sparsity::{Format, IndexList, Sparsity};
pub use tensor::{Tensor, TensorType};

/// The version of the schema that is read.
const SCHEMA_VERSION: u32 = 3;

/// A whole file.
#[derive(Clone, Debug)]
pub struct Model<'a> {
    /// What the writer says, such as `MLIR Converted.`
    pub description: &'a [u8],
    /// The operators that are used, each once.
    pub operator_codes: Vec<OperatorCode<'a>>,
    /// The graphs; the first is the one to run.
    pub subgraphs: Vec<SubGraph<'a>>,
    /// Bytes that tensors and metadata share by index; the first is empty.
    pub buffers: Vec<&'a [u8]>,
    /// Bytes by name, such as `TFLITE_METADATA` and `min_runtime_version`.
    pub metadata: Vec<(&'a str, &'a [u8])>,
    /// Graphs with stable names for what they are given and give.
    pub signatures: Vec<Signature<'a>>,
    /// Ranges of other files, in the order of the ids by which tensors name them.
    pub external_buffers: Vec<ExternalBuffer<'a>>,
}

/// One kind of operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OperatorCode<'a> {
    /// Its number; 32 for custom ones.
    pub builtin: i32,
    /// The name of a custom operator; empty for others.
    pub custom: &'a str,
    /// Version of its semantics, from 1.
    pub version: i32,
}

/// A graph with names for what it is given and gives.
#[derive(Clone, Debug)]
pub struct Signature<'a> {
    /// Its name, such as `serving_default`.
    pub key: &'a str,
    /// The graph, an index into [`Model::subgraphs`].
    pub subgraph: usize,
    /// Names and tensors of what it is given, in no particular order.
    pub inputs: Vec<(&'a str, usize)>,
    /// Names and tensors of what it gives, in no particular order.
    pub outputs: Vec<(&'a str, usize)>,
}

/// A range of bytes in a file beside the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExternalBuffer<'a> {
    /// What tensors call it; never 0.
    pub id: u32,
    /// Path of the file below the model's folder, parts divided by `/`; checked to stay there.
    pub location: &'a str,
    /// Offset of the first byte in that file.
    pub offset: u64,
    /// Number of bytes.
    pub length: u64,
    /// How the bytes are packed, where not plainly.
    pub packing: &'a str,
}

impl OperatorCode<'_> {
    /// The name that users see: `CONV_2D`, or a custom operator's own.
    ///
    /// `None` for a code of a schema that is newer than the one we know.
    pub fn name(&self) -> Option<&str> {
        if self.is_custom() { Some(self.custom) } else { builtin::name(self.builtin) }
    }

    /// Whether it is told by a name of its own.
    pub fn is_custom(&self) -> bool {
        self.builtin == builtin::CUSTOM
    }
}

impl fmt::Display for OperatorCode<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => fmt::Display::fmt(&Label::new(name), f),
            None => f.pad(&format!("operator {}", self.builtin)),
        }
    }
}

impl<'a> Model<'a> {
    /// Reads a whole file; bytes behind the network, such as a zip of labels, are ignored.
    ///
    /// # Errors
    /// What is wrong with the file, and where.
    pub fn parse(file: &'a [u8]) -> Result<Self, FormatError> {
        match sniff(file) {
            // Some writers leave the magic number out: what looks like nothing else is tried.
            Kind::TfliteLike | Kind::Unknown | Kind::OnnxLike => {}
            kind => return Err(FormatError::OtherKind { want: "TFLite", kind }),
        }
        let reader = Reader::for_file(file);
        let root = Table::root("Model", file)?;
        let version = root.scalar(0, 0u32)?;
        if version != SCHEMA_VERSION {
            return Err(FormatError::Unsupported {
                place: root.place("version"),
                got: Label::from(format_args!("version {version}")),
                instead: "version 3 of the schema is read",
            });
        }
        let operator_codes = reader.each(root.tables(1, "OperatorCode")?, operator_code)?;
        let buffers = reader.each(root.tables(4, "Buffer")?, |table| buffer(table, file))?;
        let external_buffers = external_buffers(&root, &reader)?;
        let scope = Scope {
            reader: &reader,
            operator_codes: operator_codes.len(),
            buffers: &buffers,
            external_buffers: &external_buffers,
            file,
        };
        let subgraphs =
            reader.each(root.tables(2, "SubGraph")?, |table| SubGraph::read(table, &scope))?;
        if subgraphs.is_empty() {
            let got = format_args!("none");
            return Err(FormatError::invalid(root.place("subgraphs"), "at least one", got));
        }
        let metadata = reader.each(root.tables(6, "Metadata")?, |table| {
            let name = table.name(0, "name")?;
            let idx = scope.buffer(table, "buffer", table.scalar(1, 0u32)?)?;
            Ok((name, buffers.get(idx).copied().unwrap_or_default()))
        })?;
        let signatures = reader.each(root.tables(7, "SignatureDef")?, |table| {
            Signature::read(table, &subgraphs, &reader)
        })?;
        Ok(Self {
            description: root.text(3)?,
            operator_codes,
            subgraphs,
            buffers,
            metadata,
            signatures,
            external_buffers,
        })
    }

    /// The code of one of the model's operators.
    pub fn code(&self, operator: &Operator<'_>) -> OperatorCode<'a> {
        // Checked when the operator was read.
        let missing = OperatorCode { builtin: -1, custom: "", version: 0 };
        self.operator_codes.get(operator.code).copied().unwrap_or(missing)
    }

    /// A graph that an operator's settings name, such as a branch of `IF`.
    ///
    /// # Errors
    /// If there is no graph of that index.
    pub fn subgraph(&self, idx: i32) -> Result<&SubGraph<'a>, FormatError> {
        let place = || Place::named(format_args!("index of a sub-graph"));
        let idx = index(idx.into(), self.subgraphs.len(), "sub-graphs", place)?;
        self.subgraphs
            .get(idx)
            .ok_or_else(|| FormatError::invalid(place(), "a sub-graph", format_args!("{idx}")))
    }

    /// The bytes of a constant tensor that is in this file: packed, little endian, at any
    /// alignment; `None` for values that are computed.
    pub fn constant(&self, tensor: &Tensor<'_>) -> Option<&'a [u8]> {
        self.buffers.get(tensor.buffer).copied().filter(|bytes| !bytes.is_empty())
    }

    /// The dense bytes of a constant that is in this file, sparse ones expanded; `None` for values
    /// that are computed.
    ///
    /// # Errors
    /// If its lists contradict its shape or each other, or there is no memory.
    pub fn expand(&self, tensor: &Tensor<'_>) -> Result<Option<Cow<'a, [u8]>>, FormatError> {
        self.constant(tensor).map(|values| sparsity::expand(tensor, values)).transpose()
    }

    /// Where the bytes of a tensor are that are in another file.
    pub fn external(&self, tensor: &Tensor<'_>) -> Option<&ExternalBuffer<'a>> {
        find_external(&self.external_buffers, tensor.external?)
    }

    /// The bytes of a piece of metadata.
    pub fn metadata(&self, name: &str) -> Option<&'a [u8]> {
        self.metadata.iter().find(|(key, _)| *key == name).map(|(_, bytes)| *bytes)
    }
}

/// What is carried along while one file is read.
#[derive(Debug)]
struct Reader {
    budget: Budget,
    operators: std::cell::Cell<u64>,
}

impl Reader {
    fn for_file(file: &[u8]) -> Self {
        Self { budget: Budget::for_file(file.len()), operators: std::cell::Cell::new(0) }
    }

    /// Reads every table of a vector.
    fn each<'a, T>(
        &self,
        tables: Tables<'a>,
        mut read: impl FnMut(&Table<'a>) -> Result<T, FormatError>,
    ) -> Result<Vec<T>, FormatError> {
        let mut list = self.budget.table(tables.len())?;
        for table in tables.iter() {
            list.push(read(&table?)?);
        }
        Ok(list)
    }

    /// Counts operators of all graphs together.
    fn count_operators(&self, count: usize, place: Place) -> Result<(), FormatError> {
        let (got, limit) =
            (self.operators.get().saturating_add(count as u64), limits::NETWORK_NODES);
        self.operators.set(got);
        if got > limit { Err(FormatError::Limit { place, got, limit }) } else { Ok(()) }
    }
}

/// What a sub-graph's indices may lead to.
#[derive(Clone, Copy, Debug)]
struct Scope<'m, 'a> {
    reader: &'m Reader,
    operator_codes: usize,
    buffers: &'m [&'a [u8]],
    external_buffers: &'m [ExternalBuffer<'a>],
    file: &'a [u8],
}

impl Scope<'_, '_> {
    fn buffer(&self, table: &Table<'_>, role: &str, idx: u32) -> Result<usize, FormatError> {
        index(idx.into(), self.buffers.len(), "buffers", || table.place(role))
    }
}

/// An index that must lead to one of `count`.
fn index(
    idx: i64,
    count: usize,
    of: &str,
    place: impl FnOnce() -> Place,
) -> Result<usize, FormatError> {
    match usize::try_from(idx) {
        Ok(found) if found < count => Ok(found),
        _ => {
            let want = format!("one of {count} {of}");
            Err(FormatError::invalid(place(), want, format_args!("{idx}")))
        }
    }
}

fn operator_code<'a>(table: &Table<'a>) -> Result<OperatorCode<'a>, FormatError> {
    // Codes began as one byte, where 127 says to look at the new field.
    let old: i8 = table.scalar(0, 0)?;
    let builtin = table.scalar(3, 0i32)?.max(old.into());
    let custom = table.name(1, "custom_code")?;
    Ok(OperatorCode { builtin, custom, version: table.scalar(2, 1)? })
}

fn buffer<'a>(table: &Table<'a>, file: &'a [u8]) -> Result<&'a [u8], FormatError> {
    let (offset, size) = (table.scalar(1, 0u64)?, table.scalar(2, 0u64)?);
    // 0 and 1 stand for bytes in the vector; what is larger lies behind the network.
    if offset <= 1 {
        return table.text(0);
    }
    let range = usize::try_from(offset).ok().zip(usize::try_from(size).ok());
    let found = range.and_then(|(offset, size)| file.get(offset..)?.get(..size));
    found.ok_or_else(|| FormatError::Truncated {
        place: Place::at(format_args!("bytes of Buffer"), offset),
        need: size,
        have: (file.len() as u64).saturating_sub(offset),
    })
}

fn find_external<'m, 'a>(
    buffers: &'m [ExternalBuffer<'a>],
    id: u32,
) -> Option<&'m ExternalBuffer<'a>> {
    buffers.get(buffers.binary_search_by_key(&id, |buffer| buffer.id).ok()?)
}

fn external_buffers<'a>(
    root: &Table<'a>,
    reader: &Reader,
) -> Result<Vec<ExternalBuffer<'a>>, FormatError> {
    let groups = reader.each(root.tables(8, "ExternalBufferGroup")?, |table| {
        let name = table.text(0)?;
        location::check(name, &|| table.place("name"))
    })?;
    let mut buffers = reader.each(root.tables(9, "ExternalBuffer")?, |table| {
        let id: u32 = table.scalar(0, 0)?;
        if id == 0 {
            return Err(FormatError::invalid(table.place("id"), "1 or higher", format_args!("0")));
        }
        let group: u32 = table.scalar(1, 0)?;
        let group = index(group.into(), groups.len(), "groups", || table.place("group"))?;
        let (offset, length) = (table.scalar(2, 0u64)?, table.scalar(3, 0u64)?);
        if offset.checked_add(length).is_none() {
            let got = format_args!("offset {offset}");
            return Err(FormatError::invalid(table.place("extent"), "below 2^64", got));
        }
        Ok(ExternalBuffer {
            id,
            location: groups.get(group).copied().unwrap_or_default(),
            offset,
            length,
            packing: table.name(4, "packing")?,
        })
    })?;
    buffers.sort_unstable_by_key(|buffer| buffer.id);
    match buffers.iter().zip(buffers.iter().skip(1)).find(|(a, b)| a.id == b.id) {
        Some((buffer, _)) => {
            let name = Label::from(format_args!("{}", buffer.id));
            Err(FormatError::Duplicate { what: "external buffer", name })
        }
        None => Ok(buffers),
    }
}

impl<'a> Signature<'a> {
    fn read(
        table: &Table<'a>,
        subgraphs: &[SubGraph<'_>],
        reader: &Reader,
    ) -> Result<Self, FormatError> {
        let subgraph: u32 = table.scalar(4, 0)?;
        let place = || table.place("subgraph_index");
        let subgraph = index(subgraph.into(), subgraphs.len(), "sub-graphs", place)?;
        let tensors = subgraphs.get(subgraph).map_or(0, |graph| graph.tensors.len());
        let names = |id, what| {
            reader.each(table.tables(id, what)?, |entry| {
                let idx: u32 = entry.scalar(1, 0)?;
                let place = || entry.place("tensor_index");
                let idx = index(idx.into(), tensors, "tensors", place)?;
                Ok((entry.name(0, "name")?, idx))
            })
        };
        Ok(Self {
            key: table.name(2, "signature_key")?,
            subgraph,
            inputs: names(0, "input TensorMap")?,
            outputs: names(1, "output TensorMap")?,
        })
    }
}
