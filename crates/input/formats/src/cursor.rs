//! A reading position in the first bytes of a file whose length is known.
//!
//! Invariant: `at <= prefix.len() <= file`. Reading past the prefix gives
//! [`FormatError::NeedMore`] while the file has more, and [`FormatError::Truncated`] when it has not.

use std::fmt::Arguments;

use tensor::Bytes;

use crate::{FormatError, Place};

/// A string that needs no look at the limits.
const SHORT_BYTES: u64 = 1 << 12;

/// A reading position; all numbers are little endian.
#[derive(Clone, Debug)]
pub(crate) struct Cursor<'a> {
    prefix: &'a [u8],
    at: u64,
    file: u64,
    limit: u64,
}

impl<'a> Cursor<'a> {
    /// Starts at byte 0 of a file of `file` bytes; refuses to read beyond `limit`.
    pub(crate) fn new(prefix: &'a [u8], file: Bytes, limit: u64) -> Self {
        let known = usize::try_from(file.0).unwrap_or(usize::MAX).min(prefix.len());
        Self { prefix: prefix.get(..known).unwrap_or_default(), at: 0, file: file.0, limit }
    }

    /// The offset of the next byte.
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    /// Bytes that the file has from here on.
    pub(crate) fn left(&self) -> u64 {
        self.file.saturating_sub(self.at)
    }

    /// Checks that `count` items of at least `each` bytes can follow, before any is read.
    pub(crate) fn room(
        &self,
        count: u64,
        each: u64,
        what: Arguments<'_>,
    ) -> Result<(), FormatError> {
        let need = count.saturating_mul(each);
        if need > self.left() {
            let have = self.left();
            return Err(FormatError::Truncated { place: Place::at(what, self.at), need, have });
        }
        let end = self.at.saturating_add(need);
        if end > self.limit {
            let place = Place::at(format_args!("end of {what}"), self.at);
            return Err(FormatError::Limit { place, got: end, limit: self.limit });
        }
        Ok(())
    }

    /// Asks for a longer prefix if `count` items of `each` bytes are not in this one, so that a
    /// table for them is justified by bytes in hand.
    pub(crate) fn hold(&self, count: u64, each: u64) -> Result<(), FormatError> {
        let end = self.at.saturating_add(count.saturating_mul(each));
        if end <= self.prefix.len() as u64 {
            return Ok(());
        }
        Err(FormatError::NeedMore { at_least: Bytes(end.min(self.file)) })
    }

    /// The next `count` bytes.
    pub(crate) fn take(
        &mut self,
        count: u64,
        what: Arguments<'_>,
    ) -> Result<&'a [u8], FormatError> {
        self.room(count, 1, what)?;
        let end = self.at.saturating_add(count);
        let range = usize::try_from(self.at).ok().zip(usize::try_from(end).ok());
        let bytes = range.and_then(|(start, end)| self.prefix.get(start..end));
        let bytes = bytes.ok_or(FormatError::NeedMore { at_least: Bytes(end) })?;
        self.at = end;
        Ok(bytes)
    }

    /// A length and that many bytes, if both are in the prefix and below every limit; otherwise
    /// nothing is read, and reading them one by one tells why.
    pub(crate) fn short_string(&mut self) -> Option<&'a [u8]> {
        let rest = self.prefix.get(usize::try_from(self.at).ok()?..)?;
        let (length, tail) = rest.split_first_chunk()?;
        let length = u64::from_le_bytes(*length);
        let bytes = tail.get(..usize::try_from(length).ok()?)?;
        let end = self.at.checked_add(8)?.checked_add(length)?;
        if length > SHORT_BYTES || end > self.limit {
            return None;
        }
        self.at = end;
        Some(bytes)
    }

    /// The bytes from an earlier position to this one.
    pub(crate) fn since(&self, at: u64) -> &'a [u8] {
        let range = usize::try_from(at).ok().zip(usize::try_from(self.at).ok());
        range.and_then(|(start, end)| self.prefix.get(start..end)).unwrap_or_default()
    }

    /// The next `N` bytes as an array.
    pub(crate) fn array<const N: usize>(
        &mut self,
        what: Arguments<'_>,
    ) -> Result<[u8; N], FormatError> {
        let bytes = self.take(N as u64, what)?;
        let mut array = [0; N];
        array.copy_from_slice(bytes);
        Ok(array)
    }

    /// The next four bytes as a number.
    pub(crate) fn u32(&mut self, what: Arguments<'_>) -> Result<u32, FormatError> {
        self.array(what).map(u32::from_le_bytes)
    }

    /// The next eight bytes as a number.
    pub(crate) fn u64(&mut self, what: Arguments<'_>) -> Result<u64, FormatError> {
        self.array(what).map(u64::from_le_bytes)
    }
}
