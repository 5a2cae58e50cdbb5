"""Goldens of llama.cpp for tiny models of every family: makes them, or checks them.

    python tools/goldens/families.py                 # make all (testdata/families/*.toml, *.npy)
    python tools/goldens/families.py --only qwen     # those whose name contains "qwen"
    python tools/goldens/families.py --check         # regenerate, compare with the files, and with reference.py
    python tools/goldens/families.py --gguf DIR      # also keep the GGUF files in DIR
    python tools/goldens/families.py --seed 7 --out DIR   # other weights, elsewhere
    python tools/goldens/families.py --varied 84 --seed 7 --out DIR   # other shapes, too: 84 drawn ones

Needs the packages numpy, gguf and llama-cpp-python 0.3.36. A case (families_cases.py) is written as GGUF by families_gguf.py; llama.cpp
evaluates a 300-token prompt in one batch and 50 teacher-forced tokens one by one, with an f32 cache, flash attention off, two threads.
Encoders: one batch of 300 tokens, hidden states, and the pooled vector as the last row. Kept: the rows of POSITIONS.
"""

import argparse
import ctypes
import datetime
import hashlib
import platform
import tempfile
from pathlib import Path

import llama_cpp as lc
import numpy as np

from families_cases import CASES, build, varied
from families_gguf import tokens, write
from reference import Model

PROMPT, DECODE, CONTEXT = 300, 50, 512
POSITIONS = [0, 1, 2, 3, 7, 15, 31, 32, 33, 47, 48, 63, 64, 65, 127, 128, 200, 255, 256, 257, 299, 300, 301, 302, 310, 319, 320, 321, 330, 339, 348, 349]
ENCODER_POSITIONS = [p for p in POSITIONS if p < PROMPT]
F32_TOLERANCE = 1e-3  # of the spread (maximum minus minimum) of the golden logits


def llama_logits(path, ids, encoder, extra=True):
    """Rows of logits for all positions; for an encoder hidden states and the pooled vector below them."""
    mp = lc.llama_model_default_params()
    mp.use_extra_bufts = extra  # False: the plain kernels, without repacked weights
    model = lc.llama_model_load_from_file(str(path).encode(), mp)
    assert model, path
    if encoder:
        rows = [run(model, ids, lc.LLAMA_POOLING_TYPE_NONE), run(model, ids, lc.LLAMA_POOLING_TYPE_UNSPECIFIED)]
        out = np.concatenate(rows)
    else:
        out = run(model, ids, None)
    lc.llama_model_free(model)
    return out


def run(model, ids, pooling):
    cp = lc.llama_context_default_params()
    cp.n_ctx, cp.n_batch, cp.n_ubatch, cp.n_seq_max = CONTEXT, CONTEXT, CONTEXT, 1
    cp.n_threads = cp.n_threads_batch = 2
    cp.type_k = cp.type_v = lc.GGML_TYPE_F32
    cp.flash_attn_type = 0  # disabled
    if pooling is not None:
        cp.embeddings, cp.pooling_type = True, pooling
    ctx = lc.llama_init_from_model(model, cp)
    assert ctx
    width = lc.llama_model_n_embd(model) if pooling is not None else lc.llama_vocab_n_tokens(lc.llama_model_get_vocab(model))
    rows, at = [], 0
    for n in [PROMPT] if pooling is not None else [PROMPT] + [1] * DECODE:
        batch = lc.llama_batch_init(n, 0, 1)
        batch.n_tokens = n
        for i in range(n):
            batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.seq_id[i][0], batch.logits[i] = ids[at + i], at + i, 1, 0, 1
        assert (lc.llama_encode if pooling is not None else lc.llama_decode)(ctx, batch) == 0
        if pooling == lc.LLAMA_POOLING_TYPE_UNSPECIFIED:
            rows.append(np.ctypeslib.as_array(lc.llama_get_embeddings_seq(ctx, 0), (1, width)).copy())
        elif pooling is not None:
            rows += [np.ctypeslib.as_array(lc.llama_get_embeddings_ith(ctx, i), (1, width)).copy() for i in range(n)]
        else:
            rows.append(np.ctypeslib.as_array(lc.llama_get_logits(ctx), (n, width)).copy())
        lc.llama_batch_free(batch)
        at += n
    lc.llama_free(ctx)
    return np.concatenate(rows)


def kl(a, b):
    """KL(a || b) of each row of logits."""
    la, lb = (x.astype(np.float64) - np.logaddexp.reduce(x.astype(np.float64), axis=1, keepdims=True) for x in (a, b))
    return (np.exp(la) * (la - lb)).sum(axis=1)


