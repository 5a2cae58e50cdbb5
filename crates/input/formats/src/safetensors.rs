//! safetensors: names, types and places of tensors out of the file's first bytes.
//!
//! Stricter than the reference implementation: a name or field that occurs twice, a field that
//! is not known, a gap or an overlap between tensors and bytes behind the last one are errors,
//! so that a file has one meaning only. Follows the format's description in
//! huggingface/safetensors (`README.md`, section "Format").

use std::fmt;

use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use tensor::{Bytes, DType, Shape};

use crate::{
    FormatError, Kind, Label, Place, StoredTensor, StoredType, TensorTable, cursor::Cursor, json,
    limits, memory, sniff, table::ForeignType,
};

mod index;
mod writer;

pub use index::Index;
pub use writer::Writer;

/// The header of a safetensors file, or of all files of a sharded model.
#[derive(Clone, Debug)]
pub struct Safetensors {
    metadata: Vec<(Box<str>, Box<str>)>,
    tensors: TensorTable,
    header_bytes: Bytes,
    files: u32,
}

/// Bytes of the header's length, which the file begins with.
const LENGTH_BYTES: u64 = 8;

/// Name of the entry that is no tensor.
const METADATA: &str = "__metadata__";

/// Bytes of the shortest entry of a tensor:
/// `"a":{"dtype":"U8","shape":[],"data_offsets":[0,1]}` less two, for good measure.
const ENTRY_BYTES_MIN: usize = 48;

impl Safetensors {
    /// Reads the header out of the first bytes of a file that is `file_bytes` long.
    ///
    /// # Errors
    /// [`FormatError::NeedMore`] if the header runs past `prefix` while the file goes on: read a
    /// longer prefix and parse again. Otherwise what is wrong with the file, and where.
    pub fn parse(prefix: &[u8], file_bytes: Bytes) -> Result<Self, FormatError> {
        match sniff(prefix) {
            // Zeros and the unknown may be a damaged length, which is named below.
            Kind::Safetensors | Kind::Unknown | Kind::Zeros | Kind::OnnxLike => {}
            kind => return Err(FormatError::OtherKind { want: "safetensors", kind }),
        }
        let limit = limits::SAFETENSORS_HEADER_BYTES;
        let mut cursor = Cursor::new(prefix, file_bytes, limit.saturating_add(LENGTH_BYTES));
        let what = format_args!("length of the header");
        let length = cursor.u64(what)?;
        if length > limit {
            return Err(FormatError::Limit { place: Place::at(what, 0), got: length, limit });
        }
        let text = cursor.take(length, format_args!("header"))?;
        if text.first() != Some(&b'{') {
            let start = Label::from_bytes(text.get(..text.len().min(8)).unwrap_or_default());
            let place = Place::at(format_args!("header"), LENGTH_BYTES);
            return Err(FormatError::invalid(place, "a JSON object", format_args!("\"{start}\"")));
        }
        let header = Header::parse(text)?;
        let tensors = check_extents(header.tensors, cursor.at(), file_bytes)?;
        Ok(Self {
            metadata: header.metadata,
            tensors: TensorTable::new(tensors)?,
            header_bytes: Bytes(cursor.at()),
            files: 1,
        })
    }

    /// The strings of `__metadata__`, in file order.
    pub fn metadata(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.metadata.iter().map(|(key, text)| (&**key, &**text))
    }

    /// The tensors, in file order.
    pub fn tensors(&self) -> &TensorTable {
        &self.tensors
    }

    /// Size of the header with its length; of the first file of a sharded model.
    pub fn header_bytes(&self) -> Bytes {
        self.header_bytes
    }

    /// Number of files that [`StoredTensor::file`] counts: 1 until merged.
    pub fn files(&self) -> u32 {
        self.files
    }
}

const fn known(ty: DType) -> StoredType {
    StoredType::Known(tensor::TensorType::Plain(ty))
}

const fn foreign(name: &'static str, block_elements: u64, block_bits: u64) -> StoredType {
    StoredType::Foreign(ForeignType { name, block_elements, block_bits })
}

/// The types by their names in the header.
const TYPES: [(&str, StoredType); 22] = [
    ("F32", known(DType::F32)),
    ("F16", known(DType::F16)),
    ("BF16", known(DType::BF16)),
    ("F64", known(DType::F64)),
    ("I8", known(DType::I8)),
    ("U8", known(DType::U8)),
    ("I16", known(DType::I16)),
    ("U16", known(DType::U16)),
    ("I32", known(DType::I32)),
    ("U32", known(DType::U32)),
    ("I64", known(DType::I64)),
    ("U64", known(DType::U64)),
    ("BOOL", known(DType::Bool)),
    ("F8_E4M3", foreign("F8_E4M3", 1, 8)),
    ("F8_E5M2", foreign("F8_E5M2", 1, 8)),
    ("F8_E8M0", foreign("F8_E8M0", 1, 8)),
    ("F8_E4M3FNUZ", foreign("F8_E4M3FNUZ", 1, 8)),
    ("F8_E5M2FNUZ", foreign("F8_E5M2FNUZ", 1, 8)),
    ("F6_E2M3", foreign("F6_E2M3", 4, 24)),
    ("F6_E3M2", foreign("F6_E3M2", 4, 24)),
    ("F4", foreign("F4", 2, 4 * 2)),
    ("C64", foreign("C64", 1, 64)),
];

