//! `tokenizer.json`: a tokenizer or an error, and a tokenizer encodes any text.
#![no_main]

use ledge_fuzz::{bounded, printable};
use libfuzzer_sys::fuzz_target;
use text::{Special, Tokenizer};

fuzz_target!(|file: &[u8]| {
    match bounded(file, Tokenizer::from_tokenizer_json) {
        Ok(tokenizer) => {
            for sample in ["", "Hello, world 123", "日本\u{301}\0", "<s> </s> [UNK]"] {
                for id in bounded(file, |_| tokenizer.encode(sample, Special::Parse)) {
                    assert!((id.0 as usize) < tokenizer.n_tokens());
                }
            }
        }
        Err(error) => printable(&error),
    }
});
