//! Writing GGUF: settings and a list of tensors become a layout, the layout a file.
//!
//! The table of a [`Layout`] was read back out of its header by our own reader, so nothing is
//! written that would be refused. Files are of version 2 or 3, little endian, and tensors stand
//! in the order in which they were added, without gaps but for alignment.

use tensor::{Bytes, Shape};

use super::{Array, Gguf, MAGIC, Metadata, Value, Version, ggml_type, split};
use crate::{FormatError, Label, Layout, Place, StoredType, limits};

/// Settings and tensors of a file to be.
#[derive(Clone, Debug, Default)]
pub struct Writer {
    version: Version,
    metadata: Metadata,
    tensors: Vec<Planned>,
}

/// A tensor of a file to be.
#[derive(Clone, Debug)]
struct Planned {
    name: Box<str>,
    type_id: u32,
    shape: Shape,
    bytes: Bytes,
}

impl Writer {
    /// A file with these settings and no tensors yet.
    pub fn new(metadata: Metadata) -> Self {
        Self { metadata, ..Self::default() }
    }

    /// Writes another version than 3.
    #[must_use]
    pub fn version(mut self, version: Version) -> Self {
        self.version = version;
        self
    }

    /// Adds a tensor behind those added so far; gives its size.
    ///
    /// # Errors
    /// If GGUF has no number for the type, there are more than four dimensions or a row is no
    /// whole number of blocks. Names are checked by [`layout`](Self::layout).
    pub fn tensor(
        &mut self,
        name: &str,
        ty: impl Into<StoredType>,
        shape: Shape,
    ) -> Result<Bytes, FormatError> {
        let (ty, label) = (ty.into(), Label::new(name));
        let type_id = ggml_type::id(ty)
            .ok_or_else(|| FormatError::UnsupportedType { tensor: label.clone(), ty: ty.name() })?;
        if shape.dims().len() > limits::GGUF_RANK {
            let place = Place::named(format_args!("number of dimensions of tensor `{label}`"));
            let (got, limit) = (shape.dims().len() as u64, limits::GGUF_RANK as u64);
            return Err(FormatError::Limit { place, got, limit });
        }
        let place = Place::named(format_args!("shape of tensor `{label}`"));
        let bytes = super::tensor_bytes(place, ty, shape)?;
        self.tensors.push(Planned { name: name.into(), type_id, shape, bytes });
        Ok(bytes)
    }

    /// Fixes header and offsets of one file.
    ///
    /// # Errors
    /// If a name is empty, too long or used twice, a dimension is 0, or a limit is passed.
    pub fn layout(self) -> Result<Layout, FormatError> {
        layout(self.version, &self.metadata, &self.tensors)
    }

    /// Fixes headers and offsets of as many files as keep each one's tensors below
    /// `tensor_bytes_max`, where a single tensor is not larger. The first holds the settings.
    /// Name them with [`split::file_name`].
    ///
    /// # Errors
    /// As [`layout`](Self::layout), or if more than 65,535 files were needed.
    pub fn split(self, tensor_bytes_max: Bytes) -> Result<Vec<Layout>, FormatError> {
        let mut groups: Vec<(Bytes, Vec<Planned>)> = vec![(Bytes::ZERO, Vec::new())];
        let total = self.tensors.len();
        for tensor in self.tensors {
            let size = tensor.bytes;
            match groups.last_mut() {
                Some((sum, group))
                    if group.is_empty()
                        || sum.checked_add(size).is_some_and(|sum| sum <= tensor_bytes_max) =>
                {
                    *sum = Bytes(sum.0.saturating_add(size.0));
                    group.push(tensor);
                }
                _ => groups.push((size, vec![tensor])),
            }
        }
        let place = || Place::named(format_args!("number of split files"));
        let (got, limit) = (groups.len() as u64, u64::from(u16::MAX));
        let too_many = |_| FormatError::Limit { place: place(), got, limit };
        let count = u16::try_from(groups.len()).map_err(too_many)?;
        // The types are llama.cpp's: 16 bits for numbers of files, a signed 32 for tensors.
        let total = i32::try_from(total).unwrap_or(i32::MAX);
        let mut metadata = self.metadata;
        let mut layouts = Vec::new();
        for (no, (_, tensors)) in (0..count).zip(groups) {
            metadata
                .set(split::KEY_NO, no)
                .set(split::KEY_COUNT, count)
                .set(split::KEY_TENSORS, total);
            layouts.push(layout(self.version, &metadata, &tensors)?);
            if no == 0 {
                let mut rest = Metadata::new();
                if let Some(alignment) = metadata.get(super::KEY_ALIGNMENT) {
                    rest.set(super::KEY_ALIGNMENT, alignment.clone());
                }
                metadata = rest;
            }
        }
        Ok(layouts)
    }
}

