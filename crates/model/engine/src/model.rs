//! A model that was opened: headers, settings and vocabulary read, no weight touched. Weights
//! are read at their positions when a plan is loaded.

mod folder;

use crate::{
    error::EngineError,
    fit::{Fit, Request},
    store::{Origin, Place, Weights},
    vocabulary,
};
use formats::{FormatError, Kind, TensorTable, gguf::Gguf, sniff};
use import::Model;
use std::{collections::HashMap, path::Path, sync::Arc};
use tensor::Bytes;
use text::Tokenizer;

/// The first read of a header; doubled until the header fits.
const PREFIX: Bytes = Bytes::mib(1);
/// Enough of a file to tell what it is.
const SNIFFED: Bytes = Bytes::kib(4);

/// A model whose header has been read.
#[derive(Debug)]
pub struct ModelFile {
    label: String,
    origins: Arc<[Origin]>,
    gguf: Option<Gguf>,
    model: Model,
    tokenizer: Option<Arc<Tokenizer>>,
    template: Option<String>,
    normalizes: bool,
    longest_input: Option<u64>,
}

impl ModelFile {
    /// Opens a model: a GGUF file, with the other parts of a split one beside it, or a folder in
    /// Hugging Face's layout (also by its `.safetensors` file).
    ///
    /// # Errors
    /// If it is missing, unreadable, broken, or a model that cannot be used.
    pub fn open(path: &Path) -> Result<Self, EngineError> {
        if path.is_dir() {
            return folder::open(path);
        }
        let first = Origin::open(path)?;
        match sniff(&first.prefix(SNIFFED)?) {
            Kind::Gguf => {}
            Kind::Safetensors => return folder::open_beside(path, &first),
            other => {
                let reason = other.to_string();
                return Err(EngineError::NotAModel { file: first.label(), reason });
            }
        }
        let gguf = read_header(&first, Gguf::parse)?;
        let split = gguf.split().map_err(|source| format_error(&first, source))?;
        let Some(split) = split else {
            return Self::from_parts(vec![(first, gguf)]);
        };
        let own = path.file_name().and_then(|name| name.to_str()).unwrap_or("");
        let names = split.file_names(own).map_err(|source| format_error(&first, source))?;
        let mut parts = Vec::with_capacity(names.len());
        for name in names {
            let origin = Origin::open(&path.with_file_name(name))?;
            let gguf = read_header(&origin, Gguf::parse)?;
            parts.push((origin, gguf));
        }
        Self::from_parts(parts)
    }

    /// Opens a model that is part of the program.
    ///
    /// # Errors
    /// If it is broken or cannot be used.
    pub fn from_memory(bytes: &'static [u8]) -> Result<Self, EngineError> {
        let origin = Origin::Memory(bytes);
        let gguf = read_header(&origin, Gguf::parse)?;
        Self::from_parts(vec![(origin, gguf)])
    }

    fn from_parts(parts: Vec<(Origin, Gguf)>) -> Result<Self, EngineError> {
        let (origins, mut ggufs): (Vec<Origin>, Vec<Gguf>) = parts.into_iter().unzip();
        let label = origins.first().map(Origin::label).unwrap_or_default();
        let in_file = |source| EngineError::Format { file: label.clone(), source };
        let gguf = match (ggufs.pop(), ggufs.is_empty()) {
            (Some(whole), true) => whole,
            (last, _) => {
                ggufs.extend(last);
                Gguf::merge(ggufs).map_err(in_file)?
            }
        };
        let model = Model::from_gguf(&gguf)
            .map_err(|source| EngineError::Import { file: label.clone(), source })?;
        let tokenizer = vocabulary::from_gguf(gguf.metadata())
            .map_err(|source| EngineError::Vocabulary { file: label.clone(), source })?;
        let template = gguf.metadata().get_str("tokenizer.chat_template").ok().map(str::to_owned);
        let normalizes = model.family.encoder;
        Ok(Self {
            label,
            origins: origins.into(),
            normalizes,
            longest_input: None,
            model,
            tokenizer: tokenizer.map(Arc::new),
            template,
            gguf: Some(gguf),
        })
    }

    /// What messages call the model.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Family, sizes and tensors.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The header, if the model is a GGUF file.
    pub fn gguf(&self) -> Option<&Gguf> {
        self.gguf.as_ref()
    }

    /// The tokenizer.
    ///
    /// # Errors
    /// If the file has no vocabulary.
    pub fn tokenizer(&self) -> Result<&Arc<Tokenizer>, EngineError> {
        let lacks = || EngineError::Lacks { file: self.label.clone(), what: "vocabulary" };
        self.tokenizer.as_ref().ok_or_else(lacks)
    }

    /// The source of the chat template, where the file has one.
    pub fn template(&self) -> Option<&str> {
        self.template.as_deref()
    }

    /// Whether the model's vectors are meant to have unit length.
    pub fn normalizes(&self) -> bool {
        self.normalizes
    }

    /// The most tokens of a text that is embedded, where the model says so.
    pub fn longest_input(&self) -> Option<u64> {
        self.longest_input
    }

    /// The files that the model consists of.
    pub fn origins(&self) -> &Arc<[Origin]> {
        &self.origins
    }

    /// What running the model will take, and whether it fits.
    ///
    /// # Errors
    /// [`EngineError::DoesNotFit`] with the nearest settings that do, or a fault of the model.
    pub fn fit(self: &Arc<Self>, request: &Request) -> Result<Fit, EngineError> {
        Fit::new(self, request)
    }

    /// A source of the model's weights, with constants that were computed for a graph.
    pub(crate) fn weights(&self, constants: Vec<(String, Vec<f32>)>) -> Weights {
        Weights::new(self.origins.clone(), places(self.model.tensors.table()), constants)
    }

    /// Compares every file with what it was when it was opened.
    ///
    /// # Errors
    /// If one was written to meanwhile.
    pub fn check_unchanged(&self) -> Result<(), EngineError> {
        self.origins.iter().try_for_each(Origin::check_unchanged).map_err(EngineError::from)
    }
}

fn places(table: &TensorTable) -> HashMap<String, Place> {
    let place = |info: &formats::StoredTensor| Place {
        file: info.file as usize,
        offset: info.offset,
        bytes: info.bytes.0,
    };
    table.iter().map(|info| (info.name.to_string(), place(info))).collect()
}

fn format_error(origin: &Origin, source: FormatError) -> EngineError {
    EngineError::Format { file: origin.label(), source }
}

/// Reads a header, as much of the file as that takes.
fn read_header<T>(
    origin: &Origin,
    parse: fn(&[u8], Bytes) -> Result<T, FormatError>,
) -> Result<T, EngineError> {
    let mut bytes = PREFIX;
    loop {
        match parse(&origin.prefix(bytes)?, origin.bytes()) {
            Err(FormatError::NeedMore { at_least, .. }) => {
                bytes = Bytes(bytes.0.saturating_mul(2)).max(at_least);
            }
            other => return other.map_err(|source| format_error(origin, source)),
        }
    }
}
