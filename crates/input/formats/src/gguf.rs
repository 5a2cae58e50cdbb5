//! GGUF, versions 2 and 3: settings and tensor places out of the file's first bytes.
//!
//! The header is read and checked as a whole before anything is handed out: every count against
//! the bytes left, every tensor against the file's length and every other tensor. The table owns
//! what it says; the file may change afterwards without harm to it. Follows the GGUF
//! specification (ggml, `docs/gguf.md`); where that is silent, llama.cpp's reader.

use std::fmt::Arguments;

use tensor::{Bytes, Shape};

use crate::{
    FormatError, Kind, Label, Place, StoredTensor, TensorTable, cursor::Cursor, limits, memory,
    sniff, table,
};

pub mod ggml_type;
mod metadata;
pub mod split;
mod value;
mod writer;

pub use metadata::Metadata;
pub use split::Split;
pub use value::{Array, StrArray, Value, ValueType};
pub use writer::Writer;

use table::StoredType;

/// The alignment of tensors where the file does not say otherwise.
pub const ALIGNMENT: u64 = 32;

/// Key of the alignment of tensors, a `u32`.
pub const KEY_ALIGNMENT: &str = "general.alignment";

/// The bytes every GGUF file begins with.
pub const MAGIC: [u8; 4] = *b"GGUF";

/// Which version of the format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// Version 2: the layout of 3, without a word on byte order.
    V2 = 2,
    /// Version 3, the current one.
    #[default]
    V3 = 3,
}

/// The header of a GGUF file, or of all files of a split model.
#[derive(Clone, Debug)]
pub struct Gguf {
    version: Version,
    metadata: Metadata,
    tensors: TensorTable,
    alignment: u64,
    header_bytes: Bytes,
    files: u32,
}

impl Gguf {
    /// Reads the header out of the first bytes of a file that is `file_bytes` long.
    ///
    /// # Errors
    /// [`FormatError::NeedMore`] if the header runs past `prefix` while the file goes on: read a longer
    /// prefix and parse again. Otherwise what is wrong with the file, and where.
    pub fn parse(prefix: &[u8], file_bytes: Bytes) -> Result<Self, FormatError> {
        match sniff(prefix) {
            Kind::Gguf => {}
            kind => return Err(FormatError::OtherKind { want: "GGUF", kind }),
        }
        let mut cursor = Cursor::new(prefix, file_bytes, limits::GGUF_METADATA_BYTES);
        cursor.take(4, format_args!("magic"))?;
        let version = match cursor.u32(format_args!("version"))? {
            2 => Version::V2,
            3 => Version::V3,
            1 => {
                return Err(FormatError::Unsupported {
                    place: Place::at(format_args!("version"), 4),
                    got: Label::new("GGUF version 1"),
                    instead: "convert the model again; versions 2 and 3 are read",
                });
            }
            other => {
                return Err(FormatError::Unsupported {
                    place: Place::at(format_args!("version"), 4),
                    got: Label::from(format_args!("GGUF version {other}")),
                    instead: "versions 2 and 3 are read",
                });
            }
        };
        let tensor_count =
            count(&mut cursor, format_args!("tensor_count"), TENSOR_BYTES_MIN, limits::TENSORS)?;
        let key_count = count(
            &mut cursor,
            format_args!("metadata_kv_count"),
            ENTRY_BYTES_MIN,
            limits::GGUF_KEYS,
        )?;
        let metadata = read_metadata(&mut cursor, key_count)?;
        let alignment = metadata.alignment()?;
        let places = read_tensors(&mut cursor, tensor_count)?;
        let header_bytes = Bytes(cursor.at());
        let start = header_bytes.align_up(alignment).0;
        let tensors = TensorTable::new(check_extents(places, start, alignment, file_bytes.0)?)?;
        Ok(Self { version, metadata, tensors, alignment, header_bytes, files: 1 })
    }

    /// The version of the format.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The settings.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The tensors, in file order.
    pub fn tensors(&self) -> &TensorTable {
        &self.tensors
    }

    /// The alignment of tensors in the file.
    pub fn alignment(&self) -> u64 {
        self.alignment
    }

    /// Size of the header, without the padding behind it; of the first file of a split model.
    pub fn header_bytes(&self) -> Bytes {
        self.header_bytes
    }

    /// Number of files that [`StoredTensor::file`] counts: 1 until merged.
    pub fn files(&self) -> u32 {
        self.files
    }
}

