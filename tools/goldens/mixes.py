"""Writes crates/model/engine/tests/goldens/mixes.txt: which type llama.cpp gives to every tensor of
small made-up models, for every mix that we write.

Needs the packages numpy, gguf (0.19.0) and llama-cpp-python (0.3.36). Run from the repository root:

    python tools/goldens/mixes.py

Lines: `model NAME ARCH LAYERS HEADS KV_HEADS EXPERTS`, then `tensor NAME DIM…` (outermost first; a
`*` in the name stands for every layer in turn), then `mix NAME CODES`: runs of tensors of one type,
`C` or `30C`, C being the letter of a type in the order of the `types` line.
"""

import itertools
import sys
import tempfile
from pathlib import Path

import gguf
import llama_cpp
import numpy as np
from llama_cpp import llama_cpp as api

OUT = Path("crates/model/engine/tests/goldens/mixes.txt")
MIXES = {
    "f32": 0, "f16": 1, "bf16": 32, "q4_0": 2, "q4_1": 3, "q5_0": 8, "q5_1": 9, "q8_0": 7,
    "q2_k": 10, "q3_k_s": 11, "q3_k_m": 12, "q3_k_l": 13, "q4_k_s": 14, "q4_k_m": 15,
    "q5_k_s": 16, "q5_k_m": 17, "q6_k": 18, "iq4_nl": 25, "iq4_xs": 30, "mxfp4_moe": 38,
}
# Kept, because the library keeps a pointer to it.
QUIET = llama_cpp.llama_log_callback(lambda *_: None)
TYPES = "F32 F16 BF16 Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q3_K Q4_K Q5_K Q6_K IQ4_NL IQ4_XS MXFP4".split()


def dense(i, d, f):
    p = f"blk.{i}."
    return [(p + "attn_norm.weight", (d,)), (p + "attn_q.weight", (2, d)),
            (p + "attn_k.weight", (2, d)), (p + "attn_v.weight", (2, d)),
            (p + "attn_output.weight", (2, d)), (p + "ffn_norm.weight", (d,)),
            (p + "ffn_gate.weight", (2, d)), (p + "ffn_down.weight", (2, f)),
            (p + "ffn_up.weight", (2, d))]


def biased(i, d, f):
    p = f"blk.{i}."
    return [*dense(i, d, f), (p + "attn_q.bias", (2,)), (p + "attn_v.bias", (2,)),
            (p + "attn_q_norm.weight", (d,))]


def fused(i, d, f):
    p = f"blk.{i}."
    return [(p + "attn_norm.weight", (d,)), (p + "attn_qkv.weight", (6, d)),
            (p + "attn_qkv.bias", (6,)), (p + "attn_output.weight", (2, d)),
            (p + "attn_output.bias", (2,)), (p + "ffn_up.weight", (4, d)),
            (p + "ffn_down.weight", (2, f)), (p + "ffn_down.bias", (2,))]


def experts(i, d, f):
    p = f"blk.{i}."
    return [*dense(i, d, f)[:6], (p + "ffn_gate_inp.weight", (4, d)),
            (p + "ffn_gate_exps.weight", (4, 2, d)), (p + "ffn_down_exps.weight", (4, 2, f)),
            (p + "ffn_up_exps.weight", (4, 2, d))]


def shared(i, d, f):
    p = f"blk.{i}."
    return [*experts(i, d, f), (p + "ffn_gate_shexp.weight", (2, d)),
            (p + "ffn_down_shexp.weight", (2, f)), (p + "ffn_up_shexp.weight", (2, d)),
            (p + "ffn_gate_inp_shexp.weight", (d,))]


