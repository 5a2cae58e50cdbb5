//! Writing safetensors: a list of tensors becomes a layout, the layout a file.
//!
//! Tensors stand in the order in which they were added. The header is padded with spaces to a
//! multiple of eight bytes, as the reference implementation does, and read back by our reader.

use std::io::Write as _;

use tensor::{Bytes, Shape};

use super::{METADATA, Safetensors, TYPES};
use crate::{FormatError, Label, Layout, Place, StoredType};

/// Metadata and tensors of a file to be.
#[derive(Clone, Debug, Default)]
pub struct Writer {
    metadata: Vec<(String, String)>,
    tensors: Vec<Planned>,
}

#[derive(Clone, Debug)]
struct Planned {
    name: Box<str>,
    dtype: &'static str,
    shape: Shape,
    bytes: Bytes,
}

impl Writer {
    /// A file without tensors yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a string to `__metadata__`, such as `format` = `pt`.
    #[must_use]
    pub fn metadata(mut self, key: &str, text: &str) -> Self {
        self.metadata.push((key.into(), text.into()));
        self
    }

    /// Adds a tensor behind those added so far; gives its size.
    ///
    /// # Errors
    /// If the format has no such type or the size overflows. Names are checked by
    /// [`layout`](Self::layout).
    pub fn tensor(
        &mut self,
        name: &str,
        ty: impl Into<StoredType>,
        shape: Shape,
    ) -> Result<Bytes, FormatError> {
        let (ty, label) = (ty.into(), Label::new(name));
        let Some(&(dtype, _)) = TYPES.iter().find(|(_, known)| *known == ty) else {
            return Err(FormatError::UnsupportedType { tensor: label, ty: ty.name() });
        };
        let bytes = ty.tensor_bytes(shape).ok_or_else(|| {
            let place = Place::named(format_args!("shape of tensor `{label}`"));
            FormatError::invalid(place, "a size below 2^64 bytes", format_args!("{shape}"))
        })?;
        self.tensors.push(Planned { name: name.into(), dtype, shape, bytes });
        Ok(bytes)
    }

    /// Fixes header and offsets.
    ///
    /// # Errors
    /// If a name or key is used twice or is not fit for use, or a limit is passed.
    pub fn layout(self) -> Result<Layout, FormatError> {
        let mut header = vec![0u8; 8];
        header.push(b'{');
        let mut separator = "";
        if !self.metadata.is_empty() {
            write!(header, "\"{METADATA}\":{{")?;
            for (key, text) in &self.metadata {
                write!(header, "{separator}{}:{}", quoted(key), quoted(text))?;
                separator = ",";
            }
            header.push(b'}');
        }
        let mut offset = 0u64;
        for tensor in &self.tensors {
            let end = offset.saturating_add(tensor.bytes.0);
            let (name, dtype) = (quoted(&tensor.name), tensor.dtype);
            write!(
                header,
                "{separator}{name}:{{\"dtype\":\"{dtype}\",\"shape\":{},\"data_offsets\":[{offset},{end}]}}",
                tensor.shape
            )?;
            (separator, offset) = (",", end);
        }
        header.push(b'}');
        header.resize(header.len().next_multiple_of(8), b' ');
        let length = (header.len() as u64).saturating_sub(8);
        if let Some(slot) = header.first_chunk_mut() {
            *slot = length.to_le_bytes();
        }
        let file_bytes = Bytes((header.len() as u64).saturating_add(offset));
        let tensors = Safetensors::parse(&header, file_bytes)?.tensors;
        Ok(Layout::new(header, tensors, file_bytes))
    }
}

/// The text as a JSON string.
fn quoted(text: &str) -> serde_json::Value {
    text.into()
}
