//! `cargo xtask peers networks`: Ledge beside ONNX Runtime, `LiteRT` and `TFLite` Micro on real networks.
//!
//! `ledge bench --compare` runs both sides in turns in the same seconds, each loaded in a process of its
//! own; here it is called for each network and number of threads, and what comes out becomes a table of
//! ratios with targets: time and, beside ONNX Runtime, load time and peak memory. Networks with random
//! weights are made once by scripts; the others are fetched by `cargo xtask get` or are in the folder of
//! test data. tract is left out: it would have to be built, and on the same networks the others are faster.

use std::{
    env, fmt, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use super::environment::succeed;
use crate::{Verdict, cargo, get, metadata};

/// What both sides of the comparison are, so that a ratio names what it is a ratio to.
const PACKAGES: [&str; 4] = [
    "onnxruntime==1.31.1",
    "ai-edge-litert==2.3.0",
    "tflite-micro==0.dev20261023182759",
    "onnx==1.23.2",
];

/// The peer whose load time and peak memory are judged too; those of the others are only shown.
const ONNX_RUNTIME: &str = "onnxruntime";

/// Of that peer's load time and peak memory, at most.
const LOAD_MAX: f64 = 0.5;
const PEAK_MAX: f64 = 0.7;

/// Where a network comes from.
#[derive(Clone, Copy, Debug)]
enum Source {
    /// A light model of the package onnx, with random weights.
    Made(&'static str),
    /// A `TFLite` network of bytes with random weights.
    MadeInt8(&'static str),
    /// A file of a package that `cargo xtask get` knows.
    Fetched(&'static str, &'static str),
    /// A file below `networks/models` of the test data.
    Data(&'static str),
}

/// A network of the table.
#[derive(Clone, Copy, Debug)]
struct Case {
    name: &'static str,
    source: Source,
    /// What `ledge bench` is told of its inputs.
    inputs: &'static [&'static str],
    peer: &'static str,
    /// The least ratio of the peer's time to ours.
    target: f64,
}

const fn made(name: &'static str, target: f64) -> Case {
    Case { name, source: Source::Made(name), inputs: &[], peer: ONNX_RUNTIME, target }
}

const fn fetched(
    name: &'static str,
    (package, file): (&'static str, &'static str),
    inputs: &'static [&'static str],
    target: f64,
) -> Case {
    let source = Source::Fetched(package, file);
    Case { name, source, inputs, peer: ONNX_RUNTIME, target }
}

const fn micro(name: &'static str, source: Source, peer: &'static str, target: f64) -> Case {
    Case { name, source, inputs: &[], peer, target }
}

const SILERO: &[&str] =
    &["--shape", "input=1,576", "--shape", "state=2,1,128", "--input", "sr=16000"];

const CASES: [Case; 17] = [
    made("resnet50", 1.0),
    made("squeezenet", 1.1),
    made("shufflenet", 1.1),
    made("densenet121", 1.1),
    made("inception_v1", 1.1),
    made("inception_v2", 1.1),
    fetched(
        "ppocr-det",
        ("ppocr-v4", "ch_PP-OCRv4_det_infer.onnx"),
        &["--shape", "x=1,3,640,640"],
        1.1,
    ),
    fetched(
        "ppocr-rec",
        ("ppocr-v4", "ch_PP-OCRv4_rec_infer.onnx"),
        &["--shape", "x=1,3,48,320"],
        1.1,
    ),
    fetched("silero-vad", ("silero-vad", "silero_vad.onnx"), SILERO, 2.0),
    fetched("dtln-1", ("dtln", "model_1.onnx"), &[], 2.0),
    fetched("dtln-2", ("dtln", "model_2.onnx"), &[], 2.0),
    micro("keyword", Source::Data("speech.tflite"), "litert", 1.2),
    micro("wake-word", Source::Data("microwakeword_okay_nabu.tflite"), "litert", 1.2),
    micro("mnist", Source::Data("MNISTnet_uint8_quant.tflite"), "litert", 1.2),
    micro("mobilenet-int8", Source::MadeInt8("mobilenet"), "litert", 1.2),
    micro("ds-cnn-int8", Source::MadeInt8("ds-cnn"), "litert", 1.2),
    micro("person-detect", Source::Data("person_detect.tflite"), "tflite-micro", 4.0),
];

/// What the command line says.
#[derive(Debug, Default)]
struct Settings {
    /// Names of the table; all if none are given.
    only: Vec<String>,
    threads: Vec<u64>,
    /// A Python that has the packages.
    python: Option<PathBuf>,
    /// The program, if it is built already.
    ledge: Option<PathBuf>,
    /// A folder of networks that were made or fetched already, by package.
    folder: Option<PathBuf>,
    json: Option<PathBuf>,
}

const USAGE: &str = "\
write: peers networks [--only NAME,…] [--threads N,…] [--python PYTHON] [--ledge PROGRAM]
                      [--folder DIR] [--json FILE]";

impl Settings {
    fn read(args: &[&str]) -> Result<Self> {
        let mut settings = Self { threads: vec![1, 2], ..Self::default() };
        let (pairs, rest) = args.as_chunks::<2>();
        ensure!(rest.is_empty(), USAGE);
        for [flag, value] in pairs {
            match *flag {
                "--only" => settings.only = value.split(',').map(str::to_owned).collect(),
                "--threads" => {
                    let threads = value.split(',').map(str::parse).collect::<Result<_, _>>();
                    settings.threads = threads.context(USAGE)?;
                }
                "--python" => settings.python = Some(value.into()),
                "--ledge" => settings.ledge = Some(value.into()),
                "--folder" => settings.folder = Some(value.into()),
                "--json" => settings.json = Some(value.into()),
                _ => bail!(USAGE),
            }
        }
        for name in &settings.only {
            ensure!(CASES.iter().any(|case| case.name == name), "{name} is none of the networks");
        }
        Ok(settings)
    }
}

/// Measures and prints the table.
///
/// # Errors
/// If the arguments are wrong, or something that is needed cannot be made or fetched.
pub(super) fn run(root: &Path, args: &[&str]) -> Result<Verdict> {
    let settings = Settings::read(args)?;
    let metadata = metadata(root)?;
    let target = Path::new(metadata["target_directory"].as_str().context("no target folder")?);
    let python = match &settings.python {
        Some(python) => python.clone(),
        None => install(&target.join("peers/networks-venv"))?,
    };
    let ledge = if let Some(ledge) = &settings.ledge {
        ledge.clone()
    } else {
        let mut build = Command::new(cargo());
        succeed(build.args(["build", "--release", "-p", "ledge-cli"]).current_dir(root))?;
        target.join("release/ledge")
    };
    let folder = settings.folder.clone().unwrap_or_else(|| target.join("peers/networks"));
    let found = Place { root, python: &python, folder };
    let mut verdict = Verdict::Good;
    let mut all = Vec::new();
    println!("{HEAD}");
    let wanted = |case: &&Case| {
        settings.only.is_empty() || settings.only.iter().any(|name| name == case.name)
    };
    for case in CASES.iter().filter(wanted) {
        let Some(file) = found.file(case)? else {
            println!("| {} | | not there: LEDGE_DATA names the folder of test data |", case.name);
            continue;
        };
        for &threads in &settings.threads {
            let row = measure(&ledge, &python, case, &file, threads);
            let row = row.with_context(|| format!("{}, {threads} threads", case.name))?;
            println!("{row}");
            if !row.is_met() {
                verdict = Verdict::Short;
            }
            all.push(json!({ "name": case.name, "target": case.target, "found": row.found }));
        }
    }
    if let Some(path) = &settings.json {
        fs::write(path, format!("{:#}\n", Value::Array(all)))?;
    }
    Ok(verdict)
}

/// Makes a Python with the packages, unless it is there.
fn install(folder: &Path) -> Result<PathBuf> {
    let python = folder.join("bin/python");
    let stamp = folder.join("packages");
    let wanted = PACKAGES.join("\n");
    if fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
        return Ok(python);
    }
    eprintln!("installing {}", PACKAGES.join(", "));
    succeed(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
    succeed(Command::new(&python).args(["-m", "pip", "install", "--quiet"]).args(PACKAGES))?;
    fs::write(stamp, wanted)?;
    Ok(python)
}

/// Where networks are looked for and made.
struct Place<'a> {
    root: &'a Path,
    python: &'a Path,
    folder: PathBuf,
}

impl Place<'_> {
    /// The file that a script makes, unless it is there.
    fn made(&self, script: &str, name: &str, ending: &str) -> Result<PathBuf> {
        let path = self.folder.join(format!("{name}.{ending}"));
        if !path.is_file() {
            fs::create_dir_all(&self.folder)?;
            let script = self.root.join("tools/peers").join(script);
            succeed(Command::new(self.python).arg(script).arg(&self.folder).arg(name))?;
        }
        Ok(path)
    }

    /// The file of a network; none where it is in a folder that is not there.
    fn file(&self, case: &Case) -> Result<Option<PathBuf>> {
        match case.source {
            Source::Made(name) => self.made("networks.py", name, "onnx").map(Some),
            Source::MadeInt8(name) => self.made("int8.py", name, "tflite").map(Some),
            Source::Fetched(package, file) => {
                let below = |folder: &Path| folder.join(package).join(file);
                let models = self.root.join("models");
                for folder in [&self.folder, &models] {
                    if below(folder).is_file() {
                        return Ok(Some(below(folder)));
                    }
                }
                if get::run(self.root, &[package])? == Verdict::Short {
                    bail!("{package} cannot be fetched");
                }
                Ok(Some(below(&models)))
            }
            Source::Data(file) => {
                let folder = env::var_os("LEDGE_DATA").map(PathBuf::from);
                let path = folder.map(|folder| folder.join("networks/models").join(file));
                Ok(path.filter(|path| path.is_file()))
            }
        }
    }
}

