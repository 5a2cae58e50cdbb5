//! Real networks, unmodified, against what onnxruntime gave for them.
//!
//! Goldens are `goldens/networks.json` (made by `tools/goldens/network_outputs.py`) and those of the
//! test data (`goldens/vad.json`, `goldens/small-nets.json`); models are looked for in `models/` and
//! in the test data, and said to be absent where they are not.

use crate::{
    fixtures::{Fixtures, Report},
    npz,
};
use anyhow::{Context as _, bail};
use engine::network::{Array, Network};
use import::network::Numbers;
use serde::Deserialize;
use serde_json::Value;
use std::{collections::BTreeMap, fs, path::Path, process::Command};
use tensor::DType;

const GOLDENS: &str = include_str!("../goldens/networks.json");

/// Samples that Silero takes at a time, behind the last ones of the time before.
const SILERO_SAMPLES: usize = 512;
/// Samples of context.
const SILERO_CONTEXT: usize = 64;
/// Windows of each recording that are compared.
const WINDOWS: usize = 40;
/// Goldens are rounded to four digits.
const PROBABILITY: f64 = 1e-3;

/// Steps of onnxruntime's sigmoid near 0 are 6e-8.
const PLACES: f64 = 1e-7;

/// Runs all networks that are here.
pub(crate) fn check(fixtures: &Fixtures) -> anyhow::Result<Report> {
    let mut report = Report::default();
    silero(fixtures, &mut report)?;
    magika(fixtures, &mut report)?;
    line_of_text(fixtures, &mut report)?;
    sampled(fixtures, &mut report)?;
    Ok(report)
}

fn json(fixtures: &Fixtures, below: &str) -> anyhow::Result<Value> {
    let path = fixtures.path(below);
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    Ok(serde_json::from_str(&text)?)
}

/// Samples of a 16-bit mono WAV file, from -1 to 1.
fn samples(path: &Path) -> anyhow::Result<Vec<f32>> {
    let bytes = fs::read(path).with_context(|| path.display().to_string())?;
    let mut at = 12;
    while let Some(head) = bytes.get(at..at + 8) {
        let size = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
        if &head[..4] == b"data" {
            let body = bytes.get(at + 8..(at + 8 + size).min(bytes.len())).unwrap_or_default();
            let (pairs, _) = body.as_chunks::<2>();
            return Ok(pairs.iter().map(|b| f32::from(i16::from_le_bytes(*b)) / 32768.0).collect());
        }
        at += 8 + size + size % 2;
    }
    bail!("{}: no samples", path.display())
}

/// Probabilities of speech, window by window, with the state carried along.
fn silero(fixtures: &Fixtures, report: &mut Report) -> anyhow::Result<()> {
    let goldens = json(fixtures, "goldens/vad.json")?;
    let recordings = goldens["probabilities"].as_object().context("no recordings")?;
    for (recording, models) in recordings {
        // Beside the recordings stand lists of each model's inputs.
        let Some(models) = models.as_object() else { continue };
        let audio = samples(&fixtures.path(&format!("audio/{recording}.wav")))?;
        for (file, wanted) in models {
            let Some(path) = fixtures.model("silero-vad", file) else {
                report.absent(file, "cargo xtask get silero-vad");
                continue;
            };
            let network = Network::open(&path)?;
            let mut stream = network.stream();
            let rate = Array::from_i64(&[], &[16_000])?;
            let mut context = vec![0.0; SILERO_CONTEXT];
            let wanted = wanted.as_array().context("no probabilities")?;
            let windows = audio.chunks_exact(SILERO_SAMPLES).zip(wanted).take(WINDOWS);
            for (i, (window, want)) in windows.enumerate() {
                let chunk = [&context[..], window].concat();
                context = chunk[SILERO_SAMPLES..].to_vec();
                let chunk = Array::from_f32(&[1, chunk.len() as u64], &chunk)?;
                let mut inputs = vec![("input", chunk.view())];
                if network.inputs().iter().any(|input| input.name == "sr") {
                    inputs.push(("sr", rate.view()));
                }
                let outputs = stream.run(&inputs)?;
                let got = outputs[0].1.to_f32().context("no probability")?;
                let (got, want) = (f64::from(got[0]), want.as_f64().unwrap_or(f64::NAN));
                report.case((got - want).abs() <= PROBABILITY, || {
                    format!("{file}, {recording}, window {i}: {got:.4}, should be {want:.4}")
                });
            }
        }
    }
    Ok(())
}

