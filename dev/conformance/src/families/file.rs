//! Writes a case as a GGUF file, without the writer under test.
//!
//! Version 3, little endian, alignment 32, key-values and tensors in the case's order: the same
//! bytes as `tools/goldens/families_gguf.py` writes, so that a golden's SHA-256 covers them.

use tensor::{BlockType, DType, TensorType};

use super::{CaseError, seeded::Recipe};

/// Alignment of tensors.
const ALIGNMENT: usize = 32;

/// Writes the whole file of `kv` lines (`key type value`) and `tensors`.
pub(super) fn write(
    mut out: impl FnMut(&[u8]) -> Result<(), CaseError>,
    seed: u64,
    kv: &[String],
    tensors: &[Recipe],
) -> Result<(), CaseError> {
    let mut head = b"GGUF\x03\0\0\0".to_vec();
    head.extend((tensors.len() as u64).to_le_bytes());
    head.extend((kv.len() as u64).to_le_bytes());
    for line in kv {
        key_value(&mut head, line).ok_or_else(|| CaseError::line("key-value", line))?;
    }
    let mut offset = 0u64;
    let mut bodies = Vec::new();
    for recipe in tensors {
        let mut body = recipe.bytes(seed);
        body.resize(body.len().next_multiple_of(ALIGNMENT), 0);
        string(&mut head, &recipe.name);
        head.extend((u32::try_from(recipe.dims.len()).unwrap_or(u32::MAX)).to_le_bytes());
        head.extend(recipe.dims.iter().rev().flat_map(|dim| dim.to_le_bytes()));
        head.extend(type_id(recipe.ty).to_le_bytes());
        head.extend(offset.to_le_bytes());
        offset += body.len() as u64;
        bodies.push(body);
    }
    head.resize(head.len().next_multiple_of(ALIGNMENT), 0);
    out(&head)?;
    bodies.iter().try_for_each(|body| out(body))
}

/// Appends a string with its length.
fn string(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

/// Appends `key type value`; `None` if the line is not that.
fn key_value(out: &mut Vec<u8>, line: &str) -> Option<()> {
    let mut parts = line.splitn(3, ' ');
    let (key, kind, text) = (parts.next()?, parts.next()?, parts.next()?);
    string(out, key);
    let Some(inner) = kind.strip_prefix('[').and_then(|kind| kind.strip_suffix(']')) else {
        out.extend(value_id(kind)?.to_le_bytes());
        return value(out, kind, text);
    };
    out.extend(9u32.to_le_bytes());
    out.extend(value_id(inner)?.to_le_bytes());
    out.extend((text.split(',').count() as u64).to_le_bytes());
    text.split(',').try_for_each(|item| value(out, inner, item))
}

/// GGUF's number of a value type.
fn value_id(kind: &str) -> Option<u32> {
    Some(match kind {
        "u32" => 4,
        "i32" => 5,
        "f32" => 6,
        "bool" => 7,
        "str" => 8,
        _ => return None,
    })
}

/// Appends one value without its type.
fn value(out: &mut Vec<u8>, kind: &str, text: &str) -> Option<()> {
    match kind {
        "u32" => out.extend(text.parse::<u32>().ok()?.to_le_bytes()),
        "i32" => out.extend(text.parse::<i32>().ok()?.to_le_bytes()),
        "f32" => out.extend(text.parse::<f32>().ok()?.to_le_bytes()),
        "bool" => out.extend(text.parse::<u8>().ok()?.to_le_bytes()),
        "str" => string(out, text),
        _ => return None,
    }
    Some(())
}

/// ggml's number of a tensor type that cases use.
fn type_id(ty: TensorType) -> u32 {
    match ty {
        TensorType::Plain(DType::F16) => 1,
        TensorType::Plain(DType::BF16) => 30,
        TensorType::Plain(_) => 0,
        TensorType::Block(block) => match block {
            BlockType::Q4_0 => 2,
            BlockType::Q4_1 => 3,
            BlockType::Q5_0 => 6,
            BlockType::Q5_1 => 7,
            BlockType::Q8_0 => 8,
            BlockType::Q2_K => 10,
            BlockType::Q3_K => 11,
            BlockType::Q4_K => 12,
            BlockType::Q5_K => 13,
            BlockType::Q6_K => 14,
            BlockType::IQ4_NL => 20,
            BlockType::IQ4_XS => 23,
            BlockType::MXFP4 => 39,
        },
    }
}
