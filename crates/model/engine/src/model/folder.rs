//! A folder in Hugging Face's layout: `config.json`, safetensors, tokenizer, templates, pooling.
//!
//! Only files with fixed names directly in the folder (and in `1_Pooling`) are opened; names that
//! the weight index gives are single components, which its reader checks.

use super::{ModelFile, read_header};
use crate::{error::EngineError, store::Origin};
use formats::{
    json,
    safetensors::{Index, Safetensors},
};
use import::{Model, settings::Pooling};
use serde_json::Value;
use std::{path::Path, sync::Arc};
use tensor::Bytes;
use text::{SourceIds, TokenId, Tokenizer};

/// The largest JSON file that is read.
const JSON_MAX: Bytes = Bytes::mib(256);

/// Opens a folder.
pub(super) fn open(folder: &Path) -> Result<ModelFile, EngineError> {
    let label = folder.display().to_string();
    if !folder.join("config.json").is_file() {
        let reason = "is a directory without a config.json".into();
        return Err(EngineError::NotAModel { file: label, reason });
    }
    let config = read_json(folder, "config.json")?.unwrap_or_default();
    let (origins, tensors) = weights(folder)?;
    let mut model = Model::from_config(&config, tensors.tensors().clone())
        .map_err(|source| EngineError::Import { file: label.clone(), source })?;
    if model.family.encoder
        && let Some(pooling) = read_json(&folder.join("1_Pooling"), "config.json")?
    {
        model.settings.pooling = Some(pooling_of(&label, &pooling)?);
    }
    let modules = read_json(folder, "modules.json")?;
    let normalizes = modules.as_ref().and_then(Value::as_array).is_some_and(|list| {
        let name = |module: &Value| module.get("type")?.as_str().map(str::to_owned);
        list.iter().filter_map(name).any(|name| name.ends_with("Normalize"))
    });
    let sentence = read_json(folder, "sentence_bert_config.json")?;
    let longest_input = sentence.and_then(|config| config.get("max_seq_length")?.as_u64());
    let settings = read_json(folder, "tokenizer_config.json")?.unwrap_or_default();
    let generation = read_json(folder, "generation_config.json")?.unwrap_or_default();
    let tokenizer = tokenizer(folder, &label, &settings, &[&generation, &config])?;
    let template = match read_text(folder, "chat_template.jinja")? {
        Some(text) => Some(text),
        None => template_of(&settings),
    };
    Ok(ModelFile {
        label,
        origins: origins.into(),
        gguf: None,
        model,
        tokenizer: tokenizer.map(Arc::new),
        template,
        normalizes,
        longest_input,
    })
}

fn weights(folder: &Path) -> Result<(Vec<Origin>, Safetensors), EngineError> {
    let index_path = folder.join("model.safetensors.index.json");
    if !index_path.exists() {
        let origin = Origin::open(&folder.join("model.safetensors"))?;
        let table = read_header(&origin, Safetensors::parse)?;
        return Ok((vec![origin], table));
    }
    let text = read_file(folder, "model.safetensors.index.json")?.unwrap_or_default();
    let in_index = |source| EngineError::Format { file: index_path.display().to_string(), source };
    let index = Index::parse(&text).map_err(in_index)?;
    let mut origins = Vec::new();
    let mut parts = Vec::new();
    for name in index.file_names() {
        let origin = Origin::open(&folder.join(&**name))?;
        parts.push(read_header(&origin, Safetensors::parse)?);
        origins.push(origin);
    }
    let table = index.merge(parts).map_err(in_index)?;
    Ok((origins, table))
}

