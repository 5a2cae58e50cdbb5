//! Tiny models of every family with random weights, against llama.cpp's logits.
//!
//! A case under `testdata/families` is a `.toml` (settings, seeded tensors, what made the golden)
//! and an `.npy` (llama.cpp's rows at some positions). The weights are not stored: they are made
//! again from the seed, to the bit, and a SHA-256 of the whole GGUF file says so. What each
//! family's graph is, is written down in `docs/families.md`; the goldens are made and checked by
//! `tools/goldens/families.py`.

mod compare;
mod file;
mod folder;
mod interpret;
mod processor;
pub(crate) mod seeded;

pub(crate) use compare::{Distance, Metric, Rows};

use std::{
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
};

use formats::{gguf::Gguf, npy::Npy, safetensors::Safetensors};
use import::{Imported, Model, Options, Output};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use tensor::{Bytes, DType};
use thiserror::Error;

use crate::fixtures::{Fixtures, Report};
use seeded::{Recipe, Stream};

#[cfg(test)]
mod tests;

/// Why a case could not be read or written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub(crate) enum CaseError {
    /// A file could not be read or written.
    #[error("{}", .1.display())]
    File(#[source] io::Error, PathBuf),
    /// The case is not TOML of the expected shape.
    #[error("not a case")]
    Toml(#[from] toml::de::Error),
    /// A line or file of the case makes no sense.
    #[error("malformed {what}: `{text}`")]
    Malformed {
        /// What was expected.
        what: &'static str,
        /// What stands there.
        text: String,
    },
}

impl CaseError {
    /// A line that is not what it should be.
    fn line(what: &'static str, text: &str) -> Self {
        Self::Malformed { what, text: text.to_owned() }
    }
}

/// The `.toml` of a case.
#[derive(Debug, Deserialize)]
struct Settings {
    seed: u64,
    metric: String,
    tolerance: f64,
    noise: f32,
    gguf_sha256: String,
    prompt: usize,
    decode: usize,
    context: u32,
    vocabulary: u32,
    positions: Vec<usize>,
    kv: Vec<String>,
    tensors: Vec<String>,
}

/// A tiny model, its input and its golden.
#[derive(Debug)]
pub(crate) struct Case {
    settings: Settings,
    tensors: Vec<Recipe>,
    golden: Rows,
}

impl Case {
    /// The cases of the repository.
    pub(crate) fn folder() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/families")
    }

    /// Names of all cases in `folder`, sorted.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub(crate) fn names(folder: &Path) -> Result<Vec<String>, CaseError> {
        let fail = |error| CaseError::File(error, folder.to_owned());
        let mut names = Vec::new();
        for entry in fs::read_dir(folder).map_err(fail)? {
            let path = entry.map_err(fail)?.path();
            if path.extension().is_some_and(|extension| extension == "toml") {
                names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
            }
        }
        names.sort();
        Ok(names)
    }

    /// Reads the case `name` of `folder`.
    ///
    /// # Errors
    /// If one of its two files is missing or malformed.
    pub(crate) fn read(folder: &Path, name: &str) -> Result<Self, CaseError> {
        let path = folder.join(format!("{name}.toml"));
        let text = fs::read_to_string(&path).map_err(|error| CaseError::File(error, path))?;
        let settings: Settings = toml::from_str(&text)?;
        let tensors =
            settings.tensors.iter().map(|line| recipe(line)).collect::<Result<Vec<_>, _>>()?;
        let path = folder.join(format!("{name}.npy"));
        let bytes = fs::read(&path).map_err(|error| CaseError::File(error, path))?;
        let golden = read_rows(&bytes).ok_or_else(|| CaseError::line("f32 matrix", name))?;
        Ok(Self { settings, tensors, golden })
    }

    /// Whether the golden holds hidden states and, as its last row, the pooled vector.
    pub(crate) fn is_encoder(&self) -> bool {
        self.settings.kv.iter().any(|line| line == "general.architecture str bert")
    }

    /// The value of a key as the case writes it.
    fn setting(&self, key: &str) -> Option<&str> {
        let value = |line: &'_ str| -> Option<usize> {
            let rest = line.strip_prefix(key)?.strip_prefix(' ')?;
            Some(line.len() - rest.len() + rest.find(' ')? + 1)
        };
        self.settings.kv.iter().find_map(|line| line.get(value(line)?..))
    }

    /// The value of a key below the architecture's name.
    fn own(&self, key: &str) -> Option<&str> {
        self.setting(&format!("{}.{key}", self.setting("general.architecture")?))
    }

    /// Elements of a head.
    fn head_dim(&self) -> usize {
        let number = |key| self.own(key).and_then(|text| text.parse::<usize>().ok());
        let share = || Some(number("embedding_length")? / number("attention.head_count")?);
        number("attention.key_length").or_else(share).expect("cases have these keys")
    }

    /// Token ids of the prompt, and those that are fed one by one after it.
    pub(crate) fn ids(&self) -> (Vec<u32>, Vec<u32>) {
        let stream = Stream::new(self.settings.seed, "tokens");
        let id = |idx| {
            let id = (stream.word(idx) >> 32) % u64::from(self.settings.vocabulary);
            u32::try_from(id).expect("below the vocabulary, which is a u32")
        };
        let prompt = self.settings.prompt as u64;
        let all = prompt + self.settings.decode as u64;
        ((0..prompt).map(id).collect(), (prompt..all).map(id).collect())
    }

    /// Gives the model's bytes to `sink`, piece by piece.
    ///
    /// # Errors
    /// Those of `sink`, or if a line of the case is malformed.
    fn write_to(&self, sink: impl FnMut(&[u8]) -> Result<(), CaseError>) -> Result<(), CaseError> {
        file::write(sink, self.settings.seed, &self.settings.kv, &self.tensors)
    }

    /// Whether all weights are F32, so that only the order of sums may differ.
    pub(crate) fn is_exact(&self) -> bool {
        self.tensors.iter().all(|recipe| recipe.ty == tensor::TensorType::F32)
    }

    /// Whether the bytes made from the seed are those that the golden was made from.
    ///
    /// # Errors
    /// If a line of the case is malformed.
    pub(crate) fn has_golden_bytes(&self) -> Result<bool, CaseError> {
        let mut hash = Sha256::new();
        self.write_to(|bytes| {
            hash.update(bytes);
            Ok(())
        })?;
        let number = hash.finalize().iter().fold(String::new(), |mut digits, byte| {
            let _ = write!(digits, "{byte:02x}");
            digits
        });
        Ok(number == self.settings.gguf_sha256)
    }

    /// Compares rows of positions 0, 1, … with the golden as far as they go; an encoder's, if they
    /// are complete, have the pooled vector last.
    pub(crate) fn compare(&self, rows: &Rows) -> Distance {
        let mut positions = self.settings.positions.clone();
        if self.is_encoder() {
            positions.push(self.settings.prompt);
        }
        let have = rows.iter().count();
        let kept: Vec<usize> = (0..positions.len()).filter(|i| positions[*i] < have).collect();
        positions.retain(|position| *position < have);
        let golden = self.golden.select(&kept);
        let metric = if self.settings.metric == "kl" { Metric::Divergence } else { Metric::Spread };
        let Settings { tolerance, noise, .. } = self.settings;
        let noise = if self.is_encoder() { f32::INFINITY } else { noise };
        Distance::measure(metric, tolerance, noise, &golden, &rows.select(&positions))
    }
}

