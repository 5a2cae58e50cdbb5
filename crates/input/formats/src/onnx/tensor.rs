//! Constant tensors: raw bytes, lists of numbers, strings, or a range of another file.
//!
//! A tensor that was read has exactly the elements that its dimensions say, all of them in range
//! of its type; only lists of varints are decoded, when they are asked for.

use std::borrow::Cow;

use tensor::Shape;

use super::{ElementType, External, Reader, element::List};
use crate::{
    FormatError, Kind, Label, Place, limits, memory,
    protobuf::{Field, Message, Number, Span},
    sniff,
};

/// A constant.
#[derive(Clone, Debug)]
pub struct Tensor<'a> {
    /// Its name; empty in attributes.
    pub name: &'a str,
    /// Type of the elements.
    pub element: ElementType,
    /// The extents, outermost first; empty for a single element.
    pub dims: Vec<u64>,
    /// The elements.
    pub contents: Contents<'a>,
}

/// Where a tensor's elements are.
#[derive(Clone, Debug)]
pub enum Contents<'a> {
    /// Here, little endian and packed without gaps.
    Bytes(&'a [u8]),
    /// Here, as a list of numbers that must be decoded.
    Typed(Typed<'a>),
    /// Here, one string an element.
    Strings(Vec<&'a [u8]>),
    /// In another file.
    External(External<'a>),
}

/// A list of numbers as protobuf stores them, checked to be in range of its type.
#[derive(Clone, Debug)]
pub struct Typed<'a> {
    message: Message<'a>,
    list: List,
    element: ElementType,
    /// Bytes when decoded.
    bytes: usize,
}

/// A tensor that lists its non-zero elements; ONNX calls it `SparseTensorProto`.
#[derive(Clone, Debug)]
pub struct SparseTensor<'a> {
    /// The elements that are not zero: `[n]`; its name is the tensor's.
    pub values: Tensor<'a>,
    /// Their places as `int64`: `[n]` in the flattened tensor, or `[n, rank]`.
    pub indices: Tensor<'a>,
    /// The extents of the whole tensor, outermost first.
    pub dims: Vec<u64>,
}

impl<'a> Tensor<'a> {
    /// Reads a file that is one tensor, as test suites keep their inputs and outputs (`.pb`).
    ///
    /// # Errors
    /// What is wrong with the file, and where.
    pub fn parse(file: &'a [u8]) -> Result<Self, FormatError> {
        match sniff(file) {
            Kind::GitLfsPointer | Kind::Html | Kind::Gguf | Kind::Npy => {
                return Err(FormatError::OtherKind { want: "ONNX tensor", kind: sniff(file) });
            }
            _ => {}
        }
        Self::read(&Message::file("TensorProto", file), &Reader::for_file(file.len()))
    }

    /// Number of elements.
    pub fn elements(&self) -> u64 {
        // Checked when it was read.
        self.dims.iter().fold(1, |product, &dim| product.saturating_mul(dim))
    }

    /// The extents as a shape; `None` if there are more than eight.
    pub fn shape(&self) -> Option<Shape> {
        Shape::new(&self.dims)
    }

    /// Size of the elements, packed; `None` for strings.
    pub fn byte_len(&self) -> Option<u64> {
        self.element.packed_bytes(self.elements())
    }

    /// The elements, little endian and packed without gaps: borrowed where they stand like that
    /// in the file.
    ///
    /// # Errors
    /// If they are strings or in another file, or there is no memory.
    pub fn bytes(&self) -> Result<Cow<'a, [u8]>, FormatError> {
        let elsewhere = |got: &str, instead| FormatError::Unsupported {
            place: Place::named(format_args!("bytes of tensor `{}`", Label::new(self.name))),
            got: Label::new(got),
            instead,
        };
        match &self.contents {
            Contents::Bytes(bytes) => Ok(Cow::Borrowed(bytes)),
            Contents::Typed(typed) => typed.decode().map(Cow::Owned),
            Contents::Strings(_) => Err(elsewhere("a list of strings", "read it as strings")),
            Contents::External(external) => {
                Err(elsewhere(external.location, "the file must be opened"))
            }
        }
    }

    /// Reads a `TensorProto`.
    pub(crate) fn read(message: &Message<'a>, reader: &Reader) -> Result<Self, FormatError> {
        let mut header = Header::read(message, reader)?;
        let (name, dims) = (header.name, std::mem::take(&mut header.dims));
        let place = |what: &str| {
            Place::at(format_args!("{what} of tensor `{}`", Label::new(name)), message.at())
        };
        let element = ElementType::read(header.code, || place("data_type"))?;
        let elements = check_elements(&dims, || place("dims"))?;
        if header.has_segment {
            return Err(FormatError::Unsupported {
                place: place("segment"),
                got: Label::new("a tensor in parts"),
                instead: "save it in one piece",
            });
        }
        let Some(need) = element.packed_bytes(elements) else {
            return header.strings(message, reader, elements).map(|contents| Self {
                name,
                element,
                dims,
                contents,
            });
        };
        if header.is_external {
            let external = External::read(message, name, need)?;
            return Ok(Self { name, element, dims, contents: Contents::External(external) });
        }
        let contents = match (header.raw, header.list) {
            (Some(raw), None) => {
                if raw.bytes.len() as u64 != need {
                    let what = format_args!("raw_data of tensor `{}`", Label::new(name));
                    let place = Place::at(what, raw.at);
                    let want = format!("{need} bytes, as {element} {} needs", Dims(&dims));
                    let got = format_args!("{} bytes", raw.bytes.len());
                    return Err(FormatError::invalid(place, want, got));
                }
                Contents::Bytes(raw.bytes)
            }
            (_, None) if elements == 0 => Contents::Bytes(&[]),
            (None, None) => {
                let want = format!("{need} bytes, as {element} {} needs", Dims(&dims));
                return Err(FormatError::invalid(place("data"), want, format_args!("missing")));
            }
            (Some(_), Some(_)) => {
                let got = format_args!("several lists");
                return Err(FormatError::invalid(place("data"), "in one field", got));
            }
            (None, Some(list)) => typed(message, list, element, elements, &place)?,
        };
        Ok(Self { name, element, dims, contents })
    }
}

