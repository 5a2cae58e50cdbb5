//! `model.safetensors.index.json`: which file of a sharded model holds which tensor.
//!
//! File names out of an index are names and never paths: one component of letters, digits,
//! dots, dashes and underscores. Index and files must say the same.

use std::{collections::BTreeMap, fmt};

use serde::de::{self, DeserializeSeed, MapAccess, Visitor};

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
        let budget = json::Budget::for_text(text.len());
        let mut reader = serde_json::Deserializer::from_slice(text);
        let map = de::Deserializer::deserialize_map(&mut reader, Root { budget: &budget })
            .and_then(|map| reader.end().map(|()| map))
            .map_err(|error| json::wrap(&error, "model.safetensors.index.json"))?
            .ok_or_else(|| FormatError::MissingKey { key: Label::new("weight_map") })?;
        map.finish()
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
    /// [`file`](crate::StoredTensor::file) set to the index there.
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

/// Reads the whole text; what is not `weight_map` is read and dropped.
struct Root<'b> {
    budget: &'b json::Budget,
}

impl<'de> Visitor<'de> for Root<'_> {
    type Value = Option<WeightMap>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with weight_map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut weights = None;
        let mut rest = json::Map::new();
        while let Some(key) = map.next_key::<String>()? {
            let repeated = if key == "weight_map" {
                weights.replace(map.next_value_seed(WeightMap::default())?).is_some()
            } else {
                let value = map.next_value_seed(json::Tree { budget: self.budget })?;
                rest.insert(key.clone(), value).is_some()
            };
            if repeated {
                return Err(de::Error::custom(json::repeated(&key)));
            }
        }
        Ok(weights)
    }
}

/// Reads the object behind `weight_map`: tensors with the names of their files.
#[derive(Default)]
struct WeightMap {
    tensors: Vec<(Box<str>, u32)>,
    /// Files in the order in which they were met.
    files: BTreeMap<Box<str>, u32>,
}

impl<'de> DeserializeSeed<'de> for WeightMap {
    type Value = Self;

    fn deserialize<D: de::Deserializer<'de>>(self, reader: D) -> Result<Self, D::Error> {
        reader.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for WeightMap {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of file names")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Self, A::Error> {
        while let Some(tensor) = map.next_key::<Box<str>>()? {
            let (got, limit) = (self.tensors.len() as u64, limits::TENSORS);
            if got >= limit {
                return Err(de::Error::custom(format!("over {limit} tensors, the limit")));
            }
            let file = map.next_value_seed(FileName { tensor: &tensor, files: &mut self.files })?;
            self.tensors.push((tensor, file));
        }
        Ok(self)
    }
}

/// Reads the name of a tensor's file and gives its number.
struct FileName<'a> {
    tensor: &'a str,
    files: &'a mut BTreeMap<Box<str>, u32>,
}

impl<'de> DeserializeSeed<'de> for FileName<'_> {
    type Value = u32;

    fn deserialize<D: de::Deserializer<'de>>(self, reader: D) -> Result<u32, D::Error> {
        reader.deserialize_str(self)
    }
}

impl Visitor<'_> for FileName<'_> {
    type Value = u32;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the file name of tensor `{}`", Label::new(self.tensor))
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<u32, E> {
        if let Some(&file) = self.files.get(name) {
            return Ok(file);
        }
        if !is_file_name(name) || !name.ends_with(".safetensors") {
            return Err(E::custom(format!(
                "file of tensor `{}`: must be a plain file name that ends in .safetensors, is \"{}\"",
                Label::new(self.tensor),
                Label::new(name)
            )));
        }
        let (got, limit) = (self.files.len() as u64, limits::SAFETENSORS_FILES);
        if got >= limit {
            return Err(E::custom(format!("over {limit} files, the limit")));
        }
        let file = u32::try_from(got).unwrap_or(u32::MAX);
        self.files.insert(name.into(), file);
        Ok(file)
    }
}

impl WeightMap {
    /// Sorts files and tensors by name.
    fn finish(mut self) -> Result<Index, FormatError> {
        let mut sorted: Vec<u32> = memory::table(self.files.len())?;
        sorted.resize(self.files.len(), 0);
        let mut file_names = memory::table(self.files.len())?;
        for (place, (name, met)) in (0u32..).zip(self.files) {
            file_names.push(name);
            if let Some(slot) = sorted.get_mut(met as usize) {
                *slot = place;
            }
        }
        for (_, file) in &mut self.tensors {
            *file = sorted.get(*file as usize).copied().unwrap_or_default();
        }
        self.tensors.sort_unstable();
        let names = || self.tensors.iter().map(|(name, _)| name);
        if let Some((name, _)) = names().zip(names().skip(1)).find(|(a, b)| a == b) {
            return Err(FormatError::Duplicate { what: "tensor", name: Label::new(name) });
        }
        if self.tensors.is_empty() {
            let place = Place::named(format_args!("weight_map"));
            return Err(FormatError::invalid(
                place,
                "an object of file names",
                format_args!("empty"),
            ));
        }
        Ok(Index { file_names, tensors: self.tensors })
    }
}

/// Whether a name out of a file is the name of a neighbour and nothing else.
fn is_file_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=limits::FILE_NAME_BYTES).contains(&name.len())
        && !name.starts_with('.')
        && name.bytes().all(plain)
}
