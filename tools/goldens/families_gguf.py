"""Seeded weights and a GGUF writer, specified so that another program writes the same bytes.

Both `families.py` and the Rust conformance crate (`dev/conformance/src/families/`) follow this text:

* `hash(s)` is 64-bit FNV-1a of the UTF-8 bytes of `s`; `word(key, i)` is output `i` (from 0) of SplitMix64
  (Steele et al. 2014) started at `key`. A stream is named `"<seed>:<name>"`, its key is `hash` of that.
* `unit(key, i)` = `(word >> 40) / 2^23 - 1`, an exact f32 in [-1, 1).
* A float tensor's element `i` is `mean + amp * unit(i)` in f32 (two roundings), then rounded to nearest even for F16 and BF16.
* A quantised tensor's bytes are the words of its stream, little endian, cut to its size. Then each block's scales are
  overwritten: `d = f16(amp * (1 + 0.25 * unit'(block)))` in f32 before the last rounding, where `unit'` is of the stream
  `"<seed>:<name>:scale"`; the second scale, where there is one, is `f16(ratio * f32(d))`. MXFP4's exponent byte is
  `amp - (word'(block) & 1)`. Byte 0x80 in Q8_0's codes becomes 0x81.
* The file: GGUF v3, little endian, key-values and tensors in the case's order, alignment 32, zero padding after the header
  and after each tensor.

Needs numpy.
"""

import struct

import numpy as np

GAMMA = 0x9E3779B97F4A7C15
MASK = (1 << 64) - 1

# type: (GGUF id, elements a block, bytes a block, offset of d, offset of the second scale or None, ratio)
QUANTISED = {
    "Q4_0": (2, 32, 18, 0, None, 0.0), "Q4_1": (3, 32, 20, 0, 2, -7.5),
    "Q5_0": (6, 32, 22, 0, None, 0.0), "Q5_1": (7, 32, 24, 0, 2, -15.5),
    "Q8_0": (8, 32, 34, 0, None, 0.0), "Q2_K": (10, 256, 84, 80, 82, 1.5),
    "Q3_K": (11, 256, 110, 108, None, 0.0), "Q4_K": (12, 256, 144, 0, 2, 7.5),
    "Q5_K": (13, 256, 176, 0, 2, 15.5), "Q6_K": (14, 256, 210, 208, None, 0.0),
    "IQ4_NL": (20, 32, 18, 0, None, 0.0), "IQ4_XS": (23, 256, 136, 0, None, 0.0),
    "MXFP4": (39, 32, 17, 0, None, 0.0),
}
FLOATS = {"F32": (0, 4), "F16": (1, 2), "BF16": (30, 2)}
# Root mean square of a decoded block with d = 1: what turns a wanted spread into `amp`.
RMS = {"Q4_0": 4.64, "Q4_1": 4.61, "Q5_0": 9.25, "Q5_1": 9.23, "Q8_0": 73.6, "Q2_K": 13.9, "Q3_K": 43.3, "Q4_K": 258.0,
       "Q5_K": 527.0, "Q6_K": 1366.0, "IQ4_NL": 68.0, "IQ4_XS": 1258.0}


def fnv(text):
    h = 0xCBF29CE484222325
    for b in text.encode():
        h = ((h ^ b) * 0x100000001B3) & MASK
    return h


def words(key, n):
    with np.errstate(over="ignore"):
        z = np.uint64(key) + (np.arange(1, n + 1, dtype=np.uint64)) * np.uint64(GAMMA)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def unit(key, n):
    return ((words(key, n) >> np.uint64(40)).astype(np.float32) / np.float32(1 << 23)) - np.float32(1)


def tokens(seed, n, vocabulary):
    return [int(w) for w in (words(fnv(f"{seed}:tokens"), n) >> np.uint64(32)) % np.uint64(vocabulary)]


