//! JSON trees: what is accepted prints and reads back to the same tree.
#![no_main]

use formats::json;
use ledge_fuzz::{bounded, printable};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    match bounded(text, |text| json::parse(text, "config.json")) {
        Ok(tree) => {
            let printed = tree.to_string();
            // Numbers may grow when printed, so that the second tree may pass the bound.
            if let Ok(again) = json::parse(printed.as_bytes(), "config.json") {
                assert_eq!(again, tree);
            }
        }
        Err(error) => printable(&error),
    }
});
