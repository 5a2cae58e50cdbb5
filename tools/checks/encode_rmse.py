"""Compares the error of our encoders with llama.cpp's, which quantises without an importance matrix.

Needs the packages numpy, gguf (0.19.0), safetensors and llama-cpp-python (0.3.36, for the shared
library libggml-base.so, called directly). Run from the repository root:

    python tools/checks/encode_rmse.py [model.safetensors | model.gguf]...

Encodes with `cargo run --release -p ledge-tensor --example recode`. Rows: Gaussian, Student-t with
4 degrees of freedom, and every matrix of the models given whose rows are multiples of 256 (others
are cut there), at most 4 M weights of each. Exits 1 if any type is worse than llama.cpp.
"""

import ctypes
import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type

TYPES = "F16 BF16 Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q3_K Q4_K Q5_K Q6_K IQ4_NL IQ4_XS MXFP4".split()
LIMIT = 4 << 20


def ggml():
    spec = importlib.util.find_spec("llama_cpp")
    lib = ctypes.CDLL(str(Path(spec.origin).parent / "lib" / "libggml-base.so"))
    lib.ggml_quantize_chunk.restype = ctypes.c_size_t
    lib.ggml_quantize_chunk.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p,
                                        ctypes.c_int64, ctypes.c_int64, ctypes.c_int64,
                                        ctypes.c_void_p]
    return lib


def theirs(lib, name, rows):
    ty = Type[name]
    elements, size = gguf.constants.GGML_QUANT_SIZES[ty]
    out = np.empty(rows.size // elements * size, np.uint8)
    lib.ggml_quantize_chunk(ty, rows.ctypes.data, out.ctypes.data, 0, len(rows), 256, None)
    return gguf.quants.dequantize(out, ty).reshape(rows.shape)


def ours(name, rows, folder):
    source, target = folder / "in.f32", folder / "out.f32"
    rows.tofile(source)
    run = subprocess.run(
        ["cargo", "run", "-q", "--release", "-p", "ledge-tensor", "--example", "recode", "--",
         name, source, target], check=True, capture_output=True, text=True)
    return np.fromfile(target, np.float32).reshape(rows.shape), float(run.stdout)


def matrices(path):
    if path.suffix == ".gguf":
        for tensor in gguf.GGUFReader(path).tensors:
            if len(tensor.shape) > 1:
                yield gguf.quants.dequantize(tensor.data, tensor.tensor_type)
    else:
        from safetensors import safe_open
        with safe_open(path, "np") as file:
            for key in file.keys():
                tensor = file.get_tensor(key)
                if tensor.ndim > 1:
                    yield tensor


def rows_of(path):
    parts, room = [], LIMIT
    for matrix in matrices(path):
        matrix = np.asarray(matrix, np.float32)
        matrix = matrix.reshape(-1, matrix.shape[-1])
        width = matrix.shape[-1] // 256 * 256
        part = matrix[:, :width].reshape(-1, 256)[: LIMIT // 256 // 16]
        parts.append(part[: room // 256])
        room -= parts[-1].size
    return np.ascontiguousarray(np.concatenate(parts))


def main():
    rng = np.random.default_rng(7)
    sets = {
        "gauss": (rng.standard_normal((2048, 256)) * 0.02).astype(np.float32),
        "student4": (rng.standard_t(4, (2048, 256)) * 0.02).astype(np.float32),
    }
    for path in map(Path, sys.argv[1:]):
        sets[path.parent.name[:12]] = rows_of(path)
    lib, worse = ggml(), False
    print(f"{'type':8}" + "".join(f"{name:>14}{'MB/s':>8}" for name in sets))
    with tempfile.TemporaryDirectory() as folder:
        for name in TYPES:
            line = f"{name:8}"
            for rows in sets.values():
                mine, rate = ours(name, rows, Path(folder))
                rmse = [np.sqrt(np.mean((x.astype(np.float64) - rows) ** 2))
                        for x in (mine, theirs(lib, name, rows))]
                ratio = rmse[0] / rmse[1] if rmse[1] else 1.0 + (rmse[0] > 0)
                worse |= ratio > 1.0
                line += f"{ratio:14.4f}{rate:8.0f}"
            print(line, flush=True)
    sys.exit(int(worse))


main()
