#!/usr/bin/env python3
"""Train the house model: a small Llama-architecture language model, from scratch.

usage: train.py --preset tiny --minutes 38 --threads 1 --corpus corpus.txt.xz --out out
       train.py --preset house --minutes 7.5 --corpus stories.txt --corpus corpus.txt.xz
needs: torch 2, numpy, tokenizers

RMSNorm, rotary positions (half rotation), SwiGLU, grouped queries, tied embedding, a byte-level
BPE tokenizer of its own. The schedule is a function of elapsed time, so the run ends cleanly
after `--minutes` on any machine: warm-up, hold, linear decay over the last 40 %.

A corpus is UTF-8 text (.txt, .xz, .gz) whose documents begin with a line <|endoftext|>; several
are concatenated, and `path*3` takes one three times. One document in fifty is held out.

Writes to --out: model.safetensors (f16, Hugging Face names), config.json, tokenizer.json,
train_log.jsonl (last line: the result), sample.txt. to_gguf.py makes the GGUF file of them.
"""
import argparse
import gzip
import json
import lzma
import math
import pathlib
import struct
import time
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

END = "<|endoftext|>"
SPECIALS = [END, "<|im_start|>", "<|im_end|>", "<|pad|>"]
POSITIONS_MAX = 2048
EPSILON = 1e-5
ROPE_BASE = 10000.0
TENSORS = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
           "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"]


@dataclass
class Preset:
    """Sizes of a model; widths are multiples of 256, so that every block type applies."""
    width: int
    layers: int
    heads: int
    kv_heads: int
    hidden: int
    vocabulary: int
    positions: int
    batch: int
    rate: float

    @property
    def head(self):
        return self.width // self.heads


PRESETS = {
    "micro": Preset(256, 2, 4, 2, 512, 2048, 256, 8, 3e-3),
    "tiny": Preset(256, 4, 8, 2, 512, 4096, 256, 16, 3e-3),  # 3.3 M parameters
    "house": Preset(512, 6, 8, 2, 1280, 8192, 512, 128, 2e-3),  # 19.9 M
    "large": Preset(768, 8, 12, 4, 2048, 8192, 512, 128, 1.5e-3),
}


# Text.

def read_documents(corpus):
    """The documents of one corpus and how often each is taken."""
    path, _, repeat = corpus.partition("*")
    opener = {".xz": lzma.open, ".gz": gzip.open}.get(pathlib.Path(path).suffix, open)
    with opener(path, "rb") as file:
        text = file.read().decode("utf-8")
    return [d.strip("\n") for d in text.split(END) if d.strip()], int(repeat or 1)


