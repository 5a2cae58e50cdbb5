//! From words on the command line to an open model and a request.
//!
//! A word is a model if it is a file or a folder, or ends as model files do; anything else is
//! text for the model inside the program.

use crate::{
    args::{Manner, ModelArgs, PassArgs},
    failure::{Failure, Result},
    output::{counted, say},
    signals::Interrupt,
    watch::Watch,
};
use engine::{EngineError, ModelFile, Network, Request};
use formats::{FormatError, Kind, gguf::Gguf};
use graph::passes::PASSES;
use import::Output;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};
use tensor::Bytes;
use text::Tokenizer;

/// Tokens that are generated at most by the embedded model, unless asked for otherwise.
pub(crate) const EMBEDDED_TOKENS: u64 = 256;

const SUFFIXES: [&str; 4] = ["gguf", "safetensors", "onnx", "tflite"];

/// Splits words into a model and the rest.
pub(crate) fn split(words: &[String]) -> (Option<PathBuf>, &[String]) {
    match words.split_first() {
        Some((first, rest)) if names_a_model(first) || !rest.is_empty() => {
            (Some(first.into()), rest)
        }
        _ => (None, words),
    }
}

/// Whether a word stands for a model rather than for text.
fn names_a_model(word: &str) -> bool {
    let path = Path::new(word);
    let suffix = path.extension().and_then(|suffix| suffix.to_str());
    let known = suffix
        .is_some_and(|suffix| SUFFIXES.iter().any(|known| suffix.eq_ignore_ascii_case(known)));
    word != "-" && (known || path.exists())
}

/// Opens a model, or the embedded one.
pub(crate) fn open(path: Option<&Path>) -> Result<Arc<ModelFile>> {
    let opened = match path {
        Some(path) => ModelFile::open(path),
        None => ModelFile::from_memory(ledge::EMBEDDED_MODEL),
    };
    Ok(Arc::new(opened?))
}

/// Opens a network, if that is what the file is.
pub(crate) fn open_network(path: Option<&Path>, passes: &PassArgs) -> Result<Option<Network>> {
    let Some(path) = path else { return Ok(None) };
    if !Network::is_network(path)? {
        return Ok(None);
    }
    let mut network = Network::open(path)?;
    let off: Vec<&str> = passes.no_pass.iter().map(String::as_str).collect();
    network.set_passes_off(&off).map_err(|name| {
        let known: Vec<&str> = PASSES.iter().map(|pass| pass.name).collect();
        Failure::usage(format!("there is no pass `{name}`"))
            .at("--no-pass")
            .hint(format!("one of {}", known.join(", ")))
    })?;
    Ok(Some(network))
}

/// The request that flags make.
///
/// # Errors
/// If a device was named that runs networks only.
pub(crate) fn request(args: &ModelArgs) -> Result<Request> {
    crate::devices::check(args.device)?;
    Ok(Request {
        context: args.ctx,
        memory: args.memory,
        kv: args.kv.into(),
        chunk: args.chunk,
        rows: 1,
        threads: args.threads,
        output: Output::Logits,
        weights: args.weights.into(),
        cache: args.cache.clone().or_else(cache_folder),
        ..Request::default()
    })
}

/// The folder in which this user's caches are, on this system's terms.
fn cache_folder() -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let absolute = |path: &PathBuf| path.is_absolute();
    let home = || folder("HOME").filter(absolute);
    let caches = folder("XDG_CACHE_HOME").filter(absolute).or_else(|| {
        let own = ["Library/Caches", ".cache"].map(|name| home().map(|home| home.join(name)));
        let [library, dot] = own;
        library.filter(|path| path.is_dir()).or(dot)
    });
    Some(caches.or_else(|| folder("LOCALAPPDATA").filter(absolute))?.join("ledge"))
}

/// Loads a model, with progress.
pub(crate) fn load(
    model: &Arc<ModelFile>,
    request: Request,
    interrupt: &Interrupt,
    manner: &Manner,
) -> Result<ledge::LanguageModel> {
    let solved = ledge::Plan::for_model(Arc::clone(model)).request(request).solve()?;
    if manner.verbose {
        say(format_args!(
            "{}: context {}, {}, {} promised",
            model.label(),
            solved.context(),
            counted(solved.fit().threads(), "thread"),
            solved.promise().total()
        ));
    }
    let watch = Watch::new(interrupt, manner, "loading");
    let lm = solved.load_with(&watch)?;
    drop(watch);
    if !manner.quiet && !manner.json {
        lm.engine().notices().iter().for_each(|notice| say(format_args!("note: {notice}")));
    }
    Ok(lm)
}

