//! Protobuf's wire format: the fields of a message, one after the other, borrowed from the file.
//!
//! Knows no schema. Fields come in any order; groups are skipped; a field of the wrong wire type
//! is an error of whoever asks for it. A message that occurs several times where one is meant
//! counts as one, its parts behind each other. Follows the Protocol Buffers documentation,
//! "Encoding".

use crate::{FormatError, Place, budget::Budget, limits};

/// Bytes of the file and where they begin.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Span<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) at: u64,
}

impl Span<'_> {
    /// The first `count` bytes and the rest, or `None` if there are fewer.
    fn split(self, count: usize) -> Option<(Self, Self)> {
        let (head, tail) = self.bytes.split_at_checked(count)?;
        let at = self.at.saturating_add(count as u64);
        Some((Self { bytes: head, at: self.at }, Self { bytes: tail, at }))
    }

    /// A number of up to ten bytes, seven bits each, and the rest; `None` if it does not end.
    #[inline(always)]
    fn varint(self) -> Option<(u64, Self)> {
        // Nearly all tags and lengths are one byte.
        match self.bytes.split_first() {
            Some((&byte, bytes)) if byte < 0x80 => {
                Some((u64::from(byte), Self { bytes, at: self.at.saturating_add(1) }))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(self) -> Option<(u64, Self)> {
        let mut value = 0u64;
        for (idx, &byte) in self.bytes.iter().take(10).enumerate() {
            let shift = u32::try_from(idx).ok()?.checked_mul(7)?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return None;
            }
            value |= bits << shift;
            if byte < 0x80 {
                let (_, rest) = self.split(idx.saturating_add(1))?;
                return Some((value, rest));
            }
        }
        None
    }
}

/// The fields of one message.
#[derive(Clone, Debug)]
pub(crate) struct Message<'a> {
    what: &'static str,
    first: Span<'a>,
    more: Vec<Span<'a>>,
    is_file: bool,
}

impl<'a> Message<'a> {
    /// The message that a whole file is.
    pub(crate) fn file(what: &'static str, bytes: &'a [u8]) -> Self {
        Self { what, first: Span { bytes, at: 0 }, more: Vec::new(), is_file: true }
    }

    /// A message inside another one.
    pub(crate) fn new(what: &'static str, span: Span<'a>) -> Self {
        Self { what, first: span, more: Vec::new(), is_file: false }
    }

    /// Sets a singular message, or appends to it if it was set before.
    pub(crate) fn merge(
        slot: &mut Option<Self>,
        what: &'static str,
        field: &Field<'a>,
        budget: &Budget,
    ) -> Result<(), FormatError> {
        let span = field.span()?;
        match slot {
            None => *slot = Some(Self::new(what, span)),
            Some(message) => {
                // A vector that doubles holds the old and the new table for a moment.
                budget.charge(size_of::<Span<'_>>().saturating_mul(6))?;
                message.more.push(span);
            }
        }
        Ok(())
    }

    /// Offset of the first byte.
    pub(crate) fn at(&self) -> u64 {
        self.first.at
    }

    /// All fields, in the order of the file; nothing follows an error.
    pub(crate) fn fields(&self) -> Fields<'a, '_> {
        Fields { message: self, rest: self.first, more: self.more.iter() }
    }

    /// How often each field below `N` occurs; finds every error of the wire format on the way.
    pub(crate) fn counts<const N: usize>(&self) -> Result<[usize; N], FormatError> {
        let mut counts = [0usize; N];
        for field in self.fields() {
            if let Some(count) = counts.get_mut(field?.number as usize) {
                *count = count.saturating_add(1);
            }
        }
        Ok(counts)
    }
}

/// Iterates over the fields of a message.
#[derive(Clone, Debug)]
pub(crate) struct Fields<'a, 'm> {
    message: &'m Message<'a>,
    rest: Span<'a>,
    more: std::slice::Iter<'m, Span<'a>>,
}

/// What a field holds, by its wire type.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wire<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(Span<'a>),
    Fixed32(u32),
}

