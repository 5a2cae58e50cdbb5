//! Values of GGUF metadata: numbers, strings and flat arrays of them.
//!
//! An array of strings is one text with offsets, so that a vocabulary of 262,144 tokens takes
//! little more memory than its bytes in the file.

use std::borrow::Cow;

use crate::{FormatError, Label, Place, memory};

/// The type of a value; the numbers are those of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum ValueType {
    U8 = 0,
    I8 = 1,
    U16 = 2,
    I16 = 3,
    U32 = 4,
    I32 = 5,
    F32 = 6,
    Bool = 7,
    String = 8,
    Array = 9,
    U64 = 10,
    I64 = 11,
    F64 = 12,
}

impl ValueType {
    /// The type with this number in the file.
    pub const fn from_id(id: u32) -> Option<Self> {
        Some(match id {
            0 => Self::U8,
            1 => Self::I8,
            2 => Self::U16,
            3 => Self::I16,
            4 => Self::U32,
            5 => Self::I32,
            6 => Self::F32,
            7 => Self::Bool,
            8 => Self::String,
            9 => Self::Array,
            10 => Self::U64,
            11 => Self::I64,
            12 => Self::F64,
            _ => return None,
        })
    }

    /// The name that users see.
    pub const fn name(self) -> &'static str {
        match self {
            Self::U8 => "u8",
            Self::I8 => "i8",
            Self::U16 => "u16",
            Self::I16 => "i16",
            Self::U32 => "u32",
            Self::I32 => "i32",
            Self::F32 => "f32",
            Self::Bool => "bool",
            Self::String => "string",
            Self::Array => "array",
            Self::U64 => "u64",
            Self::I64 => "i64",
            Self::F64 => "f64",
        }
    }

    /// Bytes in the file of one value; the least for those of variable length.
    pub const fn bytes_min(self) -> u64 {
        match self {
            Self::U8 | Self::I8 | Self::Bool => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 | Self::String => 8,
            Self::Array => 12,
        }
    }
}

/// One value of the metadata.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Value {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    U64(u64),
    I64(i64),
    F32(f32),
    F64(f64),
    Bool(bool),
    String(Box<str>),
    Array(Array),
}

/// An array of the metadata: numbers or strings, never arrays.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Array {
    U8(Box<[u8]>),
    I8(Box<[i8]>),
    U16(Box<[u16]>),
    I16(Box<[i16]>),
    U32(Box<[u32]>),
    I32(Box<[i32]>),
    U64(Box<[u64]>),
    I64(Box<[i64]>),
    F32(Box<[f32]>),
    F64(Box<[f64]>),
    Bool(Box<[bool]>),
    String(StrArray),
}

impl Value {
    /// The type, as stored.
    pub const fn ty(&self) -> ValueType {
        match self {
            Self::U8(_) => ValueType::U8,
            Self::I8(_) => ValueType::I8,
            Self::U16(_) => ValueType::U16,
            Self::I16(_) => ValueType::I16,
            Self::U32(_) => ValueType::U32,
            Self::I32(_) => ValueType::I32,
            Self::U64(_) => ValueType::U64,
            Self::I64(_) => ValueType::I64,
            Self::F32(_) => ValueType::F32,
            Self::F64(_) => ValueType::F64,
            Self::Bool(_) => ValueType::Bool,
            Self::String(_) => ValueType::String,
            Self::Array(_) => ValueType::Array,
        }
    }

    /// The value as an integer, if it is one of any width.
    pub fn as_integer(&self) -> Option<i128> {
        Some(match *self {
            Self::U8(n) => n.into(),
            Self::I8(n) => n.into(),
            Self::U16(n) => n.into(),
            Self::I16(n) => n.into(),
            Self::U32(n) => n.into(),
            Self::I32(n) => n.into(),
            Self::U64(n) => n.into(),
            Self::I64(n) => n.into(),
            Self::F32(_) | Self::F64(_) | Self::Bool(_) | Self::String(_) | Self::Array(_) => {
                return None;
            }
        })
    }

    /// The value as a floating-point number, if it is one.
    pub fn as_float(&self) -> Option<f64> {
        match *self {
            Self::F32(x) => Some(x.into()),
            Self::F64(x) => Some(x),
            _ => None,
        }
    }

