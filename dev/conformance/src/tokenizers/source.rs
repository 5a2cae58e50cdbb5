//! Files of vocabularies: plain or gzipped, GGUF among them.
//!
//! GGUF files are read whole: the checks are not about memory.

use std::fs;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result};
use formats::gguf::{Gguf, Metadata};
use serde_json::Value;
use text::{SourceIds, Tokenizer, VocabularySource};

/// Most bytes of a model file that can hold its vocabulary.
const HEADER_BYTES_MAX: u64 = 64 << 20;

/// A file's bytes, unpacked if it is gzipped.
pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(HEADER_BYTES_MAX).read_to_end(&mut bytes)?;
    if bytes.starts_with(&[0x1F, 0x8B]) {
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(bytes.as_slice()).read_to_end(&mut unpacked)?;
        return Ok(unpacked);
    }
    Ok(bytes)
}

/// The JSON values of a file, one a line.
pub(super) fn json_lines(path: &Path) -> Result<Vec<Value>> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

/// A GGUF file's vocabulary: what the reader gives, from which tokenizers are made.
#[derive(Debug)]
pub(super) struct Vocabulary(Gguf);

impl Vocabulary {
    /// Reads the head of a GGUF file.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self> {
        // The tensors need not be there: a length that holds any of them.
        Ok(Self(Gguf::parse(bytes, tensor::Bytes(u64::MAX >> 1))?))
    }

    /// Makes the tokenizer.
    pub(super) fn tokenizer(&self) -> Result<Tokenizer> {
        let metadata = self.0.metadata();
        let types = optional(metadata, "token_type", Metadata::get_i32_array)?;
        let scores = optional(metadata, "scores", Metadata::get_f32_array)?;
        let merges = optional(metadata, "merges", Metadata::get_str_array)?;
        let charsmap = optional(metadata, "precompiled_charsmap", Metadata::get_u8_array)?;
        let flag = |name| optional(metadata, name, Metadata::get_bool);
        let id = |name| optional(metadata, name, Metadata::get_u32);
        let source = VocabularySource {
            model: metadata.get_str("tokenizer.ggml.model")?,
            pre: optional(metadata, "pre", Metadata::get_str)?,
            pattern: None,
            name: metadata.get_str("general.name").ok(),
            tokens: metadata.get_str_array("tokenizer.ggml.tokens")?.iter().collect(),
            types: types.as_deref(),
            scores: scores.as_deref(),
            merges: merges.map(|merges| merges.iter().collect()),
            charsmap: charsmap.as_deref(),
            ids: SourceIds {
                bos: id("bos_token_id")?,
                eos: id("eos_token_id")?,
                eot: id("eot_token_id")?,
                eom: id("eom_token_id")?,
                unknown: id("unknown_token_id")?,
                separator: id("seperator_token_id")?,
                padding: id("padding_token_id")?,
                mask: id("mask_token_id")?,
            },
            add_bos: flag("add_bos_token")?,
            add_eos: flag("add_eos_token")?,
            add_sep: flag("add_sep_token")?,
            add_space_prefix: flag("add_space_prefix")?,
            remove_extra_whitespaces: flag("remove_extra_whitespaces")?,
            lowercase: flag("normalizer.lowercase")?,
            strip_accents: flag("normalizer.strip_accents")?,
        };
        Ok(Tokenizer::from_gguf(&source)?)
    }
}

/// A value under `tokenizer.ggml`, if there is one.
fn optional<'m, T>(
    metadata: &'m Metadata,
    name: &str,
    get: impl Fn(&'m Metadata, &str) -> Result<T, formats::FormatError>,
) -> Result<Option<T>> {
    let key = format!("tokenizer.ggml.{name}");
    metadata.get(&key).map(|_| get(metadata, &key)).transpose().map_err(Into::into)
}
