//! Another runtime on the same inputs: a Python with the package, in a process of its own.
//!
//! The script waits on stdin and answers on stdout (its head has the protocol), so that both sides stay
//! loaded while they run in turns. Nothing is installed: what is not there is told.

use super::{Times, micro};
use crate::{
    args::{Bench, Peer as Kind},
    failure::{Failure, Result},
    output::Output,
};
use import::network::Numbers;
use ledge::{Array, Bytes};
use serde_json::{Value, json};
use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};
use tensor::DType;

const SCRIPT: &str = include_str!("peer.py");

/// Pythons that are tried, by the names that PATH has them under.
const PYTHONS: [&str; 2] = ["python3", "python"];

/// A runtime that has loaded the network.
pub(super) struct Peer {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    version: String,
    load_ms: f64,
}

/// What it gave.
pub(super) struct Compared {
    version: String,
    load_ms: f64,
    times: Times,
    peak: Option<Bytes>,
    /// Its time over ours, of each turn, the least first.
    ratios: Vec<f64>,
    /// The largest difference of outputs, and the largest output.
    differs: Option<(f64, f64)>,
}

impl Peer {
    /// Starts it; the error says why there is nothing to compare with.
    pub(super) fn start(
        kind: Kind,
        args: &Bench,
        inputs: &[(String, Array)],
    ) -> std::result::Result<Self, String> {
        let threads = args.model.threads.map_or_else(super::processors, std::num::NonZero::get);
        let listed: Vec<Value> = inputs
            .iter()
            .map(|(name, array)| {
                json!({
                    "name": name,
                    "type": numpy(array.dtype()),
                    "shape": array.shape().dims(),
                    "bytes": array.bytes().len(),
                })
            })
            .collect();
        let asked = json!({
            "runtime": kind.name(),
            "model": args.path,
            "threads": threads,
            "inputs": listed,
        });
        let mut reason = String::from("no Python on PATH");
        for python in PYTHONS {
            let child = Command::new(python)
                .args(["-c", SCRIPT, &asked.to_string()])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn();
            let Ok(mut child) = child else { continue };
            let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
                continue;
            };
            let mut peer = Self {
                child,
                stdin,
                stdout: BufReader::new(stdout),
                version: String::new(),
                load_ms: 0.0,
            };
            match peer.load(inputs) {
                Ok(()) => return Ok(peer),
                Err(error) => reason = format!("{python}: {error}"),
            }
        }
        Err(reason)
    }

    fn load(&mut self, inputs: &[(String, Array)]) -> io::Result<()> {
        for (_, array) in inputs {
            // A script that has ended says why on stdout.
            self.stdin.write_all(array.bytes()).ok();
        }
        self.stdin.flush().ok();
        let answer = self.answer()?;
        answer["version"].as_str().unwrap_or_default().clone_into(&mut self.version);
        self.load_ms = answer["load_ms"].as_f64().unwrap_or(0.0);
        Ok(())
    }

    fn answer(&mut self) -> io::Result<Value> {
        let mut line = String::new();
        if self.stdout.read_line(&mut line)? == 0 {
            return Err(io::Error::other("it ended without an answer"));
        }
        let answer: Value = serde_json::from_str(&line)?;
        match answer["error"].as_str() {
            Some(error) => Err(io::Error::other(error.to_owned())),
            None => Ok(answer),
        }
    }

    /// Runs it so many times.
    pub(super) fn run(&mut self, runs: u64) -> Result<Vec<Duration>> {
        let answer = writeln!(self.stdin, "{runs}").and_then(|()| self.answer());
        let answer = answer.map_err(|error| self.failed(&error))?;
        let times = answer["times_ms"].as_array().map(Vec::as_slice).unwrap_or_default();
        let times = times.iter().filter_map(Value::as_f64);
        Ok(times.map(|ms| Duration::from_secs_f64(ms / 1e3)).collect())
    }

    fn failed(&self, error: &io::Error) -> Failure {
        Failure::usage(format!("{} cannot run the network: {error}", self.version)).at("--compare")
    }

    /// Asks for its outputs and its memory, and ends it.
    pub(super) fn finish(
        mut self,
        times: Vec<Duration>,
        ratios: Vec<f64>,
        outputs: &[(String, Array)],
    ) -> Result<Compared> {
        let answer = writeln!(self.stdin).and_then(|()| self.answer());
        let answer = answer.map_err(|error| self.failed(&error))?;
        let listed = answer["outputs"].as_array().map(Vec::as_slice).unwrap_or_default();
        let mut differs: Option<(f64, f64)> = None;
        for (i, entry) in listed.iter().enumerate() {
            let bytes = entry["bytes"].as_u64().and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
            let mut elements = vec![0; bytes];
            let read = self.stdout.read_exact(&mut elements);
            read.map_err(|error| self.failed(&error))?;
            let named = outputs.iter().find(|(name, _)| entry["name"] == **name);
            let Some((_, ours)) = named.or_else(|| outputs.get(i)) else { continue };
            if entry["type"] != numpy(ours.dtype()) || elements.len() != ours.bytes().len() {
                continue;
            }
            let numbers = |bytes| Numbers { dtype: ours.dtype(), bytes }.floats();
            let (mut most, mut scale) = differs.unwrap_or_default();
            for (ours, theirs) in numbers(ours.bytes()).iter().zip(numbers(&elements)) {
                most = most.max((ours - theirs).abs());
                scale = scale.max(theirs.abs());
            }
            differs = Some((most, scale));
        }
        self.child.wait().ok();
        Ok(Compared {
            version: std::mem::take(&mut self.version),
            load_ms: self.load_ms,
            times: Times::new(0, times),
            peak: answer["peak_bytes"].as_u64().map(Bytes),
            ratios,
            differs,
        })
    }
}

