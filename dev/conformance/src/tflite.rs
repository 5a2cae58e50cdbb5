//! TFLite networks against what `LiteRT` and TensorFlow Lite Micro gave for them.
//!
//! Goldens are `networks/model_goldens.tar.xz` (whole models) and `networks/tflite_op_goldens.tar.xz`
//! (one operator each) of the test data, each result by the runtime that gave it. Floats agree
//! within rtol 1e-4 of the largest element; whole numbers are the same bytes. Models are looked for
//! in `models/` and in the test data.

use crate::{
    fixtures::{Fixtures, Report},
    npz,
};
use anyhow::{Context as _, bail};
use engine::network::{Array, Network, Profile};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};
use tensor::{DType, F16};

/// Operators and profiles that are known to differ, with the reason.
const EXPECTED: &str = include_str!("tflite_expected.toml");
/// Beside the largest element of the output.
const RTOL: f32 = 1e-4;

/// A golden of a network of floats, and where the network is.
const FLOATS: &[(&str, &str, &str)] = &[
    ("embedding_model", "open-wake-words", "embedding_model.tflite"),
    ("face_detection_front", "face-tflite", "face_detection_front.tflite"),
    ("face_detection_full_range_sparse", "face-tflite", "face_detection_full_range_sparse.tflite"),
    ("iris_landmark", "face-tflite", "iris_landmark.tflite"),
    ("hey_jarvis", "open-wake-words", "hey_jarvis.tflite"),
];

/// The profiles, and what goldens call their results.
const PROFILES: [(Profile, &str, &str); 3] = [
    (Profile::Tflm, "tflm", "out_tflm"),
    (Profile::Reference, "tflite-reference", "out_ref"),
    (Profile::Xnnpack, "xnnpack", "out_xnn"),
];

/// Goldens of networks of whole numbers; their files are in the test data. Their inputs hold
/// several runs.
const WHOLE: [&str; 4] = ["person_detect", "speech", "sine", "MNISTnet_uint8_quant"];

/// Runs all networks that are here.
pub(crate) fn check(fixtures: &Fixtures) -> anyhow::Result<Report> {
    let mut report = Report::default();
    let goldens = fixtures.unpacked("model_goldens")?;
    floats(fixtures, &goldens, &mut report)?;
    whole(fixtures, &goldens, &mut report)?;
    streams(fixtures, &goldens, &mut report)?;
    operators(fixtures, &mut report)?;
    Ok(report)
}

/// The arrays of a golden.
fn arrays(path: &Path) -> anyhow::Result<BTreeMap<String, Array>> {
    let file = std::fs::read(path).with_context(|| path.display().to_string())?;
    npz::arrays(&file).with_context(|| path.display().to_string())
}

/// Elements in single precision.
fn singles(array: &Array) -> Vec<f32> {
    let bytes = array.bytes();
    match array.dtype() {
        DType::F16 => {
            bytes.as_chunks::<2>().0.iter().map(|b| F16::from_le_bytes(*b).to_f32()).collect()
        }
        _ => bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
    }
}

/// Networks of floats, whose inputs are kept in half precision.
fn floats(fixtures: &Fixtures, goldens: &Path, report: &mut Report) -> anyhow::Result<()> {
    for (name, model, file) in FLOATS {
        let Some(path) = fixtures.model(model, file) else {
            report.absent(file, &format!("cargo xtask get {model}"));
            continue;
        };
        let golden = arrays(&goldens.join(format!("{name}.npz")))?;
        let input = golden.get("in").context("no input")?;
        let input = Array::from_f32(&input.shape(), &singles(input))?;
        let network = Network::open(&path)?;
        let first = &network.inputs().first().context("no input")?.name;
        let outputs = match network.run(&[(first, input.view())]) {
            Ok(outputs) => outputs,
            Err(error) => {
                report.case(false, || format!("{name}: {error}"));
                continue;
            }
        };
        for (i, (output, got)) in outputs.iter().enumerate() {
            let want = golden.get(&format!("out_ref_{i}")).context("no output")?;
            let (got, want) = (singles(got), singles(want));
            let largest = want.iter().fold(0f32, |largest, x| largest.max(x.abs()));
            // Not the largest difference: no comparison finds one that is no number.
            let near = |(a, b): (&f32, &f32)| (a - b).abs() <= RTOL * largest;
            let off = got.iter().zip(&want).filter(|&pair| !near(pair)).count();
            let (have, need) = (got.len(), want.len());
            report.case(have == need && off == 0, || {
                format!("{name}, `{output}`: {off} of {have} elements, should be {need}, differ")
            });
        }
        let more = format!("out_ref_{}", outputs.len());
        report.case(!golden.contains_key(&more), || format!("{name}: {more} is missing"));
    }
    Ok(())
}

/// Runs a network in a profile on the inputs `in`, one a run, and counts the bytes that differ.
/// What the network remembers is carried from run to run.
fn differing(network: &Network, input: &Array, want: &Array) -> anyhow::Result<usize> {
    let runs = usize::try_from(input.shape().first().copied().unwrap_or(1))?;
    let (size, result) = (input.bytes().len() / runs, want.bytes().len() / runs);
    let name = &network.inputs().first().context("no input")?.name;
    let mut stream = network.stream();
    let mut off = 0;
    for run in 0..runs {
        let bytes = input.bytes()[run * size..][..size].to_vec();
        let one = Array::new(input.dtype(), &input.shape()[1..], bytes)?;
        let outputs = stream.run(&[(name, one.view())])?;
        let got = outputs.first().context("no output")?.1.bytes();
        let want = &want.bytes()[run * result..][..result];
        if got.len() != want.len() {
            bail!("{} bytes, should be {}", got.len(), want.len());
        }
        off += got.iter().zip(want).filter(|(a, b)| a != b).count();
    }
    Ok(off)
}

