//! Conversions in memory: types, bytes, settings, threads, and what is refused.

use super::*;
use formats::gguf::Metadata;
use plan::Uncontrolled;
use std::num::NonZeroUsize;
use tensor::{BlockType, DType, Shape};

/// A model file of these tensors, filled with small numbers that vary.
fn file(tensors: &[(&str, TensorType, &[u64])]) -> Vec<u8> {
    let mut metadata = Metadata::new();
    metadata
        .set("general.architecture", "llama")
        .set("general.name", "made up")
        .set("llama.block_count", 1u32)
        .set("llama.attention.head_count", 4u32)
        .set("split.count", 1u16);
    let mut writer = Writer::new(metadata);
    for &(name, ty, dims) in tensors {
        writer.tensor(name, ty, Shape::new(dims).unwrap()).unwrap();
    }
    let mut out = Vec::new();
    let fill = |tensor: &StoredTensor, sink: &mut formats::layout::TensorSink<'_>| {
        let elements = to_usize(tensor.shape.elements().unwrap());
        let values: Vec<f32> =
            (0..elements).map(|i| ((i * 37 % 101) as f32 - 50.0) / 64.0).collect();
        let mut stored = vec![0; to_usize(tensor.bytes.0)];
        encode_row(tensor.tensor_type()?, &values, &mut stored);
        sink.write_all(&stored).map_err(FormatError::from)
    };
    writer.layout().unwrap().write(&mut out, fill).unwrap();
    out
}

fn parse(file: &[u8]) -> Gguf {
    Gguf::parse(file, Bytes(file.len() as u64)).unwrap()
}

/// Converts with a number of threads, in batches of five pieces.
fn convert(file: &[u8], mix: Mix, threads: usize) -> Result<Vec<u8>, QuantizeError> {
    let gguf = parse(file);
    let threads = NonZeroUsize::new(threads).expect("at least one");
    let pool = Pool::new(threads)?;
    let mut out = Vec::new();
    let mut read = |no: u32, at: u64, out: &mut [u8]| {
        assert_eq!(no, 0);
        out.copy_from_slice(&file[to_usize(at)..][..out.len()]);
        Ok::<_, QuantizeError>(())
    };
    let mut conversion = Conversion::new(&gguf, mix)?;
    conversion.batch = 5 * PIECE as u64;
    conversion.write(&mut read, &pool, &mut out, &Uncontrolled)?;
    Ok(out)
}

/// A tensor's bytes.
fn bytes<'a>(file: &'a [u8], name: &str) -> &'a [u8] {
    let gguf = parse(file);
    let tensor = gguf.tensors().get(name).unwrap();
    &file[to_usize(tensor.offset)..to_usize(tensor.end())]
}

const F32: TensorType = TensorType::F32;

#[test]
fn rows_are_converted_and_the_rest_is_copied() {
    let source = file(&[
        ("token_embd.weight", F32, &[5, 256]),
        ("blk.0.attn_q.weight", DType::F16.into(), &[3, 256]),
        ("blk.0.attn_norm.weight", F32, &[256]),
        ("blk.0.ffn_up.weight", BlockType::Q8_0.into(), &[7, 96]),
        ("blk.0.ffn_gate.weight", BlockType::Q4_K.into(), &[2, 256]),
        ("blk.0.ffn_down.weight", F32, &[2, 12]),
    ]);
    let gguf = parse(&source);
    let conversion = Conversion::new(&gguf, Mix::Q4_K_S).unwrap();
    let types: Vec<_> = conversion.layout().tensors().iter().map(|t| t.ty.name()).collect();
    assert_eq!(types, ["Q6_K", "Q4_K", "F32", "Q5_0", "Q4_K", "F16"]);
    let summary = conversion.summary();
    assert_eq!((summary.tensors, summary.converted, summary.requantized), (6, 4, 1));
    let out = convert(&source, Mix::Q4_K_S, 1).unwrap();
    assert_eq!(out.len() as u64, conversion.layout().file_bytes().0);
    for name in ["blk.0.attn_norm.weight", "blk.0.ffn_gate.weight"] {
        assert_eq!(bytes(&out, name), bytes(&source, name), "{name}");
    }
    let mut rows = vec![0.0; 7 * 96];
    decode_row(BlockType::Q8_0.into(), bytes(&source, "blk.0.ffn_up.weight"), &mut rows);
    let mut want = vec![0; 7 * 96 / 32 * 22];
    encode_row(BlockType::Q5_0.into(), &rows, &mut want);
    assert_eq!(bytes(&out, "blk.0.ffn_up.weight"), want);
    let out = parse(&out);
    let metadata = out.metadata();
    assert_eq!(metadata.get_str("general.name").unwrap(), "made up");
    assert_eq!(metadata.get_u32("general.file_type").unwrap(), 14);
    assert_eq!(metadata.get_u32("general.quantization_version").unwrap(), 2);
    assert!(metadata.get("split.count").is_none());
}

#[test]
fn threads_and_batches_change_no_byte() {
    // Three batches, the last of them odd.
    let rows = (10 * PIECE / 256 + 3) as u64;
    let source = file(&[
        ("token_embd.weight", BlockType::Q8_0.into(), &[rows, 256]),
        ("output.weight", BlockType::Q4_0.into(), &[2, 64]),
    ]);
    let one = convert(&source, Mix::Q4_0, 1).unwrap();
    assert_eq!(convert(&source, Mix::Q4_0, 3).unwrap(), one);
    let mut values = vec![0.0; 256];
    let row = to_usize(rows - 1) * 8;
    decode_row(
        BlockType::Q8_0.into(),
        &bytes(&source, "token_embd.weight")[row * 34..],
        &mut values,
    );
    let mut want = vec![0; 8 * 18];
    encode_row(BlockType::Q4_0.into(), &values, &mut want);
    assert_eq!(&bytes(&one, "token_embd.weight")[row * 18..], want);
}

#[test]
fn numbers_that_blocks_cannot_hold_are_refused_with_their_place() {
    let mut source = file(&[("blk.0.attn_k.weight", F32, &[200, 256])]);
    let offset = to_usize(parse(&source).tensors().get("blk.0.attn_k.weight").unwrap().offset);
    let at = offset + 4 * 40_007;
    source[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    for threads in [1, 2] {
        let error = convert(&source, Mix::Q5_K_M, threads).unwrap_err();
        assert_eq!(error.to_string(), "tensor `blk.0.attn_k.weight`: element 40007 is NaN");
    }
}

#[test]
fn a_caller_can_stop() {
    struct Stop;
    impl Control for Stop {
        fn cancelled(&self) -> bool {
            true
        }
        fn progress(&self, done: u64, total: u64) {
            assert!(0 < done && done <= total);
        }
    }
    let source = file(&[("output.weight", F32, &[2, 256]), ("token_embd.weight", F32, &[2, 256])]);
    let gguf = parse(&source);
    let pool = Pool::new(NonZeroUsize::MIN).unwrap();
    let mut read = |_, _, out: &mut [u8]| {
        out.fill(0);
        Ok::<_, QuantizeError>(())
    };
    let conversion = Conversion::new(&gguf, Mix::Q8_0).unwrap();
    let error = conversion.write(&mut read, &pool, &mut io::sink(), &Stop).unwrap_err();
    assert!(matches!(error, QuantizeError::Cancelled { done: Bytes(544), .. }), "{error}");
}