    /// What the value is, for an error message: its type, and itself where it is short.
    pub fn describe(&self) -> Label {
        match self {
            Self::F32(x) => Label::from(format_args!("f32 {x}")),
            Self::F64(x) => Label::from(format_args!("f64 {x}")),
            Self::Bool(x) => Label::from(format_args!("bool {x}")),
            Self::String(text) => Label::from(format_args!("string \"{}\"", Label::new(text))),
            Self::Array(array) => {
                let (ty, len) = (array.ty().name(), array.len());
                Label::from(format_args!("array of {len} {ty}"))
            }
            integer => {
                let n = integer.as_integer().unwrap_or_default();
                Label::from(format_args!("{} {n}", integer.ty().name()))
            }
        }
    }
}

impl Array {
    /// The type of the elements, as stored.
    pub const fn ty(&self) -> ValueType {
        match self {
            Self::U8(_) => ValueType::U8,
            Self::I8(_) => ValueType::I8,
            Self::U16(_) => ValueType::U16,
            Self::I16(_) => ValueType::I16,
            Self::U32(_) => ValueType::U32,
            Self::I32(_) => ValueType::I32,
            Self::U64(_) => ValueType::U64,
            Self::I64(_) => ValueType::I64,
            Self::F32(_) => ValueType::F32,
            Self::F64(_) => ValueType::F64,
            Self::Bool(_) => ValueType::Bool,
            Self::String(_) => ValueType::String,
        }
    }

    /// Number of elements.
    pub const fn len(&self) -> usize {
        match self {
            Self::U8(a) => a.len(),
            Self::I8(a) => a.len(),
            Self::U16(a) => a.len(),
            Self::I16(a) => a.len(),
            Self::U32(a) => a.len(),
            Self::I32(a) => a.len(),
            Self::U64(a) => a.len(),
            Self::I64(a) => a.len(),
            Self::F32(a) => a.len(),
            Self::F64(a) => a.len(),
            Self::Bool(a) => a.len(),
            Self::String(a) => a.len(),
        }
    }

    /// Whether there are no elements.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One element as a value of its own; strings are copied.
    pub fn get(&self, idx: usize) -> Option<Value> {
        Some(match self {
            Self::U8(a) => Value::U8(*a.get(idx)?),
            Self::I8(a) => Value::I8(*a.get(idx)?),
            Self::U16(a) => Value::U16(*a.get(idx)?),
            Self::I16(a) => Value::I16(*a.get(idx)?),
            Self::U32(a) => Value::U32(*a.get(idx)?),
            Self::I32(a) => Value::I32(*a.get(idx)?),
            Self::U64(a) => Value::U64(*a.get(idx)?),
            Self::I64(a) => Value::I64(*a.get(idx)?),
            Self::F32(a) => Value::F32(*a.get(idx)?),
            Self::F64(a) => Value::F64(*a.get(idx)?),
            Self::Bool(a) => Value::Bool(*a.get(idx)?),
            Self::String(a) => Value::String(a.get(idx)?.into()),
        })
    }

    /// All elements as integers that fit `T`; borrowed where the file stores exactly `T`.
    pub(crate) fn integers<T: Integer>(&self) -> Option<Cow<'_, [T]>> {
        if let Some(same) = T::stored(self) {
            return Some(Cow::Borrowed(same));
        }
        let convert = |idx| T::try_from(self.get(idx)?.as_integer()?).ok();
        if matches!(
            self.ty(),
            ValueType::F32 | ValueType::F64 | ValueType::Bool | ValueType::String
        ) {
            return None;
        }
        (0..self.len()).map(convert).collect::<Option<Vec<T>>>().map(Cow::Owned)
    }
}

/// The integer types that arrays are asked for.
pub(crate) trait Integer: Copy + TryFrom<i128> {
    /// The elements, where the file stores exactly this type.
    fn stored(array: &Array) -> Option<&[Self]>;
}

impl Integer for i32 {
    fn stored(array: &Array) -> Option<&[Self]> {
        if let Array::I32(a) = array { Some(a) } else { None }
    }
}