/// Whether imported graphs, interpreted in double precision over all positions, are llama.cpp's.
pub(crate) fn check_imported(fixtures: &Fixtures) -> anyhow::Result<Report> {
    let mut report = Report::default();
    for (name, case) in all(fixtures)? {
        anyhow::ensure!(case.has_golden_bytes()?, "{name}: the model is not the golden's");
        if case.is_exact() {
            for stored in Stored::all(&case)? {
                let distance = stored.interpreted(&case, usize::MAX)?;
                report.case(distance.passes(), || format!("{name} ({}): {distance}", stored.form));
            }
        }
    }
    Ok(report)
}

/// Whether all cases, quantised ones too, give llama.cpp's logits on the processor.
pub(crate) fn check_processed(fixtures: &Fixtures) -> anyhow::Result<Report> {
    /// The cases that are nearest to their limit are named, however well they stand.
    const NEAREST: usize = 3;
    let mut report = Report::default();
    let mut shares = Vec::new();
    for (name, case) in all(fixtures)? {
        for stored in Stored::all(&case)? {
            let name = format!("{name} ({})", stored.form);
            match stored.processed(&case, 64, 2) {
                Ok(distance) => {
                    report.case(distance.passes(), || format!("{name}: {distance}"));
                    shares.push((distance.value / distance.tolerance, name));
                }
                Err(error) => report.case(false, || format!("{name}: {error:#}")),
            }
        }
    }
    shares.sort_by(|a, b| b.0.total_cmp(&a.0));
    let near = shares.iter().take(NEAREST).map(|(share, name)| format!("{name} {share:.2}"));
    let near: Vec<_> = near.collect();
    report.notes.push(format!("nearest to what they may differ: {}", near.join(", ")));
    Ok(report)
}