/// One field of a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field<'a> {
    /// Its number in the schema.
    pub(crate) number: u32,
    /// Offset of its tag.
    pub(crate) at: u64,
    what: &'static str,
    wire: Wire<'a>,
}

impl<'a> Fields<'a, '_> {
    #[cold]
    fn wrong(&self, at: u64, want: &'static str, got: std::fmt::Arguments<'_>) -> FormatError {
        FormatError::invalid(Place::at(format_args!("{}", self.message.what), at), want, got)
    }

    /// The next tag: field number and wire type.
    #[inline(always)]
    fn tag(&mut self) -> Result<(u32, u8), FormatError> {
        let at = self.rest.at;
        let tag = self.varint("a field's number")?;
        let kind = u8::try_from(tag & 7).unwrap_or(u8::MAX);
        match u32::try_from(tag >> 3) {
            Ok(number @ 1..=0x1fff_ffff) => Ok((number, kind)),
            _ => Err(self.wrong(at, "a field from 1 to 2^29 - 1", format_args!("{}", tag >> 3))),
        }
    }

    #[inline(always)]
    fn varint(&mut self, want: &'static str) -> Result<u64, FormatError> {
        let Some((value, rest)) = self.rest.varint() else { return Err(self.endless(want)) };
        self.rest = rest;
        Ok(value)
    }

    #[cold]
    fn endless(&self, want: &'static str) -> FormatError {
        let (at, have) = (self.rest.at, self.rest.bytes.len());
        if self.message.is_file && have < 10 {
            let place = Place::at(format_args!("{want} of {}", self.message.what), at);
            let have = have as u64;
            return FormatError::Truncated { place, need: have.saturating_add(1), have };
        }
        self.wrong(at, want, format_args!("a number that does not end"))
    }

    #[inline(always)]
    fn take(&mut self, number: u32, count: u64) -> Result<Span<'a>, FormatError> {
        let split = usize::try_from(count).ok().and_then(|count| self.rest.split(count));
        let Some((head, rest)) = split else { return Err(self.short(number, count)) };
        self.rest = rest;
        Ok(head)
    }

    #[cold]
    fn short(&self, number: u32, count: u64) -> FormatError {
        let (what, have) = (self.message.what, self.rest.bytes.len() as u64);
        let place = Place::at(format_args!("field {number} of {what}"), self.rest.at);
        if self.message.is_file {
            return FormatError::Truncated { place, need: count, have };
        }
        let want = format!("at most the {have} bytes that are left");
        FormatError::invalid(place, want, format_args!("{count} bytes long"))
    }

    fn array<const N: usize>(&mut self, number: u32) -> Result<[u8; N], FormatError> {
        let span = self.take(number, N as u64)?;
        Ok(span.bytes.first_chunk().copied().unwrap_or([0; N]))
    }

    #[inline(always)]
    fn wire(&mut self, number: u32, kind: u8, at: u64) -> Result<Wire<'a>, FormatError> {
        match kind {
            0 => Ok(Wire::Varint(self.varint("a number")?)),
            1 => Ok(Wire::Fixed64(u64::from_le_bytes(self.array(number)?))),
            2 => {
                let length = self.varint("a length")?;
                Ok(Wire::Bytes(self.take(number, length)?))
            }
            5 => Ok(Wire::Fixed32(u32::from_le_bytes(self.array(number)?))),
            4 => Err(self.wrong(at, "a field", format_args!("an end without its group"))),
            _ => Err(self.wrong(at, "a wire type from 0 to 5", format_args!("wire type {kind}"))),
        }
    }

    /// Skips to the end of the group `number`, whose start was read.
    #[cold]
    fn skip_group(&mut self, number: u32, start: u64) -> Result<(), FormatError> {
        let mut open = [0u32; limits::NETWORK_DEPTH as usize];
        let mut depth = 1usize;
        if let Some(slot) = open.first_mut() {
            *slot = number;
        }
        while let Some(last) = depth.checked_sub(1) {
            if self.rest.bytes.is_empty() {
                return Err(self.wrong(
                    start,
                    "a group that ends",
                    format_args!("one that does not"),
                ));
            }
            let at = self.rest.at;
            let (number, kind) = self.tag()?;
            match kind {
                3 => {
                    let Some(slot) = open.get_mut(depth) else {
                        let limit = u64::from(limits::NETWORK_DEPTH);
                        let place = Place::at(format_args!("nesting of groups"), at);
                        return Err(FormatError::Limit {
                            place,
                            got: limit.saturating_add(1),
                            limit,
                        });
                    };
                    *slot = number;
                    depth = depth.saturating_add(1);
                }
                4 if open.get(last) == Some(&number) => depth = last,
                4 => {
                    let got = format_args!("the end of group {number}");
                    return Err(self.wrong(at, "the end of its group", got));
                }
                _ => drop(self.wire(number, kind, at)?),
            }
        }
        Ok(())
    }

    #[inline(always)]
    fn read(&mut self) -> Result<Option<Field<'a>>, FormatError> {
        loop {
            while self.rest.bytes.is_empty() {
                let Some(&part) = self.more.next() else { return Ok(None) };
                self.rest = part;
            }
            let at = self.rest.at;
            let (number, kind) = self.tag()?;
            if kind == 3 {
                self.skip_group(number, at)?;
                continue;
            }
            let wire = self.wire(number, kind, at)?;
            return Ok(Some(Field { number, at, what: self.message.what, wire }));
        }
    }
}