HEAD = [("output.weight", 4)]
# name, architecture, layers, heads, heads of keys, experts, width, hidden width, layer, ends
MODELS = [
    ("house", "llama", 4, 8, 2, 0, 256, 512, dense, []),
    ("small", "llama", 30, 9, 3, 0, 576, 1536, dense, []),
    ("story", "llama", 5, 8, 4, 0, 64, 172, dense, []),
    ("one", "llama", 1, 4, 4, 0, 256, 256, dense, HEAD),
    ("seven", "llama", 32, 8, 8, 0, 256, 512, dense, HEAD),
    ("seventy", "llama", 80, 8, 1, 0, 256, 256, dense, HEAD),
    ("mixtral", "llama", 32, 8, 2, 8, 256, 512, experts, HEAD),
    ("mistral", "llama", 17, 8, 2, 0, 256, 288, dense, HEAD),
    ("qwen2", "qwen2", 24, 14, 2, 0, 896, 4864, biased, []),
    ("qwen2-72", "qwen2", 80, 8, 1, 0, 256, 256, biased, HEAD),
    ("qwen3", "qwen3", 28, 16, 8, 0, 256, 512, biased, []),
    ("qwen3moe", "qwen3moe", 16, 8, 1, 128, 256, 256, experts, HEAD),
    ("qwen2moe", "qwen2moe", 24, 8, 8, 60, 256, 256, shared, HEAD),
    ("gemma", "gemma", 18, 8, 1, 0, 256, 512, dense, []),
    ("gemma2", "gemma2", 26, 8, 4, 0, 256, 512, dense, []),
    ("gemma3", "gemma3", 18, 4, 1, 0, 640, 2048, biased, []),
    ("phi3", "phi3", 32, 8, 8, 0, 256, 512, fused, HEAD),
    ("smollm3", "smollm3", 36, 16, 4, 0, 256, 512, dense, []),
    ("granite", "granite", 40, 8, 2, 0, 256, 512, dense, []),
    ("olmo2", "olmo2", 16, 8, 8, 0, 256, 512, biased, HEAD),
    ("gpt2", "gpt2", 12, 12, 12, 0, 768, 3072, fused, HEAD + [("position_embd.weight", 4)]),
    ("bert", "bert", 6, 12, 12, 0, 384, 1536, fused,
     [("position_embd.weight", 4), ("token_types.weight", 2), ("token_embd_norm.weight", 0)]),
]


def tensors_of(model):
    name, arch, layers, _, _, _, d, f, layer, ends = model
    yield "token_embd.weight", (4, d)
    for end, rows in ends:
        yield end, (rows, d) if rows else (d,)
    yield "output_norm.weight", (d,)
    for i in range(layers):
        yield from layer(i, d, f)


def write(model, path):
    _, arch, layers, heads, kv, experts_, d, f, _, _ = model
    writer = gguf.GGUFWriter(path, arch)
    writer.add_block_count(layers)
    writer.add_context_length(64)
    writer.add_embedding_length(d)
    writer.add_feed_forward_length(f)
    writer.add_expert_feed_forward_length(f)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_layer_norm_eps(1e-5)
    writer.add_sliding_window(32)
    writer.add_causal_attention(arch != "bert")
    writer.add_logit_scale(1.0)
    if experts_:
        writer.add_expert_count(experts_)
        writer.add_expert_used_count(2)
    rng = np.random.default_rng(1)
    for name, shape in tensors_of(model):
        writer.add_tensor(name, rng.standard_normal(shape).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def kinds(model):
    """Sorts all layers of one kind of tensor together, kinds in the order of the first layer."""
    order = {}
    for name, _ in tensors_of(model):
        order.setdefault(name.split(".", 2)[-1] if name.startswith("blk.") else name, len(order))

    def key(name):
        if name.startswith("blk."):
            _, layer, kind = name.split(".", 2)
            return order[kind], int(layer)
        return order[name], 0

    return key


def main():
    llama_cpp.llama_log_set(QUIET, None)
    lines = ["types " + " ".join(TYPES)]
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "in.gguf"), Path(folder, "out.gguf")
        for model in MODELS:
            name, arch, layers, heads, kv, experts_ = model[:6]
            lines.append(f"model {name} {arch} {layers} {heads} {kv} {experts_}")
            write(model, source)
            names = sorted((name for name, _ in tensors_of(model)), key=kinds(model))
            for tensor, shape in tensors_of(model):
                if not tensor.startswith("blk.") or tensor.startswith("blk.0."):
                    tensor = tensor.replace("blk.0.", "blk.*.")
                    lines.append(f"tensor {tensor} {' '.join(map(str, shape))}")
            for mix, ftype in MIXES.items():
                params = api.llama_model_quantize_default_params()
                params.ftype, params.nthread = ftype, 1
                rc = api.llama_model_quantize(str(source).encode(), str(target).encode(), params)
                if rc:
                    print(f"{name} {mix}: llama.cpp refuses", file=sys.stderr)
                    continue
                found = {t.name: t.tensor_type.name for t in gguf.GGUFReader(target).tensors}
                codes = "".join(chr(ord("A") + TYPES.index(found[n])) for n in names)
                runs = [(code, len(list(run))) for code, run in itertools.groupby(codes)]
                codes = "".join(f"{n if n > 1 else ''}{code}" for code, n in runs)
                lines.append(f"mix {mix} {codes}")
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text("\n".join(lines) + "\n")
    print(f"{OUT}: {OUT.stat().st_size} bytes")


main()
