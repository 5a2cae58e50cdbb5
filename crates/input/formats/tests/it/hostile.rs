//! Files made to hurt, each with its name, its class of published failure and the error it gets.
//!
//! Classes are those of the project's reliability study: C1 counts beyond the file, C2 overflow,
//! C3 zeros, C4 extents, C5 repetition, C6 types and versions, C7 contradictions, C9 nesting,
//! C10 amplification, C13 control characters, C14 paths, C15 code, C16 numbers that are none,
//! C17 text. (C8, C11 and C12 concern token ids, patterns and templates, which are not read
//! here.) Every file is a small good one with one thing wrong.

use std::time::{Duration, Instant};

use ledge_formats::{
    FormatError,
    gguf::Gguf,
    json as text, limits,
    npy::Npy,
    onnx::Model as Onnx,
    safetensors::{Index, Safetensors},
    tflite::{Model as Tflite, options::Conv2d},
};
use tensor::Bytes;

use crate::alloc;

mod gguf;
mod gguf_content;
mod gguf_rules;
mod json;
mod npy;
mod onnx;
mod safetensors;
mod tflite;

/// Which reader gets the bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Reader {
    Gguf,
    Safetensors,
    Index,
    Json,
    Npy,
    Onnx,
    Tflite,
}

struct Case {
    name: &'static str,
    reader: Reader,
    bytes: Vec<u8>,
    /// Length of the file, where it is said to be longer than the bytes.
    file: Option<u64>,
    /// What the error must say.
    want: &'static str,
}

fn case(name: &'static str, reader: Reader, bytes: impl Into<Vec<u8>>, want: &'static str) -> Case {
    Case { name, reader, bytes: bytes.into(), file: None, want }
}

fn read(reader: Reader, bytes: &[u8], file: u64) -> Result<(), FormatError> {
    match reader {
        Reader::Gguf => {
            let gguf = Gguf::parse(bytes, Bytes(file))?;
            gguf.split()?;
            // What a loader asks for.
            for (key, _) in gguf.metadata().iter() {
                if key.starts_with("f32") {
                    gguf.metadata().get_f32(key)?;
                }
                if key.starts_with("scores") {
                    gguf.metadata().get_f32_array(key)?;
                }
            }
            gguf.tensors().iter().try_for_each(|tensor| tensor.tensor_type().map(drop))
        }
        Reader::Safetensors => {
            let tensors = Safetensors::parse(bytes, Bytes(file))?;
            tensors.tensors().iter().try_for_each(|tensor| tensor.tensor_type().map(drop))
        }
        Reader::Index => Index::parse(bytes).map(drop),
        Reader::Json => text::parse(bytes, "config.json").map(drop),
        Reader::Npy => Npy::parse(bytes, Bytes(file)).map(drop),
        Reader::Onnx => Onnx::parse(bytes).map(drop),
        Reader::Tflite => {
            let model = Tflite::parse(bytes)?;
            for graph in &model.subgraphs {
                for tensor in &graph.tensors {
                    model.expand(tensor)?;
                }
                for operator in &graph.operators {
                    Conv2d::read(&operator.options)?;
                }
            }
            Ok(())
        }
    }
}

#[test]
fn hostile_files_get_an_error_that_names_the_place() {
    let cases: Vec<Case> = [
        gguf::sizes(),
        gguf_rules::rules(),
        gguf_content::content(),
        safetensors::cases(),
        json::cases(),
        npy::cases(),
        onnx::wire(),
        onnx::graphs(),
        onnx::tensors(),
        onnx::external_files(),
        tflite::structure(),
        tflite::tensors(),
        tflite::operators(),
        tflite::sparsity(),
    ]
    .into_iter()
    .flatten()
    .collect();
    assert!(cases.len() >= 350, "{}", cases.len());
    let mut names: Vec<_> = cases.iter().map(|case| (case.reader as u8, case.name)).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), cases.len(), "two cases share a name");
    let failures: Vec<String> = cases.iter().filter_map(|case| check(case).err()).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Reads one file and says what is wrong with the answer.
fn check(case: &Case) -> Result<(), String> {
    let Case { name, reader, bytes, file, want } = case;
    let length = bytes.len() as u64;
    let start = Instant::now();
    let (result, peak) = alloc::peak(|| read(*reader, bytes, file.unwrap_or(length)));
    let time = start.elapsed();
    let Err(error) = result else { return Err(format!("{reader:?} {name}: accepted")) };
    let text = error.to_string();
    let good = text.contains(want)
        && text.chars().count() <= 300
        && !text.contains(char::is_control)
        && !matches!(error, FormatError::NeedMore { .. })
        && peak <= limits::MEMORY_FACTOR * length + limits::MEMORY_BYTES
        && time < Duration::from_secs(2);
    if good { Ok(()) } else { Err(format!("{reader:?} {name}: {text} ({peak} bytes, {time:?})")) }
}
