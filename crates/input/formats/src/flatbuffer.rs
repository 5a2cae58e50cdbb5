//! The binary form of `FlatBuffers`: tables, vectors and strings by field number, borrowed from the file.
//!
//! Knows no schema. Every offset leads forward and into the file, every table and vector lies in
//! it; numbers may stand at any address. A field that is not there has its default. Follows
//! "`FlatBuffers` internals" of its documentation.

use std::{fmt, fmt::Arguments, marker::PhantomData};

use crate::{FormatError, Label, Place, limits};

/// A number as it stands in a file, little endian.
pub trait Scalar: Copy + fmt::Debug {
    /// Bytes in the file.
    const BYTES: usize;

    /// The number out of its bytes; `None` if there are fewer.
    fn read(bytes: &[u8]) -> Option<Self>;
}

macro_rules! scalars {
    ($($ty:ty),*) => { $(
        impl Scalar for $ty {
            const BYTES: usize = size_of::<$ty>();

            fn read(bytes: &[u8]) -> Option<Self> {
                bytes.first_chunk().copied().map(Self::from_le_bytes)
            }
        }
    )* };
}
scalars!(u8, i8, u16, i32, u32, i64, u64, f32);

impl Scalar for bool {
    const BYTES: usize = 1;

    fn read(bytes: &[u8]) -> Option<Self> {
        bytes.first().map(|&byte| byte != 0)
    }
}

/// Numbers in a row, borrowed from the file.
#[derive(Clone, Copy)]
pub struct List<'a, T> {
    bytes: &'a [u8],
    ty: PhantomData<T>,
}

impl<T> Default for List<'_, T> {
    fn default() -> Self {
        Self { bytes: &[], ty: PhantomData }
    }
}

impl<'a, T: Scalar> List<'a, T> {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.bytes.len().checked_div(T::BYTES).unwrap_or(0)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The element at `idx`.
    pub fn get(&self, idx: usize) -> Option<T> {
        T::read(self.bytes.get(idx.checked_mul(T::BYTES)?..)?)
    }

    /// The first element.
    pub fn first(&self) -> Option<T> {
        self.get(0)
    }

    /// All elements.
    pub fn iter(&self) -> impl Iterator<Item = T> + Clone + use<'a, T> {
        self.bytes.chunks_exact(T::BYTES).filter_map(T::read)
    }

    /// The bytes as they stand in the file, little endian.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

impl<T: Scalar> fmt::Debug for List<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().take(16)).finish()
    }
}

impl<T: Scalar> PartialEq for List<'_, T> {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

/// A table: fields by number.
#[derive(Clone, Copy)]
pub(crate) struct Table<'a> {
    what: &'static str,
    file: &'a [u8],
    at: usize,
    /// Offsets of the fields, two bytes each.
    fields: &'a [u8],
    /// The table's own bytes, from its start.
    bytes: &'a [u8],
}

impl fmt::Debug for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.what, self.at)
    }
}

/// A number at an offset of the file.
fn number<T: Scalar>(file: &[u8], at: usize) -> Option<T> {
    T::read(file.get(at..)?)
}

impl<'a> Table<'a> {
    /// The table that the file's first number leads to.
    pub(crate) fn root(what: &'static str, file: &'a [u8]) -> Result<Self, FormatError> {
        let offset: Option<u32> = number(file, 0);
        let at = offset.and_then(|offset| usize::try_from(offset).ok());
        let at = at.ok_or_else(|| FormatError::Truncated {
            place: Place::at(format_args!("offset of {what}"), 0),
            need: 4,
            have: file.len() as u64,
        })?;
        Self::new(what, file, at)
    }

    fn new(what: &'static str, file: &'a [u8], at: usize) -> Result<Self, FormatError> {
        let read = || {
            let back: i32 = number(file, at)?;
            let fields_at =
                usize::try_from(i64::try_from(at).ok()?.checked_sub(back.into())?).ok()?;
            let fields_len = usize::from(number::<u16>(file, fields_at)?);
            let table_len = usize::from(number::<u16>(file, fields_at.checked_add(2)?)?);
            let fields = file.get(fields_at..)?.get(4..fields_len)?;
            let bytes = file.get(at..)?.get(..table_len)?;
            // The offset of the field table is part of the table.
            (table_len >= 4).then_some(Self { what, file, at, fields, bytes })
        };
        read().ok_or_else(|| {
            let place = Place::at(format_args!("{what}"), at as u64);
            FormatError::invalid(place, "a table within the file", format_args!("none"))
        })
    }