/// Kinds of files by their first and last bytes.
fn magika(fixtures: &Fixtures, report: &mut Report) -> anyhow::Result<()> {
    let goldens = json(fixtures, "goldens/small-nets.json")?;
    let (Some(path), Some(config)) =
        (fixtures.model("magika", "model.onnx"), fixtures.model("magika", "config.min.json"))
    else {
        report.absent("Magika with its labels", "cargo xtask get magika");
        return Ok(());
    };
    let config: Value = serde_json::from_str(&fs::read_to_string(config)?)?;
    let network = Network::open(&path)?;
    for result in goldens["magika"]["results"].as_array().context("no results")? {
        let file = result["file"].as_str().unwrap_or("");
        let bytes = fs::read(fixtures.path(file))?;
        let begin = trim_start(&bytes[..bytes.len().min(4096)]);
        let end = trim_end(&bytes[bytes.len().saturating_sub(4096)..]);
        let pad = 256i32;
        let mut ids: Vec<i32> = begin.iter().take(1024).map(|&b| i32::from(b)).collect();
        ids.resize(1024, pad);
        let tail: Vec<i32> =
            end[end.len().saturating_sub(1024)..].iter().map(|&b| i32::from(b)).collect();
        ids.extend(std::iter::repeat_n(pad, 1024 - tail.len()));
        ids.extend(tail);
        let bytes = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
        let input = Array::new(DType::I32, &[1, 2048], bytes)?;
        let outputs = network.run(&[(&network.inputs()[0].name, input.view())])?;
        let scores = outputs[0].1.to_f32().context("no scores")?;
        let best = (0..scores.len()).max_by(|&i, &j| scores[i].total_cmp(&scores[j])).unwrap_or(0);
        let label = config["target_labels_space"][best].as_str().unwrap_or("?");
        let want = result["label"].as_str().unwrap_or("");
        let score = result["score"].as_f64().unwrap_or(0.0);
        let close = (f64::from(scores[best]) - score).abs() <= PROBABILITY;
        report.case(label == want && close, || {
            format!("{file}: {label} {:.4}, should be {want} {score:.4}", scores[best])
        });
    }
    Ok(())
}

fn trim_start(bytes: &[u8]) -> &[u8] {
    bytes.trim_ascii_start()
}

fn trim_end(bytes: &[u8]) -> &[u8] {
    bytes.trim_ascii_end()
}

