//! The tests of the package onnx: every model is run and its outputs compared.
//!
//! `tools/goldens/onnx_suite.py` writes them; where it did not run, the node tests of the test data
//! are taken. Node tests are counted by tier as well, where the test data has `onnx_tiers.json`.
//! Those that are known to fail are listed in `onnx_expected.toml` with a reason each; a test that fails without being listed, and
//! one that is listed but passes, both make the check short, so the list can only shrink.
//! Tolerance is the suite's own: rtol 1e-3, atol 1e-7; bfloat16 rtol 2^-6; type and shape equal.

use crate::fixtures::{Fixtures, Report};
use anyhow::{Context as _, bail, ensure};
use engine::network::{Array, Network};
use formats::onnx::Tensor;
use import::network::Numbers;
use std::{
    collections::BTreeMap,
    fs,
    panic::{self, AssertUnwindSafe},
    path::Path,
};
use tensor::DType;

const EXPECTED: &str = include_str!("onnx_expected.toml");
const RTOL: f64 = 1e-3;
const ATOL: f64 = 1e-7;
/// One unit in the last place and a little of bfloat16.
const RTOL_BF16: f64 = 1.0 / 64.0;

/// Folders of the suite: the node tests, and what stood in the package before them.
const KINDS: [&str; 5] = ["node", "pytorch-operator", "pytorch-converted", "simple", "light"];

/// Runs all tests, or those whose names contain `LEDGE_ONNX_ONLY`.
pub(crate) fn check(fixtures: &Fixtures) -> anyhow::Result<Report> {
    let mut report = Report::default();
    let suite = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/onnx_suite");
    let mut kinds = KINDS.map(|kind| (kind, suite.join(kind))).to_vec();
    if !suite.join("light").is_dir() {
        report.absent("all but the node tests", "cargo xtask onnx-suite");
        kinds = vec![("node", fixtures.unpacked("onnx_node_tests")?.join("nodes"))];
    }
    let tiers = tiers(fixtures)?;
    let expected: BTreeMap<String, String> = toml::from_str(EXPECTED)?;
    let only = std::env::var("LEDGE_ONNX_ONLY").ok();
    let mut counts: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    panic::set_hook(Box::new(|_| {}));
    for (kind, folder) in kinds {
        for name in names(&folder)? {
            let full = if kind == "node" { name.clone() } else { format!("{kind}/{name}") };
            if only.as_ref().is_some_and(|only| !full.contains(only.as_str())) {
                continue;
            }
            let outcome = outcome(&folder.join(&name));
            let tier = (kind == "node").then(|| tiers.get(&name)).flatten();
            for row in [Some(kind.to_owned()), tier.map(|tier| format!("tier {tier}"))] {
                let count = counts.entry(row.unwrap_or_default()).or_default();
                count.1 += 1;
                count.0 += usize::from(outcome.is_ok());
            }
            match (&outcome, expected.contains_key(&full)) {
                (Ok(()), false) | (Err(_), true) => report.case(true, String::new),
                (Ok(()), true) => {
                    report.of += 1;
                    report.notes.push(format!("{full} passes: take it off the list"));
                }
                (Err(why), false) => {
                    let first = why.lines().take(2).collect::<Vec<_>>().join(" ");
                    report.of += 1;
                    report.notes.push(format!("{full}: {first}"));
                }
            }
        }
    }
    drop(panic::take_hook());
    for (row, (passed, of)) in counts.iter().filter(|(row, _)| !row.is_empty()) {
        report.notes.push(format!("{row}: {passed} of {of}"));
    }
    report.notes.push(format!("{} are expected to fail", expected.len()));
    Ok(report)
}

/// The tests in a folder, by name.
fn names(folder: &Path) -> anyhow::Result<Vec<String>> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut names: Vec<String> = entries
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<anyhow::Result<_>>()?;
    names.sort();
    Ok(names)
}