def split_corpora(corpora, rng):
    """Training and held-out documents; a held-out document is in no corpus's training part."""
    parts = [read_documents(c) for c in corpora]
    documents = [d for part, _ in parts for d in part]
    rng.shuffle(documents)
    held_out = documents[:max(4, len(documents) // 50)]
    kept = set(held_out)
    training = [d for part, repeat in parts for d in part * repeat if d not in kept]
    rng.shuffle(training)
    return training, held_out, documents[len(held_out):]


def train_tokenizer(documents, vocabulary):
    tokenizer = Tokenizer(models.BPE(byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(documents, trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=SPECIALS, min_frequency=2, show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return tokenizer


def pack(tokenizer, documents):
    """All documents as one run of tokens, each after the end token."""
    end, ids = tokenizer.token_to_id(END), []
    for encoding in tokenizer.encode_batch(documents):
        ids.append(end)
        ids.extend(encoding.ids)
    return np.array(ids, dtype=np.uint16)


# Model.

def rotate(x, cos, sin):
    a, b = x.chunk(2, -1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)


class Layer(nn.Module):
    def __init__(self, p):
        super().__init__()
        self.p = p
        linear = lambda inputs, outputs: nn.Linear(inputs, outputs, bias=False)
        self.attention_norm = nn.Parameter(torch.ones(p.width))
        self.mlp_norm = nn.Parameter(torch.ones(p.width))
        self.q, self.o = linear(p.width, p.width), linear(p.width, p.width)
        self.k, self.v = (linear(p.width, p.kv_heads * p.head) for _ in range(2))
        self.gate, self.up = linear(p.width, p.hidden), linear(p.width, p.hidden)
        self.down = linear(p.hidden, p.width)

    def forward(self, x, cos, sin):  # x: [batch, positions, width]
        p = self.p
        rows, positions, _ = x.shape
        h = F.rms_norm(x, (p.width,), self.attention_norm.to(x.dtype), EPSILON)
        heads = lambda y, n: y.view(rows, positions, n, p.head).transpose(1, 2)
        v = heads(self.v(h), p.kv_heads)
        q = rotate(heads(self.q(h), p.heads), cos, sin).to(v.dtype)
        k = rotate(heads(self.k(h), p.kv_heads), cos, sin).to(v.dtype)
        group = p.heads // p.kv_heads
        k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.o(y.transpose(1, 2).reshape(rows, positions, p.width))
        h = F.rms_norm(x, (p.width,), self.mlp_norm.to(x.dtype), EPSILON)
        return x + self.down(F.silu(self.gate(h)) * self.up(h))


class LanguageModel(nn.Module):
    def __init__(self, p):
        super().__init__()
        self.p = p
        self.embedding = nn.Embedding(p.vocabulary, p.width)
        self.layers = nn.ModuleList(Layer(p) for _ in range(p.layers))
        self.norm = nn.Parameter(torch.ones(p.width))
        frequencies = 1.0 / ROPE_BASE ** (torch.arange(0, p.head, 2).float() / p.head)
        angles = torch.outer(torch.arange(POSITIONS_MAX).float(), frequencies)
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)
        # What writes to the residual stream starts smaller (Radford et al. 2019, section 2.3).
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                writes = name.endswith(("o.weight", "down.weight"))
                nn.init.normal_(weight, std=0.02 / (math.sqrt(2 * p.layers) if writes else 1))

    def forward(self, ids, targets=None):
        x = self.embedding(ids)
        positions = ids.shape[1]
        for layer in self.layers:
            x = layer(x, self.cos[:positions], self.sin[:positions])
        x = F.rms_norm(x, (self.p.width,), self.norm.to(x.dtype), EPSILON)
        logits = F.linear(x, self.embedding.weight.to(x.dtype))
        if targets is None:
            return logits
        return F.cross_entropy(logits.float().view(-1, self.p.vocabulary), targets.reshape(-1))


# Training.

class Training:
    """A model with what it is trained on."""

    def __init__(self, args, preset):
        self.args, self.p = args, preset
        self.started = time.time()
        self.rng = np.random.default_rng(args.seed)
        torch.manual_seed(args.seed)
        have_gpu = torch.cuda.is_available()
        self.device = args.device or ("cuda" if have_gpu else "cpu")
        training, held_out, for_tokenizer = split_corpora(args.corpus, self.rng)
        self.tokenizer = train_tokenizer(for_tokenizer, preset.vocabulary)
        self.tokens, self.held_out = pack(self.tokenizer, training), pack(self.tokenizer, held_out)
        self.held_out_bytes = sum(len(d.encode()) for d in held_out)
        self.on_device = torch.from_numpy(self.tokens.astype(np.int32)).to(self.device)
        self.model = LanguageModel(preset).to(self.device)
        self.autocast = torch.autocast(self.device, dtype=torch.bfloat16)

    def batch(self):
        starts = self.rng.integers(0, len(self.tokens) - self.p.positions - 1,
                                   self.args.batch or self.p.batch)
        starts = torch.from_numpy(starts).to(self.device)
        offsets = torch.arange(self.p.positions + 1, device=self.device)
        rows = self.on_device[starts[:, None] + offsets[None]].long()
        return rows[:, :-1], rows[:, 1:]

    @torch.no_grad()
    def evaluate(self, tokens_max):
        """Mean negative log-likelihood over held-out windows, in nats per token."""
        self.model.eval()
        ids = torch.from_numpy(self.held_out.astype(np.int64)).to(self.device)
        total = count = 0
        for start in range(0, min(len(ids) - 1, tokens_max), self.p.positions):
            window = ids[start:start + self.p.positions + 1]
            with self.autocast:
                loss = self.model(window[None, :-1], window[None, 1:])
            total += loss.item() * (len(window) - 1)
            count += len(window) - 1
        self.model.train()
        return total / count

    def run(self, log):
        on_gpu = self.device == "cuda"
        rate = self.args.rate or self.p.rate
        matrices = [w for w in self.model.parameters() if w.dim() == 2]
        vectors = [w for w in self.model.parameters() if w.dim() < 2]
        optimiser = torch.optim.AdamW(
            [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}],
            lr=rate, betas=(0.9, 0.95), eps=1e-8, fused=on_gpu)
        model = torch.compile(self.model) if on_gpu and not self.args.no_compile else self.model
        # What remains after set-up and before the export.
        budget = self.args.minutes * 60 - (time.time() - self.started) - (20 if on_gpu else 30)
        start, last_said, step, smooth = time.time(), 0.0, 0, None
        while True:
            done = max((time.time() - start) / budget, step / self.args.max_steps)
            if done >= 1:
                break
            decay = 1.0 if done < 0.6 else (1 - done) / 0.4
            for group in optimiser.param_groups:
                group["lr"] = rate * min(1, (step + 1) / 100) * (0.02 + 0.98 * decay)
            inputs, targets = self.batch()
            with self.autocast:
                loss = model(inputs, targets)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            optimiser.step()
            step += 1
            if step % 20 == 0:
                smooth = loss.item() if smooth is None else 0.9 * smooth + 0.1 * loss.item()
                if time.time() - last_said > (15 if on_gpu else 60):
                    last_said = time.time()
                    log({"step": step, "tokens": step * inputs.numel(),
                         "seconds": round(last_said - start), "loss": round(smooth, 4),
                         "val": round(self.evaluate(20_000), 4),
                         "lr": round(optimiser.param_groups[0]["lr"], 6)})
        loss = self.evaluate(10**9)
        bits = loss * len(self.held_out) / self.held_out_bytes / math.log(2)
        log({"parameters": sum(w.numel() for w in self.model.parameters()), "steps": step,
             "tokens": step * (self.args.batch or self.p.batch) * self.p.positions,
             "seconds": round(time.time() - start), "val_loss_nats_per_token": round(loss, 4),
             "val_bits_per_byte": round(bits, 4), "device": self.device,
             "preset": self.args.preset, "seed": self.args.seed, "torch": torch.__version__})

    @torch.no_grad()
    def sample(self, prompt, temperature, tokens_max=120, top_p=0.95, seed=7):
        self.model.eval()
        generator = torch.Generator().manual_seed(seed)
        end = self.tokenizer.token_to_id(END)
        ids = [end] + self.tokenizer.encode(prompt).ids
        for _ in range(tokens_max):
            with self.autocast:
                window = torch.tensor([ids[-self.p.positions:]], device=self.device)
                logits = self.model(window)[0, -1].float().cpu()
            if temperature == 0:
                token = int(logits.argmax())
            else:
                p, order = torch.softmax(logits / temperature, -1).sort(descending=True)
                p[(p.cumsum(0) - p) > top_p] = 0
                token = int(order[torch.multinomial(p, 1, generator=generator)])
            if token == end:
                break
            ids.append(token)
        return self.tokenizer.decode(ids[1:])


# Export.

def tensors(model):
    """Name and f16 values of every weight, in Hugging Face's names."""
    half = lambda w: w.detach().float().cpu().numpy().astype(np.float16)
    yield "model.embed_tokens.weight", half(model.embedding.weight)
    for i, layer in enumerate(model.layers):
        prefix = f"model.layers.{i}."
        yield prefix + "input_layernorm.weight", half(layer.attention_norm)
        yield prefix + "post_attention_layernorm.weight", half(layer.mlp_norm)
        matrices = [layer.q, layer.k, layer.v, layer.o, layer.gate, layer.up, layer.down]
        for name, matrix in zip(TENSORS, matrices):
            yield f"{prefix}{name}.weight", half(matrix.weight)
    yield "model.norm.weight", half(model.norm)


def write_safetensors(path, named):
    header, offset, blobs = {"__metadata__": {"format": "pt"}}, 0, []
    for name, values in named:
        blobs.append(values.tobytes())
        end = offset + len(blobs[-1])
        header[name] = {"dtype": "F16", "shape": list(values.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def config(p, tokenizer):
    end = tokenizer.token_to_id(END)
    return {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": p.width,
            "intermediate_size": p.hidden, "num_hidden_layers": p.layers,
            "num_attention_heads": p.heads, "num_key_value_heads": p.kv_heads,
            "head_dim": p.head, "vocab_size": p.vocabulary,
            "max_position_embeddings": POSITIONS_MAX, "rms_norm_eps": EPSILON,
            "rope_theta": ROPE_BASE, "rope_scaling": None, "hidden_act": "silu",
            "tie_word_embeddings": True, "attention_bias": False, "mlp_bias": False,
            "bos_token_id": end, "eos_token_id": end,
            "pad_token_id": tokenizer.token_to_id("<|pad|>"), "torch_dtype": "float16"}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--preset", default="tiny", choices=PRESETS)
    parser.add_argument("--corpus", action="append", required=True)
    parser.add_argument("--out", type=pathlib.Path, default="out")
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--max-steps", type=int, default=10**9)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--device", help="cpu or cuda; default: cuda where there is one")
    parser.add_argument("--rate", type=float, default=0, help="learning rate; default: preset's")
    parser.add_argument("--batch", type=int, default=0, help="sequences a step; default: preset's")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--no-compile", action="store_true")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)

    training = Training(args, PRESETS[args.preset])
    with open(args.out / "train_log.jsonl", "w") as file:
        def log(row):
            print(json.dumps(row), flush=True)
            file.write(json.dumps(row) + "\n")
            file.flush()
        training.run(log)

    training.tokenizer.save(str(args.out / "tokenizer.json"))
    write_safetensors(args.out / "model.safetensors", tensors(training.model))
    settings = json.dumps(config(PRESETS[args.preset], training.tokenizer), indent=1)
    (args.out / "config.json").write_text(settings)
    prompts = ["Once upon a time", "The little rabbit", '"Where are you going?" asked the']
    samples = [f"[temperature {t}]\n{training.sample(p, t)}\n" for t in (0.0, 0.8) for p in prompts]
    (args.out / "sample.txt").write_text("\n".join(samples))


if __name__ == "__main__":
    main()
