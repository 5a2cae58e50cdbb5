//! The promise beside the measured peak, with the context filled, on every model that is here.
//!
//! The program itself is run (a process of its own for each case, as a user starts it): a prompt that
//! is cut to the context, then tokens until the context is full; of a network, some runs on random
//! inputs. The peak may never be above the promise, and at most 10 % below it.

use std::{
    env, fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::fixtures::{Fixtures, Report};

/// The least share of the promise that a filled context must have taken.
const SHARE_MIN: f64 = 0.9;
/// The same of networks: the pages of the program, which differ by half a MiB from run to run, are most
/// of what a small one takes.
const NETWORK_SHARE_MIN: f64 = 0.8;
/// Contexts, and threads: one, two, and more than there are processors.
const CONTEXTS: [&str; 2] = ["256", "1024"];
const THREADS: [&str; 3] = ["1", "2", "4"];
/// Networks: package, file, and what the program is told of inputs.
const NETWORKS: [(&str, &str, &[&str]); 17] = [
    ("ppocr-v4", "ch_PP-OCRv4_det_infer.onnx", &["--shape", "x=1,3,640,640"]),
    ("ppocr-v4", "ch_PP-OCRv4_det_infer.onnx", &["--shape", "x=1,3,320,320"]),
    ("ppocr-v4", "ch_PP-OCRv4_rec_infer.onnx", &["--shape", "x=1,3,48,320"]),
    ("ppocr-v4", "ch_ppocr_mobile_v2.0_cls_infer.onnx", &["--shape", "x=1,3,48,192"]),
    ("magika", "model.onnx", &["--shape", "bytes=1,2048"]),
    ("dtln", "model_1.onnx", &[]),
    ("nsnet2", "nsnet2-20ms-baseline.onnx", &["--shape", "input=1,50,161"]),
    ("face-tflite", "face_detection_full_range.tflite", &[]),
    ("networks/models", "person_detect.tflite", &[]),
    ("networks/models", "speech.tflite", &[]),
    ("networks/models", "microwakeword_okay_nabu.tflite", &[]),
    (MADE, "squeezenet.onnx", &[]),
    (MADE, "shufflenet.onnx", &[]),
    (MADE, "densenet121.onnx", &[]),
    (MADE, "inception_v1.onnx", &[]),
    (MADE, "inception_v2.onnx", &[]),
    (MADE, "resnet50.onnx", &[]),
];
/// Where networks with random weights are looked for, which a script makes.
const MADE: &str = "made";

/// Enough text for the longest context in the smallest vocabulary.
const TEXT_BYTES: usize = 16 << 10;

/// Compares peak and promise.
///
/// # Errors
/// If the program is not built or does not run.
pub(crate) fn check(fixtures: &Fixtures) -> Result<Report> {
    let program = env::current_exe()?.with_file_name("ledge");
    ensure!(
        program.is_file(),
        "{}: not built; run `cargo build --release -p ledge-cli`",
        program.display()
    );
    let text = fs::read(fixtures.path("text/en-novel-emma.txt"))?;
    let text = &text[..TEXT_BYTES.min(text.len())];
    let mut report = Report::default();
    let mut models = vec![
        ("embedded", None),
        ("stories260K-f32", Some(fixtures.path("lm/stories260K-f32.gguf"))),
        ("stories260K-q8_0", Some(fixtures.path("lm/stories260K-q8_0.gguf"))),
    ];
    for (name, file) in [
        ("smollm2-135m-instruct", "SmolLM2-135M-Instruct.Q4_1.gguf"),
        ("gemma-3-270m", "gemma-3-270m-q4_k_m.gguf"),
    ] {
        match fixtures.model(name, file) {
            Some(path) => models.push((name, Some(path))),
            None => report.absent(name, &format!("cargo xtask get {name}")),
        }
    }
    for (name, path) in &models {
        let (mut low, mut high) = (f64::INFINITY, 0.0f64);
        for context in CONTEXTS {
            for threads in THREADS {
                let place = format!("{name}, context {context}, {threads} threads");
                let (promised, peak) = run(&program, path.as_ref(), context, threads, text)
                    .with_context(|| place.clone())?;
                let share = peak / promised;
                (low, high) = (low.min(share), high.max(share));
                report.case((SHARE_MIN..=1.0).contains(&share), || {
                    format!("{place}: peak {peak:.0} of {promised:.0} bytes")
                });
            }
        }
        report.notes.push(format!("{name}: peak {low:.3} to {high:.3} of the promise"));
    }
    networks(&program, fixtures, &mut report)?;
    Ok(report)
}

/// Compares the peak of networks' runs with what `ledge plan` said before.
fn networks(program: &Path, fixtures: &Fixtures, report: &mut Report) -> Result<()> {
    for (package, file, inputs) in NETWORKS {
        let Some(path) = fixtures.model(package, file) else {
            let made = file.trim_end_matches(".onnx");
            report.absent(
                file,
                &match package {
                    MADE => format!("tools/peers/networks.py models/made {made}"),
                    _ => format!("cargo xtask get {package}"),
                },
            );
            continue;
        };
        let mut shares = Vec::new();
        for threads in ["1", "2"] {
            let ask = |verb: &[&str]| -> Result<Value> {
                let output = Command::new(program)
                    .args(verb)
                    .arg(&path)
                    .args(inputs)
                    .args(["--threads", threads, "--json"])
                    .output()?;
                let said = String::from_utf8_lossy(&output.stderr);
                ensure!(output.status.success(), "{file}: {said}");
                Ok(serde_json::from_slice(&output.stdout)?)
            };
            let promised = ask(&["plan"])?["promised"]["total"].as_f64().context("no promise")?;
            let peak = ask(&["bench", "--repeat", "3"])?["peak_bytes"].as_f64();
            let share = peak.context("no peak")? / promised;
            shares.push(format!("{share:.3}"));
            report.case((NETWORK_SHARE_MIN..=1.0).contains(&share), || {
                format!("{file}, {threads} threads: {share:.3} of {promised:.0} bytes")
            });
        }
        report.notes.push(format!("{file}: peak {} of the promise", shares.join(", ")));
    }
    Ok(())
}

/// Fills a context; gives the bytes that were promised and the peak.
fn run(
    program: &Path,
    model: Option<&PathBuf>,
    context: &str,
    threads: &str,
    text: &[u8],
) -> Result<(f64, f64)> {
    let mut child = Command::new(program)
        .arg("run")
        .args(model)
        .args(["-", "--truncate", "--ignore-eos", "--seed", "1", "--json"])
        .args(["-n", context, "--ctx", context, "--threads", threads])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take().context("no pipe")?;
    stdin.write_all(text)?;
    drop(stdin);
    let output = child.wait_with_output()?;
    let said = String::from_utf8(output.stdout)?;
    let last: Value = serde_json::from_str(said.lines().last().context("no report")?)?;
    let report = &last["report"];
    ensure!(report["ending"] == "context_full", "ended otherwise: {last}");
    let number = |key: &str| report["plan"][key].as_f64().with_context(|| format!("no {key}"));
    Ok((number("promised")?, number("peak")?))
}