/// Tiers of the node tests, where the test data has them.
fn tiers(fixtures: &Fixtures) -> anyhow::Result<BTreeMap<String, String>> {
    let path = fixtures.path("networks/onnx_tiers.json");
    if !path.is_file() {
        return Ok(BTreeMap::new());
    }
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let file: serde_json::Value = serde_json::from_str(&text)?;
    let tests = file["tests"].as_object().context("no tests in onnx_tiers.json")?;
    let tier = |row: &serde_json::Value| row[0].as_str().unwrap_or("?").to_owned();
    Ok(tests.iter().map(|(name, row)| (name.clone(), tier(row))).collect())
}

/// Why a test fails, if it does; a panic is a failure like any other.
fn outcome(folder: &Path) -> Result<(), String> {
    match panic::catch_unwind(AssertUnwindSafe(|| run(folder))) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(format!("{error:#}")),
        Err(payload) => {
            let text = payload.downcast_ref::<String>().cloned();
            let text = text.or(payload.downcast_ref::<&str>().map(|t| (*t).to_owned()));
            Err(format!("PANIC {}", text.unwrap_or_default()))
        }
    }
}

/// Runs one test with its data sets.
fn run(folder: &Path) -> anyhow::Result<()> {
    let network = Network::open(&folder.join("model.onnx"))?;
    let mut sets = names(folder)?;
    sets.retain(|name| name.starts_with("test_data_set"));
    ensure!(!sets.is_empty(), "nothing to compare with");
    for name in sets {
        let set = folder.join(name);
        let mut inputs = Vec::new();
        for (i, declared) in network.inputs().iter().enumerate() {
            inputs.push((declared.name.clone(), read(&set.join(format!("input_{i}.pb")))?));
        }
        let given: Vec<_> =
            inputs.iter().map(|(name, array)| (name.as_str(), array.view())).collect();
        let outputs = network.run(&given)?;
        for (i, (name, got)) in outputs.iter().enumerate() {
            let want = read(&set.join(format!("output_{i}.pb")))?;
            compare(got, &want).with_context(|| format!("output `{name}`"))?;
        }
        let more = set.join(format!("output_{}.pb", outputs.len()));
        ensure!(!more.exists(), "only {} outputs", outputs.len());
    }
    Ok(())
}

fn read(path: &Path) -> anyhow::Result<Array> {
    let bytes = fs::read(path).with_context(|| path.display().to_string())?;
    let tensor = Tensor::parse(&bytes).context("no tensor")?;
    Ok(Array::from_onnx(&tensor)?)
}

/// Whether two arrays agree within the suite's tolerance.
pub(crate) fn compare(got: &Array, want: &Array) -> anyhow::Result<()> {
    if (got.dtype(), got.narrow(), got.shape()) != (want.dtype(), want.narrow(), want.shape()) {
        bail!(
            "is {} {} {:?}, should be {} {} {:?}",
            got.dtype(),
            got.shape(),
            got.narrow(),
            want.dtype(),
            want.shape(),
            want.narrow()
        );
    }
    let rtol = if want.dtype() == DType::BF16 { RTOL_BF16 } else { RTOL };
    let floats = |array: &Array| Numbers { dtype: array.dtype(), bytes: array.bytes() }.floats();
    let (got, want) = (floats(got), floats(want));
    let mut worst: Option<(usize, f64, f64)> = None;
    let mut differ = 0;
    #[expect(clippy::float_cmp, reason = "infinities are equal or not; all else has a tolerance")]
    for (i, (&a, &b)) in got.iter().zip(&want).enumerate() {
        let same = a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= ATOL + rtol * b.abs();
        if !same {
            differ += 1;
            worst = worst.or(Some((i, a, b)));
        }
    }
    match worst {
        None => Ok(()),
        Some((i, a, b)) => {
            bail!("{differ} of {} differ; element {i} is {a}, should be {b}", want.len())
        }
    }
}
