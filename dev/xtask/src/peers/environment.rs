//! What the comparison needs: a Python with llama.cpp built for this processor, and Ledge.
//!
//! The package comes from the package registry as source and is built with all that this processor
//! has, or with AVX2 where that is asked for; that takes minutes once. Versions are pinned here, so that a ratio names what it is a ratio to.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

use super::{Level, Settings};
use crate::cargo;

/// The version that is compared with.
const PACKAGE: &str = "llama-cpp-python";
const VERSION: &str = "0.3.36";

/// Programs to run.
#[derive(Debug)]
pub(super) struct Environment {
    pub(super) python: PathBuf,
    pub(super) script: PathBuf,
    pub(super) ledge: PathBuf,
    /// The peer's name and version.
    pub(super) version: String,
}

impl Environment {
    /// Finds or makes everything.
    pub(super) fn make(root: &Path, target: &Path, settings: &Settings) -> Result<Self> {
        let python = match &settings.python {
            Some(python) => python.clone(),
            None => install(&target.join(settings.level.folder()), settings.level)?,
        };
        let version = version(&python).context("the Python has no llama-cpp-python")?;
        let ledge = if let Some(ledge) = &settings.ledge {
            ledge.clone()
        } else {
            let mut build = Command::new(cargo());
            build.args(["build", "--release", "-p", "ledge-cli"]).current_dir(root);
            succeed(&mut build)?;
            target.join("release/ledge")
        };
        let script = root.join("tools/peers/llama.py");
        Ok(Self { python, script, ledge, version: format!("llama.cpp {version}") })
    }
}

/// The version of the package that a Python has.
fn version(python: &Path) -> Result<String> {
    let print = "import llama_cpp; print(llama_cpp.__version__)";
    let output = Command::new(python).args(["-c", print]).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Makes a Python with the package, unless it is there.
fn install(folder: &Path, level: Level) -> Result<PathBuf> {
    let python = folder.join("bin/python");
    if version(&python).is_ok_and(|found| found == VERSION) {
        return Ok(python);
    }
    eprintln!("building {PACKAGE} {VERSION} for {level}; this takes minutes, once");
    succeed(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
    let package = format!("{PACKAGE}=={VERSION}");
    let install = ["-m", "pip", "install", "--quiet", "--no-binary", PACKAGE, &package];
    succeed(
        Command::new(&python)
            .args(install)
            .env("CMAKE_ARGS", format!("{} -DCMAKE_BUILD_TYPE=Release", level.flags())),
    )?;
    Ok(python)
}

/// Runs a program that must succeed.
pub(super) fn succeed(command: &mut Command) -> Result<()> {
    let shown = format!("{command:?}");
    let status = command.status().with_context(|| shown.clone())?;
    ensure!(status.success(), "{shown}: {status}");
    Ok(())
}
