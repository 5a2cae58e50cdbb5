//! Checks against independent oracles: other tokenizers, Jinja, llama.cpp, float32 references.
//!
//! They need the test data that `LEDGE_DATA` names, or models that `cargo xtask get` fetches, so
//! they are not part of `cargo test`. A check is a function from `Fixtures` to `Report`; to add one,
//! write it in a module and give it a line in `CHECKS`. Prints a table; exits 1 when one is short.
//! `synth` makes models with random weights instead, and needs neither.
#![expect(clippy::disallowed_methods, reason = "a program that reads files, clock and environment")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for developers")]

use std::{env, path::PathBuf, process::ExitCode, time::Instant};

mod families;
mod fixtures;
mod lm;
mod memory;
mod mutations;
mod networks;
mod npz;
mod onnx;
mod planner;
mod synth;
mod templates;
mod tflite;
mod tflite_models;
mod tokenizers;

use fixtures::{Check, Fixtures, Report};

/// Name, what it compares with what, and the function.
const CHECKS: &[(&str, &str, Check)] = &[
    ("tokenizers", "ids of 26 vocabularies against their references", tokenizers::check),
    (
        "tokenizer-speed",
        "time to load, to encode English and hostile text",
        tokenizers::speed::check,
    ),
    (
        "import",
        "imported graphs of all families, interpreted, with llama.cpp's logits",
        families::check_imported,
    ),
    ("networks", "real networks against onnxruntime's results", networks::check),
    ("planner", "arenas of real networks beside the least that is possible", planner::check),
    ("onnx-suite", "all tests of onnx 1.23.2", onnx::check),
    ("tflite", "TFLite networks against LiteRT and TensorFlow Lite Micro", tflite::check),
    ("tflite-models", "every TFLite model of the packages against LiteRT", tflite_models::check),
    ("templates", "chat templates with jinja2 in Hugging Face's settings", templates::check),
    ("lm", "greedy text and log-likelihoods against a float32 reference", lm::check),
    ("embed", "MiniLM's vectors against sentence-transformers", lm::check_embeddings),
    ("memory", "the peak of filled contexts beside the promise", memory::check),
    ("mutations", "networks with random damage: an answer in time, no panic", mutations::check),
    (
        "families",
        "all families and weight types on the processor, with llama.cpp's logits",
        families::check_processed,
    ),
];

fn main() -> ExitCode {
    let names: Vec<String> = env::args().skip(1).collect();
    if let [verb, args @ ..] = names.as_slice()
        && verb == "synth"
    {
        return match synth::run(args) {
            Ok(line) => {
                println!("{line}");
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("error: {error:#}");
                ExitCode::FAILURE
            }
        };
    }
    if let Some(name) = names.iter().find(|name| CHECKS.iter().all(|check| check.0 != **name)) {
        let known: Vec<&str> = CHECKS.iter().map(|check| check.0).collect();
        eprintln!("error: no check `{name}`; there are {}", known.join(", "));
        return ExitCode::from(2);
    }
    let Some(folder) = env::var_os("LEDGE_DATA").map(PathBuf::from).filter(|f| f.is_dir()) else {
        eprintln!("error: LEDGE_DATA does not name the folder of test data");
        return ExitCode::from(2);
    };
    let fixtures = Fixtures::new(folder);
    let mut all_good = true;
    println!("{:16} {:>7} {:>7} {:>7}  what", "check", "passed", "of", "s");
    for (name, what, check) in
        CHECKS.iter().filter(|c| names.is_empty() || names.iter().any(|n| n == c.0))
    {
        let start = Instant::now();
        let report = check(&fixtures).unwrap_or_else(|error| Report::failed(&format!("{error:#}")));
        let seconds = start.elapsed().as_secs_f64();
        let said = if report.is_good() { "" } else { "  SHORT" };
        println!("{name:16} {:7} {:7} {seconds:7.1}  {what}{said}", report.passed, report.of);
        for note in &report.notes {
            println!("    {note}");
        }
        all_good &= report.is_good();
    }
    if all_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
