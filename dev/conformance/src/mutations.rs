//! Networks with random damage: whatever the bytes, the reader and the engine answer, and soon.
//!
//! Each file up to [`FILE_BYTES`] is damaged [`MUTATIONS`] times by a seeded generator: bits
//! flipped, bytes overwritten with awkward numbers, pieces copied. The check counts answers that
//! come in time and without a panic; what the answer is does not matter. A file whose damage is
//! not done within [`FILE_TIME`] is short of its count. The same files, and the small networks of
//! the engine's tests, are damaged [`RUNS`] times to be planned and, where that takes at most
//! [`RUN_BYTES`], run on zeros.

use std::{
    fs, panic,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use core::num::NonZeroUsize;
use engine::network::{Array, Network};
use formats::{FormatError, onnx, tflite};
use import::onnx::Extent;
use tensor::{Bytes, Shape};

use crate::fixtures::{Fixtures, Report};

/// Damaged versions of each file.
const MUTATIONS: usize = 100_000;
/// Damaged versions of each network that is planned and run.
const RUNS: usize = 1_000;
/// What a run may take.
const RUN_BYTES: Bytes = Bytes::mib(256);
/// Extents that a file leaves open, but for the first of an input, which counts examples.
const FREE: u64 = 48;
/// Longest time from bytes to results: what is declared may be much work.
const RUN_TIME: Duration = Duration::from_secs(20);
/// Files that are small enough.
const FILE_BYTES: usize = 512 << 10;
/// Longest time of one answer.
const ANSWER_TIME: Duration = Duration::from_millis(500);
/// Longest time for one file's mutations: three times what the longest takes on two cores.
const FILE_TIME: Duration = Duration::from_mins(6);

/// Numbers that overflow, wrap, or are one off.
const AWKWARD: [u64; 8] =
    [0, 1, 0x7f, 0x80, 0x7fff_ffff, 0xffff_ffff, 0x7fff_ffff_ffff_ffff, u64::MAX];

/// Damages every small network of the data folder.
pub(crate) fn check(fixtures: &Fixtures) -> Result<Report> {
    let folder = fixtures.path("networks/models");
    let mut paths: Vec<PathBuf> = fs::read_dir(&folder)
        .with_context(|| format!("{}", folder.display()))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    let goldens =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/input/formats/tests/goldens");
    paths.extend(["network.onnx", "network.tflite"].map(|name| goldens.join(name)));
    paths.sort();
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/model/engine/tests/goldens");
    for folder in ["quantised", "tflite"] {
        for entry in fs::read_dir(own.join(folder))? {
            paths.push(entry?.path());
        }
    }
    let mut tasks: Vec<(PathBuf, Vec<u8>, Purpose)> = Vec::new();
    for path in paths {
        if matches!(ending(&path), "onnx" | "tflite") {
            let file = fs::read(&path)?;
            if file.len() <= FILE_BYTES {
                if !path.starts_with(&own) {
                    tasks.push((path.clone(), file.clone(), Purpose::Read));
                }
                tasks.push((path, file, Purpose::Run));
            }
        }
    }
    // A file each, over all cores; the longest ones first, so that they end together.
    tasks.sort_by_key(|(_, file, _)| std::cmp::Reverse(file.len()));
    let next = Mutex::new(tasks.into_iter());
    let reports = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some((path, file, purpose)) = take(&next) {
                    let report = damage(&path, file, purpose);
                    let done = (path, purpose, report);
                    reports.lock().unwrap_or_else(PoisonError::into_inner).push(done);
                }
            });
        }
    });
    let mut reports = reports.into_inner().unwrap_or_else(PoisonError::into_inner);
    reports.sort_by(|(a, p, _), (b, q, _)| (p, a).cmp(&(q, b)));
    let mut sum = Report::default();
    for (.., report) in reports {
        sum.passed += report.passed;
        sum.of += report.of;
        sum.notes.extend(report.notes);
    }
    Ok(sum)
}

fn take<T>(queue: &Mutex<impl Iterator<Item = T>>) -> Option<T> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).next()
}

fn ending(path: &Path) -> &str {
    path.extension().and_then(|ending| ending.to_str()).unwrap_or_default()
}

/// What is done with damaged files.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Purpose {
    /// They are read.
    Read,
    /// They are imported, planned and run.
    Run,
}

