//! Attributes of nodes: a name and one value of a closed set of kinds.
//!
//! The file says which kind it is; files from before that field existed are understood by the
//! value that they have. Inside a function, an attribute may stand for one of the caller's.

use super::{Graph, Reader, SparseTensor, Tensor, Type};
use crate::{
    FormatError, Place,
    protobuf::{Field, Message, Number},
};

/// A named setting of a node.
#[derive(Clone, Debug)]
pub struct Attribute<'a> {
    /// The name, unique in its node.
    pub name: &'a str,
    /// The value.
    pub value: AttributeValue<'a>,
}

/// The value of an attribute.
#[derive(Clone, Debug)]
pub enum AttributeValue<'a> {
    /// A number.
    Float(f32),
    /// A whole number.
    Int(i64),
    /// A text; not always UTF-8.
    String(&'a [u8]),
    /// A constant tensor.
    Tensor(Tensor<'a>),
    /// A sub-graph, such as a branch of `If`.
    Graph(Box<Graph<'a>>),
    /// A constant tensor that lists its non-zero elements.
    SparseTensor(Box<SparseTensor<'a>>),
    /// A type.
    Type(Type<'a>),
    /// Numbers.
    Floats(Vec<f32>),
    /// Whole numbers.
    Ints(Vec<i64>),
    /// Texts.
    Strings(Vec<&'a [u8]>),
    /// Constant tensors.
    Tensors(Vec<Tensor<'a>>),
    /// Sub-graphs.
    Graphs(Vec<Graph<'a>>),
    /// Sparse tensors.
    SparseTensors(Vec<SparseTensor<'a>>),
    /// Types.
    Types(Vec<Type<'a>>),
    /// In a function: the caller's attribute of this name.
    Reference {
        /// Name of the caller's attribute.
        attribute: &'a str,
        /// What it is; `None` if the file does not say.
        kind: Option<AttributeKind>,
    },
}

/// The kinds of values, with the codes of `AttributeProto.AttributeType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the variants are those of `AttributeValue`")]
pub enum AttributeKind {
    Float = 1,
    Int = 2,
    String = 3,
    Tensor = 4,
    Graph = 5,
    Floats = 6,
    Ints = 7,
    Strings = 8,
    Tensors = 9,
    Graphs = 10,
    SparseTensor = 11,
    SparseTensors = 12,
    Type = 13,
    Types = 14,
}

/// Kinds with their field numbers in `AttributeProto`, in the order of their codes.
const KINDS: [(AttributeKind, u32); 14] = [
    (AttributeKind::Float, 2),
    (AttributeKind::Int, 3),
    (AttributeKind::String, 4),
    (AttributeKind::Tensor, 5),
    (AttributeKind::Graph, 6),
    (AttributeKind::Floats, 7),
    (AttributeKind::Ints, 8),
    (AttributeKind::Strings, 9),
    (AttributeKind::Tensors, 10),
    (AttributeKind::Graphs, 11),
    (AttributeKind::SparseTensor, 22),
    (AttributeKind::SparseTensors, 23),
    (AttributeKind::Type, 14),
    (AttributeKind::Types, 15),
];

impl AttributeKind {
    fn from_code(code: i64) -> Option<Self> {
        let idx = usize::try_from(code.checked_sub(1)?).ok()?;
        KINDS.get(idx).map(|row| row.0)
    }

    fn field(self) -> u32 {
        KINDS.iter().find(|row| row.0 == self).map_or(0, |row| row.1)
    }
}

impl AttributeValue<'_> {
    /// What kind of value it is; `None` for a reference that does not say.
    pub fn kind(&self) -> Option<AttributeKind> {
        Some(match self {
            Self::Float(_) => AttributeKind::Float,
            Self::Int(_) => AttributeKind::Int,
            Self::String(_) => AttributeKind::String,
            Self::Tensor(_) => AttributeKind::Tensor,
            Self::Graph(_) => AttributeKind::Graph,
            Self::SparseTensor(_) => AttributeKind::SparseTensor,
            Self::Type(_) => AttributeKind::Type,
            Self::Floats(_) => AttributeKind::Floats,
            Self::Ints(_) => AttributeKind::Ints,
            Self::Strings(_) => AttributeKind::Strings,
            Self::Tensors(_) => AttributeKind::Tensors,
            Self::Graphs(_) => AttributeKind::Graphs,
            Self::SparseTensors(_) => AttributeKind::SparseTensors,
            Self::Types(_) => AttributeKind::Types,
            Self::Reference { kind, .. } => return *kind,
        })
    }
}

impl<'a> Attribute<'a> {
    /// Reads an `AttributeProto`; `depth` is that of the graph that the node is in.
    pub(crate) fn read(
        message: &Message<'a>,
        reader: &Reader,
        depth: u32,
    ) -> Result<Self, FormatError> {
        let (mut name, mut reference, mut code, mut first) = ("", None, 0, None);
        for field in message.fields() {
            let field = field?;
            match field.number {
                1 => name = field.name("name")?,
                20 => code = field.int()?,
                21 => {
                    reference = Some(field.name("ref_attr_name")?).filter(|name| !name.is_empty());
                }
                number => {
                    let kind = KINDS.iter().find(|row| row.1 == number).map(|row| row.0);
                    first = first.or(kind);
                }
            }
        }
        let wrong = |want: &'static str, got: std::fmt::Arguments<'_>| {
            let what = format_args!("type of attribute `{}`", crate::Label::new(name));
            let place = Place::at(what, message.at());
            FormatError::invalid(place, want, got)
        };
        if name.is_empty() {
            let place = Place::at(format_args!("name of AttributeProto"), message.at());
            return Err(FormatError::invalid(place, "a name", format_args!("empty")));
        }
        let kind = match code {
            0 => None,
            code => Some(
                AttributeKind::from_code(code)
                    .ok_or_else(|| wrong("a code from 1 to 14", format_args!("{code}")))?,
            ),
        };
        if let Some(attribute) = reference {
            return Ok(Self { name, value: AttributeValue::Reference { attribute, kind } });
        }
        let Some(kind) = kind.or(first) else {
            return Err(wrong("given where there is no value", format_args!("0")));
        };
        Ok(Self { name, value: read_value(message, kind, reader, depth)? })
    }
}

fn read_value<'a>(
    message: &Message<'a>,
    kind: AttributeKind,
    reader: &Reader,
    depth: u32,
) -> Result<AttributeValue<'a>, FormatError> {
    use AttributeKind as K;
    use AttributeValue as V;
    let inner = depth.saturating_add(1);
    let parts = Parts { message, number: kind.field(), reader };
    Ok(match kind {
        // What a writer leaves out is zero or empty.
        K::Float => V::Float(parts.last(Field::float)?.unwrap_or_default()),
        K::Int => V::Int(parts.last(Field::int)?.unwrap_or_default()),
        K::String => V::String(parts.last(Field::bytes)?.unwrap_or_default()),
        K::Tensor => V::Tensor(Tensor::read(&parts.merged("TensorProto")?, reader)?),
        K::Graph => {
            let graph = Graph::read(&parts.merged("GraphProto")?, reader, inner)?;
            V::Graph(reader.budget.boxed(graph)?)
        }
        K::SparseTensor => {
            let sparse = SparseTensor::read(&parts.merged("SparseTensorProto")?, reader)?;
            V::SparseTensor(reader.budget.boxed(sparse)?)
        }
        K::Type => V::Type(Type::read(&parts.merged("TypeProto")?, reader, 1)?),
        K::Floats => V::Floats(parts.numbers(Number::Fixed32, |bits| {
            // A single's bits fill the lower half.
            f32::from_bits(u32::try_from(bits).unwrap_or_default())
        })?),
        K::Ints => V::Ints(parts.numbers(Number::Varint, u64::cast_signed)?),
        K::Strings => V::Strings(parts.each(Field::bytes)?),
        K::Tensors => V::Tensors(
            parts
                .each(|field| Tensor::read(&Message::new("TensorProto", field.span()?), reader))?,
        ),
        K::Graphs => V::Graphs(parts.each(|field| {
            Graph::read(&Message::new("GraphProto", field.span()?), reader, inner)
        })?),
        K::SparseTensors => V::SparseTensors(parts.each(|field| {
            SparseTensor::read(&Message::new("SparseTensorProto", field.span()?), reader)
        })?),
        K::Types => V::Types(
            parts.each(|field| Type::read(&Message::new("TypeProto", field.span()?), reader, 1))?,
        ),
    })
}

/// The fields of an attribute that hold its value.
struct Parts<'m, 'a> {
    message: &'m Message<'a>,
    number: u32,
    reader: &'m Reader,
}

impl<'a> Parts<'_, 'a> {
    fn fields(&self) -> impl Iterator<Item = Result<Field<'a>, FormatError>> {
        let wanted = |field: &Result<Field<'_>, _>| {
            field.as_ref().map_or(true, |field| field.number == self.number)
        };
        self.message.fields().filter(wanted)
    }

    /// The last field: where there are several, it counts.
    fn last<T>(
        &self,
        read: impl Fn(&Field<'a>) -> Result<T, FormatError>,
    ) -> Result<Option<T>, FormatError> {
        let mut last = None;
        for field in self.fields() {
            last = Some(read(&field?)?);
        }
        Ok(last)
    }

    /// The message that all fields are together.
    fn merged(&self, what: &'static str) -> Result<Message<'a>, FormatError> {
        let mut merged = None;
        for field in self.fields() {
            Message::merge(&mut merged, what, &field?, &self.reader.budget)?;
        }
        merged.ok_or_else(|| {
            let place = Place::at(format_args!("value of AttributeProto"), self.message.at());
            FormatError::invalid(place, what, format_args!("missing"))
        })
    }

    fn each<T>(
        &self,
        read: impl Fn(&Field<'a>) -> Result<T, FormatError>,
    ) -> Result<Vec<T>, FormatError> {
        let mut list = self.reader.budget.table(self.fields().count())?;
        for field in self.fields() {
            list.push(read(&field?)?);
        }
        Ok(list)
    }

    fn numbers<T>(&self, kind: Number, convert: fn(u64) -> T) -> Result<Vec<T>, FormatError> {
        let mut count = 0usize;
        for field in self.fields() {
            count = count.saturating_add(field?.numbers(kind)?.how_many());
        }
        let mut list = self.reader.budget.table(count)?;
        for field in self.fields() {
            for number in field?.numbers(kind)? {
                list.push(convert(number?));
            }
        }
        Ok(list)
    }
}
