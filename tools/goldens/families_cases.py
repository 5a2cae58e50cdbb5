"""The tiny models of `families.py`: one row a case, one function a family shape.

A row gives what differs from `BASE`; `build` turns it into key-value and tensor lines (see families_gguf.py).
Weights are scaled so that hidden states stay near 1 and logits spread over a few units.
"""

import random

from families_gguf import QUANTISED, amplitude

BASE = dict(arch="llama", layers=3, d=128, heads=4, kv=2, hd=None, ff=192, vocab=96, ctx=1024, tied=False, w="F32", attn=None, mlp=None,
            emb=None, head=None, bias=False, base=10000.0, keys=[], fused=False, experts=0, used=0, n_rot=None, factors=None, vocabulary="none")

# name: what differs. `w` is the type of all matrices; attn, mlp, emb, head override it for their matrices.
CASES = {
    # f32, family by family
    "llama": dict(hd=64),
    "llama-gqa8-tied": dict(d=64, heads=8, kv=1, hd=64, tied=True, vocabulary="spm"),
    "llama-factors": dict(d=64, heads=8, kv=2, hd=64, base=500000.0, factors="rope_freqs"),
    "llama-linear": dict(d=80, heads=2, kv=2, hd=80, keys=["rope.scaling.type str linear", "rope.scaling.factor f32 4"]),
    "llama-yarn": dict(d=96, heads=7, kv=1, hd=96, ctx=512, keys=["rope.scaling.type str yarn", "rope.scaling.factor f32 4", "rope.scaling.original_context_length u32 128"]),
    "llama-bias": dict(d=128, heads=2, kv=2, hd=128, bias=True, layers=2),
    "llama-fused-qkv": dict(d=64, heads=4, kv=2, hd=80, fused=True, layers=2),
    "mistral-window-key": dict(hd=32, keys=["attention.sliding_window u32 32"], layers=2),
    "mixtral": dict(d=64, heads=4, kv=2, hd=64, experts=4, used=2, ff=96),
    "qwen2": dict(arch="qwen2", d=448, heads=7, kv=1, ff=256, bias="qkv", layers=2, base=1000000.0, tied=True),
    "qwen3": dict(arch="qwen3", d=96, heads=4, kv=2, hd=128, base=1000000.0, tied=True),
    "qwen3moe": dict(arch="qwen3moe", d=64, heads=8, kv=1, hd=64, experts=8, used=3, ff=64, layers=2),
    "gemma": dict(arch="gemma", d=128, heads=2, kv=1, hd=256, ff=256, tied=True, layers=2),
    "gemma2": dict(arch="gemma2", d=128, heads=4, kv=2, hd=64, tied=True, layers=4, keys=["attention.sliding_window u32 48", "attn_logit_softcapping f32 3", "final_logit_softcapping f32 5"]),
    "gemma3": dict(arch="gemma3", d=64, heads=4, kv=1, hd=64, tied=True, layers=7, ff=128, base=1000000.0, keys=["attention.sliding_window u32 40", "rope.scaling.type str linear", "rope.scaling.factor f32 8"]),
    "gemma3-pattern": dict(arch="gemma3", d=64, heads=2, kv=1, hd=256, tied=False, layers=3, ff=96, base=1000000.0, keys=["attention.sliding_window u32 24", "attention.sliding_window_pattern [bool] 1,0,1", "rope.freq_base_swa f32 20000"]),
    "phi3": dict(arch="phi3", d=192, heads=2, kv=2, ff=160, layers=2, keys=["attention.sliding_window u32 64"]),
    "phi3-short": dict(arch="phi3", d=256, heads=4, kv=2, n_rot=48, ff=160, layers=2, factors="longrope", keys=["rope.scaling.original_context_length u32 4096", "rope.scaling.attn_factor f32 1.19"]),
    "phi3-long": dict(arch="phi3", d=256, heads=4, kv=2, n_rot=64, ff=160, layers=2, factors="longrope", keys=["rope.scaling.original_context_length u32 256", "rope.scaling.attn_factor f32 1.19"]),
    "smollm3": dict(arch="smollm3", d=64, heads=4, kv=1, hd=64, layers=5, ff=128, tied=True, base=5000000.0),
    "granite": dict(arch="granite", d=128, heads=4, kv=2, hd=32, tied=True, keys=["attention.scale f32 0.12", "embedding_scale f32 6", "residual_scale f32 0.3", "logit_scale f32 0.7"]),
    "olmo2": dict(arch="olmo2", d=128, heads=4, kv=2, base=500000.0),
    "olmo3": dict(arch="olmo2", d=128, heads=4, kv=1, layers=5, base=500000.0, ctx=2048, keys=["attention.sliding_window u32 32", "rope.scaling.type str yarn", "rope.scaling.factor f32 8", "rope.scaling.original_context_length u32 256"]),
    "gpt2": dict(arch="gpt2", d=128, heads=2, kv=2, ff=512, ctx=400, tied=True, layers=3),
    "llama-odd": dict(d=72, heads=3, kv=3, hd=64, ff=100, vocab=101, layers=2),
    "bert": dict(arch="bert", d=96, heads=3, kv=3, ff=256, ctx=512, layers=3, keys=["pooling_type u32 1"]),
    # one type everywhere (embedding and head too)
    **{f"llama-{t.lower()}": dict(d=256, heads=4, kv=2, hd=64, ff=512, layers=2, w=t)
       for t in ["F16", "BF16", *QUANTISED]},
    # types in families
    "qwen2-q8_0": dict(arch="qwen2", d=448, heads=7, kv=1, ff=256, bias="qkv", layers=2, w="Q8_0", tied=True),
    "qwen3-q4_k_m": dict(arch="qwen3", d=256, heads=4, kv=2, hd=128, ff=512, layers=2, w="Q4_K", head="Q6_K", tied=False),
    "gemma2-q4_k": dict(arch="gemma2", d=256, heads=4, kv=2, hd=64, ff=512, tied=True, layers=2, w="Q4_K", emb="Q6_K", keys=["attention.sliding_window u32 48", "attn_logit_softcapping f32 3", "final_logit_softcapping f32 5"]),
    "phi3-q5_k": dict(arch="phi3", d=256, heads=4, kv=2, ff=256, layers=2, w="Q5_K"),
    "mixtral-q4_0": dict(d=256, heads=4, kv=2, hd=64, experts=4, used=2, ff=256, layers=2, w="Q4_0", head="Q8_0"),
    "qwen3moe-mxfp4": dict(arch="qwen3moe", d=256, heads=4, kv=1, hd=64, experts=8, used=2, ff=128, layers=2, w="Q8_0", mlp="MXFP4"),
    "olmo2-iq4_nl": dict(arch="olmo2", d=128, heads=4, kv=2, layers=2, w="IQ4_NL", head="Q8_0"),
    "gpt2-q5_1": dict(arch="gpt2", d=128, heads=2, kv=2, ff=512, ctx=400, layers=2, w="Q5_1", tied=True),
    "gemma3-q8_0": dict(arch="gemma3", d=128, heads=4, kv=1, hd=128, ff=256, tied=True, w="Q8_0", base=1000000.0, keys=["attention.sliding_window u32 40", "attention.sliding_window_pattern u32 2"]),
    "smollm3-q4_1": dict(arch="smollm3", d=192, heads=3, kv=1, ff=384, layers=4, tied=True, w="Q4_1", emb="Q8_0"),
    "granite-q3_k": dict(arch="granite", d=256, heads=4, kv=2, ff=256, layers=2, w="Q3_K", emb="Q6_K", tied=True, keys=["attention.scale f32 0.1", "embedding_scale f32 6", "residual_scale f32 0.4", "logit_scale f32 2"]),
    "llama-odd-q8_0": dict(d=96, heads=3, kv=3, hd=64, ff=160, vocab=101, layers=2, w="Q8_0"),
    "bert-q8_0": dict(arch="bert", d=96, heads=3, kv=3, ff=256, ctx=512, layers=2, w="Q8_0", keys=["pooling_type u32 2"]),
}

