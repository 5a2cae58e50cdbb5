//! `cargo xtask tidy`: the house rules that a machine can hold.
//!
//! Each check is a pure function from files to findings in a module of its own and has a test
//! that shows what it says; `cargo test -p xtask` also runs all of them on the repository. A
//! finding fails the run and says what to do instead; lengths and counts are only reported.

use std::{fmt, path::Path};

use anyhow::Result;

use crate::{
    Verdict, metadata,
    source::{self, SourceFile},
};

mod dead;
mod fences;
mod goldens;
mod heads;
mod layers;
mod markers;
mod names;
mod report;
mod twins;

#[cfg(test)]
mod tests;

/// Something that breaks a rule.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    file: String,
    /// Counted from 1; 0 where the whole file is meant.
    line: usize,
    what: String,
}

impl Finding {
    fn new(file: &SourceFile, line: usize, what: impl Into<String>) -> Self {
        Self { file: file.path.clone(), line, what: what.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.what),
            line => write!(f, "{}:{line}: {}", self.file, self.what),
        }
    }
}

/// A rule as a function of the files alone.
type Check = fn(&[SourceFile]) -> Vec<Finding>;

const CHECKS: &[Check] = &[
    fences::unsafe_code,
    fences::cfg_doors,
    heads::module_heads,
    dead::unreachable_modules,
    dead::unnamed_files,
    dead::dependencies,
    markers::markers,
    markers::commented_code,
    names::banned,
    goldens::notes,
    goldens::blobs,
];

/// Runs the checks, prints findings and the report.
///
/// # Errors
/// If the repository cannot be read.
pub(crate) fn run(root: &Path) -> Result<Verdict> {
    let files = source::read_all(root)?;
    let findings = find(root, &files)?;
    for finding in &findings {
        println!("{finding}");
    }
    print!("{}", report::ratchet(root, &files));
    print!("{}", twins::report(&files));
    print!("{}", report::table(&files));
    println!("tidy: {} findings in {} files", findings.len(), files.len());
    Ok(if findings.is_empty() { Verdict::Good } else { Verdict::Short })
}

/// All findings, in the order of files and lines.
fn find(root: &Path, files: &[SourceFile]) -> Result<Vec<Finding>> {
    let edges = layers::edges(&metadata(root)?);
    let mut findings: Vec<Finding> = CHECKS.iter().flat_map(|check| check(files)).collect();
    findings.extend(layers::layers(files, &edges)?);
    findings.extend(layers::code_map(files)?);
    findings.sort();
    Ok(findings)
}

/// The file with this path, if there is one.
fn file<'a>(files: &'a [SourceFile], path: &str) -> Option<&'a SourceFile> {
    files.iter().find(|file| file.path == path)
}

/// Whether `path` matches `pattern`, in which `*` stands for any characters but `/` and a last
/// `**` for any rest.
fn matches(pattern: &str, path: &str) -> bool {
    if let Some(start) = pattern.strip_suffix("**") {
        let slashes = start.matches('/').count();
        let Some((cut, _)) = path.match_indices('/').nth(slashes.max(1) - 1) else { return false };
        return matches(start, path.split_at(cut + 1).0);
    }
    let (mut parts, mut folders) = (pattern.split('/'), path.split('/'));
    loop {
        match (parts.next(), folders.next()) {
            (None, None) => return true,
            (Some(part), Some(name)) => {
                let fits = match part.split_once('*') {
                    None => part == name,
                    Some((head, tail)) => {
                        name.len() >= head.len() + tail.len()
                            && name.starts_with(head)
                            && name.ends_with(tail)
                    }
                };
                if !fits {
                    return false;
                }
            }
            _ => return false,
        }
    }
}
