//! Types of values: tensors with their shapes, sequences, optionals and maps of them. Shapes
//! that a file declares are hints: a dimension may be known, named or neither.

use std::fmt;

use super::{ElementType, Reader, check_depth};
use crate::{
    FormatError, Place, limits,
    protobuf::{Field, Message},
};

/// One dimension of a declared shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dim<'a> {
    /// Always this many.
    Known(u64),
    /// A free dimension; equal names are equal sizes.
    Named(&'a str),
    /// A free dimension without a name.
    Unknown,
}

impl fmt::Display for Dim<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(size) => write!(f, "{size}"),
            Self::Named(name) => f.write_str(name),
            Self::Unknown => f.write_str("?"),
        }
    }
}

/// The type of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type<'a> {
    /// A tensor.
    Tensor {
        /// Type of its elements; `None` where the file leaves it open.
        element: Option<ElementType>,
        /// Its dimensions, outermost first; `None` if not even their number is known.
        shape: Option<Vec<Dim<'a>>>,
    },
    /// A tensor that lists its non-zero elements.
    SparseTensor {
        /// Type of its elements; `None` where the file leaves it open.
        element: Option<ElementType>,
        /// Its dimensions, outermost first.
        shape: Option<Vec<Dim<'a>>>,
    },
    /// Any number of values of one type.
    Sequence(Box<Self>),
    /// A value or none.
    Optional(Box<Self>),
    /// Values by key.
    Map {
        /// Type of the keys.
        key: Option<ElementType>,
        /// Type of the values.
        value: Box<Self>,
    },
    /// A type that only its domain knows.
    Opaque {
        /// The domain.
        domain: &'a str,
        /// The type's name there.
        name: &'a str,
    },
    /// The file does not say.
    Unknown,
}

impl<'a> Type<'a> {
    /// Reads a `TypeProto`.
    pub(crate) fn read(
        message: &Message<'a>,
        reader: &Reader,
        depth: u32,
    ) -> Result<Self, FormatError> {
        check_depth(depth, "types", message.at())?;
        // One of several: the last kind counts, and parts of that kind are one message.
        let mut chosen: Option<(u32, Option<Message<'a>>)> = None;
        for field in message.fields() {
            let field = field?;
            let what = match field.number {
                1 => "TypeProto.Tensor",
                4 => "TypeProto.Sequence",
                5 => "TypeProto.Map",
                7 => "TypeProto.Opaque",
                8 => "TypeProto.SparseTensor",
                9 => "TypeProto.Optional",
                _ => continue,
            };
            if chosen.as_ref().is_none_or(|(number, _)| *number != field.number) {
                chosen = Some((field.number, None));
            }
            if let Some((_, slot)) = &mut chosen {
                Message::merge(slot, what, &field, &reader.budget)?;
            }
        }
        let Some((number, Some(message))) = chosen else { return Ok(Self::Unknown) };
        let next = depth.saturating_add(1);
        Ok(match number {
            1 | 8 => {
                let (element, shape) = tensor(&message, reader)?;
                if number == 1 {
                    Self::Tensor { element, shape }
                } else {
                    Self::SparseTensor { element, shape }
                }
            }
            4 => Self::Sequence(inner(&message, 1, reader, next)?),
            9 => Self::Optional(inner(&message, 1, reader, next)?),
            5 => {
                let mut key = None;
                for field in message.fields() {
                    let field = field?;
                    if field.number == 1 {
                        key = element(&field)?;
                    }
                }
                Self::Map { key, value: inner(&message, 2, reader, next)? }
            }
            _ => {
                let (mut domain, mut name) = ("", "");
                for field in message.fields() {
                    let field = field?;
                    match field.number {
                        1 => domain = field.name("domain")?,
                        2 => name = field.name("name")?,
                        _ => {}
                    }
                }
                Self::Opaque { domain, name }
            }
        })
    }
}

/// The type in field `number`.
fn inner<'a>(
    message: &Message<'a>,
    number: u32,
    reader: &Reader,
    depth: u32,
) -> Result<Box<Type<'a>>, FormatError> {
    let mut inner = None;
    for field in message.fields() {
        let field = field?;
        if field.number == number {
            Message::merge(&mut inner, "TypeProto", &field, &reader.budget)?;
        }
    }
    let ty = match inner {
        Some(message) => Type::read(&message, reader, depth)?,
        None => Type::Unknown,
    };
    reader.budget.boxed(ty)
}

/// A code where 0 means that the file does not say.
fn element(field: &Field<'_>) -> Result<Option<ElementType>, FormatError> {
    match field.int()? {
        0 => Ok(None),
        code => ElementType::read(code, || field.place("elem_type")).map(Some),
    }
}

/// Type of the elements and shape.
type TensorType<'a> = (Option<ElementType>, Option<Vec<Dim<'a>>>);

fn tensor<'a>(message: &Message<'a>, reader: &Reader) -> Result<TensorType<'a>, FormatError> {
    let (mut ty, mut shape) = (None, None);
    for field in message.fields() {
        let field = field?;
        match field.number {
            1 => ty = element(&field)?,
            2 => Message::merge(&mut shape, "TensorShapeProto", &field, &reader.budget)?,
            _ => {}
        }
    }
    let Some(shape) = shape else { return Ok((ty, None)) };
    let [_, rank]: [usize; 2] = shape.counts()?;
    let limit = limits::NETWORK_RANK;
    if rank > limit {
        let place = Place::at(format_args!("number of dimensions"), shape.at());
        return Err(FormatError::Limit { place, got: rank as u64, limit: limit as u64 });
    }
    let mut dims = reader.budget.table(rank)?;
    for field in shape.fields() {
        let field = field?;
        if field.number == 1 {
            dims.push(dim(&Message::new("Dimension", field.span()?))?);
        }
    }
    Ok((ty, Some(dims)))
}

fn dim<'a>(message: &Message<'a>) -> Result<Dim<'a>, FormatError> {
    let mut dim = Dim::Unknown;
    for field in message.fields() {
        let field = field?;
        match field.number {
            // Old converters write -1 where they do not know.
            1 => dim = u64::try_from(field.int()?).map_or(Dim::Unknown, Dim::Known),
            2 => {
                dim = match field.name("dim_param")? {
                    "" => Dim::Unknown,
                    name => Dim::Named(name),
                }
            }
            _ => {}
        }
    }
    Ok(dim)
}