# For `varied`: family shapes with what is theirs alone; sizes, types, biases and tied heads are drawn.
SHAPES = {
    "llama": dict(), "llama-factors": dict(factors="rope_freqs", base=500000.0), "llama-bias": dict(bias=True), "llama-fused": dict(fused=True),
    "llama-linear": dict(keys=["rope.scaling.type str linear", "rope.scaling.factor f32 2.5"]),
    "llama-yarn": dict(ctx=512, keys=["rope.scaling.type str yarn", "rope.scaling.factor f32 8", "rope.scaling.original_context_length u32 64"]),
    "mixtral": dict(experts=5, used=2), "qwen2": dict(arch="qwen2", bias="qkv", base=1000000.0), "qwen3": dict(arch="qwen3", base=1000000.0),
    "qwen3moe": dict(arch="qwen3moe", experts=6, used=4), "gemma": dict(arch="gemma", tied=True),
    "gemma2": dict(arch="gemma2", tied=True, layers=4, keys=["attention.sliding_window u32 {window}", "attn_logit_softcapping f32 4", "final_logit_softcapping f32 6"]),
    "gemma3": dict(arch="gemma3", layers=7, base=1000000.0, keys=["attention.sliding_window u32 {window}"]),
    "phi3": dict(arch="phi3"),
    "phi3-long": dict(arch="phi3", factors="longrope", keys=["rope.scaling.original_context_length u32 128", "rope.scaling.attn_factor f32 1.1"]),
    "smollm3": dict(arch="smollm3", layers=5, base=5000000.0),
    "granite": dict(arch="granite", keys=["attention.scale f32 0.1", "embedding_scale f32 5", "residual_scale f32 0.35", "logit_scale f32 0.8"]),
    "olmo2": dict(arch="olmo2", base=500000.0),
    "olmo3": dict(arch="olmo2", layers=5, keys=["attention.sliding_window u32 {window}"]),
    "gpt2": dict(arch="gpt2", ctx=400), "bert": dict(arch="bert", ctx=512, keys=["pooling_type u32 {pooling}"]),
}