/// Makes offsets absolute and checks that the tensors fill the file without gap or overlap.
fn check_extents(
    mut tensors: Vec<StoredTensor>,
    start: u64,
    file: Bytes,
) -> Result<Vec<StoredTensor>, FormatError> {
    tensors.sort_by_key(|tensor| (tensor.offset, tensor.bytes));
    let (mut end, mut former) = (0u64, None::<&str>);
    for tensor in &tensors {
        let label = Label::new(&tensor.name);
        if tensor.offset < end {
            return Err(FormatError::Overlap {
                tensor: label,
                other: Label::new(former.unwrap_or_default()),
                at: start.saturating_add(tensor.offset),
            });
        }
        if tensor.offset > end {
            let at = start.saturating_add(end);
            let place = Place::at(format_args!("start of tensor `{label}`"), at);
            let got = format_args!("{} bytes later", tensor.offset.saturating_sub(end));
            return Err(FormatError::invalid(place, "without a gap", got));
        }
        end = tensor.end();
        former = Some(&tensor.name);
    }
    let have = file.0.saturating_sub(start);
    if end > have {
        let what = format_args!("tensors up to `{}`", Label::new(former.unwrap_or_default()));
        return Err(FormatError::Truncated { place: Place::at(what, start), need: end, have });
    }
    if end < have {
        let place = Place::at(format_args!("end of the last tensor"), start.saturating_add(end));
        let got = format_args!("followed by {} bytes", have.saturating_sub(end));
        return Err(FormatError::invalid(place, "the end of the file", got));
    }
    for tensor in &mut tensors {
        tensor.offset = start.saturating_add(tensor.offset);
    }
    Ok(tensors)
}

/// What the header says, offsets still counted from its end.
#[derive(Default)]
struct Header {
    metadata: Vec<(Box<str>, Box<str>)>,
    tensors: Vec<StoredTensor>,
}

impl Header {
    fn parse(text: &[u8]) -> Result<Self, FormatError> {
        // One table, not one that doubles: there are at most as many tensors as braces.
        let braces = text.split(|&byte| byte == b'{').count();
        let fit = text.len().checked_div(ENTRY_BYTES_MIN).unwrap_or_default();
        let most = usize::try_from(limits::TENSORS).unwrap_or(usize::MAX);
        let tensors = memory::table(braces.min(fit).min(most))?;
        let header = Self { tensors, metadata: Vec::new() };
        let mut reader = serde_json::Deserializer::from_slice(text);
        de::Deserializer::deserialize_map(&mut reader, header)
            .and_then(|header| reader.end().map(|()| header))
            .map_err(|error| json::wrap(&error, "safetensors header"))
    }
}

impl<'de> Visitor<'de> for Header {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Self, A::Error> {
        let mut has_metadata = false;
        while let Some(name) = map.next_key::<Box<str>>()? {
            if &*name == METADATA {
                if std::mem::replace(&mut has_metadata, true) {
                    return Err(de::Error::custom(json::repeated(METADATA)));
                }
                self.metadata = map.next_value_seed(Strings)?;
                continue;
            }
            if name.is_empty() || name.chars().any(char::is_control) {
                let why = format!("\"{}\" is no name of a tensor", Label::new(&name));
                return Err(de::Error::custom(why));
            }
            let (count, length) = (self.tensors.len() as u64, name.len() as u64);
            for (what, got, limit) in [
                ("number of tensors", count.saturating_add(1), limits::TENSORS),
                ("length of a tensor's name", length, limits::TENSOR_NAME_BYTES),
            ] {
                if got > limit {
                    let why = format!("{what}: {got} is over the limit of {limit}");
                    return Err(de::Error::custom(why));
                }
            }
            let tensor = map.next_value_seed(Entry { name })?;
            self.tensors.push(tensor);
        }
        Ok(self)
    }
}

/// Reads the object of strings behind `__metadata__`.
struct Strings;

impl<'de> DeserializeSeed<'de> for Strings {
    type Value = Vec<(Box<str>, Box<str>)>;

