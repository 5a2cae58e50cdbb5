//! Where a tensor's bytes are when they are not in the model's file.
//!
//! A location is a path below the model's folder: relative, of plain names only, so that joining
//! it to the folder cannot leave it. Whoever opens the file checks that no part is a link and
//! that the bytes are there.

use super::{Text, property};
use crate::{FormatError, Label, Place, location, protobuf::Message};

/// A range of bytes in a file beside the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct External<'a> {
    /// Path of the file below the model's folder, parts divided by `/`; checked to stay there.
    pub location: &'a str,
    /// Offset of the first byte in that file.
    pub offset: u64,
    /// Number of bytes: exactly what the tensor's type and dimensions need.
    pub length: u64,
    /// A checksum, as the file gives it: SHA-1 by the specification.
    pub checksum: Option<Text<'a>>,
}

impl<'a> External<'a> {
    /// Reads the list of settings in `message`'s fields 13; `need` bytes are what the tensor has.
    pub(crate) fn read(
        message: &Message<'a>,
        tensor: &str,
        need: u64,
    ) -> Result<Self, FormatError> {
        let label = Label::new(tensor);
        let mut external = Self { location: "", offset: 0, length: need, checksum: None };
        let mut has_location = false;
        for field in message.fields() {
            let field = field?;
            if field.number != 13 {
                continue;
            }
            let (key, value) = property(&field)?;
            let place =
                || Place::at(format_args!("{} of tensor `{label}`", Label::new(key)), field.at);
            let number = || {
                let text = str::from_utf8(value.0).ok();
                let digits = text.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
                digits.and_then(|text| text.parse::<u64>().ok()).ok_or_else(|| {
                    let got = Label::from_bytes(value.0);
                    FormatError::invalid(place(), "a number of bytes", format_args!("\"{got}\""))
                })
            };
            match key {
                "location" => {
                    external.location = location::check(value.0, &place)?;
                    has_location = true;
                }
                "offset" => external.offset = number()?,
                "length" => {
                    let length = number()?;
                    if length != need {
                        let want = format!("{need}, what the tensor's type and dimensions need");
                        return Err(FormatError::invalid(place(), want, format_args!("{length}")));
                    }
                }
                "checksum" => external.checksum = Some(value),
                _ => {}
            }
        }
        let place =
            |what: &str| Place::at(format_args!("{what} of tensor `{label}`"), message.at());
        if !has_location {
            let got = format_args!("missing");
            return Err(FormatError::invalid(place("location"), "a file's name", got));
        }
        if external.offset.checked_add(external.length).is_none() {
            let got = format_args!("offset {}", external.offset);
            return Err(FormatError::invalid(place("extent"), "below 2^64", got));
        }
        Ok(external)
    }
}
