//! The node tests of ONNX: every model of the suite is run and its outputs compared.
//!
//! Tests are counted by tier (`onnx_tiers.json` of the test data). Those that are known to fail are
//! listed in `onnx_expected.toml` with a reason each; a test that fails without being listed, and
//! one that is listed but passes, both make the check short, so the list can only shrink.
//! Tolerance is the suite's own: rtol 1e-3, atol 1e-7; bfloat16 rtol 2^-6; type and shape equal.

use crate::fixtures::{Fixtures, Report};
use anyhow::{Context as _, bail};
use engine::network::{Array, Network};
use formats::onnx::Tensor;
use import::network::Numbers;
use std::{
    collections::BTreeMap,
    fs,
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
    process::Command,
};
use tensor::DType;

const EXPECTED: &str = include_str!("onnx_expected.toml");
const RTOL: f64 = 1e-3;
const ATOL: f64 = 1e-7;
/// One unit in the last place and a little of bfloat16.
const RTOL_BF16: f64 = 1.0 / 64.0;

/// Runs all tests, or those whose names contain `LEDGE_ONNX_ONLY`.
pub(crate) fn check(fixtures: &Fixtures) -> anyhow::Result<Report> {
    let suite = unpacked(fixtures)?;
    let tiers = tiers(fixtures)?;
    let expected: BTreeMap<String, String> = toml::from_str(EXPECTED)?;
    let only = std::env::var("LEDGE_ONNX_ONLY").ok();
    let mut report = Report::default();
    let mut counts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    panic::set_hook(Box::new(|_| {}));
    for (name, tier) in &tiers {
        if only.as_ref().is_some_and(|only| !name.contains(only.as_str())) {
            continue;
        }
        let ran = panic::catch_unwind(AssertUnwindSafe(|| run(&suite.join("nodes").join(name))));
        let outcome = match ran {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(format!("{error:#}")),
            Err(payload) => {
                let text = payload.downcast_ref::<String>().cloned();
                let text = text.or(payload.downcast_ref::<&str>().map(|t| (*t).to_owned()));
                Err(format!("PANIC {}", text.unwrap_or_default()))
            }
        };
        let count = counts.entry(tier).or_default();
        count.1 += 1;
        count.0 += usize::from(outcome.is_ok());
        let listed = expected.contains_key(name);
        let first = |text: &str| text.lines().take(2).collect::<Vec<_>>().join(" ");
        match (&outcome, listed) {
            (Ok(()), false) | (Err(_), true) => report.case(true, String::new),
            (Ok(()), true) => report.case(false, || format!("{name} passes: take it off the list")),
            (Err(why), false) => {
                report.of += 1;
                report.notes.push(format!("{name} ({tier}): {}", first(why)));
            }
        }
    }
    drop(panic::take_hook());
    let all: (usize, usize) =
        counts.values().fold((0, 0), |sum, count| (sum.0 + count.0, sum.1 + count.1));
    for (tier, (passed, of)) in &counts {
        report.notes.push(format!("tier {tier}: {passed} of {of}"));
    }
    report.notes.push(format!("all: {} of {}; {} expected to fail", all.0, all.1, expected.len()));
    Ok(report)
}

/// The suite as files, unpacked once into the build folder.
fn unpacked(fixtures: &Fixtures) -> anyhow::Result<PathBuf> {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/onnx_node_tests");
    if target.join("nodes/test_xor_bcast4v4d").is_dir() {
        return Ok(target);
    }
    fs::create_dir_all(&target)?;
    let archive = fixtures.path("networks/onnx_node_tests.tar.xz");
    if !archive.is_file() {
        bail!(
            "{} is not here; make it with tools/goldens/onnx_suite.py and set LEDGE_DATA",
            archive.display()
        );
    }
    let unpacked = Command::new("tar").arg("xJf").arg(&archive).arg("-C").arg(&target).status()?;
    if !unpacked.success() {
        bail!("tar could not unpack {}", archive.display());
    }
    Ok(target)
}

fn tiers(fixtures: &Fixtures) -> anyhow::Result<BTreeMap<String, String>> {
    let path = fixtures.path("networks/onnx_tiers.json");
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let file: serde_json::Value = serde_json::from_str(&text)?;
    let tests = file["tests"].as_object().context("no tests in onnx_tiers.json")?;
    let tier = |row: &serde_json::Value| row[0].as_str().unwrap_or("?").to_owned();
    Ok(tests.iter().map(|(name, row)| (name.clone(), tier(row))).collect())
}

/// Runs one test with its data sets.
fn run(folder: &Path) -> anyhow::Result<()> {
    let network = Network::open(&folder.join("model.onnx"))?;
    let set = folder.join("test_data_set_0");
    let mut inputs = Vec::new();
    for (i, declared) in network.inputs().iter().enumerate() {
        inputs.push((declared.name.clone(), read(&set.join(format!("input_{i}.pb")))?));
    }
    let given: Vec<_> = inputs.iter().map(|(name, array)| (name.as_str(), array.view())).collect();
    let outputs = network.run(&given)?;
    for (i, (name, got)) in outputs.iter().enumerate() {
        let want = read(&set.join(format!("output_{i}.pb")))?;
        compare(got, &want).with_context(|| format!("output `{name}`"))?;
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
