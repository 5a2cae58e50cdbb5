//! Goldens and blobs: every stored expectation says how it was made, and nothing large slips in.
//!
//! A golden is any file in a folder `goldens` or `testdata`, or an asset. Its note is a `.toml` beside it: one
//! with its own name, or one that stands for the whole folder; it has a line `command = …`.

use super::Finding;
use crate::source::SourceFile;

/// The largest file that needs no entry in `LARGE`.
const BLOB_BYTES_MAX: u64 = 256 << 10;

/// Files that may be larger, each for a reason.
const LARGE: &[&str] = &[
    // The embedded model: the first command works with no file and no network.
    "assets/house.gguf",
];

/// Goldens without a note, and notes without a command.
pub(super) fn notes(files: &[SourceFile]) -> Vec<Finding> {
    let is_golden = |f: &&SourceFile| {
        !f.is_rust()
            && f.name() != "README.md"
            && !f.path.starts_with("tools/")
            && (f.path.starts_with("assets/")
                || f.folder().split('/').any(|part| part == "goldens" || part == "testdata"))
    };
    let (notes, goldens): (Vec<&SourceFile>, Vec<&SourceFile>) =
        files.iter().filter(is_golden).partition(|f| f.extension() == "toml");
    let mut findings = Vec::new();
    for note in &notes {
        let commands = note.text.lines().any(|line| line.trim_start().starts_with("command = "));
        if !commands {
            findings.push(Finding::new(note, 0, "no `command = …`: say how the golden was made"));
        }
    }
    for golden in goldens {
        let has_note = notes.iter().any(|n| {
            let stem = n.name().trim_end_matches(".toml");
            let own = golden.name() == stem || golden.name().starts_with(&format!("{stem}."));
            let whole = stem == "goldens"
                || n.text.contains("[[golden]]")
                || n.text.contains(golden.name());
            n.folder() == golden.folder() && (own || whole)
        });
        if !has_note {
            findings.push(Finding::new(
                golden,
                0,
                "a golden without a `.toml` that names its command",
            ));
        }
    }
    findings
}

/// Large files without an entry in the list.
pub(super) fn blobs(files: &[SourceFile]) -> Vec<Finding> {
    let large =
        files.iter().filter(|f| f.bytes > BLOB_BYTES_MAX && !LARGE.contains(&f.path.as_str()));
    large
        .map(|f| {
            let what = format!("{} KiB; make it by a seeded generator instead", f.bytes >> 10);
            Finding::new(f, 0, what)
        })
        .collect()
}
