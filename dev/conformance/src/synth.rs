//! GGUF files of real models' shapes with random weights, for measuring speed.
//!
//! `cargo xtask synth NAME TYPE --out FILE`. Speed does not depend on what the weights say, so that a
//! file of any size is made without a download: quants are random bits, scales are tame enough for
//! activations to stay finite, and types are those of the mix that users know. The vocabulary has the
//! model's size and the 256 bytes as its only real tokens; this program and llama.cpp load both.

use std::{
    fs::File,
    io::{BufWriter, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use engine::quantize::mix::{self, Facts, Mix};
use formats::{
    FormatError,
    gguf::{Metadata, StrArray, Writer},
};
use tensor::{DType, Shape, TensorType, decode_row};

use crate::families::seeded::Recipe;

const USAGE: &str = "write: synth NAME TYPE --out FILE";

/// Seed of all weights.
const SEED: u64 = 8;

/// Rows of one block that are decoded to learn how large its weights come out.
const SAMPLED: u64 = 256;

/// What is special about an architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Traits {
    /// Rotations are stretched by a table of factors.
    RopeFactors,
    /// Queries, keys and values have biases.
    Biases,
    /// Queries and keys are normed in each head.
    HeadNorms,
    /// As above, and both halves of a layer are normed on their way out, too.
    SandwichNorms,
    /// Nothing.
    Plain,
}

/// The sizes of a real model. All of these use the embedding as their head.
#[derive(Clone, Copy, Debug)]
struct Model {
    name: &'static str,
    architecture: &'static str,
    layers: u64,
    width: u64,
    hidden: u64,
    heads: u64,
    kv_heads: u64,
    head_dim: u64,
    vocabulary: u64,
    context: u32,
    rope_base: f32,
    traits: Traits,
}

/// From each model's config.json at its publisher.
const MODELS: [Model; 6] = [
    Model {
        name: "smollm2-135m",
        architecture: "llama",
        layers: 30,
        width: 576,
        hidden: 1536,
        heads: 9,
        kv_heads: 3,
        head_dim: 64,
        vocabulary: 49_152,
        context: 8192,
        rope_base: 100_000.0,
        traits: Traits::Plain,
    },
    Model {
        name: "qwen2.5-0.5b",
        architecture: "qwen2",
        layers: 24,
        width: 896,
        hidden: 4864,
        heads: 14,
        kv_heads: 2,
        head_dim: 64,
        vocabulary: 151_936,
        context: 32_768,
        rope_base: 1_000_000.0,
        traits: Traits::Biases,
    },
    Model {
        name: "llama-3.2-1b",
        architecture: "llama",
        layers: 16,
        width: 2048,
        hidden: 8192,
        heads: 32,
        kv_heads: 8,
        head_dim: 64,
        vocabulary: 128_256,
        context: 131_072,
        rope_base: 500_000.0,
        traits: Traits::RopeFactors,
    },
    Model {
        name: "llama-3.2-3b",
        architecture: "llama",
        layers: 28,
        width: 3072,
        hidden: 8192,
        heads: 24,
        kv_heads: 8,
        head_dim: 128,
        vocabulary: 128_256,
        context: 131_072,
        rope_base: 500_000.0,
        traits: Traits::RopeFactors,
    },
    Model {
        name: "qwen3-1.7b",
        architecture: "qwen3",
        layers: 28,
        width: 2048,
        hidden: 6144,
        heads: 16,
        kv_heads: 8,
        head_dim: 128,
        vocabulary: 151_936,
        context: 40_960,
        rope_base: 1_000_000.0,
        traits: Traits::HeadNorms,
    },
    Model {
        name: "gemma-3-1b",
        architecture: "gemma3",
        layers: 26,
        width: 1152,
        hidden: 6912,
        heads: 4,
        kv_heads: 1,
        head_dim: 256,
        vocabulary: 262_144,
        context: 32_768,
        rope_base: 1_000_000.0,
        traits: Traits::SandwichNorms,
    },
];

/// Makes the file that `args` ask for and says how large it is.
///
/// # Errors
/// If the arguments are not `NAME TYPE --out FILE` of a known model and mix, or the file cannot be
/// written; nothing is left at its place then.
pub(crate) fn run(args: &[String]) -> Result<String> {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let [name, ty, "--out", path] = args[..] else { bail!("{USAGE}\n{}", known()) };
    let model = MODELS.iter().find(|model| model.name == name);
    let model = model.with_context(|| format!("no shapes of `{name}`; {}", known()))?;
    let mix: Mix = ty.parse()?;
    let path = Path::new(path);
    // Half a file must not look like a whole one.
    let part = PathBuf::from(format!("{}.part", path.display()));
    let result = write(model, mix, &part)
        .and_then(|bytes| std::fs::rename(&part, path).map(|()| bytes).context("renaming"));
    if result.is_err() {
        drop(std::fs::remove_file(&part));
    }
    let bytes = result.with_context(|| path.display().to_string())?;
    Ok(format!("{}: {name} in {mix}, {:.1} MB", path.display(), bytes as f64 / 1e6))
}

fn known() -> String {
    let names: Vec<&str> = MODELS.iter().map(|model| model.name).collect();
    format!("there are {}", names.join(", "))
}

/// Writes the whole file; gives its size.
fn write(model: &Model, mix: Mix, path: &Path) -> Result<u64> {
    let metadata = metadata(model, mix)?;
    let tensors = tensors(model);
    // The mix looks at names, shapes and what is a matrix: as a converter's file would be.
    let mut stored = Writer::new(metadata.clone());
    for (name, dims) in &tensors {
        let ty = if dims.len() > 1 { DType::F16.into() } else { TensorType::F32 };
        stored.tensor(name, ty, Shape::new(dims).context("four dimensions at most")?)?;
    }
    let stored = stored.layout()?;
    let types = mix::types(mix, &Facts::from_metadata(&metadata), stored.tensors());
    let mut writer = Writer::new(metadata);
    for (tensor, ty) in stored.tensors().iter().zip(types) {
        writer.tensor(&tensor.name, ty, tensor.shape)?;
    }
    let layout = writer.layout()?;
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    layout.write::<_, FormatError>(&mut out, |tensor, sink| {
        let ty = tensor.tensor_type()?;
        sink.write_all(&weights(&tensor.name, ty, tensor.shape.dims()).bytes(SEED))?;
        Ok(())
    })?;
    Ok(layout.file_bytes().0)
}

/// Settings, with the vocabulary.
fn metadata(model: &Model, mix: Mix) -> Result<Metadata, FormatError> {
    let count = |n: u64| u32::try_from(n).expect("the table above has small numbers");
    let mut metadata = Metadata::new();
    let mut own = |key: &str, value: formats::gguf::Value| {
        metadata.set(&format!("{}.{key}", model.architecture), value);
    };
    own("block_count", count(model.layers).into());
    own("context_length", model.context.into());
    own("embedding_length", count(model.width).into());
    own("feed_forward_length", count(model.hidden).into());
    own("attention.head_count", count(model.heads).into());
    own("attention.head_count_kv", count(model.kv_heads).into());
    own("attention.key_length", count(model.head_dim).into());
    own("attention.value_length", count(model.head_dim).into());
    own("attention.layer_norm_rms_epsilon", 1e-5f32.into());
    own("rope.freq_base", model.rope_base.into());
    own("rope.dimension_count", count(model.head_dim).into());
    own("vocab_size", count(model.vocabulary).into());
    if model.traits == Traits::SandwichNorms {
        own("attention.sliding_window", 512u32.into());
    }
    let (tokens, kinds) = vocabulary(model.vocabulary);
    let pre = if model.architecture == "llama" { "llama-bpe" } else { "qwen2" };
    metadata
        .set("general.architecture", model.architecture)
        .set("general.name", model.name)
        .set("general.file_type", mix.file_type())
        .set("general.quantization_version", 2u32)
        .set("tokenizer.ggml.model", "gpt2")
        .set("tokenizer.ggml.pre", pre)
        .set("tokenizer.ggml.tokens", StrArray::new(tokens.iter().map(String::as_str))?)
        .set("tokenizer.ggml.token_type", kinds)
        .set("tokenizer.ggml.merges", StrArray::new(["t h", "th e"])?)
        .set("tokenizer.ggml.bos_token_id", BEGIN)
        .set("tokenizer.ggml.eos_token_id", BEGIN + 1)
        .set("tokenizer.ggml.add_bos_token", false);
    Ok(metadata)
}

/// The token that begins a text; the next one ends it.
const BEGIN: u32 = 258;

/// The bytes in byte-level BPE's letters, two merges, begin and end, and unused tokens.
fn vocabulary(len: u64) -> (Vec<String>, Vec<i32>) {
    const NORMAL: i32 = 1;
    const CONTROL: i32 = 3;
    const UNUSED: i32 = 5;
    // Bytes that are no printable character of Latin-1 are moved behind U+00FF, in order.
    let printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    let mut moved = 0x100..;
    let letters = (0..=255u8).map(|byte| {
        if printable(byte) {
            return char::from(byte);
        }
        moved.next().and_then(char::from_u32).expect("68 letters of Latin Extended-A")
    });
    let mut tokens: Vec<String> = letters.map(|letter| letter.to_string()).collect();
    tokens.extend(["th", "the", "<|begin|>", "<|end|>"].map(Into::into));
    let mut kinds = vec![NORMAL; tokens.len() - 2];
    kinds.extend([CONTROL; 2]);
    for idx in tokens.len() as u64..len {
        tokens.push(format!("<|unused_{idx}|>"));
        kinds.push(UNUSED);
    }
    (tokens, kinds)
}

/// Names and dimensions, outermost first, in the order of llama.cpp's converter.
fn tensors(model: &Model) -> Vec<(String, Vec<u64>)> {
    let Model { width, hidden, head_dim, .. } = *model;
    let (queries, keys) = (model.heads * head_dim, model.kv_heads * head_dim);
    let mut list = Vec::new();
    if model.traits == Traits::RopeFactors {
        list.push(("rope_freqs.weight".to_owned(), vec![head_dim / 2]));
    }
    list.push(("token_embd.weight".to_owned(), vec![model.vocabulary, width]));
    for layer in 0..model.layers {
        let mut add = |name: &str, dims: &[u64]| {
            list.push((format!("blk.{layer}.{name}"), dims.to_vec()));
        };
        add("attn_norm.weight", &[width]);
        add("ffn_down.weight", &[width, hidden]);
        add("ffn_gate.weight", &[hidden, width]);
        add("ffn_up.weight", &[hidden, width]);
        add("ffn_norm.weight", &[width]);
        add("attn_k.weight", &[keys, width]);
        add("attn_output.weight", &[width, queries]);
        add("attn_q.weight", &[queries, width]);
        add("attn_v.weight", &[keys, width]);
        if model.traits == Traits::Biases {
            add("attn_q.bias", &[queries]);
            add("attn_k.bias", &[keys]);
            add("attn_v.bias", &[keys]);
        }
        if matches!(model.traits, Traits::HeadNorms | Traits::SandwichNorms) {
            add("attn_q_norm.weight", &[head_dim]);
            add("attn_k_norm.weight", &[head_dim]);
        }
        if model.traits == Traits::SandwichNorms {
            add("post_attention_norm.weight", &[width]);
            add("post_ffw_norm.weight", &[width]);
        }
    }
    list.push(("output_norm.weight".to_owned(), vec![width]));
    list
}

/// How a tensor is made: norms and factors near one, biases near zero, matrices such that a
/// product with values of size one has values of size one.
fn weights(name: &str, ty: TensorType, dims: &[u64]) -> Recipe {
    let mean = if dims.len() == 1 && name.ends_with("weight") { 1.0 } else { 0.0 };
    let recipe = |amp| Recipe { name: name.to_owned(), ty, dims: dims.to_vec(), mean, amp };
    if dims.len() == 1 {
        return recipe(0.1);
    }
    let columns = dims[1];
    let sample = Recipe { dims: vec![SAMPLED, columns], ..recipe(1.0) };
    let stored = sample.bytes(SEED);
    let mut values = vec![0.0; usize::try_from(SAMPLED * columns).expect("a few million")];
    decode_row(ty, &stored, &mut values);
    let square: f64 = values.iter().map(|x| f64::from(*x).powi(2)).sum();
    let size = (square / values.len() as f64).sqrt();
    #[expect(clippy::cast_possible_truncation, reason = "scales are stored as halves")]
    recipe((1.0 / (size * (columns as f64).sqrt())) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_opens_and_its_sizes_are_the_models() {
        let path = std::env::temp_dir().join(format!("ledge-synth-{}.gguf", std::process::id()));
        let small = Model { layers: 2, vocabulary: 300, ..MODELS[0] };
        for (model, mix) in [(small, Mix::Q4_0), (small, Mix::Q4_K_M)] {
            let bytes = write(&model, mix, &path).expect("the temporary folder can be written");
            let file = engine::ModelFile::open(&path).expect("our own file");
            assert_eq!(bytes, std::fs::metadata(&path).expect("there it is").len());
            assert_eq!(file.model().settings.vocabulary, 300);
            let tokenizer = file.tokenizer().expect("a vocabulary");
            assert_eq!(tokenizer.encode("the\n", text::Special::Text).len(), 2);
        }
        drop(std::fs::remove_file(&path));
    }

    #[test]
    fn all_models_have_sizes_that_belong_together() {
        for model in MODELS {
            let matrices = tensors(&model).into_iter().filter(|(_, dims)| dims.len() == 2);
            let sum: u64 = matrices.map(|(_, dims)| dims[0] * dims[1]).sum();
            let names = ["135", "0.5", "1", "3", "1.7", "1"];
            let at = MODELS.iter().position(|other| other.name == model.name).expect("it is one");
            let billions = sum as f64 / 1e9;
            let said: f64 = names[at].parse().expect("a number");
            let said = if said > 100.0 { said / 1e3 } else { said };
            assert!((said * 0.95..said * 1.3).contains(&billions), "{}: {billions}", model.name);
        }
    }
}