/// Encodes the header and fixes every offset.
fn layout(
    version: Version,
    metadata: &Metadata,
    tensors: &[Planned],
) -> Result<Layout, FormatError> {
    let alignment = metadata.alignment()?;
    let mut header = Vec::new();
    header.extend(MAGIC);
    header.extend((version as u32).to_le_bytes());
    header.extend((tensors.len() as u64).to_le_bytes());
    header.extend((metadata.len() as u64).to_le_bytes());
    for (key, value) in metadata.iter() {
        put_str(&mut header, key);
        header.extend((value.ty() as u32).to_le_bytes());
        put_value(&mut header, value);
    }
    let (mut offset, mut end) = (Bytes::ZERO, Bytes::ZERO);
    for tensor in tensors {
        put_str(&mut header, &tensor.name);
        let rank = u32::try_from(tensor.shape.dims().len()).unwrap_or(u32::MAX);
        header.extend(rank.to_le_bytes());
        for dim in tensor.shape.dims().iter().rev() {
            header.extend(dim.to_le_bytes());
        }
        header.extend(tensor.type_id.to_le_bytes());
        header.extend(offset.0.to_le_bytes());
        end = Bytes(offset.0.saturating_add(tensor.bytes.0));
        offset = end.align_up(alignment);
    }
    let start = Bytes(header.len() as u64).align_up(alignment);
    // llama.cpp asks for the padding behind the last tensor, too.
    let file_bytes = Bytes(start.0.saturating_add(end.align_up(alignment).0));
    let tensors = Gguf::parse(&header, file_bytes)?.tensors;
    Ok(Layout::new(header, tensors, file_bytes))
}

fn put_str(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

fn put_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::U8(n) => out.push(*n),
        Value::I8(n) => out.extend(n.to_le_bytes()),
        Value::U16(n) => out.extend(n.to_le_bytes()),
        Value::I16(n) => out.extend(n.to_le_bytes()),
        Value::U32(n) => out.extend(n.to_le_bytes()),
        Value::I32(n) => out.extend(n.to_le_bytes()),
        Value::U64(n) => out.extend(n.to_le_bytes()),
        Value::I64(n) => out.extend(n.to_le_bytes()),
        Value::F32(x) => out.extend(x.to_le_bytes()),
        Value::F64(x) => out.extend(x.to_le_bytes()),
        Value::Bool(flag) => out.push(u8::from(*flag)),
        Value::String(text) => put_str(out, text),
        Value::Array(array) => {
            out.extend((array.ty() as u32).to_le_bytes());
            out.extend((array.len() as u64).to_le_bytes());
            put_array(out, array);
        }
    }
}

fn put_array(out: &mut Vec<u8>, array: &Array) {
    match array {
        Array::U8(a) => out.extend(a),
        Array::I8(a) => out.extend(a.iter().flat_map(|n| n.to_le_bytes())),
        Array::U16(a) => out.extend(a.iter().flat_map(|n| n.to_le_bytes())),
        Array::I16(a) => out.extend(a.iter().flat_map(|n| n.to_le_bytes())),
        Array::U32(a) => out.extend(a.iter().flat_map(|n| n.to_le_bytes())),
        Array::I32(a) => out.extend(a.iter().flat_map(|n| n.to_le_bytes())),
        Array::U64(a) => out.extend(a.iter().flat_map(|n| n.to_le_bytes())),
        Array::I64(a) => out.extend(a.iter().flat_map(|n| n.to_le_bytes())),
        Array::F32(a) => out.extend(a.iter().flat_map(|x| x.to_le_bytes())),
        Array::F64(a) => out.extend(a.iter().flat_map(|x| x.to_le_bytes())),
        Array::Bool(a) => out.extend(a.iter().map(|&flag| u8::from(flag))),
        Array::String(strings) => strings.iter().for_each(|text| put_str(out, text)),
    }
}
