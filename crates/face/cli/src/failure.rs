//! What a person or a script is told when something fails: three lines and an exit code.
//!
//! The lines say what happened, where, and what to try. Codes are those of the manual (`ledge
//! --help`); a closed pipe is no failure.

use crate::{args::Manner, output::say};
use engine::{EngineError, fit::DoesNotFit, llm::session, store::StoreError};
use import::{network::HostError, onnx::NetworkError};
use serde_json::{Value, json};
use std::{fmt, io, path::Path};

/// Exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// A reader went away: nothing is wrong.
    ClosedPipe = 0,
    /// Our fault or the system's.
    Ours = 1,
    /// Wrong usage or a bad value.
    Usage = 2,
    /// A file is missing, unreadable, bad or not supported.
    File = 3,
    /// It does not fit: memory or context.
    DoesNotFit = 4,
    /// Stopped by Ctrl-C.
    Cancelled = 8,
}

/// Why the program ends early.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    told: bool,
    words: Box<Words>,
}

/// What is said about a failure; boxed, since results should be small.
#[derive(Clone, Debug)]
struct Words {
    what: String,
    place: Option<String>,
    hint: Option<String>,
    /// Numbers for scripts.
    facts: Value,
}

pub(crate) type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    pub(crate) fn new(exit: Exit, what: impl fmt::Display) -> Self {
        let what = what.to_string();
        let words = Words { what, place: None, hint: None, facts: Value::Null };
        Self { exit, told: false, words: Box::new(words) }
    }

    /// A wrong value on the command line.
    pub(crate) fn usage(what: impl fmt::Display) -> Self {
        Self::new(Exit::Usage, what)
    }

    /// A file or a part of one.
    pub(crate) fn at(mut self, place: impl fmt::Display) -> Self {
        self.words.place = Some(place.to_string());
        self
    }

    /// What to try.
    pub(crate) fn hint(mut self, hint: impl fmt::Display) -> Self {
        self.words.hint = Some(hint.to_string());
        self
    }

    /// Whether this is Ctrl-C.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.exit == Exit::Cancelled
    }

    /// Everything about it was told already; only the code is left.
    pub(crate) fn told(mut self) -> Self {
        self.told = true;
        self
    }

    fn facts(mut self, facts: Value) -> Self {
        self.words.facts = facts;
        self
    }

    /// A file that cannot be read.
    pub(crate) fn reading(path: &Path, error: &io::Error) -> Self {
        Self::new(Exit::File, plain(error)).at(path.display()).hint(reading_hint(error))
    }

    /// A file that cannot be written.
    pub(crate) fn writing(place: impl fmt::Display, error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::new(Exit::ClosedPipe, "the reader went away");
        }
        let (exit, hint) = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                (Exit::Ours, "make room on the disk, or write elsewhere; nothing was left behind")
            }
            io::ErrorKind::FileTooLarge => {
                (Exit::Ours, "raise the limit on file sizes (`ulimit -f`), or write elsewhere")
            }
            io::ErrorKind::NotFound => (Exit::File, "make the folder first"),
            _ => (Exit::File, "write to a place that you may write to"),
        };
        Self::new(exit, format!("cannot write: {}", plain(error))).at(place).hint(hint)
    }

    /// Ctrl-C.
    pub(crate) fn cancelled() -> Self {
        Self::new(Exit::Cancelled, "stopped by Ctrl-C")
    }

    /// Prints the three lines, and an object for scripts.
    pub(crate) fn show(&self, manner: &Manner) {
        if self.exit == Exit::ClosedPipe || self.told {
            return;
        }
        if manner.json {
            let mut object = json!({
                "exit": self.exit as u8,
                "what": self.words.what,
                "where": self.words.place,
                "try": self.words.hint,
            });
            if let (Value::Object(object), Value::Object(facts)) = (&mut object, &self.words.facts)
            {
                object.extend(facts.clone());
            }
            crate::output::last_words(&json!({ "error": object }).to_string());
        }
        say(format_args!("error: {}", self.words.what));
        if let Some(place) = &self.words.place {
            say(format_args!("  where: {place}"));
        }
        if let Some(hint) = &self.words.hint {
            say(format_args!("  try:   {hint}"));
        }
    }
}

impl From<ledge::Error> for Failure {
    fn from(error: ledge::Error) -> Self {
        match error {
            ledge::Error::Engine(error) => error.into(),
            ledge::Error::Template(error) => template(&error),
            other => Self::usage(chain(&other)),
        }
    }
}

