//! NumPy's `.npy` files: one array of numbers, row-major, little endian.
//!
//! Versions 1 to 3 are read, version 1 is written. Arrays in column order, big-endian numbers,
//! structures and pickled objects are refused by name; the file holds exactly the array and
//! nothing behind it. Follows NumPy Enhancement Proposal 1 and `numpy.lib.format`.

use std::io;

use tensor::{Bytes, DType, Shape, TensorType, view};

use crate::{FormatError, Kind, Label, Place, cursor::Cursor, limits, sniff};

/// The bytes every file begins with.
const MAGIC: &[u8] = b"\x93NUMPY";

/// Types by NumPy's `descr`; `|` marks single bytes, which have no order.
const TYPES: [(&str, DType); 14] = [
    ("<f4", DType::F32),
    ("<f2", DType::F16),
    ("<f8", DType::F64),
    ("|i1", DType::I8),
    ("|u1", DType::U8),
    ("<i2", DType::I16),
    ("<u2", DType::U16),
    ("<i4", DType::I32),
    ("<u4", DType::U32),
    ("<i8", DType::I64),
    ("<u8", DType::U64),
    ("|b1", DType::Bool),
    ("<i1", DType::I8),
    ("<u1", DType::U8),
];

/// The header of a file: what the array is and where it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Npy {
    /// Type of the elements.
    pub dtype: DType,
    /// The extents, outermost first.
    pub shape: Shape,
    /// Offset of the first element.
    pub offset: u64,
    /// Size of the array; `offset + bytes` is the file's length.
    pub bytes: Bytes,
}

impl Npy {
    /// Reads the header out of the first bytes of a file that is `file_bytes` long.
    ///
    /// # Errors
    /// [`FormatError::NeedMore`] if the header runs past `prefix` while the file goes on;
    /// otherwise what is wrong with the file, and where.
    pub fn parse(prefix: &[u8], file_bytes: Bytes) -> Result<Self, FormatError> {
        match sniff(prefix) {
            Kind::Npy => {}
            kind => return Err(FormatError::OtherKind { want: "NumPy .npy", kind }),
        }
        let limit = limits::NPY_HEADER_BYTES;
        let mut cursor = Cursor::new(prefix, file_bytes, limit.saturating_add(12));
        cursor.take(MAGIC.len() as u64, format_args!("magic"))?;
        let [major, minor] = cursor.array(format_args!("version"))?;
        let length_at = cursor.at();
        let what = format_args!("length of the header");
        let length = match (major, minor) {
            (1, 0) => u64::from(u16::from_le_bytes(cursor.array(what)?)),
            (2 | 3, 0) => u64::from(cursor.u32(what)?),
            _ => {
                return Err(FormatError::Unsupported {
                    place: Place::at(format_args!("version"), MAGIC.len() as u64),
                    got: Label::from(format_args!("version {major}.{minor}")),
                    instead: "versions 1.0, 2.0 and 3.0 are read",
                });
            }
        };
        if length > limit {
            return Err(FormatError::Limit {
                place: Place::at(what, length_at),
                got: length,
                limit,
            });
        }
        let at = cursor.at();
        let text = cursor.take(length, format_args!("header"))?;
        let text = str::from_utf8(text).map_err(|_| {
            let got = Label::from_bytes(text);
            FormatError::invalid(
                Place::at(format_args!("header"), at),
                "text",
                format_args!("{got}"),
            )
        })?;
        let (dtype, shape) = Literal { rest: text, header: text, at }.read()?;
        let (offset, have) = (cursor.at(), cursor.left());
        let place = Place::at(format_args!("elements {dtype} {shape}"), offset);
        let bytes = view::tensor_bytes(TensorType::Plain(dtype), shape).map_err(|_| {
            let place = Place::at(format_args!("shape"), at);
            FormatError::invalid(place, "a size below 2^64 bytes", format_args!("{shape}"))
        })?;
        if bytes.0 > have {
            return Err(FormatError::Truncated { place, need: bytes.0, have });
        }
        if bytes.0 < have {
            let got = format_args!("followed by {} more", have.saturating_sub(bytes.0));
            return Err(FormatError::invalid(place, format!("the last {} bytes", bytes.0), got));
        }
        Ok(Self { dtype, shape, offset, bytes })
    }

