//! `model.safetensors.index.json`: file names out of it are plain names, whatever it says.
#![no_main]

use formats::safetensors::Index;
use ledge_fuzz::{bounded, printable};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    match bounded(text, Index::parse) {
        Ok(index) => {
            assert!(index.tensors_len() >= index.file_names().len());
            for name in index.file_names() {
                assert!(!name.starts_with('.') && !name.contains(['/', '\\', ':', '\0']));
                assert_eq!(std::path::Path::new(&**name).components().count(), 1);
            }
        }
        Err(error) => printable(&error),
    }
});
