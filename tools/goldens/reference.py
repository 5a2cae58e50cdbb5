"""A plain forward pass of every family over a GGUF file, in numpy: the facts of docs/families.md, runnable.

    python tools/goldens/reference.py MODEL.gguf IDS.json OUT.npy [--ctx N]

Needs the packages numpy and gguf (for reading and dequantising). Weights are dequantised to f32, arithmetic is f64, nothing is cached:
all positions at once with a mask. Slow, short, and independent of any engine.
"""

import argparse
import json

import numpy as np
from gguf import GGUFReader
from gguf.quants import dequantize

HALVES = {"qwen2", "qwen3", "qwen3moe", "gemma", "gemma2", "gemma3", "phi3", "olmo2"}
NO_ROPE = {"gpt2", "bert"}
SANDWICH = {"gemma2", "gemma3"}
FIXED_PERIOD = {"gemma2": 2, "gemma3": 6, "olmo2": 4}  # windowed: i mod n < n - 1


def gelu(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x ** 3)))


def silu(x):
    return x / (1 + np.exp(-x))


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


class Model:
    """A GGUF file ready to run; `run(ids, context)` gives `[positions, vocabulary]`, or for an encoder hidden states and the pooled row."""

    def __init__(self, path):
        reader = GGUFReader(path)
        self.meta = {k: f.contents() for k, f in reader.fields.items()}
        self.arch = self.meta["general.architecture"]
        self.tensor = {t.name: dequantize(t.data, t.tensor_type).reshape(tuple(reversed([int(n) for n in t.shape]))).astype(np.float64) for t in reader.tensors}
        k = self.key
        self.d, self.layers, self.heads = k("embedding_length"), k("block_count"), k("attention.head_count")
        self.kv = k("attention.head_count_kv", self.heads)
        self.hd = k("attention.key_length", self.d // self.heads)
        self.eps = k("attention.layer_norm_rms_epsilon", None) or k("attention.layer_norm_epsilon")
        self.n_rot = k("rope.dimension_count", self.hd)
        self.window = k("attention.sliding_window", 4096 if self.arch == "gemma2" else 0) if self.arch in FIXED_PERIOD else 0

    def key(self, name, default=...):
        value = self.meta.get(f"{self.arch}.{name}", default)
        assert value is not ..., name
        return value

    def windowed(self, i):
        if not self.window:
            return False
        pattern = self.key("attention.sliding_window_pattern", FIXED_PERIOD[self.arch])
        return bool(pattern[i]) if isinstance(pattern, list) else i % pattern < pattern - 1

    def norm(self, x, name):
        w, b = self.tensor.get(name + ".weight"), self.tensor.get(name + ".bias")
        if self.arch in NO_ROPE:
            x = x - x.mean(axis=-1, keepdims=True)
        x = x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + self.eps)
        return x * w + (0 if b is None else b)

    def linear(self, x, name):
        b = self.tensor.get(name + ".bias")
        return x @ self.tensor[name + ".weight"].T + (0 if b is None else b)

    def angles(self, i, positions, context):
        """cos and sin [positions, n_rot / 2] of layer i."""
        n, k = self.n_rot, self.key
        base, swa = k("rope.freq_base", 10000.0), self.windowed(i)
        original = k("rope.scaling.original_context_length", k("context_length"))
        kind, factor = k("rope.scaling.type", "linear"), k("rope.scaling.factor", 0.0)
        s = 1.0 if factor == 0 or kind == "none" else 1 / factor
        magnitude = k("rope.scaling.attn_factor", 1.0)
        if swa and self.arch in ("gemma2", "gemma3"):
            base = k("rope.freq_base_swa", base if self.arch == "gemma2" else 10000.0)
            s = s if self.arch == "gemma2" else 1.0
        if swa and self.arch == "olmo2":
            s, kind, magnitude = 1.0, "none", 1.0
        factors = self.tensor.get("rope_freqs.weight")
        if factors is None:
            factors = self.tensor.get("rope_factors_long.weight" if context > original else "rope_factors_short.weight", 1.0)
        j = np.arange(n // 2)
        theta = positions[:, None] * base ** (-2.0 * j / n) / factors
        angle = s * theta
        if kind == "yarn":
            dim = lambda beta: n * np.log(original / (2 * np.pi * beta)) / (2 * np.log(base))
            lo, hi = max(0, np.floor(dim(32))), min(n - 1, np.ceil(dim(1)))
            mix = 1 - np.clip((j - lo) / max(0.001, hi - lo), 0, 1)
            angle = s * theta * (1 - mix) + theta * mix
            magnitude *= 1 + 0.1 * np.log(1 / s)
        return np.cos(angle) * magnitude, np.sin(angle) * magnitude

    def rotate(self, x, cos, sin):
        """x [positions, heads, hd]."""
        n, y = self.n_rot, x.copy()
        a, b = (x[..., : n // 2], x[..., n // 2 : n]) if self.arch in HALVES else (x[..., 0:n:2], x[..., 1:n:2])
        cos, sin = cos[:, None], sin[:, None]
        if self.arch in HALVES:
            y[..., : n // 2], y[..., n // 2 : n] = a * cos - b * sin, a * sin + b * cos
        else:
            y[..., 0:n:2], y[..., 1:n:2] = a * cos - b * sin, a * sin + b * cos
        return y

    def rotated(self, i):
        if self.arch in NO_ROPE or (self.arch == "granite" and not self.key("rope.scaling.finetuned", True)):
            return False
        return self.arch != "smollm3" or (i + 1) % 4 != 0

    def attention(self, x, i, positions, context):
        p, (q_n, k_n) = f"blk.{i}.", (self.heads * self.hd, self.kv * self.hd)
        if p + "attn_qkv.weight" in self.tensor:
            q, k, v = np.split(self.linear(x, p + "attn_qkv"), [q_n, q_n + k_n], axis=1)
        else:
            q, k, v = (self.linear(x, p + "attn_" + n) for n in "qkv")
        if self.arch == "olmo2":
            q, k = self.norm(q, p + "attn_q_norm"), self.norm(k, p + "attn_k_norm")
        q, k, v = (t.reshape(len(x), -1, self.hd) for t in (q, k, v))
        if self.arch in ("qwen3", "qwen3moe", "gemma3"):
            q, k = self.norm(q, p + "attn_q_norm"), self.norm(k, p + "attn_k_norm")
        if self.rotated(i):
            cos, sin = self.angles(i, positions, context)
            q, k = self.rotate(q, cos, sin), self.rotate(k, cos, sin)
        scale = self.key("attention.scale", 0.0) if self.arch == "granite" else 0.0
        if (self.arch, self.layers) in (("gemma2", 46), ("gemma3", 62)):
            scale = (self.d / self.heads) ** -0.5
        group = self.heads // self.kv
        score = np.einsum("phd,khd->hpk", q, np.repeat(k, group, axis=1)) * (scale or self.hd ** -0.5)
        if self.arch == "gemma2":
            cap = self.key("attn_logit_softcapping", 50.0)
            score = cap * np.tanh(score / cap)
        if self.arch != "bert":
            apart = positions[:, None] - positions[None, :]
            score = np.where((apart < 0) | (self.windowed(i) & (apart >= self.window)), -np.inf, score)
        out = np.einsum("hpk,khd->phd", softmax(score), np.repeat(v, group, axis=1))
        return self.linear(out.reshape(len(x), -1), p + "attn_output")

    def mlp(self, x, i):
        p = f"blk.{i}."
        if p + "ffn_gate_inp.weight" in self.tensor:
            return self.experts(x, p)
        if self.arch in NO_ROPE:
            return self.linear(gelu(self.linear(x, p + "ffn_up")), p + "ffn_down")
        if self.arch == "phi3":
            gate, up = np.split(self.linear(x, p + "ffn_up"), 2, axis=1)
        else:
            gate, up = self.linear(x, p + "ffn_gate"), self.linear(x, p + "ffn_up")
        act = gelu if self.arch.startswith("gemma") else silu
        return self.linear(act(gate) * up, p + "ffn_down")

    def experts(self, x, p):
        probs = softmax(self.linear(x, p + "ffn_gate_inp"))
        best = np.argsort(-probs, axis=1, kind="stable")[:, : self.key("expert_used_count")]
        weight = np.take_along_axis(probs, best, axis=1)
        weight /= np.maximum(weight.sum(axis=1, keepdims=True), 6.103515625e-5)
        gate, up, down = (self.tensor[f"{p}ffn_{n}_exps.weight"] for n in ("gate", "up", "down"))
        out = np.zeros_like(x)
        for row in range(len(x)):
            for e, w in zip(best[row], weight[row]):
                out[row] += w * (down[e] @ (silu(gate[e] @ x[row]) * (up[e] @ x[row])))
        return out

    def run(self, ids, context):
        ids, a = np.asarray(ids), self.arch
        positions = np.arange(len(ids), dtype=np.float64)
        x = self.tensor["token_embd.weight"][ids]
        if a.startswith("gemma"):
            x = x * np.sqrt(self.d)
        if a == "granite":
            x = x * (self.key("embedding_scale", 0.0) or 1.0)
        if a in NO_ROPE:
            x = x + self.tensor["position_embd.weight"][: len(ids)]
        if a == "bert":
            x = self.norm(x + self.tensor.get("token_types.weight", np.zeros((1, 1)))[0], "token_embd_norm")
        residual = (self.key("residual_scale", 0.0) or 1.0) if a == "granite" else 1.0
        for i in range(self.layers):
            p = f"blk.{i}."
            h = x if a in ("olmo2", "bert") else self.norm(x, p + "attn_norm")
            h = self.attention(h, i, positions, context)
            if a in SANDWICH or a == "olmo2":
                h = self.norm(h, p + "post_attention_norm")
            x = x + residual * h
            if a == "bert":
                x = self.norm(x, p + "attn_output_norm")
            h = self.mlp(x if a in ("olmo2", "bert") else self.norm(x, p + "ffn_norm"), i)
            if a in SANDWICH or a == "olmo2":
                h = self.norm(h, p + "post_ffw_norm")
            x = x + residual * h
            if a == "bert":
                x = self.norm(x, p + "layer_output_norm")
        if a == "bert":
            pooled = {1: x.mean(axis=0), 2: x[0], 3: x[-1]}[self.key("pooling_type")]
            return np.concatenate([x, pooled[None]])
        x = self.norm(x, "output_norm")
        head = "token_embd" if a in ("gemma", "gemma2") or "output.weight" not in self.tensor else "output"
        logits = self.linear(x, head)
        if a == "granite":
            logits = logits / self.key("logit_scale")
        cap = self.key("final_logit_softcapping", 30.0 if a == "gemma2" else 0.0) if a in SANDWICH else 0.0
        return cap * np.tanh(logits / cap) if cap else logits


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("model")
    p.add_argument("ids")
    p.add_argument("out")
    p.add_argument("--ctx", type=int, default=512)
    args = p.parse_args()
    np.save(args.out, Model(args.model).run(json.load(open(args.ids)), args.ctx).astype(np.float32))