    /// Reads a file that is held in memory: its header and the bytes of its elements.
    ///
    /// # Errors
    /// What is wrong with the file, and where.
    pub fn from_bytes(file: &[u8]) -> Result<(Self, &[u8]), FormatError> {
        let npy = Self::parse(file, Bytes(file.len() as u64))?;
        let start = usize::try_from(npy.offset).unwrap_or(usize::MAX);
        Ok((npy, file.get(start..).unwrap_or_default()))
    }
}

/// Writes the header of an array whose elements, `shape` of them in row-major order, the caller
/// writes behind it.
///
/// # Errors
/// If NumPy has no such type (`BF16`), or writing fails.
pub fn write_header(
    out: &mut dyn io::Write,
    dtype: DType,
    shape: Shape,
) -> Result<(), FormatError> {
    let Some((descr, _)) = TYPES.iter().find(|(_, known)| *known == dtype) else {
        return Err(FormatError::UnsupportedType { tensor: Label::new("array"), ty: dtype.name() });
    };
    // A tuple of one keeps its comma.
    let dims = shape.to_string();
    let dims = dims.trim_matches(['[', ']']);
    let comma = if shape.dims().len() == 1 { "," } else { "" };
    let mut text =
        format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({dims}{comma}), }}");
    // Magic, version, length and text with its line end are a multiple of 64 bytes.
    let unpadded = MAGIC.len().saturating_add(4).saturating_add(text.len()).saturating_add(1);
    let spaces = unpadded.next_multiple_of(64).saturating_sub(unpadded);
    text.extend(std::iter::repeat_n(' ', spaces));
    text.push('\n');
    // Eight dimensions of twenty digits stay far below 64 KiB.
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
    out.write_all(MAGIC)?;
    out.write_all(&[1, 0])?;
    out.write_all(&length.to_le_bytes())?;
    out.write_all(text.as_bytes())?;
    Ok(())
}

/// A number that an array file can hold.
pub trait Element: Copy {
    /// The type in the file.
    const DTYPE: DType;

    /// The element's bytes in the file.
    fn put(self, out: &mut Vec<u8>);
}

macro_rules! elements {
    ($($ty:ty: $dtype:ident),*) => { $(
        impl Element for $ty {
            const DTYPE: DType = DType::$dtype;

            fn put(self, out: &mut Vec<u8>) {
                out.extend(self.to_le_bytes());
            }
        }
    )* };
}
elements!(f32: F32, f64: F64, i8: I8, u8: U8, i16: I16, u16: U16, i32: I32, u32: U32, i64: I64, u64: U64);

/// Writes an array, `shape` elements in row-major order.
///
/// # Errors
/// If there are more or fewer elements than the shape says, or writing fails.
pub fn write<T: Element>(
    out: &mut dyn io::Write,
    shape: Shape,
    elements: &[T],
) -> Result<(), FormatError> {
    if shape.elements() != Some(elements.len() as u64) {
        let place = Place::named(format_args!("elements of shape {shape}"));
        let want = shape.elements().map_or_else(|| "fewer than 2^64".into(), |n| n.to_string());
        return Err(FormatError::invalid(place, want, format_args!("{}", elements.len())));
    }
    write_header(out, T::DTYPE, shape)?;
    let mut bytes = Vec::new();
    for part in elements.chunks(8192) {
        bytes.clear();
        for element in part {
            element.put(&mut bytes);
        }
        out.write_all(&bytes)?;
    }
    Ok(())
}

/// Reads the header's text: a Python dictionary with three known keys.
struct Literal<'a> {
    rest: &'a str,
    header: &'a str,
    at: u64,
}

impl<'a> Literal<'a> {
    fn read(&mut self) -> Result<(DType, Shape), FormatError> {
        let (mut dtype, mut order, mut shape) = (None, None, None);
        self.expect('{', "a dictionary")?;
        while !self.eat('}') {
            let at = self.offset();
            let key = self.string()?;
            self.expect(':', "a colon behind the key")?;
            let repeated = match key {
                "descr" => dtype.replace(self.dtype()?).is_some(),
                "fortran_order" => order.replace(self.order()?).is_some(),
                "shape" => shape.replace(self.shape()?).is_some(),
                _ => return Err(self.wrong(at, "descr, fortran_order or shape")),
            };
            if repeated {
                return Err(FormatError::Duplicate { what: "key", name: Label::new(key) });
            }
            if !self.eat(',') {
                self.expect('}', "the end of the dictionary")?;
                break;
            }
        }
        if !self.rest.trim_start().is_empty() {
            return Err(self.wrong(self.offset(), "the end of the header"));
        }
        let missing = |key: &str| FormatError::MissingKey { key: Label::new(key) };
        let dtype = dtype.ok_or_else(|| missing("descr"))?;
        order.ok_or_else(|| missing("fortran_order"))?;
        Ok((dtype, shape.ok_or_else(|| missing("shape"))?))
    }