/// The fields of a `TensorProto`, not yet checked against each other.
#[derive(Default)]
struct Header<'a> {
    name: &'a str,
    code: i64,
    dims: Vec<u64>,
    raw: Option<Span<'a>>,
    /// Field number of the list that has numbers in it.
    list: Option<u32>,
    strings: usize,
    is_external: bool,
    has_segment: bool,
}

impl<'a> Header<'a> {
    fn read(message: &Message<'a>, reader: &Reader) -> Result<Self, FormatError> {
        let mut header = Self::default();
        let mut dims = Dimensions::default();
        for field in message.fields() {
            let field = field?;
            match field.number {
                1 => dims.extend(&field)?,
                2 => header.code = field.int()?,
                3 => header.has_segment = true,
                number @ (4 | 5 | 7 | 10 | 11) => header.see_list(number, &field)?,
                6 => {
                    field.bytes()?;
                    header.strings = header.strings.saturating_add(1);
                }
                8 => header.name = field.name("name")?,
                9 => header.raw = Some(field.span()?).filter(|span| !span.bytes.is_empty()),
                14 => header.is_external = external(&field)?,
                _ => {}
            }
        }
        header.dims = dims.finish(reader)?;
        Ok(header)
    }

    /// Notes which list has numbers; an empty one is none, as is empty raw data beside a list.
    fn see_list(&mut self, number: u32, field: &Field<'a>) -> Result<(), FormatError> {
        if field.numbers(number_kind(number))?.how_many() == 0 {
            return Ok(());
        }
        match self.list.replace(number) {
            Some(other) if other != number => {
                let got = format_args!("several lists");
                Err(FormatError::invalid(field.place("data"), "in one field", got))
            }
            _ => Ok(()),
        }
    }

    /// The contents of a tensor of strings.
    fn strings(
        &self,
        message: &Message<'a>,
        reader: &Reader,
        elements: u64,
    ) -> Result<Contents<'a>, FormatError> {
        let place = Place::at(
            format_args!("string_data of tensor `{}`", Label::new(self.name)),
            message.at(),
        );
        if self.raw.is_some() || self.list.is_some() || self.is_external {
            let got = format_args!("in another field");
            return Err(FormatError::invalid(place, "where strings are", got));
        }
        if self.strings as u64 != elements {
            let got = format_args!("{}", self.strings);
            return Err(FormatError::invalid(place, format!("{elements} strings"), got));
        }
        let mut strings = reader.budget.table(self.strings)?;
        for field in message.fields() {
            let field = field?;
            if field.number == 6 {
                strings.push(field.bytes()?);
            }
        }
        Ok(Contents::Strings(strings))
    }
}

