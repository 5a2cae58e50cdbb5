//! The repository as text: every file that belongs to it, and Rust files with code and comments
//! told apart.
//!
//! The checks of `tidy` work on lines, not on syntax trees: `Line::code` has the contents of
//! comments and literals removed, so a search for a word finds code only. That is exact for
//! everything but macros that build tokens, which this workspace avoids.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};

/// One file of the repository.
#[derive(Debug, Default)]
pub(crate) struct SourceFile {
    /// Path below the root, with `/`.
    pub(crate) path: String,
    /// Size on disk.
    pub(crate) bytes: u64,
    /// The text, or nothing where the file is not UTF-8.
    pub(crate) text: String,
    /// The lines of a Rust file; empty for others.
    pub(crate) lines: Vec<Line>,
}

/// One line of Rust, taken apart.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Line {
    /// The line without comments; string and character literals are emptied.
    pub(crate) code: String,
    /// The comment on this line with its marker, or nothing.
    pub(crate) comment: String,
}

impl SourceFile {
    /// A file with this path and text.
    pub(crate) fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        let (path, text) = (path.into(), text.into());
        let mut file = Self { path, bytes: text.len() as u64, text, lines: Vec::new() };
        if file.is_rust() {
            file.lines = split(&file.text);
        }
        file
    }

    /// Whether this is a Rust file.
    pub(crate) fn is_rust(&self) -> bool {
        self.extension() == "rs"
    }

    /// What follows the last dot of the path, or nothing.
    pub(crate) fn extension(&self) -> &str {
        self.path.rsplit_once('.').map_or("", |(_, extension)| extension)
    }

    /// The file's name without folders.
    pub(crate) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// The folder that holds the file, or nothing at the root.
    pub(crate) fn folder(&self) -> &str {
        self.path.rsplit_once('/').map_or("", |(folder, _)| folder)
    }

    /// Whether the file holds tests only.
    pub(crate) fn is_test(&self) -> bool {
        self.path.contains("/tests/")
            || self.path.contains("/benches/")
            || self.name() == "tests.rs"
    }
}

/// Folders that do not belong to the repository.
const FOREIGN: &[&str] =
    &[".git", "target", "models", ".venv", "__pycache__", "corpus", "artifacts"];

/// Reads all files of the repository at `root`, sorted by path.
///
/// # Errors
/// If a folder or file cannot be read.
pub(crate) fn read_all(root: &Path) -> Result<Vec<SourceFile>> {
    let mut files = Vec::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        let path = root.join(&folder);
        for entry in fs::read_dir(&path).with_context(|| path.display().to_string())? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let below = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
            let kind = entry.file_type()?;
            if kind.is_dir() && !FOREIGN.contains(&name.as_str()) {
                folders.push(below);
            } else if kind.is_file() {
                let bytes = fs::read(entry.path()).with_context(|| below.clone())?;
                let size = bytes.len() as u64;
                let text = String::from_utf8(bytes).unwrap_or_default();
                files.push(SourceFile { bytes: size, ..SourceFile::new(below, text) });
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

/// What the scanner is inside of when a line begins.
enum Inside {
    Code,
    /// Nested `/* */` of this depth.
    Block(usize),
    /// A string; raw ones end with `"` and this many `#`.
    Text {
        raw: bool,
        hashes: usize,
    },
}

/// Takes Rust text apart into lines of code and comments.
fn split(text: &str) -> Vec<Line> {
    let mut inside = Inside::Code;
    text.lines().map(|line| split_line(line, &mut inside)).collect()
}

fn split_line(line: &str, inside: &mut Inside) -> Line {
    let chars: Vec<char> = line.chars().collect();
    let mut out = Line::default();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\n');
    let mut i = 0;
    while i < chars.len() {
        match *inside {
            Inside::Block(depth) => match (at(i), at(i + 1)) {
                ('*', '/') => {
                    *inside = if depth > 1 { Inside::Block(depth - 1) } else { Inside::Code };
                    i += 2;
                }
                ('/', '*') => {
                    *inside = Inside::Block(depth + 1);
                    i += 2;
                }
                (c, _) => {
                    out.comment.push(c);
                    i += 1;
                }
            },
            Inside::Text { raw, hashes } => {
                if at(i) == '\\' && !raw {
                    i += 2;
                } else if at(i) == '"' && (1..=hashes).all(|k| at(i + k) == '#') {
                    out.code.push('"');
                    *inside = Inside::Code;
                    i += 1 + hashes;
                } else {
                    i += 1;
                }
            }
            Inside::Code => i += split_code(&chars[i..], inside, &mut out),
        }
    }
    out
}

/// Handles what stands at the head of `rest` outside of comments and strings; returns its length.
fn split_code(rest: &[char], inside: &mut Inside, out: &mut Line) -> usize {
    let at = |i: usize| rest.get(i).copied().unwrap_or('\n');
    let after_word = out.code.ends_with(|c: char| c.is_alphanumeric() || c == '_');
    match (at(0), at(1)) {
        ('/', '/') => {
            out.comment.extend(rest);
            rest.len()
        }
        ('/', '*') => {
            *inside = Inside::Block(1);
            2
        }
        ('r', '"' | '#') | ('b', 'r') if !after_word => {
            let start = if at(0) == 'b' { 2 } else { 1 };
            let hashes = rest[start.min(rest.len())..].iter().take_while(|c| **c == '#').count();
            if at(start + hashes) == '"' {
                out.code.push('"');
                *inside = Inside::Text { raw: true, hashes };
                start + hashes + 1
            } else {
                out.code.push(at(0));
                1
            }
        }
        ('"', _) => {
            out.code.push('"');
            *inside = Inside::Text { raw: false, hashes: 0 };
            1
        }
        // A character literal; anything else after a quote is a lifetime.
        ('\'', '\\') => {
            out.code.push_str("''");
            3 + rest.iter().skip(3).take_while(|c| **c != '\'').count() + 1
        }
        ('\'', _) if at(2) == '\'' => {
            out.code.push_str("''");
            3
        }
        (c, _) => {
            out.code.push(c);
            1
        }
    }
}

/// The identifiers and keywords of a line of code, in order.
pub(crate) fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|w| !w.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_not_code() {
        let cases = [
            ("let a = 1; // unsafe", "let a = 1; ", "// unsafe"),
            ("x(\"unsafe // no\")", "x(\"\")", ""),
            ("r#\"a \" b\"# + 1", "\"\" + 1", ""),
            ("'\"' + '\\'' + 'a", "'' + '' + 'a", ""),
            ("a /* b /* c */ d */ e", "a  e", " b  c  d "),
            ("br\"x\" bra r#type", "\"\" bra r#type", ""),
        ];
        for (text, code, comment) in cases {
            let lines = split(text);
            assert_eq!(lines, [Line { code: code.into(), comment: comment.into() }], "{text}");
        }
        let over_lines = split("let s = \"a\nunsafe\" + b; /* x\ny */ c");
        assert_eq!(over_lines[1].code, "\" + b; ");
        assert_eq!(over_lines[2].code, " c");
    }
}
