//! Module heads: every file begins with what it is for.
//!
//! The first line is a `//!`; a crate's and a public module's head has at least two sentences
//! (what for; what always holds or what it follows). Files of tests need none.

use super::Finding;
use crate::source::SourceFile;

/// Files of `src` without a head or with one that says too little.
pub(super) fn module_heads(files: &[SourceFile]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|f| f.is_rust() && f.path.contains("/src/") && !f.is_test()) {
        let head: Vec<&str> =
            file.text.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim).collect();
        if head.is_empty() {
            findings.push(Finding::new(file, 1, "no module head; begin with `//!` and what for"));
        } else if is_public(files, file) && sentences(&head.join(" ")) < 2 {
            let what = "the module head is one sentence; add what always holds or what it follows";
            findings.push(Finding::new(file, 1, what));
        }
    }
    findings
}

/// Whether this is a crate's root, or some file beside or above it says `pub mod`.
fn is_public(files: &[SourceFile], file: &SourceFile) -> bool {
    let stem = file.name().trim_end_matches(".rs");
    let declares = format!("pub mod {stem};");
    let parent = format!("{}.rs", file.folder());
    stem == "lib"
        || stem == "main"
        || files.iter().any(|f| {
            (f.folder() == file.folder() || f.path == parent)
                && f.lines.iter().any(|line| line.code.trim() == declares)
        })
}

fn sentences(text: &str) -> usize {
    let spaced = format!("{} ", text.replace(['`', ')', '*'], ""));
    [". ", "? ", "! "].iter().map(|end| spaced.matches(end).count()).sum()
}