/// Reads the header of a GGUF file, whatever its architecture.
pub(crate) fn header(path: &Path) -> Result<Gguf> {
    let origin = engine::store::Origin::open(path)?;
    let mut bytes = Bytes::mib(1);
    loop {
        let prefix = origin.prefix(bytes)?;
        match Gguf::parse(&prefix, origin.bytes()) {
            Err(FormatError::NeedMore { at_least, .. }) => {
                bytes = Bytes(bytes.0.saturating_mul(2)).max(at_least);
            }
            Ok(gguf) => return Ok(gguf),
            Err(source) => {
                return Err(Failure::from(EngineError::Format { file: origin.label(), source }));
            }
        }
    }
}

/// The bytes of an ONNX or TFLite network; `None` for other files, and for what is no file.
///
/// A network is told by its content; where that says nothing, by its name.
pub(crate) fn network(path: &Path) -> Result<Option<(Kind, Vec<u8>)>> {
    const SNIFF: Bytes = Bytes(64);
    // What cannot be opened is told by whoever opens it as a model.
    let Ok(origin) = engine::store::Origin::open(path) else { return Ok(None) };
    let ends =
        |ending: &str| path.extension().is_some_and(|found| found.eq_ignore_ascii_case(ending));
    let kind = match formats::sniff(&origin.prefix(SNIFF.min(origin.bytes()))?) {
        kind @ (Kind::OnnxLike | Kind::TfliteLike) => kind,
        Kind::Unknown if ends("onnx") => Kind::OnnxLike,
        Kind::Unknown if ends("tflite") => Kind::TfliteLike,
        _ => return Ok(None),
    };
    Ok(Some((kind, origin.prefix(origin.bytes())?)))
}

/// What a file tells without its weights: vocabulary, template, header. The architecture need not
/// be known, and a tokenizer alone will do.
#[derive(Debug)]
pub(crate) struct Header {
    label: String,
    tokenizer: Option<Arc<Tokenizer>>,
    template: Option<String>,
}

impl Header {
    /// Opens a model, a tokenizer.json or a SentencePiece model; the embedded model without a
    /// path.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self> {
        let suffix = path.and_then(Path::extension).and_then(|suffix| suffix.to_str());
        let alone = |read: fn(&[u8]) -> std::result::Result<Tokenizer, text::VocabularyError>| {
            let path = path.unwrap_or(Path::new(""));
            let label = path.display().to_string();
            let bytes = std::fs::read(path).map_err(|error| Failure::reading(path, &error))?;
            let tokenizer = read(&bytes).map_err(|source| {
                Failure::from(EngineError::Vocabulary { file: label.clone(), source })
            })?;
            Ok(Self { label, tokenizer: Some(Arc::new(tokenizer)), template: None })
        };
        match suffix {
            Some("json") => return alone(Tokenizer::from_tokenizer_json),
            Some("model") => return alone(Tokenizer::from_sentencepiece),
            _ => {}
        }
        let opened = match path {
            Some(path) => ModelFile::open(path),
            None => ModelFile::from_memory(ledge::EMBEDDED_MODEL),
        };
        match opened {
            Ok(file) => Ok(Self {
                label: file.label().to_owned(),
                tokenizer: file.tokenizer().ok().cloned(),
                template: file.template().map(str::to_owned),
            }),
            // A vocabulary without weights, or an architecture that cannot be run.
            Err(error @ EngineError::Import { .. }) => {
                let Some(path) = path else { return Err(error.into()) };
                let gguf = header(path)?;
                let label = path.display().to_string();
                let tokenizer = engine::vocabulary::from_gguf(gguf.metadata());
                let tokenizer = tokenizer.map_err(|source| {
                    Failure::from(EngineError::Vocabulary { file: label.clone(), source })
                })?;
                let template = gguf.metadata().get_str("tokenizer.chat_template").ok();
                Ok(Self {
                    label,
                    tokenizer: tokenizer.map(Arc::new),
                    template: template.map(str::to_owned),
                })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// What messages call the file.
    pub(crate) fn label(&self) -> &str {
        &self.label
    }

    /// The vocabulary.
    pub(crate) fn tokenizer(&self) -> Result<&Tokenizer> {
        let lacks = || EngineError::Lacks { file: self.label.clone(), what: "vocabulary" };
        Ok(self.tokenizer.as_ref().ok_or_else(lacks)?)
    }

    /// The source of the chat template.
    pub(crate) fn template(&self) -> Option<&str> {
        self.template.as_deref()
    }

    /// Texts of the tokens that begin and end a text.
    pub(crate) fn edge_tokens(&self) -> (String, String) {
        let Some(tokenizer) = &self.tokenizer else { return Default::default() };
        let ids = tokenizer.special_ids();
        let piece = |id: Option<text::TokenId>| id.map(|id| tokenizer.piece(id));
        (piece(ids.bos).unwrap_or_default(), piece(ids.eos).unwrap_or_default())
    }
}
