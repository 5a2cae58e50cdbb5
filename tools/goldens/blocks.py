"""Writes crates/base/tensor/tests/goldens/blocks.bin: stored rows of every element type and their
values as gguf-py decodes them.

Needs the packages numpy and gguf (0.19.0). Run from the repository root:

    python tools/goldens/blocks.py

The file is a sequence of records, little endian: u8 length of name, name, u32 elements, u32 bytes,
the stored row, the values as f32. Rows hold random blocks and blocks whose scales are extreme:
zero, minus zero, the smallest and largest subnormal, the largest finite, infinite, NaN.
"""

import struct
from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf.constants import GGML_QUANT_SIZES

OUT = Path("crates/base/tensor/tests/goldens/blocks.bin")
SEED = 20261121
# Byte offsets of the halves of each block.
HALVES = {
    "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "IQ4_NL": [0],
    "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "IQ4_XS": [0],
}
EXTREME = [0x0000, 0x8000, 0x0001, 0x83FF, 0x7BFF, 0xFBFF, 0x7C00, 0xFC00, 0x7E00]
PLAIN = {
    "F32": np.float32, "F16": np.float16, "F64": np.float64, "I8": np.int8, "U8": np.uint8,
    "I16": np.int16, "U16": np.uint16, "I32": np.int32, "U32": np.uint32, "I64": np.int64,
    "U64": np.uint64, "Bool": np.bool_,
}


def block_rows(rng, name):
    """Random blocks, first with ordinary scales, then with extreme ones."""
    elements, size = GGML_QUANT_SIZES[Type[name]]
    count = 16 if elements == 32 else 5
    blocks = rng.integers(0, 256, (count, size), dtype=np.uint8)
    ordinary = 6 if elements == 32 else 2
    for i, block in enumerate(blocks):
        for nth, at in enumerate(HALVES.get(name, [])):
            if i < ordinary:
                half = np.float16(rng.normal() * 0.01)
            elif elements == 32:
                half = np.uint16(EXTREME[(i - ordinary + nth) % len(EXTREME)]).view(np.float16)
            else:
                half = np.uint16([0x83FF, 0x7BFF, 0x7E00][i - ordinary]).view(np.float16)
            block[at : at + 2] = np.frombuffer(half.tobytes(), np.uint8)
    if name == "MXFP4":
        blocks[:, 0] = [0, 1, 2, 3, 126, 127, 128, 129, 253, 254, 255, *range(118, 123)]
    return blocks.reshape(-1)


def plain_rows(rng, name):
    """Numbers over the whole range, with the extreme ones."""
    dtype = PLAIN[name]
    if name == "F16":
        return np.concatenate([np.arange(0, 65536, 1021), EXTREME]).astype(np.uint16).view(dtype)
    if name == "Bool":
        return np.array([False, True, True, False])
    if dtype in (np.float32, np.float64):
        big = [0.0, -0.0, np.inf, -np.inf, np.nan, np.finfo(dtype).max, np.finfo(dtype).tiny / 8]
        return np.concatenate([rng.standard_t(2, 25), big]).astype(dtype)
    info = np.iinfo(dtype)
    row = rng.integers(info.min, info.max, 30, dtype=dtype, endpoint=True)
    return np.concatenate([row, np.array([info.min, info.max], dtype)])


def main():
    rng = np.random.default_rng(SEED)
    out = bytearray()
    np.seterr(all="ignore")
    for name in PLAIN:
        row = plain_rows(rng, name)
        out += record(name, row.tobytes(), row.astype(np.float32))
    bf16 = np.concatenate([np.arange(0, 65536, 1021), [0x7F80, 0xFFC0, 0x0001]]).astype(np.uint16)
    out += record("BF16", bf16.tobytes(), gguf.quants.dequantize(bf16.view(np.uint8), Type.BF16))
    for name in [*HALVES, "MXFP4"]:
        row = block_rows(rng, name)
        out += record(name, row.tobytes(), gguf.quants.dequantize(row, Type[name]))
    OUT.write_bytes(out)
    print(f"{OUT}: {len(out)} bytes")


def record(name, stored, values):
    values = np.ascontiguousarray(values, np.float32).reshape(-1)
    head = bytes([len(name)]) + name.encode() + struct.pack("<II", values.size, len(stored))
    return head + stored + values.tobytes()


main()
