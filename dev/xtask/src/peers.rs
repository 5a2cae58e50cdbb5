//! `cargo xtask peers lm`: Ledge beside llama.cpp, on the same files, in the same minutes; and
//! `cargo xtask peers networks`, which a file of its own has.
//!
//! Memory rates of rented machines change by a factor of two within minutes, so that only ratios of
//! runs that follow each other count: the peer and Ledge run alternately, each with a process of its
//! own, and between any two of them the machine's limits are probed. The peer gets its best
//! configuration, found beforehand by trying. The exit code is 1 where a target is missed.

mod environment;
mod networks;
mod table;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use crate::{Verdict, chores, metadata};
use environment::Environment;
use table::{Round, Row};

/// Tokens of the prompt that is measured.
const PROMPT: u64 = 512;
/// Positions of the long context.
const DEPTH: u64 = 4096;
/// Seconds after which the peer's filling of a context is given up.
const SECONDS_MAX: u64 = 60;

/// The files of the table: real shapes in usual types, and one real file.
const FILES: [&str; 8] = [
    "smollm2-135m-q4_0",
    "smollm2-135m-q4_k_m",
    "SmolLM2-135M-Instruct.Q4_1",
    "qwen2.5-0.5b-q4_0",
    "qwen2.5-0.5b-q4_k_m",
    "llama-3.2-1b-q4_0",
    "llama-3.2-1b-q4_k_m",
    "llama-3.2-1b-q8_0",
];

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Measure {
    /// Tokens a second of a prompt.
    Prompt,
    /// Tokens a second from an empty sequence on.
    Decode,
    /// Tokens a second behind [`DEPTH`] positions.
    Deep,
}

impl Measure {
    const ALL: [Self; 3] = [Self::Prompt, Self::Decode, Self::Deep];

    const fn name(self) -> &'static str {
        match self {
            Self::Prompt => "prompt",
            Self::Decode => "decode",
            Self::Deep => "deep",
        }
    }

    /// The key of the rate in either side's answer.
    const fn key(self) -> &'static str {
        match self {
            Self::Prompt => "prefill_tps",
            Self::Decode | Self::Deep => "decode_tps",
        }
    }

    /// Tokens of the prompt, positions behind which to generate, and tokens to generate.
    const fn sizes(self) -> (u64, u64, u64) {
        match self {
            Self::Prompt => (PROMPT, 0, 0),
            Self::Decode => (0, 0, 48),
            Self::Deep => (0, DEPTH, 32),
        }
    }
}

/// How llama.cpp runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Peer {
    /// Weights are packed again for the processor.
    repack: bool,
    /// Attention without the matrix of scores.
    flash: bool,
    kv: &'static str,
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = |on| if on { '+' } else { '-' };
        write!(f, "{}repack {}flash {}", sign(self.repack), sign(self.flash), self.kv)
    }
}

/// Which instructions both sides use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    /// All that the processor has.
    Native,
    /// AVX2 with FMA, without dot products of bytes.
    Avx2,
}

impl Level {
    /// Where the peer that was built so lies, under the target folder.
    const fn folder(self) -> &'static str {
        match self {
            Self::Native => "peers/venv",
            Self::Avx2 => "peers/venv-avx2",
        }
    }

    /// How the peer is built so.
    const fn flags(self) -> &'static str {
        match self {
            Self::Native => "-DGGML_NATIVE=ON",
            Self::Avx2 => {
                "-DGGML_NATIVE=OFF -DGGML_AVX=ON -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON \
                 -DGGML_BMI2=ON -DGGML_AVX_VNNI=OFF -DGGML_AVX512=OFF"
            }
        }
    }

    /// What Ledge is told.
    const fn option(self) -> &'static str {
        match self {
            Self::Native => "",
            Self::Avx2 => " --isa avx2",
        }
    }
}

impl std::fmt::Display for Level {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Native => "this processor",
            Self::Avx2 => "AVX2",
        })
    }
}

/// What the command line says.
#[derive(Debug)]
struct Settings {
    /// Stems of file names, or paths.
    models: Vec<String>,
    /// Where files are looked for and made.
    folder: PathBuf,
    measures: Vec<Measure>,
    rounds: usize,
    threads: u64,
    level: Level,
    /// A Python that has the package.
    python: Option<PathBuf>,
    /// The program, if it is built already.
    ledge: Option<PathBuf>,
    /// A command in front of each measured process, such as `taskset -c 0,1`.
    under: Vec<String>,
    /// Where all numbers go.
    json: Option<PathBuf>,
}