    /// Offset of the unread rest in the file.
    fn offset(&self) -> u64 {
        self.at.saturating_add(self.header.len().saturating_sub(self.rest.len()) as u64)
    }

    fn wrong(&self, at: u64, want: &'static str) -> FormatError {
        let got: String = self.rest.trim_start().chars().take(16).collect();
        let place = Place::at(format_args!("header"), at);
        FormatError::invalid(place, want, format_args!("\"{}\"", Label::new(&got)))
    }

    fn eat(&mut self, c: char) -> bool {
        let rest = self.rest.trim_start_matches([' ', '\n']);
        let eaten = rest.strip_prefix(c);
        self.rest = eaten.unwrap_or(rest);
        eaten.is_some()
    }

    fn expect(&mut self, c: char, want: &'static str) -> Result<(), FormatError> {
        if self.eat(c) { Ok(()) } else { Err(self.wrong(self.offset(), want)) }
    }

    /// A string without escapes, in either kind of quotes.
    fn string(&mut self) -> Result<&'a str, FormatError> {
        let quote = if self.eat('"') { '"' } else { '\'' };
        if quote == '\'' {
            self.expect('\'', "a string")?;
        }
        let (text, rest) =
            self.rest.split_once(quote).ok_or_else(|| self.wrong(self.offset(), "a string"))?;
        if text.contains('\\') {
            return Err(self.wrong(self.offset(), "a string without escapes"));
        }
        self.rest = rest;
        Ok(text)
    }

    fn dtype(&mut self) -> Result<DType, FormatError> {
        let at = self.offset();
        if self.eat('[') {
            return Err(self.wrong(at, "a plain type, no structure"));
        }
        let descr = self.string()?;
        let place = || Place::at(format_args!("descr"), at);
        if let Some(&(_, dtype)) = TYPES.iter().find(|(known, _)| *known == descr) {
            return Ok(dtype);
        }
        let instead = match descr.chars().find(|c| !matches!(c, '|' | '<' | '=')) {
            Some('O') => "it holds pickled objects, which could run code",
            Some('>') => "save it in little-endian order",
            _ => "save it as integers, floats or bools",
        };
        Err(FormatError::Unsupported { place: place(), got: Label::new(descr), instead })
    }

    fn order(&mut self) -> Result<(), FormatError> {
        let at = self.offset();
        self.eat(' ');
        if let Some(rest) = self.rest.strip_prefix("False") {
            self.rest = rest;
            return Ok(());
        }
        if self.rest.starts_with("True") {
            return Err(FormatError::Unsupported {
                place: Place::at(format_args!("fortran_order"), at),
                got: Label::new("column order"),
                instead: "save it with numpy.ascontiguousarray",
            });
        }
        Err(self.wrong(at, "True or False"))
    }

    fn shape(&mut self) -> Result<Shape, FormatError> {
        let at = self.offset();
        self.expect('(', "a tuple of dimensions")?;
        let mut dims = [0u64; limits::NPY_RANK];
        let mut rank = 0usize;
        while !self.eat(')') {
            let digits = self
                .rest
                .len()
                .saturating_sub(self.rest.trim_start_matches(|c: char| c.is_ascii_digit()).len());
            let (number, rest) = self.rest.split_at_checked(digits).unwrap_or_default();
            let dim = number.parse().map_err(|_| self.wrong(self.offset(), "a dimension"))?;
            let Some(slot) = dims.get_mut(rank) else {
                let (place, limit) =
                    (Place::at(format_args!("number of dimensions"), at), limits::NPY_RANK as u64);
                return Err(FormatError::Limit { place, got: limit.saturating_add(1), limit });
            };
            *slot = dim;
            rank = rank.saturating_add(1);
            self.rest = rest;
            if !self.eat(',') {
                self.expect(')', "the end of the tuple")?;
                break;
            }
        }
        let place = || Place::at(format_args!("number of dimensions"), at);
        Shape::new(dims.get(..rank).unwrap_or_default()).ok_or_else(|| {
            let limit = limits::NPY_RANK as u64;
            FormatError::Limit { place: place(), got: rank as u64, limit }
        })
    }
}
