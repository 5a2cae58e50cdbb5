//! How fast tokenizers are: ready within 40 ms, 5 MB of English a second on one core, and a
//! second for a megabyte of anything.
//!
//! Run it in a release build. What counts is the time that the thread had a core, where the
//! system tells it, so that other programs disturb less; the best of three.

use std::fs;
use std::time::Instant;

use anyhow::{Context, Result};
use text::{Special, Tokenizer};

use super::source::{Vocabulary, read};
use crate::fixtures::{Fixtures, Report};

/// Tokens in a vocabulary that is to be ready in [`READY_MS_MAX`].
const READY_TOKENS: usize = 128_000;
const READY_MS_MAX: f64 = 40.0;
const ENGLISH_MB_PER_S_MIN: f64 = 5.0;
const HOSTILE_S_MAX: f64 = 1.0;
const RUNS: usize = 3;
const LOADS: u16 = 5;

/// Times loading, English and hostile text for several vocabularies.
pub(crate) fn check(fixtures: &Fixtures) -> Result<Report> {
    let mut report = Report::default();
    let mut english = String::new();
    for entry in fs::read_dir(fixtures.path("text"))? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with("en-") {
            english.push_str(&fs::read_to_string(&path)?);
        }
    }
    let smollm2 = fixtures
        .model("smollm2-135m-instruct", "SmolLM2-135M-Instruct.Q4_1.gguf")
        .map(|path| ("smollm2", path));
    let gemma3 =
        fixtures.model("gemma-3-270m", "gemma-3-270m-q4_k_m.gguf").map(|path| ("gemma3", path));
    let vocabularies = ["gpt-2", "deepseek-llm", "falcon", "phi-3", "bert-bge"]
        .map(|name| (name, fixtures.path(&format!("tokenizers/vocab/ggml-vocab-{name}.gguf.gz"))));
    for (name, path) in vocabularies.into_iter().chain(smollm2).chain(gemma3) {
        let vocabulary = Vocabulary::parse(&read(&path)?).with_context(|| name.to_owned())?;
        one(&mut report, name, &vocabulary, &english)?;
    }
    Ok(report)
}

/// Seconds that this thread has run; wall time where the system does not say.
fn seconds(start: Instant) -> f64 {
    // The first number is nanoseconds on a core (kernel documentation, sched-stats).
    let stat = fs::read_to_string("/proc/thread-self/schedstat").ok();
    let on_core = stat.and_then(|stat| stat.split(' ').next()?.parse::<u64>().ok());
    on_core.map_or_else(|| start.elapsed().as_secs_f64(), |ns| ns as f64 / 1e9)
}

/// Seconds that something takes.
fn time<T>(run: impl FnOnce() -> T) -> f64 {
    let start = Instant::now();
    let before = seconds(start);
    std::hint::black_box(run());
    seconds(start) - before
}

fn best<T>(mut run: impl FnMut() -> T) -> f64 {
    (0..RUNS).map(|_| time(&mut run)).fold(f64::INFINITY, f64::min)
}

fn one(report: &mut Report, name: &str, vocabulary: &Vocabulary, english: &str) -> Result<()> {
    // Several at once: the clock of cores ticks in milliseconds.
    let load = best(|| (0..LOADS).try_for_each(|_| vocabulary.tokenizer().map(drop))) * 1e3
        / f64::from(LOADS);
    let tokenizer = vocabulary.tokenizer()?;
    let scale = READY_TOKENS as f64 / tokenizer.n_tokens() as f64;
    let load_is_good = load * scale.min(1.0) <= READY_MS_MAX;
    report.case(load_is_good, || format!("{name}: {load:.1} ms"));
    let mb = english.len() as f64 / 1e6;
    let rate = mb / best(|| tokenizer.encode(english, Special::Text));
    let is_bpe = !matches!(name, "bert-bge");
    report.case(rate >= ENGLISH_MB_PER_S_MIN || !is_bpe, || format!("{name}: {rate:.1} MB/s"));
    let worst = hostile(&tokenizer);
    report.case(worst.0 <= HOSTILE_S_MAX, || format!("{name}: {:.2} s for {}", worst.0, worst.1));
    report.notes.push(format!(
        "{name:13} {:7} tokens ready in {load:5.1} ms, {:5.1} MB; English {rate:5.1} MB/s; \
         1 MiB of {} in {:.2} s",
        tokenizer.n_tokens(),
        tokenizer.heap_bytes() as f64 / 1e6,
        worst.1,
        worst.0
    ));
    Ok(())
}

/// The slowest of some texts of a megabyte each.
fn hostile(tokenizer: &Tokenizer) -> (f64, &'static str) {
    let mib = 1 << 20;
    let mut state = 1_u32;
    let mut random = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 8
    };
    let noise: String = (0..mib / 2).filter_map(|_| char::from_u32(random() % 0x3000)).collect();
    let letters: String =
        (0..mib).filter_map(|_| char::from_u32(u32::from(b'a') + random() % 26)).collect();
    let texts = [
        ("one letter", "a".repeat(mib)),
        ("spaces", " ".repeat(mib)),
        ("spaces and a letter", " ".repeat(mib) + "x"),
        ("line feeds", "\n".repeat(mib)),
        ("digits", "7".repeat(mib)),
        ("punctuation", "=".repeat(mib)),
        ("capitals", "A".repeat(mib)),
        ("letters", letters),
        ("noise", noise),
        ("marks", "e\u{301}".repeat(mib / 3)),
        ("emoji", "👩‍🚀".repeat(mib / 11)),
        ("Chinese", "水".repeat(mib / 3)),
        ("zeros", "\0".repeat(mib)),
        ("brackets", "<|".repeat(mib / 2)),
    ];
    texts
        .iter()
        .map(|(name, text)| (time(|| tokenizer.encode(text, Special::Parse)), *name))
        .fold((0.0, ""), |worst, one| if one.0 > worst.0 { one } else { worst })
}