/// Runs `ledge bench` with a Python that has the peers first on PATH.
fn measure(ledge: &Path, python: &Path, case: &Case, file: &Path, threads: u64) -> Result<Row> {
    let bin = python.parent().context("the Python has no folder")?;
    let path = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths([bin.to_owned()].into_iter().chain(env::split_paths(&path)))?;
    let threads_word = threads.to_string();
    let output = Command::new(ledge)
        .arg("bench")
        .arg(file)
        .args(["--threads", &threads_word, "--compare", case.peer, "--json"])
        .args(case.inputs)
        .env("PATH", path)
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}", said.trim());
    let found: Value = serde_json::from_slice(&output.stdout)?;
    ensure!(found["compared"].is_object(), "{}", said.trim());
    Ok(Row { case: *case, threads, found })
}

/// The head of the table.
const HEAD: &str = "\
| network | threads | peer | peer ms | Ledge ms | ratio (least–most) | target | load ms: peer, Ledge (of it) | peak MiB: peer, Ledge (of it) |
|---|---|---|---|---|---|---|---|---|";

/// One network with one number of threads.
#[derive(Debug)]
struct Row {
    case: Case,
    threads: u64,
    found: Value,
}

impl Row {
    fn number(&self, side: Side, key: &str) -> f64 {
        let found = match side {
            Side::Ledge => &self.found,
            Side::Peer => &self.found["compared"],
        };
        found[key].as_f64().unwrap_or(0.0)
    }