/// Key: length, one byte, type, one-byte value.
const ENTRY_BYTES_MIN: u64 = 8 + 1 + 4 + 1;
/// Tensor: length, one byte of name, number of dimensions, type, offset.
const TENSOR_BYTES_MIN: u64 = 8 + 1 + 4 + 4 + 8;

/// Reads a count of items that take at least `each` bytes.
fn count(
    cursor: &mut Cursor<'_>,
    what: Arguments<'_>,
    each: u64,
    limit: u64,
) -> Result<usize, FormatError> {
    let place = Place::at(what, cursor.at());
    let got = cursor.u64(what)?;
    cursor.room(got, each, what)?;
    match usize::try_from(got) {
        Ok(count) if got <= limit => cursor.hold(got, each).map(|()| count),
        _ => Err(FormatError::Limit { place, got, limit }),
    }
}

/// Reads a string's bytes.
fn string<'a>(
    cursor: &mut Cursor<'a>,
    what: Arguments<'_>,
    limit: u64,
) -> Result<&'a [u8], FormatError> {
    let at = cursor.at();
    let got = cursor.u64(format_args!("length of {what}"))?;
    cursor.room(got, 1, what)?;
    if got > limit {
        return Err(FormatError::Limit {
            place: Place::at(format_args!("length of {what}"), at),
            got,
            limit,
        });
    }
    cursor.take(got, what)
}

/// Reads a string that must be UTF-8.
fn text<'a>(
    cursor: &mut Cursor<'a>,
    what: Arguments<'_>,
    limit: u64,
) -> Result<&'a str, FormatError> {
    let at = cursor.at();
    let bytes = string(cursor, what, limit)?;
    str::from_utf8(bytes).map_err(|_| {
        FormatError::invalid(
            Place::at(what, at),
            "UTF-8 text",
            format_args!("\"{}\"", Label::from_bytes(bytes)),
        )
    })
}

/// Reads the name of a key or tensor: text without control characters, not empty.
fn name<'a>(
    cursor: &mut Cursor<'a>,
    what: Arguments<'_>,
    limit: u64,
) -> Result<&'a str, FormatError> {
    let at = cursor.at();
    let name = text(cursor, what, limit)?;
    if name.is_empty() || name.chars().any(char::is_control) {
        return Err(FormatError::invalid(
            Place::at(what, at),
            "a name without control characters",
            format_args!("\"{}\"", Label::new(name)),
        ));
    }
    Ok(name)
}

fn read_metadata(cursor: &mut Cursor<'_>, count: usize) -> Result<Metadata, FormatError> {
    let mut entries = memory::table(count)?;
    for idx in 0..count {
        let key = name(cursor, format_args!("key {idx}"), limits::GGUF_KEY_BYTES)?;
        let at = cursor.at();
        let ty = value_type(cursor, format_args!("type of `{}`", Label::new(key)))?;
        let value = match ty {
            ValueType::Array => Value::Array(read_array(cursor, key)?),
            scalar => read_scalar(cursor, scalar, key, at)?,
        };
        entries.push((memory::text(key)?, value));
    }
    Metadata::from_entries(entries)
}

fn value_type(cursor: &mut Cursor<'_>, what: Arguments<'_>) -> Result<ValueType, FormatError> {
    let at = cursor.at();
    let id = cursor.u32(what)?;
    ValueType::from_id(id).ok_or_else(|| {
        FormatError::invalid(Place::at(what, at), "a value type from 0 to 12", format_args!("{id}"))
    })
}

fn read_scalar(
    cursor: &mut Cursor<'_>,
    ty: ValueType,
    key: &str,
    at: u64,
) -> Result<Value, FormatError> {
    let label = Label::new(key);
    let what = format_args!("`{label}`");
    Ok(match ty {
        ValueType::U8 => Value::U8(u8::from_le_bytes(cursor.array(what)?)),
        ValueType::I8 => Value::I8(i8::from_le_bytes(cursor.array(what)?)),
        ValueType::U16 => Value::U16(u16::from_le_bytes(cursor.array(what)?)),
        ValueType::I16 => Value::I16(i16::from_le_bytes(cursor.array(what)?)),
        ValueType::U32 => Value::U32(u32::from_le_bytes(cursor.array(what)?)),
        ValueType::I32 => Value::I32(i32::from_le_bytes(cursor.array(what)?)),
        ValueType::U64 => Value::U64(u64::from_le_bytes(cursor.array(what)?)),
        ValueType::I64 => Value::I64(i64::from_le_bytes(cursor.array(what)?)),
        ValueType::F32 => Value::F32(f32::from_le_bytes(cursor.array(what)?)),
        ValueType::F64 => Value::F64(f64::from_le_bytes(cursor.array(what)?)),
        ValueType::Bool => match cursor.array(what)? {
            [byte @ 0..=1] => Value::Bool(byte == 1),
            [byte] => {
                return Err(FormatError::invalid(
                    Place::at(what, at),
                    "0 or 1",
                    format_args!("{byte}"),
                ));
            }
        },
        ValueType::String => {
            Value::String(memory::text(text(cursor, what, limits::GGUF_STRING_BYTES)?)?)
        }
        ValueType::Array => return Err(nested(&label, at)),
    })
}

