//! The vocabulary of a GGUF file, from its metadata alone.
//!
//! Neither a weight nor a known architecture is needed.

use formats::gguf::{Metadata, Value};
use text::{SourceIds, Tokenizer, VocabularyError, VocabularySource};

const PREFIX: &str = "tokenizer.ggml.";

/// The tokenizer that the metadata describe, or `None` if they describe none.
///
/// # Errors
/// If the vocabulary is broken or of a kind that is not known.
pub fn from_gguf(metadata: &Metadata) -> Result<Option<Tokenizer>, VocabularyError> {
    let key = |name: &str| format!("{PREFIX}{name}");
    let text = |name: &str| metadata.get_str(&key(name)).ok();
    let id = |name: &str| metadata.get_u32(&key(name)).ok();
    let flag = |name: &str| metadata.get_bool(&key(name)).ok();
    let (Some(model), Ok(tokens)) = (text("model"), metadata.get_str_array(&key("tokens"))) else {
        return Ok(None);
    };
    let types = metadata.get_i32_array(&key("token_type")).ok();
    let scores = metadata.get_f32_array(&key("scores")).ok();
    let charsmap = charsmap(metadata.get(&key("precompiled_charsmap")));
    let source = VocabularySource {
        model,
        pre: text("pre"),
        pattern: None,
        name: metadata.get_str("general.name").ok(),
        tokens: tokens.iter().collect(),
        types: types.as_deref(),
        scores: scores.as_deref(),
        merges: metadata.get_str_array(&key("merges")).ok().map(|merges| merges.iter().collect()),
        charsmap: charsmap.as_deref(),
        ids: SourceIds {
            bos: id("bos_token_id"),
            eos: id("eos_token_id"),
            eot: id("eot_token_id"),
            eom: id("eom_token_id"),
            unknown: id("unknown_token_id"),
            separator: id("seperator_token_id").or(id("separator_token_id")),
            padding: id("padding_token_id"),
            mask: id("mask_token_id"),
        },
        add_bos: flag("add_bos_token"),
        add_eos: flag("add_eos_token"),
        add_sep: flag("add_sep_token"),
        add_space_prefix: flag("add_space_prefix"),
        remove_extra_whitespaces: flag("remove_extra_whitespaces"),
        lowercase: flag("normalizer.lowercase"),
        strip_accents: flag("normalizer.strip_accents"),
    };
    Tokenizer::from_gguf(&source).map(Some)
}

/// The bytes of a character map; files write them as signed or unsigned.
fn charsmap(value: Option<&Value>) -> Option<Vec<u8>> {
    let Some(Value::Array(list)) = value else { return None };
    let bytes = (0..list.len()).map(|i| list.get(i)?.as_integer());
    bytes.map(|byte| u8::try_from(byte? & 0xFF).ok()).collect()
}