impl Integer for u32 {
    fn stored(array: &Array) -> Option<&[Self]> {
        if let Array::U32(a) = array { Some(a) } else { None }
    }
}

impl Integer for u8 {
    fn stored(array: &Array) -> Option<&[Self]> {
        if let Array::U8(a) = array { Some(a) } else { None }
    }
}

/// Many strings in one text.
///
/// Invariant: `ends` ascends, each is a character boundary of `text`, the last is its length.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StrArray {
    text: Box<str>,
    ends: Box<[u32]>,
}

impl StrArray {
    /// Puts strings together.
    ///
    /// # Errors
    /// If all of them take 4 GiB or more.
    pub fn new<'s>(strings: impl IntoIterator<Item = &'s str>) -> Result<Self, FormatError> {
        let (mut text, mut ends) = (String::new(), Vec::new());
        for string in strings {
            text.push_str(string);
            let end = u32::try_from(text.len()).map_err(|_| FormatError::Limit {
                place: Place::named(format_args!("array of strings")),
                got: text.len() as u64,
                limit: u32::MAX.into(),
            })?;
            ends.push(end);
        }
        Ok(Self { text: text.into(), ends: ends.into() })
    }

    /// Takes text that was put together by the reader; `Err` gives the index of the element
    /// that is not UTF-8.
    pub(crate) fn from_pool(pool: Vec<u8>, ends: Vec<u32>) -> Result<Self, usize> {
        match String::from_utf8(pool) {
            Ok(text) => match ends.iter().position(|&end| !text.is_char_boundary(end as usize)) {
                None => Ok(Self { text: text.into(), ends: ends.into() }),
                Some(cut) => Err(cut),
            },
            Err(error) => {
                let valid = error.utf8_error().valid_up_to();
                // An earlier boundary inside a character cannot be: the text before is valid,
                // and the first element that cuts a character or breaks is the one to name.
                let bytes = error.as_bytes();
                let before = bytes.get(..valid).map(str::from_utf8);
                let cut = before.and_then(Result::ok).and_then(|text| {
                    ends.iter().position(|&end| {
                        (end as usize) < valid && !text.is_char_boundary(end as usize)
                    })
                });
                Err(cut.unwrap_or_else(|| ends.partition_point(|&end| end as usize <= valid)))
            }
        }
    }

    /// Number of strings.
    pub const fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// One string.
    pub fn get(&self, idx: usize) -> Option<&str> {
        let end = *self.ends.get(idx)? as usize;
        let start = match idx.checked_sub(1) {
            Some(former) => *self.ends.get(former)? as usize,
            None => 0,
        };
        self.text.get(start..end)
    }

    /// All strings in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> + Clone {
        (0..self.len()).map(|idx| self.get(idx).unwrap_or_default())
    }

    /// All strings in one text, one behind the other.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Where each string ends in [`text`](Self::text).
    pub fn ends(&self) -> &[u32] {
        &self.ends
    }
}

macro_rules! value_from {
    ($($variant:ident $ty:ty),* $(,)?) => { $(
        impl From<$ty> for Value {
            fn from(value: $ty) -> Self {
                Self::$variant(value)
            }
        }
        impl From<Vec<$ty>> for Value {
            fn from(values: Vec<$ty>) -> Self {
                Self::Array(Array::$variant(values.into()))
            }
        }
    )* };
}
value_from!(
    U8 u8, I8 i8, U16 u16, I16 i16, U32 u32, I32 i32, U64 u64, I64 i64, F32 f32, F64 f64, Bool bool
);

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.into())
    }
}

impl From<StrArray> for Value {
    fn from(strings: StrArray) -> Self {
        Self::Array(Array::String(strings))
    }
}

/// Numbers of `N` bytes each, decoded into a table of their own.
pub(crate) fn numbers<const N: usize, T>(
    bytes: &[u8],
    decode: impl Fn([u8; N]) -> T,
) -> Result<Box<[T]>, FormatError> {
    let (chunks, _) = bytes.as_chunks::<N>();
    let mut table = memory::table(chunks.len())?;
    table.extend(chunks.iter().map(|&chunk| decode(chunk)));
    Ok(table.into_boxed_slice())
}
