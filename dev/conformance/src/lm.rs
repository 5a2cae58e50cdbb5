//! Real language models against a float32 reference over the same, de-quantised weights.
//!
//! Each golden line holds a prompt's ids, the log-probabilities of its tokens and a greedy
//! continuation with the gap to the second choice. A greedy run may leave the reference's path at a
//! close call only (llama.cpp leaves it there, too); what follows is another text.

use std::{fs, path::PathBuf, sync::Arc};

use anyhow::{Context as _, Result};
use engine::{
    ModelFile, Request,
    eval::{each_row, log_sum_exp, top},
};
use ledge::Embedder;
use plan::KvType;
use plan::Uncontrolled;
use serde_json::Value;
use text::TokenId;

use crate::fixtures::{Fixtures, Report};

/// Where the reference's gap is smaller, quantised activations may rightly choose otherwise.
const GAP_MIN: f64 = 0.1;

/// Tokens of the longest prompt, for which the bounds of cases are given.
const NLL_TOKENS: f64 = 768.0;

/// What keys and values in bytes may add to the error of the mean negative log-likelihood.
const NLL_ERROR_OF_BYTES: f64 = 0.005;

/// What they may add to [`GAP_MIN`]: a choice at a gap of 0.145 was seen to change.
const GAP_OF_BYTES: f64 = 0.1;

/// Name, file, golden, largest error of the mean negative log-likelihood over [`NLL_TOKENS`] tokens
/// in nats: rounding of `f32` sums, or what 8-bit activations cost. At a single token llama.cpp's
/// own distance reaches 0.36, so for fewer tokens the bound widens with their square root.
type Case = (&'static str, PathBuf, &'static str, f64);

/// Compares log-likelihoods and greedy tokens.
///
/// # Errors
/// If a golden is not as it should be or a model does not run.
pub(crate) fn check(fixtures: &Fixtures) -> Result<Report> {
    let mut report = Report::default();
    let mut cases: Vec<Case> = vec![
        ("stories260K", fixtures.path("lm/stories260K-f32.gguf"), "stories260K", 1e-4),
        ("house", fixtures.path("house/house-q8_0.gguf"), "house-tiny", 0.02),
    ];
    let (name, file) = ("smollm2-135m-instruct", "SmolLM2-135M-Instruct.Q4_1.gguf");
    match fixtures.model(name, file) {
        Some(path) => cases.push((name, path, "smollm2-135m-q4_1", 0.02)),
        None => report.absent(name, &format!("cargo xtask get {name}")),
    }
    for case in &cases {
        for kv in [KvType::F32, KvType::Q8_0] {
            check_model(fixtures, case, kv, &mut report).with_context(|| case.0)?;
        }
    }
    Ok(report)
}

fn check_model(fixtures: &Fixtures, case: &Case, kv: KvType, report: &mut Report) -> Result<()> {
    let (name, path, golden, own_error_max) = case;
    let [nll_error, gap] = match kv {
        KvType::Q8_0 => [NLL_ERROR_OF_BYTES, GAP_OF_BYTES],
        KvType::F32 | KvType::F16 => [0.0; 2],
    };
    let (nll_error_max, gap_min) = (own_error_max + nll_error, GAP_MIN + gap);
    let request = Request { context: Some(1024), kv, rows: 64, ..Request::default() };
    let model = Arc::new(ModelFile::open(path)?);
    let mut session = model.fit(&request)?.load(&Uncontrolled)?.session()?;
    let goldens = fs::read_to_string(fixtures.path(&format!("lm/goldens/{golden}.f32.jsonl")))?;
    for line in goldens.lines() {
        let golden: Value = serde_json::from_str(line)?;
        let prompt = ids(&golden["tokens"])?;
        let greedy = ids(&golden["greedy"])?;
        let gaps: Vec<f64> = numbers(&golden["gap"]);
        let all = [prompt.as_slice(), greedy.as_slice()].concat();
        let (mut nll, mut left) = (0.0, None);
        each_row(&mut session, &all, &Uncontrolled, |at, logits| {
            if at + 1 < prompt.len() {
                nll += log_sum_exp(logits) - f64::from(logits[all[at + 1].index()]);
            } else if let Some(i) = (at + 1).checked_sub(prompt.len())
                && let Some(expected) = greedy.get(i)
                && left.is_none()
                && top(logits) != expected.index()
            {
                left = Some((i, gaps[i]));
            }
        })?;
        let place = format!("{name}, {kv}: {}", golden["name"]);
        if prompt.len() > 1 {
            let count = (prompt.len() - 1) as f64;
            let mean = nll / count;
            let error_max = nll_error_max * (NLL_TOKENS / count).sqrt().max(1.0);
            let expected = golden["nll"].as_f64().context("nll")?;
            report.case((mean - expected).abs() <= error_max, || {
                format!("{place}: {mean:.5} nats a token, expected {expected:.5}")
            });
        }
        if !greedy.is_empty() {
            report.case(left.is_none_or(|(_, gap)| gap <= gap_min), || {
                format!("{place}: another greedy token, (index, gap) = {left:?}")
            });
        }
    }
    Ok(())
}

/// Sentence embeddings of all-MiniLM-L6-v2 against sentence-transformers' float32 numbers.
///
/// # Errors
/// If the golden is not as it should be or the model does not run.
pub(crate) fn check_embeddings(fixtures: &Fixtures) -> Result<Report> {
    // The golden's numbers have five digits.
    const ERROR_MAX: f64 = 3e-5;
    let mut report = Report::default();
    let name = "all-minilm-l6-v2";
    let Some(config) = fixtures.model(name, "config.json") else {
        report.absent(name, &format!("cargo xtask get {name}"));
        return Ok(report);
    };
    let folder = config.parent().context("a file without a folder")?;
    let mut embedder = Embedder::open(folder)?;
    let golden = fs::read_to_string(fixtures.path("goldens/embed.json"))?;
    let golden: Value = serde_json::from_str(&golden)?;
    for pair in golden["pairs"].as_array().context("pairs")? {
        let (first, second) = (pair["a"].as_str().context("a")?, pair["b"].as_str().context("b")?);
        let (a, b) = (embedder.embed(first)?, embedder.embed(second)?);
        let cosine: f64 = a.iter().zip(&b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum();
        let expected = pair["cos_minilm"].as_f64().context("cos_minilm")?;
        report.case((cosine - expected).abs() <= ERROR_MAX, || {
            format!("{first:?}, {second:?}: cosine {cosine:.6}, expected {expected}")
        });
        let head = numbers(&pair["minilm_a8"]);
        let far = head.iter().zip(&a).any(|(x, y)| (x - f64::from(*y)).abs() > ERROR_MAX);
        report.case(!far, || format!("{first:?}: {:?}, expected {head:?}", &a[..8]));
    }
    Ok(report)
}

fn ids(list: &Value) -> Result<Vec<TokenId>> {
    let list = list.as_array().context("not a list of ids")?;
    list.iter().map(|id| Ok(TokenId(u32::try_from(id.as_u64().context("not an id")?)?))).collect()
}

fn numbers(list: &Value) -> Vec<f64> {
    list.as_array().into_iter().flatten().filter_map(Value::as_f64).collect()
}
