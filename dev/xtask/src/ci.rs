//! `cargo xtask ci`: everything that a change must pass, one step after the other.
//!
//! A step that fails does not stop the others, so that one run names all faults; the table at
//! the end gives each step's verdict and seconds. `.ci/run` runs the same steps by name.

use std::{path::Path, process::Command, time::Instant};

use anyhow::{Result, bail};

use crate::{Verdict, cargo};

/// Name, arguments for Cargo, variables of the environment.
type Step = (&'static str, &'static [&'static str], &'static [(&'static str, &'static str)]);

const STEPS: &[Step] = &[
    ("fmt", &["fmt", "--all", "--check"], &[]),
    ("clippy", &["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"], &[]),
    // Runs documentation tests and tidy (a test of this crate) too.
    ("test", &["test", "--workspace", "--quiet"], &[]),
    (
        "doc",
        &["doc", "--workspace", "--no-deps", "--document-private-items", "--quiet"],
        &[("RUSTDOCFLAGS", "-D warnings")],
    ),
    ("tidy", &["xtask", "tidy"], &[]),
];

/// Runs the named steps, or all of them.
///
/// # Errors
/// If there is no such step or Cargo cannot be started.
pub(crate) fn run(root: &Path, names: &[&str]) -> Result<Verdict> {
    if let Some(name) = names.iter().find(|name| STEPS.iter().all(|step| step.0 != **name)) {
        let known: Vec<_> = STEPS.iter().map(|step| step.0).collect();
        bail!("no step `{name}`; there are {}", known.join(", "));
    }
    let mut table = Vec::new();
    let mut verdict = Verdict::Good;
    for (name, args, vars) in STEPS.iter().filter(|s| names.is_empty() || names.contains(&s.0)) {
        eprintln!("== {name}: cargo {}", args.join(" "));
        let start = Instant::now();
        let status = Command::new(cargo())
            .args(*args)
            .envs(vars.iter().copied())
            .current_dir(root)
            .status()?;
        let said = if status.success() { "ok" } else { "FAILED" };
        if !status.success() {
            verdict = Verdict::Short;
        }
        let seconds = start.elapsed().as_secs_f64();
        table.push(format!("{name:8} {said:7} {seconds:6.1} s"));
    }
    println!("{}", table.join("\n"));
    Ok(verdict)
}
