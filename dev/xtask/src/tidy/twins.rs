//! Twins: bodies of eight lines or more that differ in the names of their locals only.
//!
//! Words that a body binds or that are not followed by a call, a path or a field are numbered in
//! the order in which they come; two bodies with the same numbered text are twins. Reported, not
//! failed: sometimes two places are alike by chance.

use std::{collections::BTreeMap, fmt::Write as _};

use crate::{functions::functions, source::SourceFile};

const BODY_LINES_MIN: usize = 8;

/// A line for each group of twins.
pub(super) fn report(files: &[SourceFile]) -> String {
    let mut groups = BTreeMap::<String, Vec<String>>::new();
    for file in files.iter().filter(|f| f.is_rust()) {
        for function in functions(file) {
            if function.lines() >= BODY_LINES_MIN + 2 {
                let body = &file.lines[function.first + 1..function.last];
                let body: Vec<&str> = body.iter().map(|line| line.code.trim()).collect();
                let place = format!("{}:{} {}", file.path, function.first + 1, function.name);
                groups.entry(shape(&body.join(" "))).or_default().push(place);
            }
        }
    }
    let mut out = String::new();
    for places in groups.values().filter(|places| places.len() > 1) {
        let _ = writeln!(out, "twins: {}", places.join(" = "));
    }
    out
}

/// The body with its local names numbered and its blanks removed.
fn shape(body: &str) -> String {
    let mut numbers = BTreeMap::<String, usize>::new();
    let mut out = String::new();
    let mut rest = body;
    while let Some(c) = rest.chars().next() {
        let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
        if end == 0 {
            if !c.is_whitespace() {
                out.push(c);
            }
            rest = rest.get(c.len_utf8()..).unwrap_or_default();
            continue;
        }
        let (word, after) = rest.split_at(end);
        let local = c.is_lowercase()
            && !out.ends_with('.')
            && !out.ends_with("::")
            && !after.starts_with(['(', '!'])
            && !after.starts_with("::");
        if local {
            let next = numbers.len();
            let number = *numbers.entry(word.to_owned()).or_insert(next);
            let _ = write!(out, " ${number}");
        } else {
            out.push(' ');
            out.push_str(word);
        }
        rest = after;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renamed_locals_have_the_same_shape() {
        assert_eq!(shape("let a = f(b); a.len()"), shape("let x = f(y);  x.len()"));
        assert_ne!(shape("let a = f(b); a.len()"), shape("let a = g(b); a.len()"));
        assert_ne!(shape("a + b"), shape("a + a"));
    }
}