/// A process that nobody asks any more is ended.
impl Drop for Peer {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Compared {
    fn ratio(&self) -> [f64; 3] {
        let at = |i: usize| self.ratios.get(i).copied().unwrap_or(0.0);
        [at(self.ratios.len() / 2), at(0), at(self.ratios.len().saturating_sub(1))]
    }

    pub(super) fn object(&self) -> Value {
        let [p50, p90, p99] = [0.5, 0.9, 0.99].map(|q| micro(self.times.quantile(q)));
        let digits = |x: f64| (x * 1e3).round() / 1e3;
        let [ratio, least, most] = self.ratio().map(digits);
        json!({
            "peer": self.version,
            "p50_ms": p50,
            "p90_ms": p90,
            "p99_ms": p99,
            "load_ms": digits(self.load_ms),
            "peak_bytes": self.peak.map(|peak| peak.0),
            "ratio": ratio,
            "ratio_least": least,
            "ratio_most": most,
            "difference_max": self.differs.map(|(most, _)| most),
            "output_max": self.differs.map(|(_, scale)| scale),
        })
    }

    pub(super) fn table(&self, output: &mut Output) -> Result<()> {
        let [p50, p90] = [0.5, 0.9].map(|q| micro(self.times.quantile(q)));
        let [ratio, least, most] = self.ratio();
        let version = &self.version;
        output.line(&format!("peer     {p50:>9.3} ms  {version}; 90 % {p90:.3} ms"))?;
        output.line(&format!(
            "ratio    {ratio:>9.2}     peer's time over ours; {least:.2} to {most:.2} in turns"
        ))?;
        let peak = self.peak.map_or_else(String::new, |peak| format!(", {peak} without Python"));
        output.line(&format!("         {:>9.1} ms  peer's load{peak}", self.load_ms))?;
        if let Some((most, scale)) = self.differs {
            output.line(&format!(
                "outputs  differ by {most:.3e} at most; the largest is {scale:.3e}"
            ))?;
        }
        Ok(())
    }
}

/// numpy's name of a type; types that it lacks are told as bytes.
fn numpy(dtype: DType) -> &'static str {
    match dtype {
        DType::F32 => "float32",
        DType::F16 => "float16",
        DType::F64 => "float64",
        DType::I8 => "int8",
        DType::U8 | DType::F8E4M3 | DType::F8E5M2 => "uint8",
        DType::I16 => "int16",
        DType::U16 | DType::BF16 => "uint16",
        DType::I32 => "int32",
        DType::U32 => "uint32",
        DType::I64 => "int64",
        DType::U64 => "uint64",
        DType::Bool => "bool",
    }
}
