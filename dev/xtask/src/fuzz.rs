//! `cargo xtask fuzz`: every target of `fuzz/`, one after the other, for so many seconds each.
//!
//! Findings collect in `fuzz/corpus/TARGET` (not committed) over good files to start from, and
//! what libFuzzer says in `fuzz/corpus/TARGET.log`. A target that stops early has found a crash,
//! which lies in `fuzz/artifacts`; the others run all the same.

use std::{
    fs::{self, File},
    path::Path,
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{Verdict, cargo};

/// How long a target runs unless told otherwise.
const SECONDS: &str = "600";
/// libFuzzer's own bounds: an endless loop (targets measure their processor time themselves,
/// which a busy machine does not disturb), the process with its corpus, an input's length.
const BOUNDS: [&str; 4] =
    ["-timeout=120", "-rss_limit_mb=2048", "-max_len=16384", "-print_final_stats=1"];
/// Chat templates with the text that jinja2 makes of them; their sources are where `template` starts.
const TEMPLATES: &str = "crates/input/text/tests/goldens/templates.json";

/// Small networks of the test data, which lies where `LEDGE_DATA` says: the target that imports
/// them, the archive, and which of its files are networks.
const NETWORKS: [(&str, &str, &str); 2] = [
    ("onnx_plan", "networks/onnx_node_tests.tar.xz", "*.onnx"),
    ("tflite_plan", "networks/tflite_op_goldens.tar.xz", "*.tflite"),
];

/// Runs the named targets, or all; prints a row for each.
///
/// # Errors
/// If there is no such target, or Cargo cannot build or start one.
pub(crate) fn run(root: &Path, args: &[&str]) -> Result<Verdict> {
    let home = root.join("fuzz");
    let manifest: toml::Table = fs::read_to_string(home.join("Cargo.toml"))?.parse()?;
    let bins = manifest["bin"].as_array().context("fuzz/Cargo.toml: no [[bin]]")?;
    let known: Vec<&str> = bins.iter().filter_map(|bin| bin["name"].as_str()).collect();
    let (mut names, mut seconds) = (Vec::new(), SECONDS);
    let mut args = args.iter();
    while let Some(&arg) = args.next() {
        match arg {
            "--seconds" => seconds = args.next().context("--seconds needs a number")?,
            name if known.contains(&name) => names.push(name),
            name => bail!("no target `{name}`; there are {}", known.join(", ")),
        }
    }
    ensure!(seconds.parse::<u32>().is_ok_and(|n| n > 0), "--seconds {seconds}: not a number");
    let names = if names.is_empty() { known } else { names };
    let seeds = manifest["package"]["metadata"]["seeds"].as_table().context("no seeds")?;
    let built = Command::new(cargo())
        .args(["build", "--quiet", "--release", "--bins"])
        .current_dir(&home)
        .status()?;
    ensure!(built.success(), "the targets do not build; they need a C++ compiler");
    let mut verdict = Verdict::Good;
    for name in names {
        let seeds = seeds.get(name).and_then(toml::Value::as_str);
        let good = fuzz(root, &home, name, seeds, seconds).with_context(|| name.to_owned())?;
        if good == Verdict::Short {
            verdict = Verdict::Short;
        }
    }
    Ok(verdict)
}

/// Runs one target in its corpus and prints its row.
fn fuzz(
    root: &Path,
    home: &Path,
    name: &str,
    seeds: Option<&str>,
    seconds: &str,
) -> Result<Verdict> {
    let corpus = home.join("corpus").join(name);
    fs::create_dir_all(&corpus)?;
    fs::create_dir_all(home.join("artifacts"))?;
    if name == "template" {
        let cases: serde_json::Value = serde_json::from_slice(&fs::read(root.join(TEMPLATES))?)?;
        let sources = cases.as_array().into_iter().flatten().filter_map(|c| c["source"].as_str());
        for (i, source) in sources.enumerate() {
            fs::write(corpus.join(format!("golden-{i}")), source)?;
        }
    }
    let networks = NETWORKS.iter().find(|(target, ..)| *target == name);
    if let (Some((_, archive, files)), Some(folder)) = (networks, std::env::var_os("LEDGE_DATA")) {
        let status = Command::new("tar")
            .arg("xJf")
            .arg(Path::new(&folder).join(archive))
            .arg("-C")
            .arg(&corpus)
            .args(["--wildcards", files])
            .status()?;
        ensure!(status.success(), "tar could not unpack {archive}");
    }
    let log = home.join("corpus").join(format!("{name}.log"));
    let status = Command::new(cargo())
        .args(["run", "--quiet", "--release", "--bin", name, "--"])
        .arg(&corpus)
        .args(seeds)
        .args(BOUNDS)
        .args([
            &format!("-max_total_time={seconds}"),
            &format!("-artifact_prefix=artifacts/{name}-"),
        ])
        .current_dir(home)
        .stderr(File::create(&log)?)
        .status()?;
    let said = fs::read(&log)?;
    let said = String::from_utf8_lossy(&said);
    let stat = |key: &str| {
        said.lines().rev().find_map(|line| line.strip_prefix(key)).map_or("?", str::trim).to_owned()
    };
    let (runs, peak) = (stat("stat::number_of_executed_units:"), stat("stat::peak_rss_mb:"));
    let heap = stat("heap:");
    let verdict = if status.success() { "no crash" } else { "CRASH" };
    println!("{name:20} {verdict:8} {runs:>10} runs in {seconds} s, process {peak} MB, {heap}");
    Ok(if status.success() { Verdict::Good } else { Verdict::Short })
}
