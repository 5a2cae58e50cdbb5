//! A case as Hugging Face stores it: `config.json` and safetensors with the same weights.
//!
//! It undoes what llama.cpp's converter does (docs/families.md §6): names, the neighbouring pairs
//! of llama's rotary rows, gemma's norms around one. So the golden of the GGUF file holds for the
//! folder too. Only F32 cases of families that are read from folders have one.

use std::io::Write as _;

use anyhow::Context as _;
use formats::{FormatError, safetensors};
use serde_json::{Map, Value, json};
use tensor::{Shape, TensorType};

use super::{Case, seeded::Recipe};

/// GGUF's and Hugging Face's names of tensors; `{}` stands for the layer.
const DECODER: &[(&str, &str)] = &[
    ("token_embd", "model.embed_tokens"),
    ("output_norm", "model.norm"),
    ("output", "lm_head"),
    ("blk.{}.attn_norm", "model.layers.{}.input_layernorm"),
    ("blk.{}.attn_q", "model.layers.{}.self_attn.q_proj"),
    ("blk.{}.attn_k", "model.layers.{}.self_attn.k_proj"),
    ("blk.{}.attn_v", "model.layers.{}.self_attn.v_proj"),
    ("blk.{}.attn_qkv", "model.layers.{}.self_attn.qkv_proj"),
    ("blk.{}.attn_q_norm", "model.layers.{}.self_attn.q_norm"),
    ("blk.{}.attn_k_norm", "model.layers.{}.self_attn.k_norm"),
    ("blk.{}.attn_output", "model.layers.{}.self_attn.o_proj"),
    ("blk.{}.ffn_gate", "model.layers.{}.mlp.gate_proj"),
    ("blk.{}.ffn_up", "model.layers.{}.mlp.up_proj"),
    ("blk.{}.ffn_down", "model.layers.{}.mlp.down_proj"),
    ("blk.{}.ffn_norm", "model.layers.{}.post_attention_layernorm"),
];

/// The names that differ in gemma2, and in phi3.
const GEMMA2: &[(&str, &str)] = &[
    ("blk.{}.post_attention_norm", "model.layers.{}.post_attention_layernorm"),
    ("blk.{}.ffn_norm", "model.layers.{}.pre_feedforward_layernorm"),
    ("blk.{}.post_ffw_norm", "model.layers.{}.post_feedforward_layernorm"),
];
const PHI3: &[(&str, &str)] = &[("blk.{}.ffn_up", "model.layers.{}.mlp.gate_up_proj")];
const BERT: &[(&str, &str)] = &[
    ("token_embd", "embeddings.word_embeddings"),
    ("position_embd", "embeddings.position_embeddings"),
    ("token_types", "embeddings.token_type_embeddings"),
    ("token_embd_norm", "embeddings.LayerNorm"),
    ("blk.{}.attn_q", "encoder.layer.{}.attention.self.query"),
    ("blk.{}.attn_k", "encoder.layer.{}.attention.self.key"),
    ("blk.{}.attn_v", "encoder.layer.{}.attention.self.value"),
    ("blk.{}.attn_output", "encoder.layer.{}.attention.output.dense"),
    ("blk.{}.attn_output_norm", "encoder.layer.{}.attention.output.LayerNorm"),
    ("blk.{}.ffn_up", "encoder.layer.{}.intermediate.dense"),
    ("blk.{}.ffn_down", "encoder.layer.{}.output.dense"),
    ("blk.{}.layer_output_norm", "encoder.layer.{}.output.LayerNorm"),
];

/// `config.json` and the bytes of `model.safetensors`; `None` where the case has no such form.
pub(super) fn folder(case: &Case) -> anyhow::Result<Option<(Value, Vec<u8>)>> {
    let names: &[&[_]] = match case.setting("general.architecture") {
        Some("llama" | "qwen2" | "qwen3") => &[DECODER],
        Some("gemma2") => &[GEMMA2, DECODER],
        Some("phi3") => &[PHI3, DECODER],
        Some("bert") => &[BERT],
        _ => return Ok(None),
    };
    let mapped = |recipe: &Recipe| name(names, &recipe.name);
    let left_out = |recipe: &&Recipe| mapped(recipe).is_none();
    let strange = case.tensors.iter().filter(left_out);
    let factors = strange.clone().all(|recipe| recipe.name.starts_with("rope_factors"));
    // Llama's fused rows and stored divisors have no counterpart; experts are not read.
    let fused = mapped(&case.tensors[0]).is_some()
        && case.setting("general.architecture") == Some("llama")
        && case.tensors.iter().any(|recipe| recipe.name.contains("attn_qkv"));
    if !case.is_exact() || !factors || fused {
        return Ok(None);
    }
    let mut writer = safetensors::Writer::new();
    for recipe in &case.tensors {
        if let Some(name) = mapped(recipe) {
            let shape = Shape::new(&recipe.dims).context("more than 8 dimensions")?;
            writer.tensor(&name, TensorType::F32, shape)?;
        }
    }
    let mut bytes = Vec::new();
    let mut recipes = case.tensors.iter().filter(|recipe| mapped(recipe).is_some());
    writer.layout()?.write(&mut bytes, |_, sink| {
        let recipe = recipes.next().expect("one for each tensor of the layout");
        sink.write_all(&stored(case, recipe)).map_err(FormatError::from)
    })?;
    Ok(Some((config(case)?, bytes)))
}