def varied(count, seed):
    """`count` cases of sizes drawn from `seed`: half of them F32, the others with a type for each role; families take turns."""
    rng, cases = random.Random(seed), {}
    types = ["F16", "BF16", *QUANTISED]
    for i in range(count):
        shape, own = list(SHAPES.items())[i % len(SHAPES)]
        arch = own.get("arch", "llama")
        plain = i // len(SHAPES) % 2 == 0
        w = "F32" if plain else types[(i + i // len(SHAPES)) % len(types)]
        unit = 16 if plain else max([QUANTISED[w][1] if w in QUANTISED else 32, 32])
        while True:
            hd, ratio, kv = rng.choice([64, 80, 96, 128, 256]), rng.choice([1, 2, 7, 8]), rng.choice([1, 1, 2])
            if arch in ("gpt2", "bert"):
                ratio, kv = 1, rng.choice([1, 2, 3])
            heads = ratio * kv
            own_width = arch in KEY_LENGTH
            d = unit * rng.randint(1, 8 if plain else 512 // unit) if own_width else hd * heads
            # llama.cpp's rows are whole blocks; tiny models stay tiny.
            if d % unit == 0 and hd * heads % unit == 0 and d >= 64 and d * hd * heads <= 1 << 20:
                break
        ff = unit * rng.randint(2, 24) if unit < 256 else 256 * rng.randint(1, 2)
        drawn = dict(d=d, heads=heads, kv=kv, hd=hd, ff=ff, vocab=rng.randint(60, 180), layers=rng.randint(2, 3), tied=rng.random() < 0.5, w=w)
        if arch == "phi3" and rng.random() < 0.5:
            drawn["n_rot"] = hd * 3 // 4
        case = {**drawn, **own}
        if arch == "olmo2":
            case["tied"] = False
        if not plain and arch != "bert":
            # Another type for one role that exists, of the same block.
            same = [t for t in types if (QUANTISED[t][1] if t in QUANTISED else 32) <= unit]
            case[rng.choice(["attn", "mlp", "emb", "head"])] = rng.choice(same)
        case["keys"] = [key.format(window=rng.randint(20, 120), pooling=rng.choice([1, 2])) for key in case.get("keys", [])]
        cases[f"{shape}-{w.lower()}-{i}"] = case
    return cases


KEY_LENGTH = {"llama", "qwen3", "qwen3moe", "gemma", "gemma2", "gemma3", "smollm3", "granite"}


class Lines(list):
    """Tensor lines; the methods name the roles."""

    def matrix(self, name, kind, rows, cols, gain=1.0, experts=None):
        dims = f"{rows}x{cols}" if experts is None else f"{experts}x{rows}x{cols}"
        self.append(f"{name}.weight {kind} {dims} 0 {amplitude(kind, gain / cols ** 0.5)}")

    def vector(self, name, n, mean, amp):
        self.append(f"{name} F32 {n} {mean} {amp}")


def key_values(c, hd):
    a = c["arch"]
    kv = [f"general.architecture str {a}", f"general.name str tiny-{a}"]
    own = lambda *lines: kv.extend(f"{a}.{line}" for line in lines)
    own(f"vocab_size u32 {c['vocab']}", f"context_length u32 {c['ctx']}", f"embedding_length u32 {c['d']}", f"block_count u32 {c['layers']}",
        f"feed_forward_length u32 {c['ff']}", f"attention.head_count u32 {c['heads']}")
    if a in ("gpt2", "bert"):
        own("attention.layer_norm_epsilon f32 0.00001")
    else:
        own(f"attention.head_count_kv u32 {c['kv']}", "attention.layer_norm_rms_epsilon f32 0.00001", f"rope.freq_base f32 {c['base']}")
    if a in KEY_LENGTH and hd * c["heads"] != c["d"]:
        own(f"attention.key_length u32 {hd}", f"attention.value_length u32 {hd}")
    if a in ("llama", "granite", "phi3", "smollm3"):
        own(f"rope.dimension_count u32 {c['n_rot'] or hd}")
    if c["experts"]:
        own(f"expert_count u32 {c['experts']}", f"expert_used_count u32 {c['used']}")
        if a == "qwen3moe":
            own(f"expert_feed_forward_length u32 {c['ff']}")
    if a == "bert":
        own("attention.causal bool 0")
        kv.append("tokenizer.ggml.token_type_count u32 2")
    own(*c["keys"])
    if c["vocabulary"] == "spm":
        n = c["vocab"]
        kv += ["tokenizer.ggml.model str llama",
               "tokenizer.ggml.tokens [str] <unk>,<s>,</s>," + ",".join(f"t{i}" for i in range(3, n)),
               "tokenizer.ggml.scores [f32] " + ",".join(str(-i) for i in range(n)),
               "tokenizer.ggml.token_type [i32] 2,3,3," + ",".join(["1"] * (n - 3)),
               "tokenizer.ggml.bos_token_id u32 1", "tokenizer.ggml.eos_token_id u32 2"]
    else:
        kv.append("tokenizer.ggml.model str no_vocab")
    return kv


def attention(t, c, p, hd):
    a, d, q, k, kind = c["arch"], c["d"], c["heads"] * hd, c["kv"] * hd, c["attn"] or c["w"]
    with_bias = c["bias"] or a in ("gpt2", "bert")
    if c["fused"] or a in ("gpt2", "phi3"):
        t.matrix(p + "attn_qkv", kind, q + 2 * k, d, 1.2)
        if with_bias:
            t.vector(p + "attn_qkv.bias", q + 2 * k, 0, 0.3)
    else:
        for name, rows in (("attn_q", q), ("attn_k", k), ("attn_v", k)):
            t.matrix(p + name, kind, rows, d, 1.0 if name == "attn_v" else 1.3)
            if with_bias:
                t.vector(f"{p}{name}.bias", rows, 0, 0.3)
    t.matrix(p + "attn_output", kind, d, q)
    if with_bias and c["bias"] != "qkv":
        t.vector(p + "attn_output.bias", d, 0, 0.3)
    if a in ("qwen3", "qwen3moe", "gemma3"):
        t.vector(p + "attn_q_norm.weight", hd, 1.1, 0.3)
        t.vector(p + "attn_k_norm.weight", hd, 1.1, 0.3)
    if a == "olmo2":
        t.vector(p + "attn_q_norm.weight", q, 1.1, 0.3)
        t.vector(p + "attn_k_norm.weight", k, 1.1, 0.3)


def mlp(t, c, p):
    a, d, ff, kind = c["arch"], c["d"], c["ff"], c["mlp"] or c["w"]
    if c["experts"]:
        n = c["experts"]
        t.matrix(p + "ffn_gate_inp", "F32", n, d, 2.5)
        t.matrix(p + "ffn_gate_exps", kind, ff, d, 1.5, experts=n)
        t.matrix(p + "ffn_up_exps", kind, ff, d, 1.5, experts=n)
        t.matrix(p + "ffn_down_exps", kind, d, ff, 1.0, experts=n)
        return
    with_bias = c["bias"] is True or a in ("gpt2", "bert")
    names = [("ffn_up", 2 * ff)] if a == "phi3" else [("ffn_up", ff)] if a in ("gpt2", "bert") else [("ffn_gate", ff), ("ffn_up", ff)]
    for name, rows in names:
        t.matrix(p + name, kind, rows, d, 1.5)
        if with_bias:
            t.vector(f"{p}{name}.bias", rows, 0, 0.3)
    t.matrix(p + "ffn_down", kind, d, ff, 1.0)
    if with_bias:
        t.vector(p + "ffn_down.bias", d, 0, 0.3)


def norm(t, c, name, bias):
    t.vector(name + ".weight", c["d"], 1.0, 0.3)
    if bias:
        t.vector(name + ".bias", c["d"], 0, 0.2)


def build(case):
    """The key-value lines, tensor lines and settings of a case of `CASES` or `varied`."""
    c = {**BASE, **case}
    a, d = c["arch"], c["d"]
    hd = c["hd"] or d // c["heads"]
    t = Lines()
    layer_norm = a in ("gpt2", "bert")
    # A tied head wants small rows: logits are sums of d products with a row of root mean square 1.
    scaled = a.startswith("gemma") or a == "granite"
    rms = 2.5 / d ** 0.5 if c["tied"] or scaled else 1.0
    emb = c["emb"] or c["w"]
    t.append(f"token_embd.weight {emb} {c['vocab']}x{d} 0 {amplitude(emb, rms)}")
    if a in ("gpt2", "bert"):
        t.append(f"position_embd.weight F32 {c['ctx']}x{d} 0 0.3")
    if a == "bert":
        t.append(f"token_types.weight F32 2x{d} 0 0.3")
        norm(t, c, "token_embd_norm", True)
    if c["factors"] == "rope_freqs":
        t.vector("rope_freqs.weight", hd // 2, 4.5, 3.5)
    if c["factors"] == "longrope":
        t.vector("rope_factors_long.weight", (c["n_rot"] or hd) // 2, 6, 5)
        t.vector("rope_factors_short.weight", (c["n_rot"] or hd) // 2, 1.5, 0.5)
    for i in range(c["layers"]):
        p = f"blk.{i}."
        pre = a not in ("olmo2", "bert")
        if pre:
            norm(t, c, p + "attn_norm", layer_norm)
        attention(t, c, p, hd)
        if a in ("gemma2", "gemma3", "olmo2"):
            norm(t, c, p + "post_attention_norm", False)
        if a == "bert":
            norm(t, c, p + "attn_output_norm", True)
        if pre:
            norm(t, c, p + "ffn_norm", layer_norm)
        mlp(t, c, p)
        if a in ("gemma2", "gemma3", "olmo2"):
            norm(t, c, p + "post_ffw_norm", False)
        if a == "bert":
            norm(t, c, p + "layer_output_norm", True)
    if a != "bert":
        norm(t, c, "output_norm", layer_norm)
        if not c["tied"]:
            head = c["head"] or c["w"]
            t.append(f"output.weight {head} {c['vocab']}x{d} 0 {amplitude(head, 2.5 / d ** 0.5)}")
    return key_values(c, hd), list(t), c
