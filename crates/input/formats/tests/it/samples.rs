//! Small good files that other tests write, read and damage.

use ledge_formats::{
    StoredTensor,
    gguf::{self, Metadata, StrArray},
    safetensors,
};
use tensor::{BlockType, DType, Shape};

use crate::raw::{Flat, Proto};

/// A shape out of its dimensions.
pub(crate) fn shape(dims: &[u64]) -> Shape {
    Shape::new(dims).unwrap()
}

/// Every type of value, once.
pub(crate) fn metadata() -> Metadata {
    let mut metadata = Metadata::new();
    metadata
        .set("general.architecture", "llama")
        .set("general.alignment", 32u32)
        .set("a.u8", 200u8)
        .set("a.i8", -100i8)
        .set("a.u16", 60_000u16)
        .set("a.i16", -30_000i16)
        .set("a.u32", 4_000_000_000u32)
        .set("a.i32", -2_000_000_000i32)
        .set("a.u64", u64::MAX)
        .set("a.i64", i64::MIN)
        .set("a.f32", 1.5f32)
        .set("a.f64", 1e-300f64)
        .set("a.bool", true)
        .set("a.text", "grüße")
        .set("b.u8", vec![1u8, 2])
        .set("b.i8", vec![-1i8, 2])
        .set("b.u16", vec![1u16])
        .set("b.i16", vec![-1i16])
        .set("b.u32", vec![1u32, 2, 3])
        .set("b.i32", vec![-1i32, 1])
        .set("b.u64", vec![1u64 << 40])
        .set("b.i64", vec![-1i64])
        .set("b.f32", vec![0.5f32, -0.0])
        .set("b.f64", vec![0.25f64])
        .set("b.bool", vec![true, false])
        .set("b.empty", Vec::<f32>::new())
        .set("b.text", StrArray::new(["<s>", "", "日本", "▁the"]).unwrap());
    metadata
}

/// A GGUF writer with a few tensors of different types.
pub(crate) fn gguf_writer() -> gguf::Writer {
    let mut writer = gguf::Writer::new(metadata());
    writer.tensor("token_embd.weight", BlockType::Q8_0, shape(&[4, 32])).unwrap();
    writer.tensor("output_norm.weight", DType::F32, shape(&[5])).unwrap();
    writer.tensor("blk.0.x", DType::F16, shape(&[2, 3, 1, 2])).unwrap();
    writer.tensor("blk.0.k", BlockType::Q4_K, shape(&[1, 256])).unwrap();
    writer
}

/// Bytes that tell tensors apart: the last letter of the name, counting up.
pub(crate) fn fill(tensor: &StoredTensor) -> Vec<u8> {
    let first = *tensor.name.as_bytes().last().unwrap();
    (0..=u8::MAX)
        .cycle()
        .zip(0..tensor.bytes.0)
        .map(|(count, _)| first.wrapping_add(count))
        .collect()
}

/// A whole GGUF file.
pub(crate) fn gguf_file() -> Vec<u8> {
    write(&gguf_writer().layout().unwrap())
}

/// A safetensors writer with a few tensors of different types.
pub(crate) fn safetensors_writer() -> safetensors::Writer {
    let mut writer =
        safetensors::Writer::new().metadata("format", "pt").metadata("note", "a \"b\"");
    writer.tensor("embed.weight", DType::F32, shape(&[2, 3])).unwrap();
    writer.tensor("bias", DType::BF16, shape(&[3])).unwrap();
    writer.tensor("flag", DType::Bool, shape(&[])).unwrap();
    writer.tensor("none", DType::I64, shape(&[0, 4])).unwrap();
    writer
}

/// A whole safetensors file.
pub(crate) fn safetensors_file() -> Vec<u8> {
    write(&safetensors_writer().layout().unwrap())
}

/// The bytes of a layout with its tensors filled.
pub(crate) fn write(layout: &ledge_formats::Layout) -> Vec<u8> {
    let mut file = Vec::new();
    layout
        .write(&mut file, |tensor, sink| {
            std::io::Write::write_all(sink, &fill(tensor)).map_err(ledge_formats::FormatError::from)
        })
        .unwrap();
    assert_eq!(file.len() as u64, layout.file_bytes().0);
    file
}

/// A small ONNX file: a node with attributes and a branch, constants of three kinds.
pub(crate) fn onnx_file() -> Vec<u8> {
    let new = Proto::default;
    let value = |name: &str| {
        let dims = new().message(1, new().bytes(2, "n")).message(1, new().int(1, 3));
        let ty = new().message(1, new().int(1, 1).message(2, dims));
        new().bytes(1, name).message(2, ty)
    };
    let branch = new().message(1, new().bytes(2, "b").bytes(4, "Constant"));
    let node = new()
        .bytes(1, "x")
        .bytes(2, "y")
        .bytes(4, "If")
        .message(5, new().bytes(1, "then_branch").int(20, 5).message(6, branch))
        .message(5, new().bytes(1, "pads").int(20, 7).bytes(8, [1, 2, 0x96, 1]));
    let graph = new()
        .message(1, node)
        .message(5, new().bytes(8, "w").int(2, 1).int(1, 2).bytes(9, [0; 8]))
        .message(5, new().bytes(8, "t").int(2, 7).int(1, 2).bytes(7, [5, 0x96, 1]))
        .message(5, new().bytes(8, "s").int(2, 8).int(1, 1).bytes(6, "cat"))
        .message(11, value("x"))
        .message(12, value("y"));
    new().int(1, 10).message(7, graph).message(8, new().int(2, 18)).0
}

/// A small TFLite file: an operator, a quantised constant and a sparse one.
pub(crate) fn tflite_file() -> Vec<u8> {
    let new = Flat::default;
    let tensor =
        |name: &str, shape: &[i32], buffer| new().ints(0, shape).int(2, buffer).bytes(3, name);
    let lists = new()
        .byte(0, 1)
        .byte(2, 3)
        .table(3, new().bytes(0, [0, 1, 3]))
        .byte(4, 3)
        .table(5, new().bytes(0, [1, 0, 3]));
    let sparsity = new().ints(0, &[0, 1]).tables(2, &[new().int(1, 2), lists]);
    let quantization = new().bytes(2, []).claim(2, 1, &[0, 0, 0, 0x3f]).int(6, 0);
    let operator = new().ints(1, &[0, -1]).ints(2, &[1]).byte(3, 1).table(4, new().int(1, 2));
    let graph = new()
        .tables(
            0,
            &[
                tensor("x", &[1, 4], 0).ints(7, &[-1, 4]).table(4, quantization),
                tensor("s", &[2, 4], 1).table(6, sparsity),
            ],
        )
        .ints(1, &[0])
        .ints(2, &[1])
        .tables(3, &[operator]);
    new()
        .int(0, 3)
        .tables(1, &[new().byte(0, 3).int(3, 3)])
        .tables(2, &[graph])
        .tables(4, &[new(), new().bytes(0, [1; 12])])
        .file()
}