def amplitude(kind, rms):
    """The `amp` that gives type `kind` elements of root mean square about `rms`."""
    if kind == "MXFP4":
        return 127 + int(np.floor(np.log2(rms / 2.9)))
    return float(f"{rms / RMS[kind]:.4g}") if kind in QUANTISED else float(f"{rms * 3 ** 0.5:.4g}")


def tensor_bytes(seed, name, kind, dims, mean, amp):
    n, key = int(np.prod(dims)), fnv(f"{seed}:{name}")
    if kind in FLOATS:
        x = np.float32(mean) + np.float32(amp) * unit(key, n)
        if kind == "F32":
            return x.astype("<f4").tobytes()
        if kind == "F16":
            return x.astype("<f2").tobytes()
        b = x.view(np.uint32)
        return ((b + np.uint32(0x7FFF) + ((b >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)).astype("<u2").tobytes()
    _, per, size, at, at2, ratio = QUANTISED[kind]
    assert dims[-1] % per == 0, (name, kind, dims)
    blocks = n // per
    total = blocks * size
    raw = np.frombuffer(words(key, (total + 7) // 8).astype("<u8").tobytes()[:total], np.uint8).reshape(blocks, size).copy()
    scale = fnv(f"{seed}:{name}:scale")
    if kind == "MXFP4":
        raw[:, 0] = int(amp) - (words(scale, blocks) & np.uint64(1)).astype(np.int64)
        return raw.tobytes()
    if kind == "Q8_0":
        raw[:, 2:][raw[:, 2:] == 0x80] = 0x81
    d = (np.float32(amp) * (np.float32(1) + np.float32(0.25) * unit(scale, blocks))).astype("<f2")
    raw[:, at:at + 2] = d.view(np.uint8).reshape(blocks, 2)
    if at2 is not None:
        m = (np.float32(ratio) * d.astype(np.float32)).astype("<f2")
        raw[:, at2:at2 + 2] = m.view(np.uint8).reshape(blocks, 2)
    return raw.tobytes()


def string(text):
    return struct.pack("<Q", len(text.encode())) + text.encode()


SCALARS = {"u32": (4, "<I"), "i32": (5, "<i"), "f32": (6, "<f"), "bool": (7, "<B")}


def value_bytes(kind, text):
    """`kind` as written in a case: u32, i32, f32, bool, str, or `[kind]` for an array whose items stand between commas."""
    if kind.startswith("["):
        inner, items = kind[1:-1], text.split(",")
        code = 8 if inner == "str" else SCALARS[inner][0]
        body = b"".join(value_bytes(inner, t)[4:] for t in items)
        return struct.pack("<IIQ", 9, code, len(items)) + body
    if kind == "str":
        return struct.pack("<I", 8) + string(text)
    code, fmt = SCALARS[kind]
    return struct.pack("<I", code) + struct.pack(fmt, float(text) if kind == "f32" else int(text))


def write(path, seed, kv, tensors):
    """Writes the file of `kv` lines `key kind value` and `tensors` lines `name type dims mean amp` (dims outermost first)."""
    head = [b"GGUF", struct.pack("<IQQ", 3, len(tensors), len(kv))]
    for line in kv:
        key, kind, text = line.split(" ", 2)
        head.append(string(key) + value_bytes(kind, text))
    bodies, offset = [], 0
    for line in tensors:
        name, kind, dims, mean, amp = line.split()
        dims = [int(d) for d in dims.split("x")]
        body = tensor_bytes(seed, name, kind, dims, float(mean), float(amp))
        code = FLOATS[kind][0] if kind in FLOATS else QUANTISED[kind][0]
        head.append(string(name) + struct.pack("<I", len(dims)) + b"".join(struct.pack("<Q", d) for d in reversed(dims))
                    + struct.pack("<IQ", code, offset))
        body += bytes(-len(body) % 32)
        offset += len(body)
        bodies.append(body)
    head = b"".join(head)
    with open(path, "wb") as f:
        f.write(head + bytes(-len(head) % 32))
        f.writelines(bodies)