/// A drawn line of text: where it is, and what it says, letter by letter.
fn line_of_text(fixtures: &Fixtures, report: &mut Report) -> anyhow::Result<()> {
    const NAMES: [&str; 2] = ["ch_PP-OCRv4_det_infer.onnx", "ch_PP-OCRv4_rec_infer.onnx"];
    /// The rows of the picture that the recogniser is shown.
    const ROWS: std::ops::Range<usize> = 24..72;
    let [Some(detector), Some(reader)] = NAMES.map(|file| fixtures.model("ppocr-v4", file)) else {
        report.absent("PP-OCRv4", "cargo xtask get ppocr-v4");
        return Ok(());
    };
    let goldens = fixtures.path("networks/model_goldens.tar.xz");
    let unpacked = Command::new("tar").arg("xJOf").arg(goldens).arg("ppocr_v4.npz").output()?;
    let arrays = npz::arrays(&unpacked.stdout)?;
    let array = |name: &str| arrays.get(name).with_context(|| format!("no `{name}`"));
    let numbers = |array: &Array| Numbers { dtype: array.dtype(), bytes: array.bytes() }.floats();
    let picture = array("det_in")?;
    let (pixels, dims) = (picture.bytes(), picture.shape());
    let width = usize::try_from(dims[1])?;
    let image = |rows: std::ops::Range<usize>| {
        let plane = |c: usize| {
            rows.clone().flat_map(move |y| (0..width).map(move |x| pixels[(y * width + x) * 3 + c]))
        };
        let list: Vec<f32> = (0..3).flat_map(plane).map(|p| f32::from(p) / 127.5 - 1.0).collect();
        Array::from_f32(&[1, 3, rows.len() as u64, width as u64], &list)
    };
    let run = |path: &Path, image: &Array| -> anyhow::Result<Vec<f64>> {
        let network = Network::open(path)?;
        let outputs = network.run(&[(&network.inputs()[0].name, image.view())])?;
        Ok(numbers(&outputs[0].1))
    };
    let places = run(&detector, &image(0..usize::try_from(dims[0])?)?)?;
    let wanted = numbers(array("det_out")?);
    let near = |(a, b): (&f64, &f64)| (a - b).abs() <= PROBABILITY;
    let off = places.iter().zip(&wanted).filter(|&pair| !near(pair)).count();
    report.case(places.len() == wanted.len() && off == 0, || {
        format!("text detection: {off} of {} places are more than {PROBABILITY} away", places.len())
    });
    let scores = run(&reader, &image(ROWS)?)?;
    let (letters, sure) = (numbers(array("rec_argmax")?), numbers(array("rec_max")?));
    let row = scores.len() / letters.len().max(1);
    report.case(row > 0 && scores.len() == row * letters.len(), || {
        format!("{} scores for {} letters", scores.len(), letters.len())
    });
    for (i, row) in scores.chunks(row.max(1)).enumerate() {
        let best = (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap_or(0);
        let good =
            (best as f64 - letters[i]).abs() < 0.5 && (row[best] - sure[i]).abs() <= PROBABILITY;
        report.case(good, || {
            format!(
                "place {i}: letter {best} {:.4}, should be {} {:.4}",
                row[best], letters[i], sure[i]
            )
        });
    }
    Ok(())
}

/// Networks whose inputs a formula makes, with what onnxruntime gives for them.
fn sampled(fixtures: &Fixtures, report: &mut Report) -> anyhow::Result<()> {
    let cases: Vec<Case> = serde_json::from_str(GOLDENS)?;
    for case in &cases {
        let Some(path) = fixtures.model(&case.model, &case.file) else {
            let way_out = format!("cargo xtask get {}, or put it into models/ by hand", case.model);
            report.absent(&format!("{}/{}", case.model, case.file), &way_out);
            continue;
        };
        if let Err(error) = steps(case, &path, report) {
            report.case(false, || format!("{}/{}: {error:#}", case.model, case.file));
        }
    }
    Ok(())
}

#[derive(Deserialize)]
struct Case {
    model: String,
    file: String,
    /// Of the largest magnitude of an output.
    tolerance: f64,
    /// Inputs that are an output of the step before.
    carry: Vec<(String, String)>,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct Step {
    inputs: Vec<Given>,
    /// Extents of the states after the step, by the name of the input.
    states: BTreeMap<String, Vec<u64>>,
    outputs: Vec<Golden>,
}

#[derive(Deserialize)]
struct Given {
    name: String,
    #[serde(rename = "type")]
    ty: String,
    dims: Vec<u64>,
    /// Seed, least, bound.
    fill: Option<(u64, f64, f64)>,
    values: Option<Vec<f64>>,
}

#[derive(Deserialize)]
struct Golden {
    name: String,
    dims: Vec<u64>,
    largest: f64,
    /// Elements, evenly spread from the first to the last.
    samples: Vec<f64>,
}

/// Runs a case step by step and counts its outputs.
fn steps(case: &Case, path: &Path, report: &mut Report) -> anyhow::Result<()> {
    let network = Network::open(path)?;
    let mut stream = network.stream();
    for (input, output) in &case.carry {
        stream.bind_state(input, output)?;
    }
    for (number, step) in case.steps.iter().enumerate() {
        let mut inputs = Vec::new();
        for given in &step.inputs {
            inputs.push((given.name.as_str(), given.array()?));
        }
        for (name, dims) in step.states.iter().filter(|_| number == 0) {
            let count = usize::try_from(dims.iter().product::<u64>())?;
            inputs.push((name, Array::from_f32(dims, &vec![0.0; count])?));
        }
        let views: Vec<_> = inputs.iter().map(|(name, array)| (*name, array.view())).collect();
        let outputs = stream.run(&views)?;
        for golden in &step.outputs {
            let got = outputs.iter().find(|(name, _)| *name == golden.name);
            let (_, got) = got.with_context(|| format!("no output `{}`", golden.name))?;
            let wrong = golden.differs(got, case.tolerance);
            report.case(wrong.is_none(), || {
                let (model, file, name) = (&case.model, &case.file, &golden.name);
                format!("{model}/{file}, step {number}, `{name}`: {}", wrong.unwrap_or_default())
            });
        }
    }
    Ok(())
}

impl Given {
    fn array(&self) -> anyhow::Result<Array> {
        let count: u64 = self.dims.iter().product();
        let numbers: Vec<f64> = match (&self.values, self.fill) {
            (Some(values), _) => values.clone(),
            (None, Some((seed, low, high))) => (0..count)
                .map(|i| {
                    let bits = mixed(seed, i) as f64;
                    match self.ty.as_str() {
                        "f32" => low + (high - low) * (bits / f64::from(1 << 24)),
                        _ => low + bits % (high - low),
                    }
                })
                .collect(),
            (None, None) => bail!("`{}` has no values", self.name),
        };
        #[expect(clippy::cast_possible_truncation, reason = "as the script rounds them")]
        Ok(match self.ty.as_str() {
            "f32" => {
                Array::from_f32(&self.dims, &numbers.iter().map(|x| *x as f32).collect::<Vec<_>>())?
            }
            "i64" => {
                Array::from_i64(&self.dims, &numbers.iter().map(|x| *x as i64).collect::<Vec<_>>())?
            }
            "i32" => {
                let bytes = numbers.iter().flat_map(|x| (*x as i32).to_le_bytes()).collect();
                Array::new(DType::I32, &self.dims, bytes)?
            }
            other => bail!("type {other}"),
        })
    }
}

/// `SplitMix64` of a place: 24 bits.
fn mixed(seed: u64, place: u64) -> u64 {
    let mut z = (place + (seed << 32) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)) >> 40
}

impl Golden {
    /// What is wrong with an output, if anything is.
    fn differs(&self, got: &Array, tolerance: f64) -> Option<String> {
        if got.shape().dims() != self.dims {
            return Some(format!("is {}, should be {:?}", got.shape(), self.dims));
        }
        let numbers = Numbers { dtype: got.dtype(), bytes: got.bytes() }.floats();
        let spread = (self.samples.len().max(2) - 1).max(1);
        let places = (0..self.samples.len()).map(|k| k * numbers.len().saturating_sub(1) / spread);
        let pairs = places.zip(&self.samples).map(|(place, want)| (place, numbers[place], want));
        let worst = pairs.max_by(|a, b| (a.1 - a.2).abs().total_cmp(&(b.1 - b.2).abs()))?;
        let allowed = tolerance * self.largest + PLACES;
        ((worst.1 - worst.2).abs() > allowed || !worst.1.is_finite()).then(|| {
            format!("element {} is {}, should be {} ± {allowed:.2e}", worst.0, worst.1, worst.2)
        })
    }
}
