//! Checks and chores of the workspace: `cargo xtask VERB`.
//!
//! Every verb is one module and prints what it did; the exit code is 1 when a check falls short
//! and 2 for a wrong command line. No verb changes a file of the repository.
#![expect(clippy::disallowed_methods, reason = "a program that reads files, clock and environment")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for developers")]

use std::{env, path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result};

mod chores;
mod ci;
mod cross;
mod functions;
mod fuzz;
mod get;
mod peers;
mod source;
mod tidy;

const HELP: &str = "\
Checks and chores of the workspace.

  cargo xtask ci [STEP…]            everything that a change must pass, with times
  cargo xtask tidy                  the house rules: layers, fences, names, dead files, reports
  cargo xtask get NAME… [--to DIR]  fetches real models into models/ (no NAME: lists them)
  cargo xtask conformance [NAME…]   checks against oracles; needs LEDGE_DATA
  cargo xtask onnx-suite            the tests of onnx 1.23.2; fetches and generates them once
  cargo xtask cross [MACHINE…]      the kernels' tests on emulated Arm and WebAssembly machines
  cargo xtask synth NAME TYPE --out FILE
                                    writes a model of real shapes with random weights
  cargo xtask peers lm [--models …] Ledge beside llama.cpp, alternately, with targets
  cargo xtask peers networks [--only …]   Ledge beside ONNX Runtime and LiteRT, with targets
  cargo xtask size                  builds the program and holds its size to the limit
  cargo xtask features              checks that each feature compiles alone
  cargo xtask openvino              the delegate's tests with the library of OpenVINO's package
  cargo xtask fuzz [TARGET…] [--seconds N]   each reader on damaged input, 600 s unless told
";

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let verdict = match args.as_slice() {
        ["ci", steps @ ..] => ci::run(&root(), steps),
        ["tidy"] => tidy::run(&root()),
        ["get", rest @ ..] => get::run(&root(), rest),
        ["conformance", rest @ ..] => chores::conformance(&root(), rest),
        ["onnx-suite"] => chores::onnx_suite(&root()),
        ["cross", rest @ ..] => cross::run(&root(), rest),
        ["synth", rest @ ..] => chores::conformance(&root(), &[&["synth"], rest].concat()),
        ["peers", rest @ ..] => peers::run(&root(), rest),
        ["size"] => chores::size(&root()),
        ["features"] => chores::features(&root()),
        ["openvino"] => chores::openvino(&root()),
        ["fuzz", rest @ ..] => fuzz::run(&root(), rest),
        ["help" | "--help" | "-h"] => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprint!("{HELP}");
            return ExitCode::from(2);
        }
    };
    match verdict {
        Ok(Verdict::Good) => ExitCode::SUCCESS,
        Ok(Verdict::Short) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// How a chore ended that could do its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// All is as it should be.
    Good,
    /// Something falls short; what and where has been printed.
    Short,
}

/// The repository's root folder: two above this crate.
fn root() -> PathBuf {
    let mut root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.pop();
    root.pop();
    root
}

/// The Cargo that runs us.
pub(crate) fn cargo() -> String {
    env::var("CARGO").unwrap_or_else(|_| "cargo".into())
}

/// What `cargo metadata` says about the workspace itself.
///
/// # Errors
/// If Cargo cannot be run or its answer is not JSON.
pub(crate) fn metadata(root: &std::path::Path) -> Result<serde_json::Value> {
    let out = std::process::Command::new(cargo())
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root)
        .output()
        .context("running cargo metadata")?;
    let why = String::from_utf8_lossy(&out.stderr);
    serde_json::from_slice(&out.stdout).with_context(|| format!("cargo metadata: {why}"))
}