/// Arrays of arrays exist in the specification, in no file, and in no reader.
fn nested(key: &Label, at: u64) -> FormatError {
    FormatError::Unsupported {
        place: Place::at(format_args!("`{key}`"), at),
        got: Label::new("an array of arrays"),
        instead: "arrays hold numbers or strings",
    }
}

fn read_array(cursor: &mut Cursor<'_>, key: &str) -> Result<Array, FormatError> {
    let label = Label::new(key);
    let what = format_args!("`{label}`");
    let at = cursor.at();
    let ty = value_type(cursor, format_args!("element type of {what}"))?;
    if ty == ValueType::Array {
        return Err(nested(&label, at));
    }
    let count_place = format_args!("length of {what}");
    let length = count(cursor, count_place, ty.bytes_min(), limits::GGUF_METADATA_BYTES)?;
    if ty == ValueType::String {
        return read_strings(cursor, length, &label).map(Array::String);
    }
    let at = cursor.at();
    let bytes = cursor.take((length as u64).saturating_mul(ty.bytes_min()), what)?;
    Ok(match ty {
        ValueType::U8 => Array::U8(value::numbers(bytes, u8::from_le_bytes)?),
        ValueType::I8 => Array::I8(value::numbers(bytes, i8::from_le_bytes)?),
        ValueType::U16 => Array::U16(value::numbers(bytes, u16::from_le_bytes)?),
        ValueType::I16 => Array::I16(value::numbers(bytes, i16::from_le_bytes)?),
        ValueType::U32 => Array::U32(value::numbers(bytes, u32::from_le_bytes)?),
        ValueType::I32 => Array::I32(value::numbers(bytes, i32::from_le_bytes)?),
        ValueType::U64 => Array::U64(value::numbers(bytes, u64::from_le_bytes)?),
        ValueType::I64 => Array::I64(value::numbers(bytes, i64::from_le_bytes)?),
        ValueType::F32 => Array::F32(value::numbers(bytes, f32::from_le_bytes)?),
        ValueType::F64 => Array::F64(value::numbers(bytes, f64::from_le_bytes)?),
        ValueType::Bool => match bytes.iter().position(|&byte| byte > 1) {
            None => Array::Bool(value::numbers(bytes, |[byte]| byte == 1)?),
            Some(idx) => {
                let byte = bytes.get(idx).copied().unwrap_or_default();
                let place = Place::at(format_args!("{what}[{idx}]"), at.saturating_add(idx as u64));
                return Err(FormatError::invalid(place, "0 or 1", format_args!("{byte}")));
            }
        },
        ValueType::String | ValueType::Array => return Err(nested(&label, at)),
    })
}

/// Reads an array of strings in two walks: one to sum their lengths, one to copy.
fn read_strings(
    cursor: &mut Cursor<'_>,
    count: usize,
    key: &Label,
) -> Result<StrArray, FormatError> {
    let at = cursor.at();
    let mut pool_bytes = 0usize;
    for idx in 0..count {
        // The common case by hand: a vocabulary has a quarter of a million of them.
        let length = if let Some(bytes) = cursor.short_string() {
            bytes.len()
        } else {
            let what = format_args!("`{key}`[{idx}]");
            string(cursor, what, limits::GGUF_STRING_BYTES)?.len()
        };
        pool_bytes = pool_bytes.saturating_add(length);
    }
    let mut pool: Vec<u8> = memory::table(pool_bytes)?;
    let mut ends: Vec<u32> = memory::table(count)?;
    let mut rest = cursor.since(at);
    while let Some((length, tail)) = rest.split_first_chunk() {
        // The first walk found every length to be right.
        let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
        let Some((bytes, tail)) = tail.split_at_checked(length) else { break };
        pool.extend_from_slice(bytes);
        // The pool is smaller than the metadata, whose limit is far below 4 GiB.
        ends.push(u32::try_from(pool.len()).unwrap_or(u32::MAX));
        rest = tail;
    }
    StrArray::from_pool(pool, ends).map_err(|idx| {
        let place = Place::at(format_args!("`{key}`[{idx}]"), at);
        FormatError::invalid(place, "UTF-8 text", format_args!("other bytes"))
    })
}

