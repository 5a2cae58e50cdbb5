//! `model.safetensors.index.json`: which file of a sharded model holds which tensor.
//!
//! File names out of an index are names and never paths: one component of letters, digits,
//! dots, dashes and underscores. Index and files must say the same.

use super::Safetensors;
use crate::{FormatError, Label, Place, TensorTable, json, limits, memory};

/// The file that each tensor is in.
#[derive(Clone, Debug)]
pub struct Index {
    file_names: Vec<Box<str>>,
    /// Tensor and index into `file_names`, sorted by tensor.
    tensors: Vec<(Box<str>, u32)>,
}

impl Index {
    /// Reads the text of an index.
    ///
    /// # Errors
    /// If it is not JSON, has no `weight_map` of strings, names no file, or a file name is not
    /// a plain name that ends in `.safetensors`.
    pub fn parse(text: &[u8]) -> Result<Self, FormatError> {
        let invalid = |what: std::fmt::Arguments<'_>, want: &'static str, got: &str| {
            let got = Label::new(got);
            FormatError::invalid(Place::named(what), want, format_args!("\"{got}\""))
        };
        let mut root = json::parse(text, "model.safetensors.index.json")?;
        let map = match root.get_mut("weight_map").map(json::Value::take) {
            Some(json::Value::Object(map)) if !map.is_empty() => map,
            Some(other) => {
                let what = format_args!("weight_map");
                return Err(invalid(what, "an object of file names", &other.to_string()));
            }
            None => return Err(FormatError::MissingKey { key: Label::new("weight_map") }),
        };
        let count = map.len() as u64;
        if count > limits::TENSORS {
            let (place, limit) = (Place::named(format_args!("weight_map")), limits::TENSORS);
            return Err(FormatError::Limit { place, got: count, limit });
        }
        let mut file_names: Vec<Box<str>> = Vec::new();
        for (tensor, name) in &map {
            let what = format_args!("file of tensor `{}`", Label::new(tensor));
            let json::Value::String(name) = name else {
                return Err(invalid(what, "a file name", &name.to_string()));
            };
            check_file_name(name, what)?;
            if !name.ends_with(".safetensors") {
                return Err(invalid(what, "a name that ends in .safetensors", name));
            }
            // Neighbours mostly share a file; the rest is sorted out below.
            if file_names.last().is_none_or(|last| **last != **name) {
                file_names.push(memory::text(name)?);
            }
        }
        file_names.sort_unstable();
        file_names.dedup();
        file_names.shrink_to_fit();
        let (got, limit) = (file_names.len() as u64, limits::SAFETENSORS_FILES);
        if got > limit {
            let place = Place::named(format_args!("files of weight_map"));
            return Err(FormatError::Limit { place, got, limit });
        }
        let mut tensors = memory::table(map.len())?;
        for (tensor, name) in map {
            let name = name.as_str().unwrap_or_default();
            let file = file_names.binary_search_by(|known| (**known).cmp(name)).unwrap_or_default();
            tensors.push((tensor.into_boxed_str(), u32::try_from(file).unwrap_or(u32::MAX)));
        }
        tensors.sort_unstable();
        Ok(Self { file_names, tensors })
    }

    /// The files of the model, sorted, each once.
    pub fn file_names(&self) -> &[Box<str>] {
        &self.file_names
    }

    /// Number of tensors.
    pub fn tensors_len(&self) -> usize {
        self.tensors.len()
    }

    /// Puts the files together, given in the order of [`file_names`](Self::file_names), with
    /// [`file`](crate::TensorInfo::file) set to the index there.
    ///
    /// # Errors
    /// If there are more or fewer files than names, or a tensor is not in the file that the index
    /// names, or is in a second one, or is not in the index.
    pub fn merge(&self, parts: Vec<Safetensors>) -> Result<Safetensors, FormatError> {
        if parts.len() != self.file_names.len() {
            let place = Place::named(format_args!("number of safetensors files"));
            let want = self.file_names.len().to_string();
            return Err(FormatError::invalid(place, want, format_args!("{}", parts.len())));
        }
        let mut all = memory::table(parts.iter().map(|part| part.tensors.len()).sum())?;
        let mut first = None;
        for (file, mut part) in (0u32..).zip(parts) {
            for mut tensor in std::mem::take(&mut part.tensors).into_vec() {
                tensor.file = file;
                let place = || {
                    let label = Label::new(&tensor.name);
                    Place::named(format_args!("file of tensor `{label}` in the index"))
                };
                let found = self.tensors.binary_search_by(|(name, _)| name.cmp(&tensor.name));
                let listed = found.ok().and_then(|found| self.tensors.get(found));
                if listed.map(|&(_, listed)| listed) != Some(file) {
                    let name = |file: u32| self.file_names.get(file as usize).map_or("", |s| s);
                    let want = format!("\"{}\", which holds it", Label::new(name(file)));
                    let got = listed.map_or("missing", |&(_, listed)| name(listed));
                    return Err(FormatError::invalid(place(), want, format_args!("{got}")));
                }
                all.push(tensor);
            }
            first.get_or_insert(part);
        }
        let tensors = TensorTable::new(all)?;
        if let Some((name, _)) = self.tensors.iter().find(|(name, _)| tensors.get(name).is_none()) {
            return Err(FormatError::MissingTensor { tensor: Label::new(name) });
        }
        let Some(first) = first else {
            let place = Place::named(format_args!("number of safetensors files"));
            return Err(FormatError::invalid(place, "at least 1", format_args!("0")));
        };
        let files = u32::try_from(self.file_names.len()).unwrap_or(u32::MAX);
        Ok(Safetensors { tensors, files, ..first })
    }
}

/// Checks that a name out of a file is the name of a neighbour and nothing else.
fn check_file_name(name: &str, what: std::fmt::Arguments<'_>) -> Result<(), FormatError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let fits = (1..=limits::FILE_NAME_BYTES).contains(&name.len());
    if fits && !name.starts_with('.') && name.bytes().all(plain) {
        return Ok(());
    }
    Err(FormatError::invalid(
        Place::named(what),
        "a plain file name without folders",
        format_args!("\"{}\"", Label::new(name)),
    ))
}
