//! What is only reported: lengths that grew and a table of counts.
//!
//! Nothing here fails a run. A function that passed the length limit in this change deserves a
//! look; chopping it into parts would not make it better.

use std::{collections::BTreeMap, fmt::Write as _, path::Path, process::Command};

use crate::{
    functions::functions,
    source::{SourceFile, words},
};

const FUNCTION_LINES_MAX: usize = 70;
const FILE_LINES_MAX: usize = 600;

/// Functions and files that passed their limits since the last change on the main line.
pub(super) fn ratchet(root: &Path, files: &[SourceFile]) -> String {
    let Some(base) = base(root) else { return String::new() };
    let mut out = String::new();
    for file in files.iter().filter(|f| f.is_rust()) {
        let now = over(file);
        if !now.is_empty() {
            let then = git(root, &["show", &format!("{base}:{}", file.path)]).unwrap_or_default();
            let then = over(&SourceFile::new(file.path.clone(), then));
            for (name, lines) in now.iter().filter(|(name, _)| !then.contains_key(*name)) {
                let _ = writeln!(out, "ratchet: {}: {name} has now {lines} lines", file.path);
            }
        }
    }
    out
}

/// What is longer than its limit, by name; the file itself is called `file`.
fn over(file: &SourceFile) -> BTreeMap<String, usize> {
    let mut over: BTreeMap<String, usize> = functions(file)
        .into_iter()
        .filter(|f| f.lines() > FUNCTION_LINES_MAX)
        .map(|f| (format!("fn {}", f.name), f.lines()))
        .collect();
    if file.lines.len() > FILE_LINES_MAX {
        over.insert("file".into(), file.lines.len());
    }
    over
}

/// The commit to compare with: the published main line, else the commit before this one.
fn base(root: &Path) -> Option<String> {
    git(root, &["merge-base", "HEAD", "origin/main"])
        .or_else(|| git(root, &["rev-parse", "--verify", "HEAD~1"]))
        .map(|commit| commit.trim().to_owned())
}

fn git(root: &Path, args: &[&str]) -> Option<String> {
    let out = Command::new("git").args(args).current_dir(root).output().ok()?;
    out.status.success().then(|| String::from_utf8_lossy(&out.stdout).into_owned())
}

/// Counts of one crate.
#[derive(Default)]
struct Counts {
    lines: usize,
    tests: usize,
    docs: usize,
    unsafes: usize,
    expects: usize,
    statics: usize,
}

/// The ten longest functions, then a line of counts for each crate.
pub(super) fn table(files: &[SourceFile]) -> String {
    let mut longest = Vec::new();
    let mut crates = BTreeMap::<String, Counts>::new();
    for file in files.iter().filter(|f| f.is_rust()) {
        longest
            .extend(functions(file).into_iter().map(|f| (f.lines(), f.name, file.path.as_str())));
        let name = file.path.split("/src/").next().unwrap_or_default();
        let name = name.split("/tests/").next().unwrap_or_default();
        count(crates.entry(name.to_owned()).or_default(), file);
    }
    longest.sort_by(|a, b| b.cmp(a));
    let mut out = String::from("longest functions:\n");
    for (lines, name, path) in longest.iter().take(10) {
        let _ = writeln!(out, "  {lines:4}  {path}: {name}");
    }
    let _ = writeln!(
        out,
        "{:26} {:>6} {:>6} {:>6} {:>7} {:>7} {:>7}",
        "crate", "lines", "tests", "doc %", "unsafe", "expect", "static"
    );
    for (name, c) in &crates {
        let docs = 100 * c.docs / c.lines.max(1);
        let _ = writeln!(
            out,
            "{name:26} {:6} {:6} {docs:6} {:7} {:7} {:7}",
            c.lines, c.tests, c.unsafes, c.expects, c.statics
        );
    }
    out
}

fn count(counts: &mut Counts, file: &SourceFile) {
    if file.is_test() {
        counts.tests += file.lines.len();
        return;
    }
    // Unit tests in the file count as tests from their `mod` on.
    let own = file.lines.iter().position(|l| l.code.contains("#[cfg(test)]"));
    let (lines, tests) = file.lines.split_at(own.unwrap_or(file.lines.len()));
    counts.lines += lines.len();
    counts.tests += tests.len();
    for line in lines {
        let is_doc = line.comment.starts_with("///") || line.comment.starts_with("//!");
        counts.docs += usize::from(is_doc);
        counts.unsafes += words(&line.code).filter(|word| *word == "unsafe").count();
        counts.expects += line.code.matches(".expect(").count();
        counts.statics += usize::from(words(&line.code).next() == Some("static"));
    }
}
