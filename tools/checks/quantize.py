"""Checks `ledge quantize` against llama.cpp's own tool, mix by mix: the same type for every tensor,
llama.cpp loads our file, and its perplexity on a text is beside that of llama.cpp's file.

Needs the packages numpy, gguf (0.19.0) and llama-cpp-python (0.3.36). Run from the repository root:

    cargo build --release
    python tools/checks/quantize.py model.gguf text.txt [mix]...

Exits 1 if a type differs or a file does not load.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import gguf
import llama_cpp
import numpy as np
from llama_cpp import llama_cpp as api

MIXES = {
    "f32": 0, "f16": 1, "bf16": 32, "q4_0": 2, "q4_1": 3, "q5_0": 8, "q5_1": 9, "q8_0": 7,
    "q2_k": 10, "q3_k_s": 11, "q3_k_m": 12, "q3_k_l": 13, "q4_k_s": 14, "q4_k_m": 15,
    "q5_k_s": 16, "q5_k_m": 17, "q6_k": 18, "iq4_nl": 25, "iq4_xs": 30, "mxfp4_moe": 38,
}
LEDGE = os.environ.get("LEDGE", "target/release/ledge")
# Kept, because the library keeps a pointer to it.
QUIET = llama_cpp.llama_log_callback(lambda *_: None)
TOKENS, WINDOWS = 512, 8


def perplexity(path, text):
    """Of the second half of each window, as llama-perplexity counts."""
    model = llama_cpp.Llama(str(path), n_ctx=TOKENS, n_batch=TOKENS, logits_all=True,
                            verbose=False, n_threads=2)
    tokens = model.tokenize(text.encode(), add_bos=True)
    total, count = 0.0, 0
    for at in range(0, min(len(tokens) - TOKENS, WINDOWS * TOKENS), TOKENS):
        window = tokens[at : at + TOKENS]
        model.reset()
        model.eval(window)
        logits = np.asarray(model.scores[:TOKENS], np.float64)
        logits -= logits.max(-1, keepdims=True)
        logprobs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        for i in range(TOKENS // 2, TOKENS - 1):
            total -= logprobs[i, window[i + 1]]
            count += 1
    model.close()
    return np.exp(total / count)


def types(path):
    return {t.name: t.tensor_type.name for t in gguf.GGUFReader(path).tensors}


def main():
    source, text = Path(sys.argv[1]), Path(sys.argv[2]).read_text()
    llama_cpp.llama_log_set(QUIET, None)
    wrong = False
    print(f"source: perplexity {perplexity(source, text):.3f}")
    print(f"{'mix':10}{'types':>8}{'bytes':>12}{'ours':>10}{'llama.cpp':>10}")
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = Path(folder, "ours.gguf"), Path(folder, "theirs.gguf")
        for mix in sys.argv[3:] or MIXES:
            subprocess.run([*LEDGE.split(), "quantize", source, ours, mix], check=True,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            params = api.llama_model_quantize_default_params()
            params.ftype, params.nthread, params.allow_requantize = MIXES[mix], 2, True
            assert api.llama_model_quantize(str(source).encode(), str(theirs).encode(), params) == 0
            same = types(ours) == types(theirs)
            wrong |= not same
            line = f"{mix:10}{'same' if same else 'DIFFER':>8}{ours.stat().st_size:12}"
            for path in (ours, theirs):
                line += f"{perplexity(path, text):10.3f}"
            print(line, flush=True)
    sys.exit(wrong)


main()