impl<'a> Iterator for Fields<'a, '_> {
    type Item = Result<Field<'a>, FormatError>;

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        let field = self.read();
        if field.is_err() {
            self.rest = Span::default();
            self.more = [].iter();
        }
        field.transpose()
    }
}

impl<'a> Field<'a> {
    /// Where the field is, with a name for it.
    pub(crate) fn place(&self, name: &str) -> Place {
        Place::at(format_args!("{name} of {}", self.what), self.at)
    }

    fn wrong(&self, want: &'static str) -> FormatError {
        let got = match self.wire {
            Wire::Varint(_) => "a varint",
            Wire::Fixed64(_) => "eight bytes",
            Wire::Bytes(_) => "bytes with a length",
            Wire::Fixed32(_) => "four bytes",
        };
        let place = Place::at(format_args!("field {} of {}", self.number, self.what), self.at);
        FormatError::invalid(place, want, format_args!("{got}"))
    }

    /// The field as a signed number; all 64 bits count.
    pub(crate) fn int(&self) -> Result<i64, FormatError> {
        match self.wire {
            Wire::Varint(value) => Ok(value.cast_signed()),
            _ => Err(self.wrong("a varint")),
        }
    }

    /// The field as a single-precision number.
    pub(crate) fn float(&self) -> Result<f32, FormatError> {
        match self.wire {
            Wire::Fixed32(bits) => Ok(f32::from_bits(bits)),
            _ => Err(self.wrong("four bytes")),
        }
    }