    /// Offset of the table.
    pub(crate) fn at(&self) -> u64 {
        self.at as u64
    }

    /// A place for errors about a field.
    pub(crate) fn place(&self, name: &str) -> Place {
        Place::at(format_args!("{name} of {}", self.what), self.at as u64)
    }

    fn wrong(&self, id: usize, want: &'static str, got: Arguments<'_>) -> FormatError {
        let place = Place::at(format_args!("field {id} of {}", self.what), self.at as u64);
        FormatError::invalid(place, want, got)
    }

    /// Offset of a field in the table; `None` if it is not there.
    fn field(&self, id: usize) -> Option<usize> {
        let at: u16 = number(self.fields, id.checked_mul(2)?)?;
        (at != 0).then_some(usize::from(at))
    }

    /// Whether the field is there.
    pub(crate) fn has(&self, id: usize) -> bool {
        self.field(id).is_some()
    }

    /// A number, or `default` if the field is not there.
    pub(crate) fn scalar<T: Scalar>(&self, id: usize, default: T) -> Result<T, FormatError> {
        let Some(at) = self.field(id) else { return Ok(default) };
        let value = (at >= 4).then(|| number(self.bytes, at)).flatten();
        value.ok_or_else(|| self.wrong(id, "within its table", format_args!("at its byte {at}")))
    }

    /// Where an offset leads to; `None` if the field is not there.
    fn target(&self, id: usize) -> Result<Option<usize>, FormatError> {
        if !self.has(id) {
            return Ok(None);
        }
        let offset: u32 = self.scalar(id, 0)?;
        let from = self.field(id).and_then(|field| self.at.checked_add(field));
        self.follow(from, offset).map(Some).ok_or_else(|| {
            self.wrong(id, "an offset into the file", format_args!("{offset} bytes on"))
        })
    }

    /// The place `offset` bytes behind `from`, if it is in the file.
    fn follow(&self, from: Option<usize>, offset: u32) -> Option<usize> {
        let target = from?.checked_add(usize::try_from(offset).ok()?)?;
        (offset > 0 && target < self.file.len()).then_some(target)
    }

    /// A table in a field.
    pub(crate) fn table(&self, id: usize, what: &'static str) -> Result<Option<Self>, FormatError> {
        self.target(id)?.map(|at| Self::new(what, self.file, at)).transpose()
    }

    /// Numbers in a field; none if it is not there.
    pub(crate) fn list<T: Scalar>(&self, id: usize) -> Result<List<'a, T>, FormatError> {
        let Some(at) = self.target(id)? else { return Ok(List::default()) };
        let read = || {
            let rest = self.file.get(at..)?;
            let len = usize::try_from(u32::read(rest)?).ok()?;
            let bytes = rest.get(4..)?.get(..len.checked_mul(T::BYTES)?)?;
            Some(List { bytes, ty: PhantomData })
        };
        read().ok_or_else(|| {
            let len: Option<u32> = number(self.file, at);
            let got = format_args!("{} of {} bytes", len.unwrap_or(0), T::BYTES);
            self.wrong(id, "elements within the file", got)
        })
    }

    /// Tables in a field; none if it is not there.
    pub(crate) fn tables(&self, id: usize, what: &'static str) -> Result<Tables<'a>, FormatError> {
        Ok(Tables { holder: *self, what, offsets: self.list(id)? })
    }

    /// A text in a field, as bytes; empty if it is not there.
    pub(crate) fn text(&self, id: usize) -> Result<&'a [u8], FormatError> {
        Ok(self.list::<u8>(id)?.bytes)
    }

    /// A name in a field; `role` says of what, for errors.
    pub(crate) fn name(&self, id: usize, role: &str) -> Result<&'a str, FormatError> {
        let bytes = self.text(id)?;
        let (got, limit) = (bytes.len() as u64, limits::NETWORK_NAME_BYTES);
        if got > limit {
            return Err(FormatError::Limit { place: self.place(role), got, limit });
        }
        str::from_utf8(bytes).map_err(|_| {
            let got = Label::from_bytes(bytes);
            FormatError::invalid(self.place(role), "UTF-8 text", format_args!("\"{got}\""))
        })
    }
}

