//! Files written by the tools that own the formats, against the tables that those tools print.
//! `tools/goldens/formats.py` describes the tables' lines.

use std::{fmt::Write as _, fs, path::Path};

use ledge_formats::{
    StoredTensor,
    gguf::{Gguf, Value},
    json,
    npy::Npy,
    safetensors::Safetensors,
};
use tensor::Bytes;

/// The bytes of a value as they stand in the file.
fn stored(value: &Value) -> Vec<u8> {
    match value {
        Value::U8(n) => vec![*n],
        Value::I8(n) => n.to_le_bytes().to_vec(),
        Value::U16(n) => n.to_le_bytes().to_vec(),
        Value::I16(n) => n.to_le_bytes().to_vec(),
        Value::U32(n) => n.to_le_bytes().to_vec(),
        Value::I32(n) => n.to_le_bytes().to_vec(),
        Value::U64(n) => n.to_le_bytes().to_vec(),
        Value::I64(n) => n.to_le_bytes().to_vec(),
        Value::F32(x) => x.to_le_bytes().to_vec(),
        Value::F64(x) => x.to_le_bytes().to_vec(),
        Value::Bool(flag) => vec![u8::from(*flag)],
        Value::String(text) => [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat(),
        Value::Array(array) => {
            (0..array.len()).flat_map(|idx| stored(&array.get(idx).unwrap())).collect()
        }
    }
}

pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        let bit = |crc: u32, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
        (0..8).fold(crc ^ u32::from(*byte), bit)
    };
    !bytes.iter().fold(!0, step)
}

/// The table of a GGUF file, line by line as gguf-py's reader sees it.
pub(crate) fn gguf_table(gguf: &Gguf) -> String {
    let mut table = format!("alignment {}\n", gguf.alignment());
    for (key, value) in gguf.metadata().iter() {
        let bytes = stored(value);
        let text = match value {
            Value::String(text) => format!("string {}", json::Value::from(&**text)),
            Value::Array(array) => {
                format!("{}[{}] {:08x}", array.ty().name(), array.len(), crc32(&bytes))
            }
            number => bytes.iter().fold(format!("{} ", number.ty().name()), |mut hex, byte| {
                write!(hex, "{byte:02x}").unwrap();
                hex
            }),
        };
        writeln!(table, "key {key} {text}").unwrap();
    }
    for StoredTensor { name, ty, shape, offset, bytes, .. } in gguf.tensors() {
        writeln!(table, "tensor {name} {ty} {shape} {offset} {}", bytes.0).unwrap();
    }
    table
}

fn golden(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(name)).unwrap()
}

/// The part of the tables that follows the line `# name`.
fn expected(name: &str) -> String {
    let tables = String::from_utf8(golden("tiny.txt")).unwrap();
    let start = tables.split_once(&format!("# {name}\n")).unwrap().1;
    start.split_once("# ").map_or(start, |(table, _)| table).to_owned()
}

#[test]
fn gguf_of_its_own_writer_is_read_as_its_own_reader_reads_it() {
    let file = golden("tiny.gguf");
    let gguf = Gguf::parse(&file, Bytes(file.len() as u64)).unwrap();
    assert_eq!(gguf_table(&gguf), expected("tiny.gguf"));
    let foreign = gguf.tensors().require("iq2_xxs").unwrap().tensor_type().unwrap_err();
    assert_eq!(foreign.to_string(), "tensor `iq2_xxs` has type IQ2_XXS, which is not supported");
}

#[test]
fn safetensors_and_npy_of_their_own_writers_are_read() {
    let file = golden("tiny.safetensors");
    let read = Safetensors::parse(&file, Bytes(file.len() as u64)).unwrap();
    let mut metadata: Vec<_> = read.metadata().collect();
    metadata.sort_unstable();
    assert_eq!(metadata, [("format", "pt"), ("note", "a \"b\"")]);
    let mut lines: Vec<_> = read
        .tensors()
        .iter()
        .map(|tensor| {
            let [start, end] = [tensor.offset, tensor.end()].map(|at| usize::try_from(at).unwrap());
            let StoredTensor { name, ty, shape, .. } = tensor;
            format!("tensor {name} {ty} {shape} {:08x}\n", crc32(&file[start..end]))
        })
        .collect();
    lines.sort_unstable();
    assert_eq!(lines.concat(), expected("tiny.safetensors"));

    let file = golden("tiny.npy");
    let (npy, data) = Npy::from_bytes(&file).unwrap();
    let line = format!("array {} {} {:08x}\n", npy.dtype, npy.shape, crc32(data));
    assert_eq!(line, expected("tiny.npy"));
}
