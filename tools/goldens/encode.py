"""Writes crates/base/tensor/tests/goldens/encode.bin: real weights and llama.cpp's error on them.

Needs the packages numpy, gguf (0.19.0), safetensors and llama-cpp-python (0.3.36, for its shared
library libggml-base.so, called directly). Run from the repository root with the project's first
small model, a safetensors file in half precision:

    python tools/goldens/encode.py model.safetensors

The file: 16 rows of 256 halves (rows of four matrices), then for every block type u8 length of
name, name, f64 root mean square error of llama.cpp's own encoder without an importance matrix.
"""

import ctypes
import importlib.util
import struct
import sys
from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type
from safetensors import safe_open

OUT = Path("crates/base/tensor/tests/goldens/encode.bin")
TENSORS = ["model.layers.0.self_attn.q_proj.weight", "model.layers.1.mlp.up_proj.weight",
           "model.layers.3.self_attn.v_proj.weight", "model.embed_tokens.weight"]
TYPES = "Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q3_K Q4_K Q5_K Q6_K IQ4_NL IQ4_XS MXFP4".split()


def main():
    lib = ctypes.CDLL(str(Path(importlib.util.find_spec("llama_cpp").origin).parent
                          / "lib" / "libggml-base.so"))
    lib.ggml_quantize_chunk.restype = ctypes.c_size_t
    lib.ggml_quantize_chunk.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p,
                                        ctypes.c_int64, ctypes.c_int64, ctypes.c_int64,
                                        ctypes.c_void_p]
    with safe_open(sys.argv[1], "np") as file:
        rows = np.concatenate([file.get_tensor(name)[8:12, :256] for name in TENSORS])
    assert rows.dtype == np.float16 and rows.shape == (16, 256)
    out = bytearray(rows.tobytes())
    rows = rows.astype(np.float32)
    for name in TYPES:
        elements, size = gguf.constants.GGML_QUANT_SIZES[Type[name]]
        stored = np.empty(rows.size // elements * size, np.uint8)
        lib.ggml_quantize_chunk(Type[name], rows.ctypes.data, stored.ctypes.data, 0, 16, 256, None)
        error = gguf.quants.dequantize(stored, Type[name]).reshape(rows.shape) - rows
        rmse = float(np.sqrt(np.mean(error.astype(np.float64) ** 2)))
        out += bytes([len(name)]) + name.encode() + struct.pack("<d", rmse)
        print(f"{name:8} {rmse:.3e}")
    OUT.write_bytes(out)


main()
