//! How near arenas come to the least that is possible, and how long finding their places takes.
//!
//! The bound of a plan is the most bytes that live at once in one of its steps; no placement needs less.
//! All but one of the networks must reach it, and values of a network of usual size must be placed again,
//! as for other extents, in less than a millisecond.

use core::ops::Range;
use std::time::{Duration, Instant};

use anyhow::Result;
use engine::network::Network;
use graph::memory::{self, Life};
use plan::{BufferKind, Operand, Plan, Slot};
use tensor::Shape;

use crate::fixtures::{Fixtures, Report};

/// Networks that may miss the bound.
const MISSED_MAX: usize = 1;
/// How long placing values may take, of so many.
const PLACING_MAX: (Duration, usize) = (Duration::from_millis(1), 300);

/// Inputs with their extents.
type Extents = &'static [(&'static str, &'static [u64])];

/// Package, file and the extents that the file leaves open.
const NETWORKS: [(&str, &str, Extents); 18] = [
    ("onnx-light", "light_resnet50.onnx", &[]),
    ("onnx-light", "light_densenet121.onnx", &[]),
    ("onnx-light", "light_inception_v1.onnx", &[]),
    ("onnx-light", "light_inception_v2.onnx", &[]),
    ("onnx-light", "light_shufflenet.onnx", &[]),
    ("onnx-light", "light_squeezenet.onnx", &[]),
    ("onnx-light", "light_vgg19.onnx", &[]),
    ("ppocr-v4", "ch_PP-OCRv4_det_infer.onnx", &[("x", &[1, 3, 640, 640])]),
    ("ppocr-v4", "ch_PP-OCRv4_rec_infer.onnx", &[("x", &[1, 3, 48, 320])]),
    ("ppocr-v4", "ch_ppocr_mobile_v2.0_cls_infer.onnx", &[("x", &[1, 3, 48, 192])]),
    ("face-tflite", "face_detection_full_range.tflite", &[]),
    ("face-tflite", "face_detection_front.tflite", &[]),
    ("face-tflite", "iris_landmark.tflite", &[]),
    ("mediapipe", "pose_detection.tflite", &[]),
    ("mediapipe", "palm_detection_full.tflite", &[]),
    ("mediapipe", "selfie_segmentation.tflite", &[]),
    ("open-wake-words", "embedding_model.tflite", &[("input_1", &[1, 76, 32, 1])]),
    ("networks/models", "person_detect.tflite", &[]),
];

/// Plans all networks that are here.
///
/// # Errors
/// If a network cannot be planned.
pub(crate) fn check(fixtures: &Fixtures) -> Result<Report> {
    let mut report = Report::default();
    let (mut missed, mut found) = (Vec::new(), 0);
    for (package, file, shapes) in NETWORKS {
        let Some(path) = fixtures.model(package, file) else {
            report.absent(file, &format!("cargo xtask get {package}"));
            continue;
        };
        let shapes: Vec<(&str, Shape)> =
            shapes.iter().filter_map(|(name, dims)| Some((*name, Shape::new(dims)?))).collect();
        let planned = Network::open(&path)?.plan(&shapes)?;
        found += 1;
        for plan in &planned.stages {
            let lives = lives(plan);
            let (bound, arena) = (memory::lower_bound(&lives), plan.bytes_of(BufferKind::Arena).0);
            let begin = Instant::now();
            let again = memory::place(&lives);
            let time = begin.elapsed();
            report.notes.push(format!(
                "{file}: {} values, arena {arena} of at least {bound} bytes, placed in {time:?}",
                lives.len(),
            ));
            if arena > bound {
                missed.push(file);
            }
            report.case(again.bytes <= arena, || format!("{file}: {} on its own", again.bytes));
            if lives.len() <= PLACING_MAX.1 && arena == bound {
                report.case(time < PLACING_MAX.0, || format!("{file}: placing took {time:?}"));
            }
        }
    }
    report.case(missed.len() <= MISSED_MAX, || format!("above the bound: {}", missed.join(", ")));
    let reached = found - missed.len().min(found);
    report.notes.push(format!("{reached} of {found} networks reach the bound"));
    Ok(report)
}

/// When which bytes of the arena hold something that is still read.
///
/// A result that is written over an operand goes on with the operand's bytes; columns of a joined
/// value are that value's, from the first that are written.
fn lives(plan: &Plan) -> Vec<Life> {
    let mut held: Vec<Held> = Vec::new();
    for (step, what) in plan.steps.iter().enumerate() {
        for range in what.inputs.iter().filter_map(|input| read(plan, input)) {
            // The last that were written there, one or several side by side.
            let mut rest = vec![range];
            for known in held.iter_mut().rev() {
                let before = rest.len();
                let pieces = rest.iter().flat_map(|part| without(part, &known.range));
                let pieces: Vec<Range<u64>> = pieces.collect();
                let touched = pieces.len() != before || pieces != rest;
                if touched {
                    (known.life.last, known.open) = (step, false);
                }
                rest = pieces;
            }
        }
        let Some(range) = arena(plan, &what.output) else { continue };
        let columns = what.output.pitch.is_some();
        let range = if columns { joined(plan, step, &what.output, range) } else { range };
        let goes_on = |known: &&mut Held| {
            known.range == range && (known.life.last == step || (columns && known.open))
        };
        if let Some(known) = held.iter_mut().rev().find(goes_on) {
            (known.life.last, known.open) = (step, columns);
        } else {
            let life = Life { bytes: range.end - range.start, first: step, last: step };
            held.push(Held { range, life, open: columns });
        }
    }
    held.into_iter().map(|known| known.life).collect()
}

/// Bytes of the arena that hold something.
struct Held {
    range: Range<u64>,
    life: Life,
    /// Whether more columns may come.
    open: bool,
}

/// The bytes of the arena that a slot's elements take, side by side.
fn arena(plan: &Plan, slot: &Slot) -> Option<Range<u64>> {
    let kind = plan.buffers[slot.buffer.0 as usize].kind;
    let elements: u64 = slot.dims.iter().map(|dim| dim.max(&plan.symbols)).product();
    let bytes = elements * slot.dtype.bytes();
    (kind == BufferKind::Arena).then(|| slot.offset..slot.offset + bytes)
}

/// The bytes of the arena that an operand reads.
fn read(plan: &Plan, input: &Operand) -> Option<Range<u64>> {
    let Operand::Slot(slot) = input else { return None };
    arena(plan, slot)
}

/// The value that some columns belong to: the first that is read around them and is as large.
fn joined(plan: &Plan, step: usize, slot: &Slot, own: Range<u64>) -> Range<u64> {
    let width = slot.dims.last().map_or(1, |dim| dim.max(&plan.symbols));
    let bytes = (own.end - own.start) / width.max(1) * slot.pitch.unwrap_or(width);
    let reads = plan.steps[step..].iter().flat_map(|later| &later.inputs);
    let mut around = reads.filter_map(|input| read(plan, input));
    let whole = around.find(|range| range.contains(&own.start) && range.end - range.start == bytes);
    whole.unwrap_or(own)
}

/// What is left of a range.
fn without(range: &Range<u64>, taken: &Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let before = range.start..range.end.min(taken.start);
    let behind = range.start.max(taken.end)..range.end;
    [before, behind].into_iter().filter(|part| part.start < part.end)
}
