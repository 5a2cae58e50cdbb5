//! What was left lying about: markers without an issue, and code in comments.
//!
//! Both look at comments only, so a string or a name may say what it likes. Code in comments is
//! recognised by its punctuation: two lines in a row that end as statements do.

use super::Finding;
use crate::source::SourceFile;

const MARKERS: &[&str] = &["TODO", "FIXME", "XXX", "HACK"];

/// `TODO` and its like without the number of an issue.
pub(super) fn markers(files: &[SourceFile]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| !file.path.starts_with("dev/xtask/src/tidy")) {
        for (i, line) in file.lines.iter().enumerate() {
            let marker = MARKERS.iter().find(|m| {
                let rest = line.comment.split_once(**m).map(|(_, rest)| rest);
                rest.is_some_and(|rest| {
                    !rest.starts_with("(#") && !rest.starts_with(char::is_alphanumeric)
                })
            });
            if let Some(marker) = marker {
                let what = format!("{marker} without an issue; do it, or write `{marker}(#123)`");
                findings.push(Finding::new(file, i + 1, what));
            }
        }
    }
    findings
}

/// Two or more lines of commented-out code.
pub(super) fn commented_code(files: &[SourceFile]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files {
        let mut before = false;
        for (i, line) in file.lines.iter().enumerate() {
            let here = line.code.trim().is_empty() && looks_like_code(&line.comment);
            if here && before {
                findings.push(Finding::new(file, i, "code in a comment; remove it, git keeps it"));
            }
            // A third line in a row adds nothing.
            before = here && !before;
        }
    }
    findings
}

fn looks_like_code(comment: &str) -> bool {
    let Some(text) = comment.strip_prefix("//") else { return false };
    if text.starts_with(['/', '!']) {
        return false;
    }
    let text = text.trim();
    let ends = text.ends_with(';') || text.ends_with('{') || text == "}" || text.ends_with("},");
    let has = ["let ", " = ", "(", "}", "use ", "fn ", "return", "{"];
    ends && has.iter().any(|sign| text.contains(sign))
}