    fn deserialize<D: de::Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        reader.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Strings {
    type Value = Vec<(Box<str>, Box<str>)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of strings")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut strings = Vec::new();
        while let Some(entry) = map.next_entry()? {
            let limit = limits::SAFETENSORS_METADATA_ENTRIES;
            if strings.len() as u64 >= limit {
                let why = format!("{METADATA} has over {limit} entries, the limit");
                return Err(de::Error::custom(why));
            }
            strings.push(entry);
        }
        let mut keys: Vec<&str> = strings.iter().map(|(key, _): &(Box<str>, _)| &**key).collect();
        keys.sort_unstable();
        match keys.iter().zip(keys.iter().skip(1)).find(|(former, later)| former == later) {
            Some((key, _)) => Err(de::Error::custom(json::repeated(key))),
            None => Ok(strings),
        }
    }
}

/// Reads one tensor's object.
struct Entry {
    name: Box<str>,
}

/// The fields of a tensor's object.
#[derive(Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Field {
    Dtype,
    Shape,
    DataOffsets,
}

impl<'de> DeserializeSeed<'de> for Entry {
    type Value = StoredTensor;

    fn deserialize<D: de::Deserializer<'de>>(self, reader: D) -> Result<StoredTensor, D::Error> {
        reader.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Entry {
    type Value = StoredTensor;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with dtype, shape and data_offsets")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<StoredTensor, A::Error> {
        let wrong = |why: fmt::Arguments<'_>| {
            <A::Error as de::Error>::custom(format!("tensor `{}`: {why}", Label::new(&self.name)))
        };
        let (mut ty, mut shape, mut extent) = (None, None, None);
        while let Some(field) = map.next_key::<Field>()? {
            let repeated = match field {
                Field::Dtype => ty.replace(map.next_value_seed(TypeName)?).is_some(),
                Field::Shape => shape
                    .replace(map.next_value_seed(Numbers::<{ limits::SAFETENSORS_RANK }>)?)
                    .is_some(),
                Field::DataOffsets => extent.replace(map.next_value_seed(Numbers::<2>)?).is_some(),
            };
            if repeated {
                return Err(wrong(format_args!("a field occurs twice")));
            }
        }
        let ty: StoredType = ty.ok_or_else(|| wrong(format_args!("dtype is missing")))?;
        let shape = shape.ok_or_else(|| wrong(format_args!("shape is missing")))?;
        let extent = extent.ok_or_else(|| wrong(format_args!("data_offsets is missing")))?;
        let &[begin, end] = extent.dims() else {
            return Err(wrong(format_args!("data_offsets must be two numbers")));
        };
        let size = end
            .checked_sub(begin)
            .ok_or_else(|| wrong(format_args!("data_offsets: {end} is before {begin}")))?;
        let bytes = ty
            .tensor_bytes(shape)
            .ok_or_else(|| wrong(format_args!("{ty} {shape} is no size below 2^64 bytes")))?;
        if bytes.0 != size {
            return Err(wrong(format_args!(
                "{ty} {shape} needs {} bytes, data_offsets give {size}",
                bytes.0
            )));
        }
        Ok(StoredTensor { name: self.name, ty, shape, offset: begin, bytes, file: 0 })
    }
}

/// Reads the name of a type.
struct TypeName;

impl<'de> DeserializeSeed<'de> for TypeName {
    type Value = StoredType;

    fn deserialize<D: de::Deserializer<'de>>(self, reader: D) -> Result<StoredType, D::Error> {
        reader.deserialize_str(self)
    }
}

impl Visitor<'_> for TypeName {
    type Value = StoredType;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of an element type")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<StoredType, E> {
        let found = TYPES.iter().find(|(known, _)| *known == name);
        found
            .map(|&(_, ty)| ty)
            .ok_or_else(|| E::custom(format!("dtype \"{}\" is no element type", Label::new(name))))
    }
}

/// Reads an array of at most `N` numbers; a shape holds eight.
struct Numbers<const N: usize>;

impl<'de, const N: usize> DeserializeSeed<'de> for Numbers<N> {
    type Value = Shape;

    fn deserialize<D: de::Deserializer<'de>>(self, reader: D) -> Result<Shape, D::Error> {
        reader.deserialize_seq(self)
    }
}

impl<'de, const N: usize> Visitor<'de> for Numbers<N> {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an array of at most {N} numbers")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Shape, A::Error> {
        let mut numbers = [0u64; N];
        let mut count = 0usize;
        while let Some(number) = seq.next_element()? {
            let Some(slot) = numbers.get_mut(count) else {
                return Err(de::Error::custom(format!("more than {N} numbers, the limit")));
            };
            *slot = number;
            count = count.saturating_add(1);
        }
        let read = numbers.get(..count).unwrap_or_default();
        Shape::new(read).ok_or_else(|| de::Error::custom("too many numbers"))
    }
}