    fn ratio(&self) -> f64 {
        self.number(Side::Peer, "ratio")
    }

    /// What of the peer's ours is.
    fn share(&self, key: &str) -> f64 {
        self.number(Side::Ledge, key) / self.number(Side::Peer, key)
    }

    /// Whether a share of the peer's is small enough; only that of ONNX Runtime's is judged.
    fn is_within(&self, key: &str, most: f64) -> bool {
        self.case.peer != ONNX_RUNTIME || self.share(key) <= most
    }

    fn is_met(&self) -> bool {
        self.ratio() >= self.case.target
            && self.is_within("load_ms", LOAD_MAX)
            && self.is_within("peak_bytes", PEAK_MAX)
    }
}

/// Whose number is meant.
#[derive(Clone, Copy, Debug)]
enum Side {
    Ledge,
    Peer,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = |met: bool| if met { "" } else { " SHORT" };
        let peer = self.found["compared"]["peer"].as_str().unwrap_or("");
        let [least, most] = ["ratio_least", "ratio_most"].map(|key| self.number(Side::Peer, key));
        let (load, peak) = (self.share("load_ms"), self.share("peak_bytes"));
        let mib = |side| self.number(side, "peak_bytes") / f64::from(1 << 20);
        write!(
            f,
            "| {} | {} | {peer} | {:.3} | {:.3} | {:.2} ({least:.2}–{most:.2}) | {:.1}{} \
             | {:.1}, {:.1} ({load:.2}{}) | {:.1}, {:.1} ({peak:.2}{}) |",
            self.case.name,
            self.threads,
            self.number(Side::Peer, "p50_ms"),
            self.number(Side::Ledge, "p50_ms"),
            self.ratio(),
            self.case.target,
            short(self.ratio() >= self.case.target),
            self.number(Side::Peer, "load_ms"),
            self.number(Side::Ledge, "load_ms"),
            short(self.is_within("load_ms", LOAD_MAX)),
            mib(Side::Peer),
            mib(Side::Ledge),
            short(self.is_within("peak_bytes", PEAK_MAX)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_falls_short_of_what_it_misses() {
        let found = json!({
            "p50_ms": 2.0, "load_ms": 40.0, "peak_bytes": 60 << 20,
            "compared": {
                "peer": "x 1", "p50_ms": 2.4, "load_ms": 100.0, "peak_bytes": 100 << 20,
                "ratio": 1.2, "ratio_least": 1.0, "ratio_most": 1.3,
            },
        });
        let mut row = Row { case: made("resnet50", 1.0), threads: 1, found };
        assert!(row.is_met(), "{row}");
        row.case.target = 1.5;
        assert!(!row.is_met());
        assert!(row.to_string().contains("1.20 (1.00–1.30) | 1.5 SHORT |"), "{row}");
        row.case.target = 1.0;
        row.found["load_ms"] = json!(60.0);
        assert!(row.to_string().contains("100.0, 60.0 (0.60 SHORT)"), "{row}");
        row.case.peer = "litert";
        assert!(row.is_met() && row.to_string().contains("100.0, 60.0 (0.60)"), "{row}");
    }

    #[test]
    fn arguments_name_networks_of_the_table() {
        assert!(Settings::read(&["--only", "resnet50,silero-vad", "--threads", "1"]).is_ok());
        for wrong in [&["--only", "resnet"][..], &["--threads", "x"], &["--only"], &["-x", "y"]] {
            assert!(Settings::read(wrong).is_err(), "{wrong:?}");
        }
    }
}