/// From bytes to results on zeros, for one example of the extents that the file declares or [`FREE`].
fn run(file: &[u8]) -> Result<()> {
    let mut network = Network::from_bytes(file.to_vec())?;
    network.set_threads(NonZeroUsize::MIN);
    let mut shapes = Vec::new();
    for declared in network.inputs() {
        let dims = declared.dims.as_deref().unwrap_or_default().iter().enumerate();
        let extent = |(i, dim): (usize, &Extent)| match dim {
            Extent::Fixed(n) => *n,
            Extent::Named(_) | Extent::Free if i == 0 => 1,
            Extent::Named(_) | Extent::Free => FREE,
        };
        let dims: Vec<u64> = dims.map(extent).collect();
        shapes.push((&*declared.name, Shape::new(&dims).context("too many dimensions")?));
    }
    let need = network.plan(&shapes)?.promise().total();
    ensure!(need <= RUN_BYTES, "{need} are needed");
    let mut inputs = Vec::new();
    for (declared, bound) in network.inputs().iter().zip(network.bound(&shapes)?) {
        let bytes = tensor::view::tensor_bytes(bound.dtype.into(), bound.dims)?;
        let zeros = vec![0; bytes.to_usize().context("an input beyond memory")?];
        inputs.push((&*declared.name, Array::new(bound.dtype, bound.dims.dims(), zeros)?));
    }
    let views: Vec<_> = inputs.iter().map(|(name, array)| (*name, array.view())).collect();
    network.run(&views)?;
    Ok(())
}

fn read_onnx(file: &[u8]) -> Result<(), FormatError> {
    let model = onnx::Model::parse(file)?;
    model.for_each_tensor(&mut |tensor| drop(tensor.bytes()));
    Ok(())
}

fn read_tflite(file: &[u8]) -> Result<(), FormatError> {
    let model = tflite::Model::parse(file)?;
    for tensor in model.subgraphs.iter().flat_map(|graph| &graph.tensors) {
        drop(model.expand(tensor)?);
    }
    Ok(())
}

/// Marsaglia's xorshift: the same damage on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 1).unwrap_or(0) % bound.max(1)
    }
}

/// Changes one place and gives what was there.
fn change(file: &mut [u8], random: &mut Random) -> (usize, Vec<u8>) {
    // Structure is found at both ends more than between weights.
    let near = file.len().min(4096);
    let at = match random.below(3) {
        0 => random.below(near),
        1 => file.len() - 1 - random.below(near),
        _ => random.below(file.len()),
    };
    let len = [1, 2, 4, 8][random.below(4)].min(file.len() - at);
    let kept = file[at..at + len].to_vec();
    match random.below(3) {
        0 => file[at] ^= 1 << random.below(8),
        1 => {
            let number = AWKWARD[random.below(AWKWARD.len())].to_le_bytes();
            file[at..at + len].copy_from_slice(&number[..len]);
        }
        _ => {
            let from = random.below(file.len() - len);
            file.copy_within(from..from + len, at);
        }
    }
    (at, kept)
}

fn damage(path: &Path, mut file: Vec<u8>, purpose: Purpose) -> Report {
    let name = path.file_name().unwrap_or_default().display().to_string();
    let read: fn(&[u8]) -> Result<(), FormatError> =
        if ending(path) == "onnx" { read_onnx } else { read_tflite };
    let timed = |file: &[u8]| {
        let begin = Instant::now();
        let answer = panic::catch_unwind(|| match purpose {
            Purpose::Read => read(file).is_ok(),
            Purpose::Run => run(file).is_ok(),
        });
        (answer, begin.elapsed())
    };
    let (mutations, longest) = match purpose {
        Purpose::Read => (MUTATIONS, ANSWER_TIME),
        Purpose::Run => (RUNS, RUN_TIME),
    };
    // What an intact file does not reach, damaged ones hardly do.
    let intact =
        if timed(&file).0.is_ok_and(|done| done) { "" } else { "; intact it ends in an error" };
    let mut report = Report::default();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let start = Instant::now();
    let (mut accepted, mut slowest) = (0usize, Duration::ZERO);
    for count in 0..mutations {
        if start.elapsed() > FILE_TIME {
            report.of += mutations - count;
            report.notes.push(format!("{name}: {count} of {mutations} in {FILE_TIME:?}"));
            return report;
        }
        let changes: Vec<_> =
            (0..=random.below(3)).map(|_| change(&mut file, &mut random)).collect();
        let (answer, mut time) = timed(&file);
        if time >= longest {
            // The reader answers alike each time; a machine that was busy does not.
            time = time.min(timed(&file).1);
        }
        slowest = slowest.max(time);
        accepted += usize::from(matches!(answer, Ok(true)));
        report.case(answer.is_ok() && time < longest, || {
            format!("{name}: mutation {count}: {time:?}, panic: {}", answer.is_err())
        });
        for (at, kept) in changes.into_iter().rev() {
            file[at..at + kept.len()].copy_from_slice(&kept);
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    let what = if purpose == Purpose::Run { "run" } else { "read" };
    report.notes.push(format!(
        "{name}: {accepted} of {mutations} still {what}, {seconds:.1} s, slowest answer {slowest:?}{intact}"
    ));
    report
}
