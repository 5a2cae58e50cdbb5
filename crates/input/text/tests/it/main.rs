//! The crate from outside: vectors of other libraries, properties, hostile files.

mod hostile;
mod properties;
mod vectors;

use std::fs;
use std::path::{Path, PathBuf};

use ledge_text::Tokenizer;

/// A file of the tokenizer goldens.
fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/tokenizers").join(name)
}

/// A golden vocabulary by its file name.
fn tokenizer(name: &str) -> Tokenizer {
    let bytes = fs::read(golden(name)).unwrap();
    let made = if name.ends_with(".model") {
        Tokenizer::from_sentencepiece(&bytes)
    } else {
        Tokenizer::from_tokenizer_json(&bytes)
    };
    made.unwrap_or_else(|error| panic!("{name}: {error}"))
}
