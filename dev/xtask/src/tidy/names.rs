//! Banned names: words that say nothing about the thing they name.
//!
//! Only definitions count (modules, types, functions, fields, bindings): what other crates call
//! their items is theirs. Mixed bit and arithmetic operators without brackets are found by
//! Clippy's `precedence`, so no check of ours repeats it.

use super::Finding;
use crate::source::{SourceFile, words};

/// Banned anywhere in a name, with what to write instead.
const ANYWHERE: &[(&str, &str)] = &[
    ("manager", "say what it does: pool, table, ledger, planner"),
    ("helper", "name the operation"),
    ("helpers", "name the operation"),
    ("util", "name the idea the module holds"),
    ("utils", "name the idea the module holds"),
    ("common", "name what is shared"),
];

/// Banned as a whole name of anything, and as the last word of a type or module.
const ALONE: &[(&str, &str)] = &[
    ("context", "sequence, cache, settings: what it is"),
    ("data", "bytes, values, rows, text: what it is"),
    ("info", "name the record: header, facts, layout"),
    ("process", "run, encode, decode, pack: what is done"),
    ("handle", "name the thing it stands for"),
];

/// Keywords that begin a definition; its name is the next word.
const DEFINES: &[&str] =
    &["mod", "struct", "enum", "trait", "type", "fn", "const", "static", "let", "union"];

/// Definitions with a banned name.
pub(super) fn banned(files: &[SourceFile]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|f| f.is_rust()) {
        for (i, line) in file.lines.iter().enumerate() {
            for (kind, name) in definitions(&line.code) {
                if let Some(instead) = judge(kind, name) {
                    let what = format!("`{name}` says nothing; {instead}");
                    findings.push(Finding::new(file, i + 1, what));
                }
            }
        }
    }
    findings
}

/// The names that a line defines, with the keyword before each; fields have the keyword `:`.
fn definitions(code: &str) -> Vec<(&str, &str)> {
    let all: Vec<&str> = words(code).filter(|word| *word != "mut").collect();
    let pairs = all.windows(2).filter(|pair| DEFINES.contains(&pair[0]));
    let mut found: Vec<(&str, &str)> = pairs.map(|pair| (pair[0], pair[1])).collect();
    let field = code.trim_start().trim_start_matches("pub ").trim_start_matches("pub(crate) ");
    if let Some((name, rest)) = field.split_once(':')
        && !rest.starts_with(':')
        && words(name).eq([name])
    {
        found.push((":", name));
    }
    found
}

fn judge(kind: &str, name: &str) -> Option<&'static str> {
    let parts = parts(name);
    let instead = |list: &'static [(&str, &'static str)], word: &str| {
        list.iter().find(|(banned, _)| *banned == word).map(|(_, instead)| *instead)
    };
    let is_type = ["struct", "enum", "trait", "type", "mod"].contains(&kind);
    let whole = match parts.as_slice() {
        // A number of tokens may be called `context`, as everybody does; a type may not.
        [only] if only == "context" && !is_type => None,
        [only] => Some(only),
        [.., last] if is_type => Some(last),
        _ => None,
    };
    parts
        .iter()
        .find_map(|part| instead(ANYWHERE, part))
        .or_else(|| whole.and_then(|word| instead(ALONE, word)))
}

/// The words of a name in lower case: `KvCacheManager` and `kv_cache_manager` alike.
fn parts(name: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    for c in name.chars() {
        if (c == '_' || c.is_uppercase()) && parts.last().is_some_and(|p| !p.is_empty()) {
            parts.push(String::new());
        }
        if c != '_' {
            parts.last_mut().expect("never empty").extend(c.to_lowercase());
        }
    }
    parts
}