/// Reads the tensors' places; `offset` still counts from the start of the tensors' bytes.
fn read_tensors(cursor: &mut Cursor<'_>, count: usize) -> Result<Vec<StoredTensor>, FormatError> {
    let mut tensors: Vec<StoredTensor> = memory::table(count)?;
    for idx in 0..count {
        let what = format_args!("name of tensor {idx}");
        let name = name(cursor, what, limits::TENSOR_NAME_BYTES)?;
        let label = Label::new(name);
        let shape = read_shape(cursor, &label)?;
        let at = cursor.at();
        let what = format_args!("type of tensor `{label}`");
        let id = cursor.u32(what)?;
        let ty = ggml_type::from_id(id).ok_or_else(|| {
            let want = format!("a ggml type from 0 to {}", ggml_type::LAST);
            FormatError::invalid(Place::at(what, at), want, format_args!("{id}"))
        })?;
        let bytes =
            tensor_bytes(Place::at(format_args!("shape of tensor `{label}`"), at), ty, shape)?;
        let offset = cursor.u64(format_args!("offset of tensor `{label}`"))?;
        tensors.push(StoredTensor { name: memory::text(name)?, ty, shape, offset, bytes, file: 0 });
    }
    Ok(tensors)
}

/// Reads dimensions, innermost first in the file, and turns them round.
fn read_shape(cursor: &mut Cursor<'_>, tensor: &Label) -> Result<Shape, FormatError> {
    let at = cursor.at();
    let what = format_args!("number of dimensions of tensor `{tensor}`");
    let rank = u64::from(cursor.u32(what)?);
    let mut dims = [0u64; limits::GGUF_RANK];
    let limit = limits::GGUF_RANK as u64;
    let dims = usize::try_from(rank)
        .ok()
        .and_then(|rank| dims.get_mut(..rank))
        .ok_or_else(|| FormatError::Limit { place: Place::at(what, at), got: rank, limit })?;
    for (idx, dim) in dims.iter_mut().enumerate() {
        let at = cursor.at();
        let what = format_args!("dimension {idx} of tensor `{tensor}`");
        *dim = cursor.u64(what)?;
        if *dim == 0 {
            return Err(FormatError::invalid(Place::at(what, at), "at least 1", format_args!("0")));
        }
    }
    dims.reverse();
    Shape::new(dims).ok_or_else(|| FormatError::Limit {
        place: Place::at(what, at),
        got: rank,
        limit,
    })
}

/// Size of a tensor, or the error that says why it has none.
fn tensor_bytes(place: Place, ty: StoredType, shape: Shape) -> Result<Bytes, FormatError> {
    ty.tensor_bytes(shape).ok_or_else(|| {
        let block = ty.block_elements();
        let want = format!("rows of whole blocks of {block} and a size below 2^64");
        FormatError::invalid(place, want, format_args!("{ty} {shape}"))
    })
}

/// Makes offsets absolute and checks each tensor against alignment and the file's end.
fn check_extents(
    mut tensors: Vec<StoredTensor>,
    start: u64,
    alignment: u64,
    file: u64,
) -> Result<Vec<StoredTensor>, FormatError> {
    for tensor in &mut tensors {
        let label = || Label::new(&tensor.name);
        if tensor.offset.checked_rem(alignment) != Some(0) {
            let place = Place::named(format_args!("offset of tensor `{}`", label()));
            let want = format!("a multiple of the alignment {alignment}");
            return Err(FormatError::invalid(place, want, format_args!("{}", tensor.offset)));
        }
        let Some(offset) = start.checked_add(tensor.offset).filter(|&offset| offset <= file) else {
            let place = Place::named(format_args!("offset of tensor `{}`", label()));
            let want = format!("within the file of {file} bytes");
            let got = format_args!("{} behind byte {start}", tensor.offset);
            return Err(FormatError::invalid(place, want, got));
        };
        let have = file.saturating_sub(offset);
        if tensor.bytes.0 > have {
            let place = Place::at(format_args!("tensor `{}`", label()), offset);
            return Err(FormatError::Truncated { place, need: tensor.bytes.0, have });
        }
        tensor.offset = offset;
    }
    Ok(tensors)
}