/// Networks of whole numbers, in every profile whose runtime gave results.
fn whole(fixtures: &Fixtures, goldens: &Path, report: &mut Report) -> anyhow::Result<()> {
    for name in WHOLE {
        let golden = arrays(&goldens.join(format!("{name}.npz")))?;
        let input = golden.get("in").context("no input")?;
        for (profile, called, key) in PROFILES {
            let Some(want) = golden.get(key) else { continue };
            let path = fixtures.path(&format!("networks/models/{name}.tflite"));
            let mut network = Network::open(&path)?;
            network.set_profile(profile);
            let off = differing(&network, input, want).map_err(|error| format!("{error:#}"));
            let count = want.bytes().len();
            report.case(off == Ok(0), || match off {
                Ok(off) => format!("{name}, {called}: {off} of {count} bytes differ"),
                Err(error) => format!("{name}, {called}: {error}"),
            });
        }
    }
    Ok(())
}

/// Wake words that remember earlier chunks in variables, chunk by chunk, twice over: the second
/// time after they were made to begin anew.
fn streams(fixtures: &Fixtures, goldens: &Path, report: &mut Report) -> anyhow::Result<()> {
    for name in ["alexa", "hey_jarvis", "hey_mycroft", "okay_nabu"] {
        let file = format!("{name}.tflite");
        let Some(path) = fixtures.model("micro-wake-words", &file) else {
            report.absent(&file, "cargo xtask get micro-wake-words");
            continue;
        };
        let golden = arrays(&goldens.join(format!("microwakeword_{name}.npz")))?;
        let input = golden.get("in").context("no input")?;
        for (profile, called, key) in PROFILES {
            let want = golden.get(key).context("no output")?;
            let mut network = Network::open(&path)?;
            network.set_profile(profile);
            let off = differing(&network, input, want).map_err(|error| format!("{error:#}"));
            let count = want.bytes().len();
            report.case(off == Ok(0), || match off {
                Ok(off) => format!("{name}, {called}: {off} of {count} bytes differ"),
                Err(error) => format!("{name}, {called}: {error}"),
            });
        }
    }
    Ok(())
}

/// One operator each, in every profile whose runtime gave results.
fn operators(fixtures: &Fixtures, report: &mut Report) -> anyhow::Result<()> {
    let folder = fixtures.unpacked("tflite_op_goldens")?;
    let listed: BTreeMap<String, String> = toml::from_str(EXPECTED)?;
    let mut names: Vec<PathBuf> = std::fs::read_dir(&folder)?
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<_>>()?;
    names.retain(|path| path.extension().is_some_and(|ending| ending == "tflite"));
    names.sort();
    let mut counts = [(0, 0); PROFILES.len()];
    for path in names {
        let golden = arrays(&path.with_extension("npz"))?;
        let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or("?");
        for ((profile, called, key), count) in PROFILES.into_iter().zip(&mut counts) {
            let Some(want) = golden.get(key) else { continue };
            let off = operator(&path, profile, &golden, want).map_err(|error| format!("{error:#}"));
            count.1 += 1;
            count.0 += usize::from(off == Ok(0));
            let listed = listed.contains_key(&format!("{name}.{called}"));
            report.of += 1;
            match off {
                Ok(0) if !listed => report.passed += 1,
                Ok(0) => report.notes.push(format!("{name}.{called} passes: take it off the list")),
                _ if listed => report.passed += 1,
                Ok(off) => {
                    let count = want.bytes().len();
                    report.notes.push(format!("{name}.{called}: {off} of {count} bytes differ"));
                }
                Err(error) => report.notes.push(format!("{name}.{called}: {error}")),
            }
        }
    }
    for ((_, called, _), (passed, of)) in PROFILES.iter().zip(counts) {
        report.notes.push(format!("operators byte-exact in {called}: {passed} of {of}"));
    }
    Ok(())
}

fn operator(
    path: &Path,
    profile: Profile,
    golden: &BTreeMap<String, Array>,
    want: &Array,
) -> anyhow::Result<usize> {
    let mut network = Network::open(path)?;
    network.set_profile(profile);
    let mut inputs = Vec::new();
    for (i, declared) in network.inputs().iter().enumerate() {
        let array = golden.get(&format!("in{i}")).context("no input")?;
        inputs.push((declared.name.as_str(), array.view()));
    }
    let outputs = network.run(&inputs)?;
    let got = outputs.first().context("no output")?.1.bytes();
    if got.len() != want.bytes().len() {
        bail!("{} bytes, should be {}", got.len(), want.bytes().len());
    }
    Ok(got.iter().zip(want.bytes()).filter(|(a, b)| a != b).count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_give_what_other_runtimes_gave() {
        let Some(folder) = std::env::var_os("LEDGE_DATA").map(PathBuf::from) else {
            println!("skipped: LEDGE_DATA is not set");
            return;
        };
        let report = check(&Fixtures::new(folder)).expect("the test data can be read");
        assert!(report.is_good(), "{:#?}", report.notes);
    }
}
