//! Functions of a Rust file, found by their braces.
//!
//! A function reaches from the line of its `fn` to the line of its closing brace; functions
//! within functions count for both. Good enough for lengths and likeness, and needs no parser.

use crate::source::{Line, SourceFile, words};

/// Where a function stands.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Function {
    /// Its name.
    pub(crate) name: String,
    /// Index of the line that has `fn`.
    pub(crate) first: usize,
    /// Index of the line that has the closing brace.
    pub(crate) last: usize,
}

impl Function {
    /// Number of lines from `fn` to the closing brace.
    pub(crate) fn lines(&self) -> usize {
        self.last - self.first + 1
    }
}

/// All functions with a body, in the order of their first lines.
pub(crate) fn functions(file: &SourceFile) -> Vec<Function> {
    let mut found = Vec::new();
    for (i, line) in file.lines.iter().enumerate() {
        let all: Vec<&str> = words(&line.code).collect();
        let name = all.iter().position(|word| *word == "fn").and_then(|at| all.get(at + 1));
        if let Some(name) = name
            && let Some(last) = end(&file.lines, i)
        {
            found.push(Function { name: (*name).to_owned(), first: i, last });
        }
    }
    found
}

/// The line of the brace that closes the body beginning at or after line `first`.
fn end(lines: &[Line], first: usize) -> Option<usize> {
    let (mut depth, mut brackets) = (0_usize, 0_usize);
    let start = lines[first].code.find("fn ")?;
    for (i, line) in lines.iter().enumerate().skip(first) {
        let skip = if i == first { start } else { 0 };
        for c in line.code.chars().skip(skip) {
            match c {
                '[' | '(' => brackets += 1,
                ']' | ')' => brackets = brackets.saturating_sub(1),
                // A declaration without a body.
                ';' if depth == 0 && brackets == 0 => return None,
                '{' => depth += 1,
                '}' if depth <= 1 => return Some(i),
                '}' => depth -= 1,
                _ => {}
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_end_at_their_brace() {
        let text =
            "trait T { fn a(&self); }\nfn b(x: [u8; 2]) -> u8 {\n  if x { y } else { z }\n}\n";
        let found = functions(&SourceFile::new("a.rs", text));
        assert_eq!(found, [Function { name: "b".into(), first: 1, last: 3 }]);
    }
}