fn external(field: &Field<'_>) -> Result<bool, FormatError> {
    match field.int()? {
        0 => Ok(false),
        1 => Ok(true),
        other => {
            let place = field.place("data_location");
            Err(FormatError::invalid(place, "0 (here) or 1 (external)", format_args!("{other}")))
        }
    }
}

fn number_kind(number: u32) -> Number {
    match number {
        4 => Number::Fixed32,
        10 => Number::Fixed64,
        _ => Number::Varint,
    }
}

/// Dimensions as they come in, packed or not.
#[derive(Default)]
pub(super) struct Dimensions {
    dims: [u64; limits::NETWORK_RANK],
    rank: usize,
}

impl Dimensions {
    pub(super) fn extend(&mut self, field: &Field<'_>) -> Result<(), FormatError> {
        for number in field.numbers(Number::Varint)? {
            let dim = number?.cast_signed();
            let Ok(dim) = u64::try_from(dim) else {
                let got = format_args!("{dim}");
                return Err(FormatError::invalid(field.place("dims"), "0 or higher", got));
            };
            let limit = limits::NETWORK_RANK as u64;
            let Some(slot) = self.dims.get_mut(self.rank) else {
                let place = field.place("number of dimensions");
                return Err(FormatError::Limit { place, got: limit.saturating_add(1), limit });
            };
            *slot = dim;
            self.rank = self.rank.saturating_add(1);
        }
        Ok(())
    }

    pub(super) fn finish(&self, reader: &Reader) -> Result<Vec<u64>, FormatError> {
        let mut dims = reader.budget.table(self.rank)?;
        dims.extend(self.dims.iter().take(self.rank));
        Ok(dims)
    }
}

/// The product of all dimensions.
fn check_elements(dims: &[u64], place: impl Fn() -> Place) -> Result<u64, FormatError> {
    let limit = limits::NETWORK_ELEMENTS;
    let product = dims.iter().try_fold(1u64, |product, &dim| product.checked_mul(dim));
    match product {
        Some(elements) if elements <= limit => Ok(elements),
        _ => {
            let want = format!("at most {limit} elements");
            Err(FormatError::invalid(place(), want, format_args!("{}", Dims(dims))))
        }
    }
}

/// Prints `[2, 3]`.
struct Dims<'a>(&'a [u64]);

impl std::fmt::Display for Dims<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// The contents of a tensor whose elements are in a list.
fn typed<'a>(
    message: &Message<'a>,
    number: u32,
    element: ElementType,
    elements: u64,
    place: &dyn Fn(&str) -> Place,
) -> Result<Contents<'a>, FormatError> {
    let list = element.list();
    if list as u32 != number {
        let want = format!("in field {}, where {element} is", list as u32);
        return Err(FormatError::invalid(place("data"), want, format_args!("in field {number}")));
    }
    let bits = element.bits().unwrap_or(8);
    let entry_bits = entry_bits(element);
    // Narrow types share an entry; complex ones take two.
    let entries = match bits.checked_div(entry_bits) {
        Some(0) if bits < 6 => {
            let per_entry = entry_bits.checked_div(bits).unwrap_or(1);
            elements.div_ceil(per_entry.max(1))
        }
        Some(parts) => elements.saturating_mul(parts.max(1)),
        None => elements,
    };
    let (mut count, mut in_place) = (0u64, None);
    for field in message.fields() {
        let field = field?;
        if field.number != number {
            continue;
        }
        let numbers = field.numbers(number_kind(number))?;
        if numbers.how_many() > 0 {
            in_place = if count == 0 { numbers.in_place() } else { None };
        }
        count = count.saturating_add(numbers.how_many() as u64);
        if count > entries {
            break;
        }
        for value in numbers {
            let value = value?;
            if !fits(value, entry_bits) {
                let (want, got) = (format!("a number of {entry_bits} bits"), value.cast_signed());
                return Err(FormatError::invalid(place("data"), want, format_args!("{got}")));
            }
        }
    }
    if count != entries {
        let want = format!("{entries} numbers for {elements} elements");
        return Err(FormatError::invalid(place("data"), want, format_args!("{count} or more")));
    }
    if let Some(bytes) = in_place {
        return Ok(Contents::Bytes(bytes));
    }
    let bytes = element.packed_bytes(elements).and_then(|bytes| usize::try_from(bytes).ok());
    let bytes = bytes.unwrap_or(usize::MAX);
    Ok(Contents::Typed(Typed { message: message.clone(), list, element, bytes }))
}

