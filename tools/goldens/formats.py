"""Writes small files of every format that is read, by the tools that own the formats, and tables
of what is in them: crates/input/formats/tests/goldens/tiny.{gguf,safetensors,npy,txt}.

Needs the packages numpy, gguf (0.19.0) and safetensors (0.8.0). Run from the repository root:

    python tools/goldens/formats.py
    python tools/goldens/formats.py table FILE.gguf     # prints the table of any GGUF file

A table has a line for each setting and tensor. Numbers are the bytes in the file in hexadecimal,
strings are quoted as in JSON, arrays are their length and the CRC-32 of their bytes in the file.
"""

import json
import sys
import zlib
from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf import GGUFValueType as Value
from safetensors.numpy import load_file, save_file

OUT = Path("crates/input/formats/tests/goldens")
SEED = 20261121
NAMES = {
    Value.UINT8: "u8", Value.INT8: "i8", Value.UINT16: "u16", Value.INT16: "i16",
    Value.UINT32: "u32", Value.INT32: "i32", Value.FLOAT32: "f32", Value.BOOL: "bool",
    Value.STRING: "string", Value.UINT64: "u64", Value.INT64: "i64", Value.FLOAT64: "f64",
}


def value_text(field):
    """One value as a table shows it."""
    kind = field.types[0]
    if kind == Value.STRING:
        return "string " + json.dumps(field.contents(), ensure_ascii=False)
    if kind != Value.ARRAY:
        return f"{NAMES[kind]} {bytes(field.parts[-1]).hex()}"
    # Behind key length, key, type, element type and length: the elements as they stand.
    element = NAMES[Value(int(field.parts[3][0]))]
    crc = 0
    for part in field.parts[5:]:
        crc = zlib.crc32(part.tobytes(), crc)
    return f"{element}[{int(field.parts[4][0])}] {crc:08x}"


def gguf_table(path):
    """The table of a GGUF file by gguf-py's reader."""
    reader = gguf.GGUFReader(path)
    yield f"alignment {reader.alignment}"
    for key, field in reader.fields.items():
        if not key.startswith("GGUF."):
            yield f"key {key} {value_text(field)}"
    for tensor in reader.tensors:
        shape = [int(n) for n in reversed(tensor.shape)]
        yield (f"tensor {tensor.name} {tensor.tensor_type.name} {shape} "
               f"{int(tensor.data_offset)} {int(tensor.n_bytes)}")


def make_gguf(path, rng):
    """Every type of value, and tensors of a few types."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_custom_alignment(64)
    writer.add_uint8("a.u8", 200)
    writer.add_int8("a.i8", -100)
    writer.add_uint16("a.u16", 60_000)
    writer.add_int16("a.i16", -30_000)
    writer.add_uint32("a.u32", 4_000_000_000)
    writer.add_int32("a.i32", -2_000_000_000)
    writer.add_uint64("a.u64", 2**64 - 1)
    writer.add_int64("a.i64", -(2**63))
    writer.add_float32("a.f32", 1.5)
    writer.add_float64("a.f64", 1e-300)
    writer.add_bool("a.bool", True)
    writer.add_string("a.text", "grüße, 日本")
    writer.add_array("b.text", ["<s>", "", "日本", "▁the"])
    writer.add_array("b.i32", [-1, 2**31 - 1])
    writer.add_array("b.f32", [0.5, -0.25])
    writer.add_array("b.bool", [True, False])
    writer.add_tensor("token_embd.weight", rng.standard_normal((4, 32)).astype(np.float32))
    writer.add_tensor("half", rng.standard_normal((2, 3, 5)).astype(np.float16))
    for name in ["Q8_0", "Q4_K", "IQ2_XXS", "MXFP4"]:
        elements, size = gguf.GGML_QUANT_SIZES[Type[name]]
        rows = rng.integers(0, 256, (2, size), dtype=np.uint8)
        writer.add_tensor(name.lower(), rows, raw_dtype=Type[name])
        assert elements in (32, 256)
    writer.add_tensor("count", np.arange(3, dtype=np.int32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def make_safetensors(path, rng):
    """Tensors of a few types; gives their lines."""
    tensors = {
        "b.weight": rng.standard_normal((2, 3)).astype(np.float32),
        "a.half": rng.standard_normal(5).astype(np.float16),
        "c.ids": np.arange(4, dtype=np.int64).reshape(2, 2),
        "d.flag": np.array(True),
        "e.none": np.zeros((0, 4), np.uint8),
    }
    save_file(tensors, path, {"format": "pt", "note": 'a "b"'})
    names = {"float32": "F32", "float16": "F16", "int64": "I64", "bool": "Bool", "uint8": "U8"}
    for name, array in sorted(load_file(path).items()):
        crc = zlib.crc32(array.tobytes())
        yield f"tensor {name} {names[array.dtype.name]} {list(array.shape)} {crc:08x}"


def make():
    OUT.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(SEED)
    make_gguf(OUT / "tiny.gguf", rng)
    lines = ["# tiny.gguf", *gguf_table(OUT / "tiny.gguf"), "# tiny.safetensors"]
    lines += make_safetensors(OUT / "tiny.safetensors", rng)
    array = rng.standard_normal((3, 2)).astype(np.float32)
    np.save(OUT / "tiny.npy", array)
    lines += ["# tiny.npy", f"array F32 [3, 2] {zlib.crc32(array.tobytes()):08x}"]
    (OUT / "tiny.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] == ["table"]:
        print(*gguf_table(sys.argv[2]), sep="\n")
    else:
        make()