    /// The field's bytes: a message, a text or a packed list.
    pub(crate) fn span(&self) -> Result<Span<'a>, FormatError> {
        match self.wire {
            Wire::Bytes(span) => Ok(span),
            _ => Err(self.wrong("bytes with a length")),
        }
    }

    /// The field's bytes, wherever they are.
    pub(crate) fn bytes(&self) -> Result<&'a [u8], FormatError> {
        Ok(self.span()?.bytes)
    }

    /// The field as a name; `role` says of what, for errors.
    pub(crate) fn name(&self, role: &str) -> Result<&'a str, FormatError> {
        let bytes = self.bytes()?;
        let (got, limit) = (bytes.len() as u64, limits::NETWORK_NAME_BYTES);
        if got > limit {
            return Err(FormatError::Limit { place: self.place(role), got, limit });
        }
        str::from_utf8(bytes).map_err(|_| {
            let got = crate::Label::from_bytes(bytes);
            FormatError::invalid(self.place(role), "UTF-8 text", format_args!("\"{got}\""))
        })
    }

    /// The numbers of a repeated field, packed or not.
    ///
    /// # Errors
    /// If the field holds something else, or a packed list ends inside a number.
    pub(crate) fn numbers(&self, kind: Number) -> Result<Numbers<'a>, FormatError> {
        let numbers = match (self.wire, kind) {
            (Wire::Varint(value), Number::Varint) => Numbers::one(value),
            (Wire::Fixed32(bits), Number::Fixed32) => Numbers::one(u64::from(bits)),
            (Wire::Fixed64(bits), Number::Fixed64) => Numbers::one(bits),
            (Wire::Bytes(span), _) => {
                let whole = match kind {
                    Number::Varint => span.bytes.last().is_none_or(|&byte| byte < 0x80),
                    Number::Fixed32 => span.bytes.len().is_multiple_of(4),
                    Number::Fixed64 => span.bytes.len().is_multiple_of(8),
                };
                if !whole {
                    return Err(self.wrong("a list of whole numbers"));
                }
                Numbers { kind, rest: span, single: None }
            }
            (_, Number::Varint) => return Err(self.wrong("a varint or a list")),
            (_, Number::Fixed32) => return Err(self.wrong("four bytes or a list")),
            (_, Number::Fixed64) => return Err(self.wrong("eight bytes or a list")),
        };
        Ok(numbers)
    }
}

/// How the numbers of a list are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Number {
    Varint,
    Fixed32,
    Fixed64,
}

/// The numbers of one field, as unsigned 64-bit patterns.
#[derive(Clone, Debug)]
pub(crate) struct Numbers<'a> {
    kind: Number,
    rest: Span<'a>,
    single: Option<u64>,
}

impl<'a> Numbers<'a> {
    fn one(value: u64) -> Self {
        Self { kind: Number::Varint, rest: Span::default(), single: Some(value) }
    }

    /// The list's bytes, if its numbers stand there as they are in memory.
    pub(crate) fn in_place(&self) -> Option<&'a [u8]> {
        (self.kind != Number::Varint && self.single.is_none()).then_some(self.rest.bytes)
    }

    /// How many numbers there are, without reading them.
    pub(crate) fn how_many(&self) -> usize {
        let bytes = self.rest.bytes;
        let listed = match self.kind {
            // Every number ends with the one byte below 128 that it has.
            Number::Varint => bytes.iter().map(|&byte| usize::from(byte < 0x80)).sum(),
            Number::Fixed32 => bytes.len() >> 2,
            Number::Fixed64 => bytes.len() >> 3,
        };
        listed.saturating_add(usize::from(self.single.is_some()))
    }
}

impl Iterator for Numbers<'_> {
    type Item = Result<u64, FormatError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(single) = self.single.take() {
            return Some(Ok(single));
        }
        if self.rest.bytes.is_empty() {
            return None;
        }
        let read = match self.kind {
            Number::Varint => self.rest.varint(),
            Number::Fixed32 => self.rest.split(4).and_then(|(head, rest)| {
                Some((u64::from(u32::from_le_bytes(*head.bytes.first_chunk()?)), rest))
            }),
            Number::Fixed64 => self.rest.split(8).and_then(|(head, rest)| {
                Some((u64::from_le_bytes(*head.bytes.first_chunk()?), rest))
            }),
        };
        let Some((value, rest)) = read else {
            let place = Place::at(format_args!("list of numbers"), self.rest.at);
            self.rest = Span::default();
            let got = format_args!("longer than ten bytes");
            return Some(Err(FormatError::invalid(place, "numbers of 64 bits", got)));
        };
        self.rest = rest;
        Some(Ok(value))
    }
}

#[cfg(test)]
mod tests;
