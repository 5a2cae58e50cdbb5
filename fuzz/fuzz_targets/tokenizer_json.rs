//! `tokenizer.json`: a tokenizer or an error, and a tokenizer encodes any text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use text::{Special, Tokenizer};

fuzz_target!(|file: &[u8]| {
    if let Ok(tokenizer) = Tokenizer::from_tokenizer_json(file) {
        for sample in ["", "Hello, world 123", "日本\u{301}\0", "<s> </s> [UNK]"] {
            for id in tokenizer.encode(sample, Special::Parse) {
                assert!((id.0 as usize) < tokenizer.n_tokens());
            }
        }
    }
});
