//! Real files, where `LEDGE_DATA` points at them; without it these tests say so and pass.

use std::{
    fs,
    path::{Path, PathBuf},
};

use ledge_formats::{FormatError, gguf::Gguf, json, safetensors::Safetensors};
use tensor::Bytes;

/// The data folder, if there is one.
fn test_files() -> Option<PathBuf> {
    let folder = std::env::var_os("LEDGE_DATA").map(PathBuf::from);
    if folder.is_none() {
        println!("skipped: LEDGE_DATA is not set");
    }
    folder
}

/// Reads a header as the engine does: a prefix that doubles until it suffices.
fn open(path: &Path) -> Gguf {
    let file = fs::read(path).unwrap();
    let mut len = 4096;
    loop {
        let prefix = &file[..file.len().min(len)];
        match Gguf::parse(prefix, Bytes(file.len() as u64)) {
            Err(FormatError::NeedMore { at_least }) => {
                assert!(at_least.0 > prefix.len() as u64 && at_least.0 <= file.len() as u64);
                len *= 2;
            }
            other => return other.unwrap(),
        }
    }
}

#[test]
fn house_and_stories_are_read() {
    let Some(folder) = test_files() else { return };
    let house = open(&folder.join("house/house-q8_0.gguf"));
    assert_eq!(house.metadata().get_str("general.architecture").unwrap(), "llama");
    assert_eq!(house.metadata().get_u32("llama.block_count").unwrap(), 4);
    assert_eq!(house.metadata().get_str_array("tokenizer.ggml.tokens").unwrap().len(), 4096);
    let embedding = house.tensors().require("token_embd.weight").unwrap();
    assert_eq!(embedding.shape.dims(), [4096, 256]);
    let stories = open(&folder.join("lm/stories260K-f32.gguf"));
    assert_eq!(stories.metadata().get_f32_array("tokenizer.ggml.scores").unwrap().len(), 512);
}

#[test]
fn every_model_of_the_data_folder_is_read() {
    let Some(folder) = test_files() else { return };
    let mut count = 0;
    for part in ["house", "lm"] {
        for entry in fs::read_dir(folder.join(part)).unwrap() {
            let path = entry.unwrap().path();
            let file = fs::read(&path).unwrap_or_default();
            let size = Bytes(file.len() as u64);
            match path.extension().and_then(|ending| ending.to_str()) {
                Some("gguf") => assert!(!open(&path).tensors().is_empty()),
                Some("safetensors") => {
                    assert!(!Safetensors::parse(&file, size).unwrap().tensors().is_empty());
                }
                Some("json") => drop(json::parse(&file, "json").unwrap()),
                _ => continue,
            }
            count += 1;
        }
    }
    assert!(count >= 8, "{count}");
}
