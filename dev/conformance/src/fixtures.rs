//! Where the checks find what they need, and what they answer.
//!
//! The test data is a folder of its own and never part of the repository; real models are looked
//! for in `models/` (`cargo xtask get`) and in the test data. What is absent is said, not failed.

use anyhow::ensure;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// A check: counts what agrees with the oracle.
pub(crate) type Check = fn(&Fixtures) -> anyhow::Result<Report>;

/// The folders that checks read.
#[derive(Debug)]
pub(crate) struct Fixtures {
    folder: PathBuf,
    models: PathBuf,
}

impl Fixtures {
    /// The test data in `folder`, and the models of this repository.
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder, models: Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models") }
    }

    /// A path below the test data.
    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.folder.join(below)
    }

    /// An archive of networks of the test data as files, unpacked once into the build folder.
    pub(crate) fn unpacked(&self, name: &str) -> anyhow::Result<PathBuf> {
        let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target").join(name);
        let done = target.join(".unpacked");
        if done.is_file() {
            return Ok(target);
        }
        fs::create_dir_all(&target)?;
        let archive = self.path(&format!("networks/{name}.tar.xz"));
        let status =
            Command::new("tar").arg("xJf").arg(&archive).arg("-C").arg(&target).status()?;
        ensure!(status.success(), "tar could not unpack {}", archive.display());
        fs::write(done, "")?;
        Ok(target)
    }

    /// A file of a fetched model, if it is here.
    pub(crate) fn model(&self, name: &str, file: &str) -> Option<PathBuf> {
        let below = Path::new(name).join(file);
        [&self.models, &self.folder].into_iter().map(|root| root.join(&below)).find(|p| p.exists())
    }
}

/// How many cases agree, and what to say about those that do not.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Cases that agree.
    pub(crate) passed: usize,
    /// All cases.
    pub(crate) of: usize,
    /// Lines for the reader: the first differences, what is absent.
    pub(crate) notes: Vec<String>,
}

impl Report {
    /// One case that could not be tried at all.
    pub(crate) fn failed(why: &str) -> Self {
        Self { passed: 0, of: 1, notes: vec![why.to_owned()] }
    }

    /// Counts a case; `note` is kept for the first differences.
    pub(crate) fn case(&mut self, agrees: bool, note: impl FnOnce() -> String) {
        const NOTES_MAX: usize = 12;
        self.of += 1;
        self.passed += usize::from(agrees);
        // What is absent leaves room for what is wrong.
        let wrong = self.notes.iter().filter(|note| !note.starts_with("ABSENT"));
        if !agrees && wrong.count() < NOTES_MAX {
            self.notes.push(note());
        }
    }

    /// Says that something is not here, which is no failure.
    pub(crate) fn absent(&mut self, what: &str, way_out: &str) {
        self.notes.push(format!("ABSENT: {what}; {way_out}"));
    }

    /// Whether every case agrees.
    pub(crate) fn is_good(&self) -> bool {
        self.passed == self.of
    }
}
