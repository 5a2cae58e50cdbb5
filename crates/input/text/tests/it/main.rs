//! The crate from outside: vectors of other libraries, properties, hostile files.
//!
//! A test that lacks one of its own files fails at once: nothing here is skipped.
#![expect(clippy::disallowed_methods, reason = "tests read their goldens")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod hostile;
mod properties;
mod vectors;

use std::fs;
use std::path::{Path, PathBuf};

use ledge_text::{Tokenizer, VocabularyError};

/// A file of the tokenizer goldens.
fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/tokenizers").join(name)
}

/// A golden vocabulary by its file name.
fn tokenizer(name: &str) -> Tokenizer {
    let bytes = fs::read(golden(name)).unwrap();
    read(name, &bytes).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Reads a vocabulary as its file name says.
fn read(name: &str, bytes: &[u8]) -> Result<Tokenizer, VocabularyError> {
    if Path::new(name).extension().is_some_and(|extension| extension == "model") {
        Tokenizer::from_sentencepiece(bytes)
    } else {
        Tokenizer::from_tokenizer_json(bytes)
    }
}
