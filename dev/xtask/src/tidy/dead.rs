//! Dead weight: modules nobody declares, fixtures and pages nobody names, dependencies nobody
//! uses or explains.
//!
//! A module lives if a `mod` leads to it from a crate's root; a fixture if some code names it or
//! its folder; a page of `docs` if some other page or code names it.

use std::collections::BTreeSet;

use super::{Finding, file};
use crate::source::{SourceFile, words};

/// Rust files in `src`, `tests`, `benches` and `examples` that no `mod` reaches.
pub(super) fn unreachable_modules(files: &[SourceFile]) -> Vec<Finding> {
    let mut todo: Vec<&SourceFile> = files.iter().filter(|file| is_root(files, file)).collect();
    let mut alive = BTreeSet::new();
    while let Some(at) = todo.pop() {
        if alive.insert(at.path.as_str()) {
            todo.extend(children(at).iter().filter_map(|path| file(files, path)));
        }
    }
    let dead = files.iter().filter(|f| f.is_rust() && !alive.contains(f.path.as_str()));
    dead.map(|f| Finding::new(f, 0, "no `mod` leads here; declare the module or remove the file"))
        .collect()
}

/// Whether Cargo compiles this file by itself.
fn is_root(files: &[SourceFile], at: &SourceFile) -> bool {
    let folder = at.folder();
    let owner = |folder: &str| file(files, &format!("{folder}/Cargo.toml")).is_some();
    let parent = folder.rsplit_once('/').unwrap_or_default();
    match at.name() {
        "lib.rs" | "main.rs" if parent.1 == "src" => owner(parent.0),
        "build.rs" => owner(folder),
        "main.rs" => {
            let above = parent.0.rsplit_once('/').unwrap_or_default();
            ["tests", "benches", "examples", "bin"].contains(&above.1)
        }
        _ => {
            let kinds = ["tests", "benches", "examples", "bin", "fuzz_targets"];
            kinds.contains(&parent.1) && at.is_rust()
        }
    }
}

/// The paths of the modules that this file declares; both forms where either may be meant.
fn children(at: &SourceFile) -> Vec<String> {
    let stem = at.path.strip_suffix(".rs").unwrap_or(&at.path);
    let inner = match at.name() {
        "lib.rs" | "main.rs" | "mod.rs" => at.folder().to_owned(),
        // A test file of its own binary looks beside itself.
        _ if at.folder().ends_with("/tests") || at.folder().ends_with("/benches") => {
            at.folder().to_owned()
        }
        _ => stem.to_owned(),
    };
    let mut paths = Vec::new();
    for (line, raw) in at.lines.iter().zip(at.text.lines()) {
        let all: Vec<&str> = words(&line.code).collect();
        if let Some(i) = all.iter().position(|word| *word == "mod")
            && line.code.trim_end().ends_with(';')
            && let Some(name) = all.get(i + 1)
        {
            paths.extend([format!("{inner}/{name}.rs"), format!("{inner}/{name}/mod.rs")]);
        }
        if line.code.contains("path = \"\"") || line.code.contains("include!") {
            let quoted = raw.split('"').nth(1).unwrap_or_default();
            paths.push(format!("{}/{quoted}", at.folder()));
        }
    }
    paths
}

/// Fixtures and pages that no other file names.
pub(super) fn unnamed_files(files: &[SourceFile]) -> Vec<Finding> {
    let candidates = files.iter().filter(|f| {
        let fixture = f.path.contains("/tests/") && !f.is_rust();
        fixture || (f.path.starts_with("docs/") && f.name() != "README.md")
    });
    let readers: Vec<&SourceFile> = files
        .iter()
        .filter(|f| {
            f.is_rust() || [".md", ".toml", ".py", "/run"].iter().any(|e| f.path.ends_with(e))
        })
        .collect();
    let named = |at: &SourceFile| {
        let stem = at.name().split('.').next().unwrap_or_default();
        let folder = at.folder().rsplit('/').next().unwrap_or_default();
        let folder = if folder == "docs" || folder == "tests" { at.name() } else { folder };
        readers
            .iter()
            .any(|r| r.path != at.path && (r.text.contains(stem) || r.text.contains(folder)))
    };
    candidates
        .filter(|f| !named(f))
        .map(|f| Finding::new(f, 0, "nobody names this file; use it or remove it"))
        .collect()
}

/// Entries of `[workspace.dependencies]` that no crate uses, or that docs/dependencies.md does
/// not explain; and explanations of nothing.
pub(super) fn dependencies(files: &[SourceFile]) -> Vec<Finding> {
    const PAGE: &str = "docs/dependencies.md";
    let Some(manifest) = file(files, "Cargo.toml") else { return Vec::new() };
    let Ok(table) = manifest.text.parse::<toml::Table>() else {
        return vec![Finding::new(manifest, 0, "not TOML")];
    };
    let listed = table.get("workspace").and_then(|w| w.get("dependencies"));
    let listed = listed.and_then(toml::Value::as_table).into_iter().flatten();
    let manifests: Vec<&SourceFile> = files.iter().filter(|f| f.name() == "Cargo.toml").collect();
    let page = file(files, PAGE).map_or("", |page| page.text.as_str());
    let mut explained: BTreeSet<&str> =
        page.lines().filter_map(|line| line.strip_prefix("| ")?.split(' ').next()).collect();
    explained.remove("crate");
    let mut findings = Vec::new();
    for (name, what) in listed {
        let used = manifests.iter().any(|m| {
            m.text.lines().any(|line| {
                line.strip_prefix(name.as_str()).is_some_and(|rest| {
                    rest.starts_with(".workspace") || rest.contains("workspace = true")
                })
            })
        });
        if !used {
            findings.push(Finding::new(manifest, 0, format!("no crate uses `{name}`; remove it")));
        }
        let ours = what.get("path").is_some();
        if !ours && !explained.remove(name.as_str()) {
            let what = format!("{PAGE} has no line for `{name}`; say why and what it drags in");
            findings.push(Finding::new(manifest, 0, what));
        }
    }
    findings.extend(explained.into_iter().map(|name| Finding {
        file: PAGE.into(),
        line: 0,
        what: format!("`{name}` is not in [workspace.dependencies]; remove its line"),
    }));
    findings
}
