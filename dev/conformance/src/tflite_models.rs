//! Every TFLite model of the registry packages that `cargo xtask get` knows: it loads, runs, and gives
//! what `LiteRT`'s reference kernels gave.
//!
//! `tflite_models.toml` holds elements of their outputs for inputs that are a pattern; the script that
//! made it says how. Floats agree within rtol 1e-4 of the largest element, whole numbers exactly.

use crate::fixtures::{Fixtures, Report};
use anyhow::{Context as _, bail};
use engine::network::{Array, Network, Profile};
use import::network::Numbers;
use serde::Deserialize;
use std::path::Path;
use tensor::{DType, Shape};

/// What the models gave.
const GOLDENS: &str = include_str!("tflite_models.toml");
/// Beside the largest element of an output.
const RTOL: f64 = 1e-4;

#[derive(Deserialize)]
struct Goldens {
    model: Vec<Model>,
}

#[derive(Deserialize)]
struct Model {
    folder: String,
    file: String,
    /// The runtime.
    by: String,
    /// Extents of the input, where the file leaves them open.
    input: Option<Vec<u64>>,
    output: Vec<Output>,
}

#[derive(Deserialize)]
struct Output {
    shape: Vec<u64>,
    largest: f64,
    samples: Vec<f64>,
}

/// Runs all models that are here.
pub(crate) fn check(fixtures: &Fixtures) -> anyhow::Result<Report> {
    let goldens: Goldens = toml::from_str(GOLDENS)?;
    let mut report = Report::default();
    for model in &goldens.model {
        let Model { folder, file, .. } = model;
        let path = match folder.as_str() {
            "models" => Some(fixtures.path(&format!("networks/models/{file}"))),
            folder => fixtures.model(folder, file),
        };
        let Some(path) = path else {
            report.absent(file, &format!("cargo xtask get {folder}"));
            continue;
        };
        let found = compare(model, &path);
        report.case(matches!(&found, Ok(None)), || match found {
            Ok(Some(what)) => format!("{folder}/{file}: {what}"),
            Err(error) => format!("{folder}/{file}: {error:#}"),
            Ok(None) => String::new(),
        });
    }
    Ok(report)
}

/// What differs; nothing if the model gives what it should.
fn compare(model: &Model, path: &Path) -> anyhow::Result<Option<String>> {
    let mut network = Network::open(path)?;
    let micro = model.by == "tflite-micro";
    network.set_profile(if micro { Profile::Tflm } else { Profile::Reference });
    let shapes: Vec<(&str, Shape)> = match (&model.input, network.inputs()) {
        (Some(dims), [one, ..]) => {
            vec![(one.name.as_str(), Shape::new(dims).context("too many extents")?)]
        }
        _ => Vec::new(),
    };
    let bounds = network.bound(&shapes)?;
    let mut arrays = Vec::new();
    for (place, bound) in (0u32..).zip(&bounds) {
        arrays.push(pattern(bound.dtype, &bound.dims, place)?);
    }
    let planned = network.plan(&shapes)?;
    for text in planned.before.iter().chain(&planned.graphs) {
        match graph::text::parse(text) {
            Ok(again) if graph::text::print(&again) == *text => {}
            Ok(_) => return Ok(Some("its graph's text reads as another graph".into())),
            Err(error) => return Ok(Some(format!("its graph's text does not read back: {error}"))),
        }
    }
    let names = network.inputs().iter().map(|declared| declared.name.as_str());
    let views: Vec<_> = names.zip(arrays.iter().map(Array::view)).collect();
    let outputs = network.run(&views)?;
    if outputs.len() != model.output.len() {
        return Ok(Some(format!("{} outputs, not {}", outputs.len(), model.output.len())));
    }
    for ((name, array), want) in outputs.iter().zip(&model.output) {
        if array.shape().dims() != want.shape {
            return Ok(Some(format!("`{name}` is {}, not {:?}", array.shape(), want.shape)));
        }
        let all = Numbers { dtype: array.dtype(), bytes: array.bytes() }.floats();
        let count = want.samples.len();
        let mut places: Vec<usize> = (0..16).map(|k| k * (all.len().max(1) - 1) / 15).collect();
        places.dedup();
        if places.len() != count {
            bail!("{} samples, {count} are kept", places.len());
        }
        let allowed = if array.dtype().is_integer() { 0.0 } else { RTOL * want.largest };
        for (&place, want) in places.iter().zip(&want.samples) {
            let have = all.get(place).copied().unwrap_or(f64::NAN);
            // Samples are kept with seven digits. No comparison finds one that is no number.
            let near = (have - want).abs() <= allowed.max(want.abs() * 1e-6);
            if !near {
                return Ok(Some(format!("`{name}` has {have} at {place}, not {want}")));
            }
        }
    }
    Ok(None)
}

/// The input that the script makes: floats vary slowly over pictures, whole numbers are scattered.
#[expect(clippy::cast_possible_truncation, reason = "the pattern is in single precision")]
fn pattern(dtype: DType, dims: &Shape, place: u32) -> anyhow::Result<Array> {
    let count = dims.elements().context("too large")?;
    if dtype == DType::F32 {
        let element = |i: u64| {
            let angle = match **dims {
                [_, height, width, channels] if height > 1 => {
                    let (pixel, channel) = (i / channels % (height * width), i % channels);
                    let (y, x) = (pixel / width, pixel % width);
                    7.0 * x as f64 / width as f64 + 3.0 * y as f64 / height as f64 + channel as f64
                }
                _ => 0.37 * i as f64 + f64::from(place),
            };
            (0.5 + 0.4 * angle.sin()) as f32
        };
        let elements: Vec<f32> = (0..count).map(element).collect();
        return Ok(Array::from_f32(dims.dims(), &elements)?);
    }
    if dtype.bytes() != 1 {
        bail!("an input of {dtype}");
    }
    let byte = |i: u64| {
        let mut bits = (i * 2_654_435_761 + u64::from(place) * 40_503 + 12_345) & 0xffff_ffff;
        bits ^= bits >> 15;
        bits = bits.wrapping_mul(2_246_822_519) & 0xffff_ffff;
        bits ^= bits >> 13;
        (bits >> 24) as u8
    };
    Ok(Array::new(dtype, dims.dims(), (0..count).map(byte).collect())?)
}
