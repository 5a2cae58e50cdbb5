//! ONNX: a network's graph, weights, functions and settings, borrowed from the file's bytes.
//!
//! Whatever the bytes are, the answer is a [`Model`] or an error that names the place. Names and
//! weights stay where they are; the tables take at most 4 × the file + 16 MiB. What is accepted
//! holds: every tensor has exactly the bytes that its type and dimensions need (or says in which
//! other file, by a name that cannot leave the model's folder), names are UTF-8 and at most
//! 4 KiB, graphs are nested at most 64 deep. Whether operators are known, values defined and nodes
//! in order is the importer's to check. Follows `onnx.proto` of ONNX 1.23 (IR 14, opset 28).

use std::fmt;

use crate::{
    FormatError, Kind, Label, Place,
    budget::Budget,
    limits,
    protobuf::{Field, Message},
    sniff,
};

mod graph;
mod attribute;
mod tensor;
mod element;
mod external;
mod types;
pub mod skeleton;

pub use attribute::{Attribute, AttributeKind, AttributeValue};
pub use element::ElementType;
pub use external::External;
pub use graph::{Declaration, Function, Graph, Node, QuantizationAnnotation};
pub use tensor::{Contents, SparseTensor, Tensor, Typed};
pub use types::{Dim, Type};

/// The newest set of operators whose schemas were studied.
pub const OPSET_MAX: i64 = 28;
/// The newest version of the file format itself.
pub const IR_VERSION_MAX: i64 = 14;

/// A text for people, which may not be UTF-8.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Text<'a>(pub &'a [u8]);

impl fmt::Display for Text<'_> {
    /// The text as it is, with a mark for bytes that are no UTF-8.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&String::from_utf8_lossy(self.0))
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", Label::from_bytes(self.0))
    }
}

/// A name and what it stands for, such as `("mask", "0.25")`.
pub type Property<'a> = (&'a str, Text<'a>);

/// A set of operators that a model uses: `("", 17)` is opset 17 of ONNX itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpsetImport<'a> {
    /// The domain; empty for ONNX's own operators, also where the file says `ai.onnx`.
    pub domain: &'a str,
    /// The version, at least 1.
    pub version: i64,
}

/// A whole file.
#[derive(Clone, Debug)]
pub struct Model<'a> {
    /// Version of the file format.
    pub ir_version: i64,
    /// The operator sets; no domain occurs with two versions.
    pub opset_imports: Vec<OpsetImport<'a>>,
    /// The program that wrote the file.
    pub producer_name: Text<'a>,
    /// That program's version.
    pub producer_version: Text<'a>,
    /// The model's own name space, such as `com.example`.
    pub domain: Text<'a>,
    /// The model's own version.
    pub model_version: i64,
    /// What the author says.
    pub doc: Text<'a>,
    /// The network.
    pub graph: Graph<'a>,
    /// Functions, to be put in place of the nodes that call them.
    pub functions: Vec<Function<'a>>,
    /// Settings by name.
    pub metadata_props: Vec<Property<'a>>,
    /// Number of training graphs, which are not read.
    pub training_graphs: usize,
}

impl<'a> Model<'a> {
    /// Reads a whole file.
    ///
    /// # Errors
    /// What is wrong with the file, and where.
    pub fn parse(file: &'a [u8]) -> Result<Self, FormatError> {
        match sniff(file) {
            // Protobuf has no magic number: what looks like nothing else is tried.
            Kind::OnnxLike | Kind::Unknown => {}
            kind => return Err(FormatError::OtherKind { want: "ONNX", kind }),
        }
        let reader = Reader::for_file(file.len());
        Self::read(&Message::file("ModelProto", file), &reader)
    }

    fn read(message: &Message<'a>, reader: &Reader) -> Result<Self, FormatError> {
        let counts: [usize; 27] = message.counts()?;
        let [
            ..,
            opsets,
            _,
            _,
            _,
            _,
            _,
            properties,
            _,
            _,
            _,
            _,
            _,
            training,
            _,
            _,
            _,
            _,
            functions,
            _,
        ] = counts;
        let mut model = Self {
            ir_version: 0,
            opset_imports: reader.budget.table(opsets)?,
            producer_name: Text::default(),
            producer_version: Text::default(),
            domain: Text::default(),
            model_version: 0,
            doc: Text::default(),
            graph: Graph::default(),
            functions: reader.budget.table(functions)?,
            metadata_props: reader.budget.table(properties)?,
            training_graphs: training,
        };
        let mut graph = None;
        for field in message.fields() {
            let field = field?;
            match field.number {
                1 => model.ir_version = field.int()?,
                2 => model.producer_name = Text(field.bytes()?),
                3 => model.producer_version = Text(field.bytes()?),
                4 => model.domain = Text(field.bytes()?),
                5 => model.model_version = field.int()?,
                6 => model.doc = Text(field.bytes()?),
                7 => Message::merge(&mut graph, "GraphProto", &field, &reader.budget)?,
                8 => model.opset_imports.push(opset_import(&field)?),
                14 => model.metadata_props.push(property(&field)?),
                _ => {}
            }
        }
        check_opsets(&model.opset_imports)?;
        let place = |what: &str| Place::named(format_args!("{what} of ModelProto"));
        let Some(graph) = graph else {
            return Err(FormatError::invalid(place("graph"), "there", format_args!("missing")));
        };
        if !(1..=i64::from(i32::MAX)).contains(&model.ir_version) {
            let got = format_args!("{}", model.ir_version);
            return Err(FormatError::invalid(place("ir_version"), "1 or higher", got));
        }
        model.graph = Graph::read(&graph, reader, 1)?;
        for field in message.fields() {
            let field = field?;
            if field.number == 25 {
                let message = Message::new("FunctionProto", field.span()?);
                model.functions.push(Function::read(&message, reader)?);
            }
        }
        Ok(model)
    }