/// The Hugging Face name of a GGUF tensor, by the first table that has one.
fn name(tables: &[&[(&str, &str)]], gguf: &str) -> Option<String> {
    let (stem, suffix) = gguf.rsplit_once('.')?;
    let layer = stem.strip_prefix("blk.").and_then(|rest| rest.split('.').next());
    let layer = layer.unwrap_or_default();
    let known = |entry: &&(&str, &str)| entry.0.replace("{}", layer) == stem;
    let (_, pattern) = tables.iter().find_map(|table| table.iter().find(known))?;
    Some(format!("{}.{suffix}", pattern.replace("{}", layer)))
}

/// The tensor's bytes as the folder stores them.
fn stored(case: &Case, recipe: &Recipe) -> Vec<u8> {
    let bytes = recipe.bytes(case.settings.seed);
    let architecture = case.setting("general.architecture");
    if architecture == Some("gemma2") && recipe.name.ends_with("norm.weight") {
        let less_one = |word: &[u8; 4]| (f32::from_le_bytes(*word) - 1.0).to_le_bytes();
        return bytes.as_chunks().0.iter().flat_map(less_one).collect();
    }
    let rotary = recipe.name.contains(".attn_q.") || recipe.name.contains(".attn_k.");
    if architecture == Some("llama") && rotary {
        let rows = usize::try_from(recipe.dims[0]).expect("a case fits in memory");
        let (row_bytes, dim) = (bytes.len() / rows, case.head_dim());
        // Row `j` of the first half is GGUF's row `2j`, of the second half `2j + 1`.
        let from = |row: usize| {
            let (head, at) = (row / dim, row % dim);
            head * dim + 2 * (at % (dim / 2)) + at / (dim / 2)
        };
        return (0..rows)
            .flat_map(|row| &bytes[from(row) * row_bytes..][..row_bytes])
            .copied()
            .collect();
    }
    bytes
}

/// The settings as `config.json` has them.
fn config(case: &Case) -> anyhow::Result<Value> {
    let architecture = case.setting("general.architecture").context("no architecture")?;
    let number = |key: &str| -> Option<Value> { serde_json::from_str(case.own(key)?).ok() };
    let mut config = Map::new();
    config.insert("model_type".into(), architecture.into());
    for (gguf, key) in [
        ("vocab_size", "vocab_size"),
        ("embedding_length", "hidden_size"),
        ("block_count", "num_hidden_layers"),
        ("feed_forward_length", "intermediate_size"),
        ("attention.head_count", "num_attention_heads"),
        ("attention.head_count_kv", "num_key_value_heads"),
        ("attention.layer_norm_rms_epsilon", "rms_norm_eps"),
        ("attention.layer_norm_epsilon", "layer_norm_eps"),
        ("rope.freq_base", "rope_theta"),
        ("context_length", "max_position_embeddings"),
    ] {
        config.extend(number(gguf).map(|value| (key.to_owned(), value)));
    }
    let mut set = |key: &str, value: Value| config.insert(key.into(), value);
    if architecture != "bert" {
        set("head_dim", case.head_dim().into());
    }
    match architecture {
        "gemma2" => {
            set("query_pre_attn_scalar", case.head_dim().into());
            set("hidden_activation", "gelu_pytorch_tanh".into());
            for key in ["attn_logit_softcapping", "final_logit_softcapping"] {
                set(key, number(key).context("a soft cap")?);
            }
            set("sliding_window", number("attention.sliding_window").context("a window")?);
        }
        // llama.cpp knows this form alone; real folders say `gelu`, the exact one.
        "bert" => drop(set("hidden_act", "gelu_pytorch_tanh".into())),
        "phi3" => phi3(case, &mut set)?,
        _ => {
            let original = number("rope.scaling.original_context_length");
            if let Some(kind) = case.own("rope.scaling.type") {
                let factor = number("rope.scaling.factor").context("a factor")?;
                let scaling = json!({ "rope_type": kind, "factor": factor,
                    "original_max_position_embeddings": original });
                set("rope_scaling", scaling);
            }
        }
    }
    Ok(Value::Object(config))
}

/// Divisors as lists, and a longest context that gives the stored magnitude.
fn phi3(case: &Case, set: &mut impl FnMut(&str, Value) -> Option<Value>) -> anyhow::Result<()> {
    let float = |key: &str| case.own(key).and_then(|text| text.parse::<f64>().ok());
    if let Some(dims) = float("rope.dimension_count") {
        set("partial_rotary_factor", (dims / case.head_dim() as f64).into());
    }
    let Some(magnitude) = float("rope.scaling.attn_factor") else { return Ok(()) };
    let original = float("rope.scaling.original_context_length").context("a length")?;
    let stretch = ((magnitude * magnitude - 1.0) * original.ln()).exp();
    #[expect(clippy::cast_possible_truncation, reason = "a number of positions")]
    set("max_position_embeddings", ((original * stretch).round() as u64).into());
    #[expect(clippy::cast_possible_truncation, reason = "a number of positions")]
    set("original_max_position_embeddings", (original as u64).into());
    let factors = |name: &str| -> Option<Vec<f32>> {
        let recipe = case.tensors.iter().find(|recipe| recipe.name == name)?;
        let bytes = recipe.bytes(case.settings.seed);
        Some(bytes.as_chunks().0.iter().map(|word| f32::from_le_bytes(*word)).collect())
    };
    let (long, short) = ("rope_factors_long.weight", "rope_factors_short.weight");
    let scaling =
        json!({ "type": "longrope", "long_factor": factors(long), "short_factor": factors(short) });
    set("rope_scaling", scaling);
    Ok(())
}
