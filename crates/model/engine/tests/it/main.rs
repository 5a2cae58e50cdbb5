//! The engine from a file to text, on the embedded model: promises that every change must keep.
#![expect(clippy::disallowed_methods, reason = "tests write files and read their goldens")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod allocations;
mod custom;
mod delegates;
mod files;
mod folders;
mod hostile;
mod memory;
mod networks;
mod onnx_file;
mod packs;
mod quantised;
mod same_answer;
mod tflite_ops;

#[path = "../../../../input/formats/tests/it/raw.rs"]
#[expect(dead_code, reason = "the flatbuffers of the readers' tests are used alone")]
mod raw;

use ledge_engine::{
    LanguageModel, ModelFile, Request,
    llm::{
        generate::{EndTokens, Generation, Until},
        sampler::Sampling,
        session::Session,
    },
};
use plan::Uncontrolled;
use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::Arc,
};
use text::{Special, TokenId, stop::StopStrings};

/// The model that is part of the program.
pub(crate) fn house() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../assets/house.gguf")
}

pub(crate) fn load(path: &Path, request: &Request) -> LanguageModel {
    let model = Arc::new(ModelFile::open(path).unwrap());
    model.fit(request).unwrap().load(&Uncontrolled).unwrap()
}

pub(crate) fn request(threads: usize, chunk: u64) -> Request {
    let threads = NonZeroUsize::new(threads);
    Request { threads, chunk, context: Some(256), ..Request::default() }
}

pub(crate) fn ids(lm: &LanguageModel, text: &str) -> Vec<TokenId> {
    lm.model().tokenizer().unwrap().encode_wrapped(text, Special::Text)
}

pub(crate) fn generation(lm: &LanguageModel, sampling: Sampling, tokens: u64) -> Generation {
    let stops = StopStrings::new(&["THE END"]).unwrap();
    let until = Until { tokens: Some(tokens), stops, end_tokens: EndTokens::Ignore };
    let tokenizer = lm.model().tokenizer().unwrap().clone();
    let vocabulary = usize::try_from(lm.model().model().settings.vocabulary).unwrap();
    Generation::new(tokenizer, sampling, vocabulary, until).unwrap()
}

pub(crate) fn continued(lm: &LanguageModel, session: &mut Session, tokens: u64) -> String {
    let sampling = Sampling { seed: 11, ..Sampling::default() };
    let mut generation = generation(lm, sampling, tokens);
    let mut text = String::new();
    while let Some(piece) = generation.next(session, &Uncontrolled).unwrap() {
        text.push_str(piece.text);
    }
    text + generation.rest()
}