    /// The version of a domain's operators that the model asks for.
    ///
    /// Files of IR versions 1 and 2 name none and mean opset 1.
    pub fn opset(&self, domain: &str) -> Option<i64> {
        let domain = canonical_domain(domain);
        let found = self.opset_imports.iter().find(|import| import.domain == domain);
        match found {
            Some(import) => Some(import.version),
            None => (domain.is_empty() && self.ir_version < 3).then_some(1),
        }
    }

    /// Every tensor that is kept in another file: of the graph, of sub-graphs and of functions.
    pub fn external(&self) -> Vec<(&Tensor<'a>, &External<'a>)> {
        let mut found = Vec::new();
        self.for_each_tensor(&mut |tensor| {
            if let Contents::External(external) = &tensor.contents {
                found.push((tensor, external));
            }
        });
        found
    }

    /// Visits every constant tensor of the model, whatever holds it.
    pub fn for_each_tensor<'m>(&'m self, visit: &mut dyn FnMut(&'m Tensor<'a>)) {
        self.graph.for_each_tensor(visit);
        for function in &self.functions {
            graph::visit_nodes(&function.nodes, visit);
            graph::visit_attributes(&function.attribute_defaults, visit);
        }
    }
}

/// What is carried along while one file is read.
#[derive(Debug)]
pub(crate) struct Reader {
    budget: Budget,
    nodes: std::cell::Cell<u64>,
}

impl Reader {
    fn for_file(len: usize) -> Self {
        Self { budget: Budget::for_file(len), nodes: std::cell::Cell::new(0) }
    }

    /// Counts nodes of all graphs together.
    fn count_nodes(&self, count: usize, place: Place) -> Result<(), FormatError> {
        let (got, limit) = (self.nodes.get().saturating_add(count as u64), limits::NETWORK_NODES);
        self.nodes.set(got);
        if got > limit { Err(FormatError::Limit { place, got, limit }) } else { Ok(()) }
    }
}

/// Refuses what is nested too deeply.
fn check_depth(depth: u32, what: &str, at: u64) -> Result<(), FormatError> {
    let (got, limit) = (u64::from(depth), u64::from(limits::NETWORK_DEPTH));
    if got > limit {
        let place = Place::at(format_args!("nesting of {what}"), at);
        return Err(FormatError::Limit { place, got, limit });
    }
    Ok(())
}

/// ONNX's own operators have two names for their domain.
fn canonical_domain(domain: &str) -> &str {
    if domain == "ai.onnx" { "" } else { domain }
}

fn opset_import<'a>(field: &Field<'a>) -> Result<OpsetImport<'a>, FormatError> {
    let message = Message::new("OperatorSetIdProto", field.span()?);
    let mut import = OpsetImport { domain: "", version: 0 };
    for part in message.fields() {
        let part = part?;
        match part.number {
            1 => import.domain = canonical_domain(part.name("domain")?),
            2 => import.version = part.int()?,
            _ => {}
        }
    }
    if !(1..=i64::from(i32::MAX)).contains(&import.version) {
        let got = format_args!("{}", import.version);
        return Err(FormatError::invalid(field.place("version"), "1 or higher", got));
    }
    Ok(import)
}

fn check_opsets(imports: &[OpsetImport<'_>]) -> Result<(), FormatError> {
    // There are a few; a hostile file's thousands are sorted.
    let mut sorted: Vec<_> = imports.iter().map(|import| (import.domain, import.version)).collect();
    sorted.sort_unstable();
    let pairs = sorted.iter().zip(sorted.iter().skip(1));
    match pairs.into_iter().find(|(former, later)| former.0 == later.0 && former.1 != later.1) {
        Some((import, _)) => {
            Err(FormatError::Duplicate { what: "operator set", name: Label::new(import.0) })
        }
        None => Ok(()),
    }
}

/// An entry of a `StringStringEntryProto` list.
fn property<'a>(field: &Field<'a>) -> Result<Property<'a>, FormatError> {
    let message = Message::new("StringStringEntryProto", field.span()?);
    let mut entry = ("", Text::default());
    for part in message.fields() {
        let part = part?;
        match part.number {
            1 => entry.0 = part.name("key")?,
            2 => entry.1 = Text(part.bytes()?),
            _ => {}
        }
    }
    Ok(entry)
}