/// A chat template that failed.
pub(crate) fn template(error: &text::template::TemplateError) -> Failure {
    Failure::new(Exit::File, error)
        .at("the chat template")
        .hint("check the messages, or give another template with --template FILE")
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        if session::is_cancelled(&error) {
            return Self::cancelled();
        }
        match error {
            EngineError::Store(error) => error.into(),
            EngineError::NotAModel { file, reason } => {
                Self::new(Exit::File, format!("not a model: {reason}"))
                    .at(file)
                    .hint("give a .gguf, .onnx or .tflite file, or a folder with config.json and .safetensors files")
            }
            EngineError::Beside { file, reason } => {
                Self::new(Exit::File, format!("the network's weights: {reason}"))
                    .at(file)
                    .hint(WEIGHTS_BESIDE)
            }
            EngineError::Format { file, source } => Self::new(Exit::File, chain(&source))
                .at(file)
                .hint("the file is damaged or cut short: fetch it again and compare its checksum"),
            EngineError::Import { file, source } => Self::new(Exit::File, chain(&source))
                .at(file)
                .hint("`ledge inspect` shows what the file holds"),
            EngineError::Network { file, source } => network(&file, &source),
            EngineError::Operator { op, reason } => {
                Self::new(Exit::File, format!("{op}: {reason}"))
                    .hint("the inputs lead to values that the network cannot compute with")
            }
            EngineError::Vocabulary { file, source } => {
                Self::new(Exit::File, format!("vocabulary: {}", chain(&source)))
                    .at(file)
                    .hint("use a file that was converted with its tokenizer")
            }
            EngineError::Lacks { file, what } => {
                let hint = match what {
                    "chat template" => "give one with --template FILE, or leave out --chat",
                    "folder for packed weights" => "give one with --cache DIR",
                    "file of its own to keep packed weights of" => "leave out --weights mapped",
                    _ => "use a file that was converted with its tokenizer",
                };
                Self::new(Exit::File, format!("the model has no {what}")).at(file).hint(hint)
            }
            EngineError::DoesNotFit(what) => does_not_fit(&what),
            EngineError::PromptTooLong { need, have } => prompt_too_long(need, have),
            EngineError::TextTooShort { need, have } => {
                Self::usage(format!("the text has {have} tokens, one window takes {need}"))
                    .hint("give a longer text or a smaller --ctx")
            }
            EngineError::EmptyPrompt => Self::usage("there is nothing to continue")
                .hint("give a prompt: this model has no token that begins a text"),
            EngineError::Sampling(error) => {
                let flag = flag_of(error.field);
                Self::usage(&error).at(flag).hint(format!("give a value {}", error.allowed))
            }
            EngineError::NonFinite { position, source } => Self::new(Exit::File, source)
                .at(format!("position {position}"))
                .hint("the weights hold NaN or infinity, or overflow: try another file"),
            EngineError::Load(error @ plan::LoadError::NotKept { .. }) => {
                Self::new(Exit::Ours, chain(&error)).hint(
                    "free some space, name another folder with --cache, or allow more --memory",
                )
            }
            error @ (EngineError::Load(_) | EngineError::Run(_)) => {
                Self::new(Exit::File, chain(&error)).hint("`ledge inspect --tensors` lists types")
            }
            other => Self::new(Exit::Ours, chain(&other)),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Io { path, source } => Self::reading(&path, &source),
            StoreError::NotAFile { path, kind } => {
                Self::new(Exit::File, format!("is {kind}, not a model"))
                    .at(path.display())
                    .hint("give a .gguf, .onnx or .tflite file, or a folder with config.json and .safetensors files")
            }
            StoreError::Changed { path, reason } => {
                Self::new(Exit::File, format!("the file changed while it was in use: {reason}"))
                    .at(path.display())
                    .hint("let the other program finish writing, then start again")
            }
            other => Self::new(Exit::File, chain(&other)),
        }
    }
}

/// What to do where a network's weights cannot be read.
const WEIGHTS_BESIDE: &str =
    "have the files with its weights beside it, whole and under the names that it gives";

/// A network that cannot be used, or inputs that do not fit it.
fn network(file: &str, source: &NetworkError) -> Failure {
    let failure = match source {
        NetworkError::Input { .. } => Failure::usage(source)
            .hint("`ledge inspect` lists the inputs; give each as --input NAME=FILE.npy"),
        NetworkError::Unsupported(_) => {
            Failure::new(Exit::File, source).hint("`ledge inspect` shows the rest of the file")
        }
        NetworkError::Host { source: HostError::Read(_), .. } => {
            Failure::new(Exit::File, chain(source)).hint(WEIGHTS_BESIDE)
        }
        _ => Failure::new(Exit::File, chain(source))
            .hint("the file breaks an operator's rules: check how it was exported"),
    };
    failure.at(file)
}

/// Memory is short.
pub(crate) fn does_not_fit(what: &DoesNotFit) -> Failure {
    let advice: Vec<Value> = what
        .advice
        .iter()
        .map(|advice| {
            json!({
                "ctx": advice.context,
                "kv": advice.kv.name(),
                "chunk": advice.chunk,
                "need": advice.need.0,
            })
        })
        .collect();
    let hint = match what.advice.as_slice() {
        [] => "more --memory, or a smaller model: no context fits".to_owned(),
        all => all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", or "),
    };
    Failure::new(Exit::DoesNotFit, format!("does not fit: {what}"))
        .at("--memory")
        .hint(hint)
        .facts(json!({ "need": what.need.0, "have": what.have.0, "advice": advice }))
}

/// A prompt that is longer than the context.
fn prompt_too_long(need: u64, have: u64) -> Failure {
    Failure::new(
        Exit::DoesNotFit,
        format!("the prompt has {need} tokens, the context holds {have}"),
    )
    .at("the prompt")
    .hint(format!("--ctx {}, a shorter prompt, or --truncate", need.saturating_add(256)))
    .facts(json!({ "need": need, "have": have }))
}

/// The flag that sets a field of the sampler.
fn flag_of(field: &str) -> String {
    let flag = match field {
        "temperature" => "temp",
        "typical_p" => "typical",
        "repetition_penalty" => "repeat-penalty",
        "dry.multiplier" => "dry",
        other => return format!("--{}", other.replace(['_', '.'], "-")),
    };
    format!("--{flag}")
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if !line.contains(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        source = cause.source();
    }
    line
}

/// What the system said, without its number.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((words, _)) => words.to_lowercase(),
        None => text,
    }
}

fn reading_hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "check the path; `ledge run \"text\"` needs no file at all",
        io::ErrorKind::PermissionDenied => "allow yourself to read it (`chmod u+r`)",
        io::ErrorKind::IsADirectory => "give a file",
        _ => "check the file and its disk",
    }
}