/// The cases of the repository, then those of other seeds and shapes in the test data's
/// `families`, where somebody made such (`tools/goldens/families.py --varied 84 --seed 7 --out …`).
fn all(fixtures: &Fixtures) -> anyhow::Result<Vec<(String, Case)>> {
    let mut cases = Vec::new();
    for folder in [Case::folder(), fixtures.path("families")] {
        if folder.is_dir() {
            for name in Case::names(&folder)? {
                let case = Case::read(&folder, &name)?;
                cases.push((name, case));
            }
        }
    }
    Ok(cases)
}

/// A case in one of the forms in which it can be stored.
#[derive(Debug)]
struct Stored {
    form: &'static str,
    model: Model,
    file: Vec<u8>,
}

impl Stored {
    /// The case as GGUF and, where the family has that form, as a folder.
    fn all(case: &Case) -> anyhow::Result<Vec<Self>> {
        let mut file = Vec::new();
        case.write_to(|bytes| {
            file.extend_from_slice(bytes);
            Ok(())
        })?;
        let model = Model::from_gguf(&Gguf::parse(&file, Bytes(file.len() as u64))?)?;
        let mut forms = vec![Self { form: "GGUF", model, file }];
        if let Some((config, file)) = folder::folder(case)? {
            let header = Safetensors::parse(&file, Bytes(file.len() as u64))?;
            let model = Model::from_config(&config, header.tensors().clone())?;
            forms.push(Self { form: "folder", model, file });
        }
        Ok(forms)
    }

    /// The graph for runs of up to `tokens` tokens.
    fn import(&self, case: &Case, tokens: usize) -> anyhow::Result<Imported> {
        let imported = self.model.build(&Options {
            tokens: tokens as u64,
            rows: tokens as u64,
            context: u64::from(case.settings.context),
            kv: plan::KvType::F32,
            output: if case.is_encoder() { Output::Hidden } else { Output::Logits },
        })?;
        Ok(imported)
    }

    /// How far the first `tokens` positions are from the golden in double precision.
    fn interpreted(&self, case: &Case, tokens: usize) -> anyhow::Result<Distance> {
        let (prompt, decode) = case.ids();
        let ids: Vec<u32> = prompt.into_iter().chain(decode).take(tokens).collect();
        let imported = self.import(case, ids.len())?;
        Ok(case.compare(&interpret::run(&self.model, &imported, &self.file, &ids)))
    }

    /// How far all positions are from the golden on the processor.
    fn processed(self, case: &Case, chunk: usize, threads: usize) -> anyhow::Result<Distance> {
        let (prompt, decode) = case.ids();
        let chunk = if case.is_encoder() { prompt.len() } else { chunk };
        let imported = self.import(case, chunk)?;
        let ids = (prompt.as_slice(), decode.as_slice());
        let Self { model, file, .. } = self;
        Ok(case.compare(&processor::run(&model, imported, file, ids, (chunk, threads))?))
    }
}

/// Reads `name type dims mean amp`.
fn recipe(line: &str) -> Result<Recipe, CaseError> {
    let parse = || {
        let mut words = line.split(' ');
        let mut next = || words.next();
        let (name, ty, dims) = (next()?.to_owned(), next()?.parse().ok()?, next()?);
        let dims = dims.split('x').map(str::parse).collect::<Result<_, _>>().ok()?;
        let (mean, amp) = (next()?.parse().ok()?, next()?.parse().ok()?);
        Some(Recipe { name, ty, dims, mean, amp })
    };
    parse().ok_or_else(|| CaseError::line("tensor", line))
}

/// Reads an f32 matrix from an `.npy` file.
fn read_rows(bytes: &[u8]) -> Option<Rows> {
    let (npy, elements) = Npy::from_bytes(bytes).ok()?;
    let &[_, width] = npy.shape.dims() else { return None };
    let words = elements.as_chunks().0;
    let values = words.iter().map(|word| f32::from_le_bytes(*word)).collect();
    let is_f32 = npy.dtype == DType::F32;
    is_f32.then_some(Rows { width: usize::try_from(width).ok()?, values })
}