/// A vector of tables.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tables<'a> {
    holder: Table<'a>,
    what: &'static str,
    offsets: List<'a, u32>,
}

impl<'a> Tables<'a> {
    /// Number of tables.
    pub(crate) fn len(&self) -> usize {
        self.offsets.len()
    }

    /// Each table, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Result<Table<'a>, FormatError>> + use<'a> {
        let Self { holder, what, offsets } = *self;
        let file_at = holder.file.as_ptr().addr();
        let list_at = offsets.bytes.as_ptr().addr().saturating_sub(file_at);
        offsets.iter().enumerate().map(move |(idx, offset)| {
            let from = idx.checked_mul(4).and_then(|skip| list_at.checked_add(skip));
            let target = holder.follow(from, offset).ok_or_else(|| {
                let place = Place::at(format_args!("{what} {idx}"), from.unwrap_or(0) as u64);
                let got = format_args!("{offset} bytes on");
                FormatError::invalid(place, "an offset into the file", got)
            })?;
            Table::new(what, holder.file, target)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file whose root has fields at the given offsets and these bytes behind its head.
    fn file(fields: &[u16], rest: &[u8]) -> Vec<u8> {
        let fields_len = u16::try_from(4 + 2 * fields.len()).unwrap();
        let table_at = 4 + u32::from(fields_len);
        let mut file = table_at.to_le_bytes().to_vec();
        file.extend(fields_len.to_le_bytes());
        file.extend(u16::try_from(4 + rest.len().min(60)).unwrap().to_le_bytes());
        file.extend(fields.iter().flat_map(|field| field.to_le_bytes()));
        file.extend(u32::from(fields_len).to_le_bytes());
        file.extend(rest);
        file
    }

    #[test]
    fn fields_are_found_or_have_defaults() {
        let file = file(&[4, 0, 5, 9], &[7, 1, 2, 3, 4, 4, 0, 0, 0, 2, 0, 0, 0, b'h', b'i']);
        let table = Table::root("Test", &file).unwrap();
        assert_eq!(table.scalar(0, 0u8).unwrap(), 7);
        assert_eq!(table.scalar(1, 3i32).unwrap(), 3);
        assert_eq!(table.scalar(2, 0u32).unwrap(), 0x0403_0201);
        assert_eq!(table.name(3, "name").unwrap(), "hi");
        assert_eq!(table.scalar(99, -1i64).unwrap(), -1);
        assert!(table.table(4, "Other").unwrap().is_none());
        // Eight bytes from the last field run out of the table.
        assert!(table.scalar(3, 0u64).is_ok() && table.table(3, "Other").is_err());
    }

    #[test]
    fn what_leads_out_of_the_file_is_an_error() {
        for (fields, rest) in [
            // A field in the head, behind the table, an offset of zero, backward, too far.
            (&[2u16][..], &[0u8; 8][..]),
            (&[200], &[0; 8]),
            (&[4], &[0; 8]),
            (&[4], &[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]),
            (&[4], &[4, 0, 0, 0, 0xff, 0xff, 0xff, 0x7f]),
            (&[4], &[4, 0, 0, 0, 1, 0, 0]),
        ] {
            let file = file(fields, rest);
            let table = Table::root("Test", &file).unwrap();
            assert!(table.list::<i32>(0).is_err(), "{fields:?} {rest:?}");
            assert!(table.tables(0, "Other").is_err());
        }
        for file in [&b""[..], b"\x04\0\0", b"\xff\xff\xff\xff", b"\x04\0\0\0\0\0\0\x80"] {
            assert!(Table::root("Test", file).is_err());
        }
    }
}