/// Bits of one number in a list, as they go into the packed bytes.
fn entry_bits(element: ElementType) -> u64 {
    match element.bits().unwrap_or(8) {
        2 | 4 => 8,
        64 if element == ElementType::Complex64 => 32,
        128 => 64,
        bits => bits,
    }
}

/// Whether a 64-bit pattern is a signed or unsigned number of `bits` bits.
fn fits(value: u64, bits: u64) -> bool {
    let Ok(bits) = u32::try_from(bits) else { return false };
    let Some(above) = 64u32.checked_sub(bits) else { return false };
    let signed = value.cast_signed();
    above == 0
        || value.checked_shr(bits) == Some(0)
        || (signed < 0 && signed.leading_ones() > above)
}

impl Typed<'_> {
    /// Bytes that [`Typed::decode`] gives.
    pub fn byte_len(&self) -> usize {
        self.bytes
    }

    /// The elements, little endian and packed without gaps.
    ///
    /// # Errors
    /// If there is no memory for them.
    pub fn decode(&self) -> Result<Vec<u8>, FormatError> {
        let mut bytes = memory::table(self.bytes)?;
        let bits = entry_bits(self.element);
        // Six-bit numbers are packed over bytes; all others fill whole ones.
        let (mut held, mut held_bits) = (0u32, 0u32);
        for field in self.message.fields() {
            let field = field?;
            if field.number != self.list as u32 {
                continue;
            }
            for value in field.numbers(number_kind(field.number))? {
                let value = value?;
                if bits == 6 {
                    let low = u32::from(value.to_le_bytes().first().copied().unwrap_or(0) & 0x3f);
                    held |= low.unbounded_shl(held_bits);
                    held_bits = held_bits.saturating_add(6);
                    if held_bits >= 8 {
                        bytes.extend(held.to_le_bytes().first());
                        held >>= 8;
                        held_bits = held_bits.saturating_sub(8);
                    }
                } else {
                    let width = usize::try_from(bits >> 3).unwrap_or(0);
                    bytes.extend(value.to_le_bytes().iter().take(width));
                }
            }
        }
        if held_bits > 0 {
            bytes.extend(held.to_le_bytes().first());
        }
        debug_assert_eq!(bytes.len(), self.bytes, "counted when the tensor was read");
        Ok(bytes)
    }
}

impl<'a> SparseTensor<'a> {
    /// Reads a `SparseTensorProto`.
    pub(crate) fn read(message: &Message<'a>, reader: &Reader) -> Result<Self, FormatError> {
        let (mut values, mut indices, mut dims) = (None, None, Dimensions::default());
        for field in message.fields() {
            let field = field?;
            match field.number {
                1 => Message::merge(&mut values, "TensorProto", &field, &reader.budget)?,
                2 => Message::merge(&mut indices, "TensorProto", &field, &reader.budget)?,
                3 => dims.extend(&field)?,
                _ => {}
            }
        }
        let place =
            |what: &str| Place::at(format_args!("{what} of SparseTensorProto"), message.at());
        let part = |part: Option<Message<'a>>, what: &str| match part {
            Some(part) => Tensor::read(&part, reader),
            None => Err(FormatError::invalid(place(what), "there", format_args!("missing"))),
        };
        let values = part(values, "values")?;
        // Only a tensor without elements may leave them out, and then they are none.
        let indices = match indices {
            None if values.elements() == 0 => Tensor {
                name: "",
                element: ElementType::Int64,
                dims: reader.budget.table(1).map(|mut dims| {
                    dims.push(0);
                    dims
                })?,
                contents: Contents::Bytes(&[]),
            },
            indices => part(indices, "indices")?,
        };
        let dims = dims.finish(reader)?;
        check_elements(&dims, || place("dims"))?;
        let count = values.elements();
        let matching = match *indices.dims {
            [listed] => listed == count,
            [listed, rank] => listed == count && rank == dims.len() as u64,
            _ => false,
        };
        if indices.element != ElementType::Int64 || values.dims.len() != 1 || !matching {
            let want = format!("int64 places of {count} values");
            let got = format_args!("{} {}", indices.element, Dims(&indices.dims));
            return Err(FormatError::invalid(place("indices"), want, got));
        }
        Ok(Self { values, indices, dims })
    }
}
