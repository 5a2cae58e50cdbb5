//! JSON trees: what is accepted prints as a text that is accepted.
#![no_main]

use formats::json;
use ledge_fuzz::{bounded, printable};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    match bounded(text, |text| json::parse(text, "config.json")) {
        // Not the same tree: the last bit of a number with many digits may differ.
        Ok(tree) => drop(json::parse(tree.to_string().as_bytes(), "config.json").unwrap()),
        Err(error) => printable(&error),
    }
});
