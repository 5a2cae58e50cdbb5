//! Arrows between crates: Cargo's edges against `layers.toml`, and the code map against it.
//!
//! A crate may use whatever its arrows reach; a test may also use crates of `dev`. The table in
//! ARCHITECTURE.md is written by hand but must be the one that `layers.toml` gives.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::{Finding, file};
use crate::source::SourceFile;

/// Crates that tests of any other may use: what makes files, texts and plans.
const TESTS_USE: [&str; 3] = ["formats", "text", "graph"];

const TABLE: &str = "layers.toml";
const MAP: &str = "ARCHITECTURE.md";

/// One crate of `layers.toml`.
struct Layer {
    folder: String,
    name: String,
    package: String,
    is: String,
    may_use: Vec<String>,
}

/// An edge of Cargo's graph between two packages of the workspace.
#[derive(Debug)]
pub(super) struct Edge {
    pub(super) from: String,
    pub(super) to: String,
    /// Used by tests only.
    pub(super) dev: bool,
    /// The path of the manifest that has it.
    pub(super) manifest: String,
}

/// The edges in what `cargo metadata` says. A package without edges has one to itself.
pub(super) fn edges(metadata: &Value) -> Vec<Edge> {
    let root = metadata["workspace_root"].as_str().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut edges = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let path = text(&package["manifest_path"]);
        let manifest = path.strip_prefix(root).unwrap_or(&path).trim_start_matches('/').to_owned();
        let from = text(&package["name"]);
        edges.push(Edge {
            from: from.clone(),
            to: from.clone(),
            dev: false,
            manifest: manifest.clone(),
        });
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            if dependency["path"].is_string() {
                let (to, dev) = (text(&dependency["name"]), dependency["kind"] == "dev");
                edges.push(Edge { from: from.clone(), to, dev, manifest: manifest.clone() });
            }
        }
    }
    edges
}

/// Edges that `layers.toml` does not allow, and crates that one of the two lacks.
///
/// # Errors
/// If `layers.toml` is missing or not as it should be.
pub(super) fn layers(files: &[SourceFile], edges: &[Edge]) -> Result<Vec<Finding>> {
    let layers = read(files)?;
    let mut findings = Vec::new();
    let mut say = |file: &str, what: String| {
        findings.push(Finding { file: file.into(), line: 0, what });
    };
    let reach = reach(&layers);
    for edge in edges {
        let Some(layer) = layers.iter().find(|layer| layer.package == edge.from) else {
            say(TABLE, format!("crate `{}` is missing; add it with its arrows", edge.from));
            continue;
        };
        let place = match layer.folder.as_str() {
            "dev" => format!("dev/{}/Cargo.toml", layer.name),
            folder => format!("crates/{folder}/{}/Cargo.toml", layer.name),
        };
        if edge.from == edge.to && edge.manifest != place {
            say(&edge.manifest, format!("layers.toml puts this crate at {place}"));
        }
        let Some(to) = layers.iter().find(|layer| layer.package == edge.to) else { continue };
        let allowed = edge.from == edge.to
            || reach[&layer.name].contains(&to.name)
            || (edge.dev && TESTS_USE.contains(&to.name.as_str()))
            || (edge.dev && to.folder == "dev")
            // A backend is compared with another one.
            || (edge.dev && layer.folder == "run" && to.folder == "run");
        if !allowed {
            say(
                &edge.manifest,
                format!(
                    "`{}` must not use `{}`: layers.toml has no such arrow; \
                     move the code down or pass a plain value",
                    layer.name, to.name
                ),
            );
        }
    }
    for layer in &layers {
        if edges.iter().all(|edge| edge.from != layer.package) {
            say(TABLE, format!("there is no package `{}`; remove its entry", layer.package));
        }
    }
    Ok(findings)
}

/// Whether ARCHITECTURE.md shows the table that `layers.toml` gives.
///
/// # Errors
/// If `layers.toml` is missing or not as it should be.
pub(super) fn code_map(files: &[SourceFile]) -> Result<Vec<Finding>> {
    let expected: Vec<String> = read(files)?.iter().map(row).collect();
    let map = file(files, MAP).context("ARCHITECTURE.md is missing")?;
    let lines: Vec<&str> = map.text.lines().collect();
    let start = lines.iter().position(|line| *line == "<!-- layers.toml -->").unwrap_or(0);
    let rows = lines[start..].iter().take_while(|line| **line != "<!-- end -->").skip(3);
    let rows: Vec<&str> = rows.copied().collect();
    let mut findings = Vec::new();
    for (i, row) in expected.iter().enumerate() {
        if rows.get(i) != Some(&row.as_str()) {
            let what = format!("the code map differs from layers.toml; this row should be: {row}");
            findings.push(Finding::new(map, start + 4 + i, what));
        }
    }
    if rows.len() > expected.len() {
        let what = "the code map has more rows than layers.toml; remove them or add the crates";
        findings.push(Finding::new(map, start + 4 + expected.len(), what));
    }
    Ok(findings)
}

fn row(layer: &Layer) -> String {
    let uses = if layer.may_use.is_empty() { "–".into() } else { layer.may_use.join(", ") };
    format!("| {} | `{}` | {} | {uses} |", layer.folder, layer.name, layer.is)
}

/// What each crate may use, arrows of arrows included.
fn reach(layers: &[Layer]) -> BTreeMap<String, BTreeSet<String>> {
    // Crates are listed from the bottom up, so each one's arrows are known when it comes.
    let mut reach = BTreeMap::<String, BTreeSet<String>>::new();
    for layer in layers {
        let mut all: BTreeSet<String> = layer.may_use.iter().cloned().collect();
        for name in &layer.may_use {
            all.extend(reach.get(name).into_iter().flatten().cloned());
        }
        reach.insert(layer.name.clone(), all);
    }
    reach
}

fn read(files: &[SourceFile]) -> Result<Vec<Layer>> {
    let table = file(files, TABLE).context("layers.toml is missing")?;
    let table: toml::Table = table.text.parse().context(TABLE)?;
    let entries = table.get("layer").and_then(toml::Value::as_array).context("no [[layer]]")?;
    entries.iter().map(layer).collect()
}

fn layer(entry: &toml::Value) -> Result<Layer> {
    let text = |key: &str| -> Result<String> {
        let value = entry.get(key).and_then(toml::Value::as_str);
        Ok(value.with_context(|| format!("layers.toml: an entry without `{key}`"))?.to_owned())
    };
    let may_use = entry.get("may_use").and_then(toml::Value::as_array).context("no `may_use`")?;
    let may_use = may_use.iter().filter_map(toml::Value::as_str).map(str::to_owned).collect();
    Ok(Layer {
        folder: text("folder")?,
        name: text("name")?,
        package: text("package")?,
        is: text("is")?,
        may_use,
    })
}