fn tokenizer(
    folder: &Path,
    label: &str,
    settings: &Value,
    models: &[&Value],
) -> Result<Option<Tokenizer>, EngineError> {
    let broken = |source| EngineError::Vocabulary { file: label.to_owned(), source };
    let mut tokenizer = if let Some(bytes) = read_file(folder, "tokenizer.json")? {
        Tokenizer::from_tokenizer_json(&bytes).map_err(broken)?
    } else if let Some(bytes) = read_file(folder, "tokenizer.model")? {
        Tokenizer::from_sentencepiece(&bytes).map_err(broken)?
    } else {
        return Ok(None);
    };
    let named = |key: &str| {
        let token = settings.get(key)?;
        let text = token.as_str().or_else(|| token.get("content")?.as_str())?;
        tokenizer.find(text).map(|id| id.0)
    };
    let number = |value: &Value| u32::try_from(value.as_u64()?).ok();
    let given = |key: &str| models.iter().find_map(|model| number(model.get(key)?));
    let ends: Vec<TokenId> = models
        .iter()
        .filter_map(|model| model.get("eos_token_id"))
        .flat_map(|ids| match ids {
            Value::Array(list) => list.iter().filter_map(number).collect(),
            one => Vec::from_iter(number(one)),
        })
        .map(TokenId)
        .collect();
    let ids = SourceIds {
        bos: named("bos_token").or_else(|| given("bos_token_id")),
        eos: named("eos_token").or_else(|| given("eos_token_id")),
        ..SourceIds::default()
    };
    tokenizer.set_special_ids(ids, &ends).map_err(broken)?;
    Ok(Some(tokenizer))
}

/// The chat template of `tokenizer_config.json`: one, or the one called `default`.
fn template_of(settings: &Value) -> Option<String> {
    match settings.get("chat_template")? {
        Value::String(template) => Some(template.clone()),
        Value::Array(list) => {
            let name = |entry: &Value| entry.get("name")?.as_str().map(str::to_owned);
            let default = list.iter().find(|entry| name(entry).as_deref() == Some("default"))?;
            default.get("template")?.as_str().map(str::to_owned)
        }
        _ => None,
    }
}

fn pooling_of(label: &str, config: &Value) -> Result<Pooling, EngineError> {
    let on = |key: &str| config.get(key).and_then(Value::as_bool).unwrap_or(false);
    if on("pooling_mode_cls_token") {
        Ok(Pooling::First)
    } else if on("pooling_mode_lasttoken") {
        Ok(Pooling::Last)
    } else if on("pooling_mode_mean_tokens") {
        Ok(Pooling::Mean)
    } else {
        let reason = "1_Pooling/config.json asks for a pooling that is not known".into();
        Err(EngineError::NotAModel { file: label.into(), reason })
    }
}

/// A file's bytes, or `None` where there is no such file.
fn read_file(folder: &Path, name: &str) -> Result<Option<Vec<u8>>, EngineError> {
    let path = folder.join(name);
    if !path.exists() {
        return Ok(None);
    }
    let origin = Origin::open(&path)?;
    if origin.bytes() > JSON_MAX {
        let reason = format!("has {}, at most {JSON_MAX} are read", origin.bytes());
        return Err(EngineError::NotAModel { file: origin.label(), reason });
    }
    Ok(Some(origin.prefix(origin.bytes())?))
}

fn read_json(folder: &Path, name: &str) -> Result<Option<Value>, EngineError> {
    let Some(bytes) = read_file(folder, name)? else { return Ok(None) };
    let in_file =
        |source| EngineError::Format { file: folder.join(name).display().to_string(), source };
    json::parse(&bytes, name).map(Some).map_err(in_file)
}

fn read_text(folder: &Path, name: &str) -> Result<Option<String>, EngineError> {
    let Some(bytes) = read_file(folder, name)? else { return Ok(None) };
    let not_text = |_| EngineError::NotAModel {
        file: folder.join(name).display().to_string(),
        reason: "is not UTF-8".into(),
    };
    String::from_utf8(bytes).map(Some).map_err(not_text)
}

/// Opens one safetensors file by way of the folder that it lies in.
pub(super) fn open_beside(file: &Path, origin: &Origin) -> Result<ModelFile, EngineError> {
    let folder = file.parent().filter(|folder| folder.join("config.json").is_file());
    folder.map_or_else(
        || {
            let reason = "is a safetensors file without a config.json beside it".into();
            Err(EngineError::NotAModel { file: origin.label(), reason })
        },
        open,
    )
}
