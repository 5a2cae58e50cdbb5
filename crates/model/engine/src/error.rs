//! What can go wrong between a file and its answer, by what the caller can do about it. Each
//! names the file it speaks of.

use crate::{
    fit::DoesNotFit,
    llm::sampler::{InvalidSampling, NonFinite},
    store::StoreError,
};
use plan::{LoadError, RunError};
use text::VocabularyError;

/// Why the engine could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The file is missing, unreadable or changed: look at the file.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file is not a model of a known kind: use another file.
    #[error("{file}: {reason}")]
    NotAModel {
        /// The file.
        file: String,
        /// What it is instead.
        reason: String,
    },
    /// A file that a network keeps its weights in cannot be used: fetch it too.
    #[error("{file}: {reason}")]
    Beside {
        /// The file with the weights.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The file's structure is broken.
    #[error("{file}")]
    Format {
        /// The file.
        file: String,
        /// Where it is broken.
        source: formats::FormatError,
    },
    /// The architecture, a setting or a tensor cannot be used.
    #[error("{file}")]
    Import {
        /// The file.
        file: String,
        /// What cannot be used.
        source: import::ImportError,
    },
    /// A network cannot be used, or what it was given does not fit it.
    #[error("{file}")]
    Network {
        /// The file.
        file: String,
        /// Which node or input, and why.
        source: import::onnx::NetworkError,
    },
    /// An operator of a network met values that it cannot compute with.
    #[error("{op}: {reason}")]
    Operator {
        /// The operator.
        op: &'static str,
        /// What does not fit, such as an index out of range.
        reason: String,
    },
    /// The vocabulary cannot be used.
    #[error("{file}: vocabulary")]
    Vocabulary {
        /// The file.
        file: String,
        /// What is wrong with it.
        source: VocabularyError,
    },
    /// The file has no vocabulary or template that the call needs.
    #[error("{file}: has no {what}")]
    Lacks {
        /// The file.
        file: String,
        /// What it lacks.
        what: &'static str,
    },
    /// The graph that was built is not well formed: a fault of ours.
    #[error("{file}: the graph is malformed")]
    Graph {
        /// The file.
        file: String,
        /// The rule that is broken.
        source: graph::Fault,
    },
    /// It does not fit into the memory that it may take: take a smaller context.
    #[error(transparent)]
    DoesNotFit(#[from] DoesNotFit),
    /// The prompt is longer than what the context leaves: shorten it.
    #[error("the prompt has {need} tokens, the context holds {have}")]
    PromptTooLong {
        /// Tokens of the prompt, with those before it.
        need: u64,
        /// Positions of the context.
        have: u64,
    },
    /// The text has too few tokens to be evaluated.
    #[error("the text has {have} tokens, one window takes {need}")]
    TextTooShort {
        /// Tokens of one window.
        need: u64,
        /// Tokens of the text.
        have: u64,
    },
    /// There is nothing to continue: give at least one token.
    #[error("the prompt is empty and the model has no token that begins a text")]
    EmptyPrompt,
    /// An option is out of range.
    #[error(transparent)]
    Sampling(#[from] InvalidSampling),
    /// The model gave no usable numbers.
    #[error("position {position}")]
    NonFinite {
        /// The position whose logits they are.
        position: u64,
        /// Which logit.
        source: NonFinite,
    },
    /// A step is not supported or memory could not be had.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A run stopped.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The processors could not be put to work.
    #[error("threads")]
    Threads(#[source] std::io::Error),
}

/// An error with its causes, on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
