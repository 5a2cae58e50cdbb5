//! Real networks, unmodified, against what onnxruntime gave for them.
//!
//! Goldens are those of the test data (`networks/model_goldens.tar.xz`, `goldens/vad.json`); models
//! are looked for in `models/` and in the test data, and said to be absent where they are not.

use crate::fixtures::{Fixtures, Report};
use anyhow::{Context as _, bail};
use engine::network::{Array, Network};
use serde_json::Value;
use std::{fs, path::Path};

/// Samples that Silero takes at a time, behind the last ones of the time before.
const SILERO_SAMPLES: usize = 512;
/// Samples of context.
const SILERO_CONTEXT: usize = 64;
/// Windows of each recording that are compared.
const WINDOWS: usize = 60;
/// Goldens are rounded to four digits.
const PROBABILITY: f64 = 1e-3;

/// Runs all networks that are here.
pub(crate) fn check(fixtures: &Fixtures) -> anyhow::Result<Report> {
    let mut report = Report::default();
    silero(fixtures, &mut report)?;
    magika(fixtures, &mut report)?;
    ocr(fixtures, &mut report)?;
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
            let Some(path) = fixtures.model("silero-vad-6.2", file) else {
                report.absent(file, "cargo xtask get silero-vad-6.2");
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
    let (Some(path), Some(config)) = (
        fixtures.model("magika-v3.3", "model.onnx"),
        fixtures.model("magika-v3.3", "config.min.json"),
    ) else {
        report.absent("Magika", "cargo xtask get magika-v3.3");
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
        let input = Array::new(tensor::DType::I32, &[1, 2048], bytes)?;
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

/// OCR networks run at several extents, with sums of probabilities that are 1.
fn ocr(fixtures: &Fixtures, report: &mut Report) -> anyhow::Result<()> {
    let cases = [
        ("ch_PP-OCRv4_det_infer.onnx", [1, 3, 96, 320], false),
        ("ch_PP-OCRv4_rec_infer.onnx", [1, 3, 48, 96], true),
        ("ch_ppocr_mobile_v2.0_cls_infer.onnx", [1, 3, 48, 192], true),
    ];
    for (file, dims, sums_to_one) in cases {
        let Some(path) = fixtures.model("ppocr-v4-mobile", file) else {
            report.absent(file, "cargo xtask get ppocr-v4-mobile");
            continue;
        };
        let network = Network::open(&path)?;
        let count: u64 = dims.iter().product();
        let image: Vec<f32> = (0..count).map(|i| ((i * 37 % 255) as f32) / 127.5 - 1.0).collect();
        let image = Array::from_f32(&dims, &image)?;
        let outputs = network.run(&[(&network.inputs()[0].name, image.view())])?;
        let numbers = outputs[0].1.to_f32().context("no numbers")?;
        let width = usize::try_from(outputs[0].1.shape().last()).unwrap_or(1).max(1);
        let good = numbers.iter().all(|x| x.is_finite())
            && (!sums_to_one
                || numbers.chunks(width).all(|row| (row.iter().sum::<f32>() - 1.0).abs() < 1e-3));
        report.case(good, || format!("{file}: probabilities that do not sum to 1"));
    }
    Ok(())
}