const USAGE: &str = "\
write: peers lm [--models NAME-TYPE|FILE,…] [--folder DIR] [--only prompt,decode,deep] [--rounds N]
                [--threads N] [--isa native|avx2] [--python PYTHON] [--ledge PROGRAM]
                [--under \"COMMAND\"] [--json FILE]
   or: peers networks …";

impl Settings {
    fn read(root: &Path, args: &[&str]) -> Result<Self> {
        let ["lm", args @ ..] = args else { bail!(USAGE) };
        let mut settings = Self {
            models: FILES.map(str::to_owned).to_vec(),
            folder: root.join("models/synth"),
            measures: Measure::ALL.to_vec(),
            rounds: 3,
            threads: 2,
            level: Level::Native,
            python: None,
            ledge: None,
            under: Vec::new(),
            json: None,
        };
        let (pairs, rest) = args.as_chunks::<2>();
        ensure!(rest.is_empty(), USAGE);
        let list = |text: &str| text.split(',').map(str::to_owned).collect();
        for [flag, value] in pairs {
            match *flag {
                "--models" => settings.models = list(value),
                "--folder" => settings.folder = value.into(),
                "--only" => {
                    let known = |name: &str| Measure::ALL.into_iter().find(|m| m.name() == name);
                    let all: Option<Vec<_>> = value.split(',').map(known).collect();
                    settings.measures = all.context(USAGE)?;
                }
                "--rounds" => settings.rounds = value.parse::<usize>().context(USAGE)?.max(1),
                "--threads" => settings.threads = value.parse().context(USAGE)?,
                "--isa" => {
                    settings.level = match *value {
                        "native" => Level::Native,
                        "avx2" => Level::Avx2,
                        _ => bail!(USAGE),
                    }
                }
                "--python" => settings.python = Some(value.into()),
                "--ledge" => settings.ledge = Some(value.into()),
                "--under" => {
                    settings.under = value.split_whitespace().map(str::to_owned).collect();
                }
                "--json" => settings.json = Some(value.into()),
                _ => bail!(USAGE),
            }
        }
        Ok(settings)
    }
}

/// Measures and prints the table.
///
/// # Errors
/// If the arguments are wrong, the environment cannot be made, or a side does not run at all.
pub(crate) fn run(root: &Path, args: &[&str]) -> Result<Verdict> {
    if let ["networks", args @ ..] = args {
        return networks::run(root, args);
    }
    let settings = Settings::read(root, args)?;
    let metadata = metadata(root)?;
    let target = metadata["target_directory"].as_str().context("no target folder")?;
    let environment = Environment::make(root, Path::new(target), &settings)?;
    let bench = Bench { environment, settings };
    let mut verdict = Verdict::Good;
    let mut all = Vec::new();
    println!("{}", table::HEAD);
    for name in &bench.settings.models {
        let file = bench.file(root, name)?;
        for &measure in &bench.settings.measures {
            let row = bench.row(name, &file, measure);
            let row = row.with_context(|| format!("{name}, {}", measure.name()))?;
            println!("{row}");
            if !row.is_met() {
                verdict = Verdict::Short;
            }
            all.push(row.object());
        }
    }
    if let Some(path) = &bench.settings.json {
        fs::write(path, format!("{:#}\n", Value::Array(all)))?;
    }
    Ok(verdict)
}

/// Runs both sides.
#[derive(Debug)]
struct Bench {
    environment: Environment,
    settings: Settings,
}

impl Bench {
    /// The file of a name: a path, a fetched model, or one that is made now.
    fn file(&self, root: &Path, name: &str) -> Result<PathBuf> {
        let made = self.settings.folder.join(format!("{name}.gguf"));
        let fetched = root.join("models").join(format!("{name}.gguf"));
        let fetched_deep = root.join("models/smollm2-135m-instruct").join(format!("{name}.gguf"));
        for path in [PathBuf::from(name), made.clone(), fetched, fetched_deep] {
            if path.is_file() {
                return Ok(path);
            }
        }
        let (model, ty) = name.rsplit_once('-').with_context(|| {
            format!("{name} is no file; real models are fetched by `cargo xtask get`")
        })?;
        fs::create_dir_all(&self.settings.folder)?;
        let path = made.to_str().context("the folder's name is not UTF-8")?;
        if chores::conformance(root, &["synth", model, ty, "--out", path])? == Verdict::Short {
            bail!("{name} cannot be made");
        }
        Ok(made)
    }

    /// All rounds of one measure.
    fn row(&self, name: &str, file: &Path, measure: Measure) -> Result<Row> {
        let (peer, tried) = self.best_peer(file, measure)?;
        let kv = self.best_kv(file, measure)?;
        let mut rounds = Vec::new();
        let mut before = self.probe()?;
        for _ in 0..self.settings.rounds {
            let theirs = self.peer(file, measure, peer)?;
            let theirs = theirs[measure.key()].as_f64().context("the peer gave no rate")?;
            let between = self.probe()?;
            let ours = self.ledge(file, measure, kv)?;
            let after = self.probe()?;
            rounds.push(Round::new(theirs, ours, [before, between, after.clone()]));
            before = after;
        }
        let peer = format!("{} {peer}", self.environment.version);
        let (name, level) = (name.to_owned(), self.settings.level);
        Ok(Row { name, measure, level, peer, kv, rounds, tried })
    }

    /// The peer's fastest configuration, and what each that was tried reached.
    fn best_peer(&self, file: &Path, measure: Measure) -> Result<(Peer, Vec<(String, f64)>)> {
        let kinds: &[(bool, &str)] = match measure {
            Measure::Prompt | Measure::Decode => &[(false, "f16"), (true, "f16")],
            Measure::Deep => &[(false, "f16"), (true, "f16"), (true, "q8_0")],
        };
        let mut tried: Vec<(Peer, f64)> = Vec::new();
        let mut best = (Peer { repack: true, flash: false, kv: "f16" }, 0.0);
        let mut attempt = |peer: Peer, best: &mut (Peer, f64)| -> Result<()> {
            let rate = self.peer(file, measure, peer)?[measure.key()].as_f64().unwrap_or(0.0);
            eprintln!("  {} {}: {peer} {rate:.1}", file.display(), measure.name());
            tried.push((peer, rate));
            if rate > best.1 {
                *best = (peer, rate);
            }
            Ok(())
        };
        for &(flash, kv) in kinds {
            attempt(Peer { repack: true, flash, kv }, &mut best)?;
        }
        // How weights lie and how attention is done do not depend on each other.
        attempt(Peer { repack: false, ..best.0 }, &mut best)?;
        let list = tried.iter().map(|(peer, rate)| (peer.to_string(), *rate)).collect();
        Ok((best.0, list))
    }

    /// Our fastest cache of at least 8 bits; where it hardly matters, the default.
    fn best_kv(&self, file: &Path, measure: Measure) -> Result<&'static str> {
        if measure != Measure::Deep {
            return Ok("f16");
        }
        let mut best = ("f16", 0.0);
        for kv in ["f16", "q8", "q8_0", "int8"] {
            // Only what the program has.
            let Ok(found) = self.ledge(file, measure, kv) else { continue };
            let rate = found[measure.key()].as_f64().unwrap_or(0.0);
            eprintln!("  {} {}: ledge {kv} {rate:.1}", file.display(), measure.name());
            if rate > best.1 {
                best = (kv, rate);
            }
        }
        ensure!(best.1 > 0.0, "ledge gave no rate");
        Ok(best.0)
    }

    /// One process of the peer.
    fn peer(&self, file: &Path, measure: Measure, peer: Peer) -> Result<Value> {
        let (prompt, depth, tokens) = measure.sizes();
        let asked = json!({
            "model": file,
            "threads": self.settings.threads,
            "prompt": prompt,
            "depth": depth,
            "tokens": tokens,
            "repeat": 2,
            "repack": peer.repack,
            "flash": peer.flash,
            "kv": peer.kv,
            "seconds_max": SECONDS_MAX,
        });
        let script = self.environment.script.as_os_str().to_owned();
        self.answer(&self.environment.python, &[script, asked.to_string().into()])
    }

    /// One process of ours.
    fn ledge(&self, file: &Path, measure: Measure, kv: &str) -> Result<Value> {
        let (prompt, depth, tokens) = measure.sizes();
        let line = format!(
            "--prompt {prompt} --depth {depth} -n {tokens} --repeat 2 --threads {} --kv {kv} --json{}",
            self.settings.threads,
            self.settings.level.option()
        );
        let mut args = vec!["bench".into(), file.as_os_str().to_owned()];
        args.extend(line.split(' ').map(Into::into));
        self.answer(&self.environment.ledge, &args)
    }

    /// The machine's limits now.
    fn probe(&self) -> Result<Value> {
        let line = format!(
            "bench --limits --prompt 0 -n 0 --threads {} --json{}",
            self.settings.threads,
            self.settings.level.option()
        );
        let args: Vec<_> = line.split(' ').map(Into::into).collect();
        let mut answer = self.answer(&self.environment.ledge, &args)?;
        let mut limits = answer["limits"].take();
        let load = fs::read_to_string("/proc/loadavg").ok();
        let load = load.and_then(|line| line.split(' ').next()?.parse::<f64>().ok());
        limits["load"] = json!(load);
        Ok(limits)
    }

    /// Runs a program and reads the object that it prints.
    fn answer(&self, program: &Path, args: &[std::ffi::OsString]) -> Result<Value> {
        let mut words = self.settings.under.iter().map(Into::into).collect::<Vec<_>>();
        words.push(program.as_os_str().to_owned());
        words.extend_from_slice(args);
        let output = Command::new(&words[0]).args(&words[1..]).output();
        let output = output.with_context(|| format!("running {}", words[0].display()))?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{}: {}", program.display(), said.trim());
        serde_json::from_slice(&output.stdout).with_context(|| program.display().to_string())
    }
}