def max_error(a, b):
    """Largest difference over the spread of `a`."""
    return float(np.abs(a - b).max() / (a.max() - a.min()))


def toml_list(name, lines):
    return f"{name} = [\n" + "".join(f'  "{line}",\n' for line in lines) + "]\n"


def make(name, case, seed, out, gguf_dir, check):
    kv, tensors, c = build(case)
    encoder = c["arch"] == "bert"
    path = gguf_dir / f"{name}.gguf"
    write(path, seed, kv, tensors)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    ids = tokens(seed, PROMPT + DECODE, c["vocab"])
    got = llama_logits(path, ids, encoder)
    assert np.isfinite(got).all(), name
    plain = llama_logits(path, ids, encoder, extra=False)
    exact = Model(path).run(ids[:PROMPT] if encoder else ids, CONTEXT)
    keep = got[ENCODER_POSITIONS + [PROMPT]] if encoder else got[POSITIONS]
    quantised = any(line.split()[1] != "F32" for line in tensors)
    error, spread = max_error(got, exact), float(got.max() - got.min())
    noise = float(np.abs(got - exact).max())
    report = f"{name:20} spread {spread:7.3f}  to reference {error:.1e}"
    paths_kl = exact_kl = 0.0
    if quantised and not encoder:
        paths_kl, exact_kl = float(kl(got, plain).mean()), float(kl(exact, got).mean())
        report += f"  kl: reference {exact_kl:.1e}, plain path {paths_kl:.1e}"
    if quantised:
        tolerance = max(1e-3, 2 * paths_kl)
        kind, why = "kl", "both sides quantise activations, each in its way: mean KL, or twice the distance of llama.cpp's own two paths"
        if encoder:
            kind, tolerance, why = "spread", max(2e-2, 2 * max_error(got, plain)), "both sides quantise activations; hidden states after LayerNorm"
    else:
        kind, tolerance, why = "spread", F32_TOLERANCE, "f32 weights and cache: only the order of sums differs (and llama.cpp's 16-bit gelu table)"
        assert error < F32_TOLERANCE, report
    print(report, flush=True)
    if check:
        old = np.load(out / f"{name}.npy")
        assert digest in (out / f"{name}.toml").read_text(), f"{name}: the GGUF file's bytes changed"
        far = float(kl(old, keep).mean()) if kind == "kl" else max_error(old, keep)
        assert far < tolerance, f"{name}: {far} from the stored golden"
        return
    np.save(out / f"{name}.npy", keep.astype("<f4"))
    (out / f"{name}.toml").write_text(
        f'# Golden of llama.cpp for `{name}`: rows of {"hidden states, and the pooled vector last" if encoder else "logits"}, see tools/goldens/families.py.\n'
        f'command = "python tools/goldens/families.py --only {name} --seed {seed}"\n'
        f'tool = "llama-cpp-python {lc.__version__} (CPU, f32 cache, flash attention off), numpy {np.__version__}, {platform.machine()}"\n'
        f'date = "{datetime.date.today()}"\nseed = {seed}\n'
        f'metric = "{kind}"\ntolerance = {tolerance:.3g}\nwhy = "{why}"\n'
        f'# llama.cpp against the f64 reference over dequantised weights: largest difference, mean KL; and its repacked against its plain kernels.\n'
        f'noise = {noise:.3g}\nreference_kl = {exact_kl:.3g}\npaths_kl = {paths_kl:.3g}\n'
        f'gguf_sha256 = "{digest}"\nprompt = {PROMPT}\ndecode = {0 if encoder else DECODE}\ncontext = {CONTEXT}\nvocabulary = {c["vocab"]}\n'
        f'positions = {ENCODER_POSITIONS if encoder else POSITIONS}\n' + toml_list("kv", kv) + toml_list("tensors", tensors))


def main():
    root = Path(__file__).resolve().parents[2]
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", type=Path, default=root / "testdata" / "families")
    p.add_argument("--only", default="")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--gguf", type=Path)
    p.add_argument("--check", action="store_true")
    p.add_argument("--varied", type=int, default=0)
    args = p.parse_args()
    silence = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)(lambda *_: None)
    lc.llama_log_set(silence, None)
    lc.llama_backend_init()
    args.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as tmp:
        gguf_dir = args.gguf or Path(tmp)
        gguf_dir.mkdir(parents=True, exist_ok=True)
        for name, case in (varied(args.varied, args.seed) if args.varied else CASES).items():
            if args.only in name:
                make(name, case, args.seed, args.out, gguf_dir, args.check)


if __name__ == "__main__":
    main()
