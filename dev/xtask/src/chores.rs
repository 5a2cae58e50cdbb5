//! The small chores: conformance, the program's size, features one by one.
//!
//! Each starts Cargo and judges what comes out; none needs more than the toolchain.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{Verdict, cargo, metadata};

/// The limit for the stripped program without the embedded model.
const PROGRAM_BYTES_MAX: u64 = 15 << 20;

/// Runs the checks against oracles; prints their table. One of them runs the program itself.
///
/// # Errors
/// If Cargo cannot be started, or the program does not build.
pub(crate) fn conformance(root: &Path, names: &[&str]) -> Result<Verdict> {
    if succeeds(root, &["build", "--quiet", "--release", "-p", "ledge-cli"])? == Verdict::Short {
        bail!("the program does not build");
    }
    succeeds(
        root,
        &[&["run", "--quiet", "--release", "-p", "ledge-conformance", "--"], names].concat(),
    )
}

/// Runs the tests of the package onnx, which a script fetches and generates the first time.
///
/// # Errors
/// If the script cannot be run, or as [`conformance`].
pub(crate) fn onnx_suite(root: &Path) -> Result<Verdict> {
    let suite = root.join("target/onnx_suite");
    if !suite.join("light").is_dir() {
        let script = root.join("tools/goldens/onnx_suite.py");
        let status = Command::new("python3").arg(script).arg(&suite).status();
        if !status.context("python3 with pip is needed to fetch the suite")?.success() {
            bail!("the suite could not be generated");
        }
    }
    conformance(root, &["onnx-suite"])
}

/// Builds the program and compares its size with the limit.
///
/// # Errors
/// If the build fails.
pub(crate) fn size(root: &Path) -> Result<Verdict> {
    if succeeds(root, &["build", "--release", "-p", "ledge-cli"])? == Verdict::Short {
        bail!("the program does not build");
    }
    let target =
        metadata(root)?["target_directory"].as_str().context("no target folder")?.to_owned();
    let program = fs::metadata(Path::new(&target).join("release/ledge"))?.len();
    let model = fs::metadata(root.join("assets/house.gguf"))?.len();
    let limit = PROGRAM_BYTES_MAX + model;
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    println!(
        "program {:.2} MiB, of it embedded model {:.2} MiB; limit {:.2} MiB",
        mib(program),
        mib(model),
        mib(limit)
    );
    Ok(if program <= limit { Verdict::Good } else { Verdict::Short })
}

/// Checks each crate without its default features and with each feature alone.
///
/// # Errors
/// If Cargo cannot be started.
pub(crate) fn features(root: &Path) -> Result<Verdict> {
    let metadata = metadata(root)?;
    let mut verdict = Verdict::Good;
    for package in metadata["packages"].as_array().context("no packages")? {
        let name = package["name"].as_str().context("a package without a name")?;
        let features = package["features"].as_object().context("no features")?;
        let alone = features.keys().map(String::as_str).filter(|f| *f != "default");
        for feature in std::iter::once("").chain(alone) {
            let args =
                ["check", "--quiet", "-p", name, "--no-default-features", "--features", feature];
            let good = succeeds(root, &args)?;
            println!(
                "{name:18} {:16} {good:?}",
                if feature.is_empty() { "(none)" } else { feature }
            );
            if good == Verdict::Short {
                verdict = Verdict::Short;
            }
        }
    }
    Ok(verdict)
}

/// What `OpenVINO` the delegate is tested with.
const OPENVINO: &str = "openvino==2026.4.1";

/// Runs the tests of the delegate with the library of `OpenVINO`'s package, which pip installs once below
/// `target`.
///
/// # Errors
/// If there is no pip, or Cargo cannot be started.
pub(crate) fn openvino(root: &Path) -> Result<Verdict> {
    let target = root.join("target/openvino");
    let folder = target.join("openvino/libs");
    if !folder.is_dir() {
        let mut pip = Command::new(crate::get::python()?);
        pip.args(["-m", "pip", "install", "--quiet", "--no-cache-dir", "--target"]);
        let status = pip.arg(&target).arg(OPENVINO).status()?;
        ensure!(status.success(), "pip could not install {OPENVINO}");
    }
    let mut verdict = Verdict::Good;
    for args in [
        &["test", "-p", "ledge-openvino"][..],
        &["test", "-p", "ledge-cli", "--features", "openvino", "--test", "it", "devices"],
    ] {
        let mut cargo = Command::new(cargo());
        let status = cargo.args(args).env("LEDGE_OPENVINO", &folder).current_dir(root).status()?;
        if !status.success() {
            verdict = Verdict::Short;
        }
    }
    Ok(verdict)
}

fn succeeds(root: &Path, args: &[&str]) -> Result<Verdict> {
    let status = Command::new(cargo()).args(args).current_dir(root).status()?;
    Ok(if status.success() { Verdict::Good } else { Verdict::Short })
}
