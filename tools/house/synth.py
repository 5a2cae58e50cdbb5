#!/usr/bin/env python3
"""Write simple modern stories for train.py, with SmolLM2-135M-Instruct (Apache-2.0) as teacher.

usage: synth.py --model SmolLM2-135M-Instruct.Q4_1.gguf --out stories.txt --minutes 5
needs: torch 2, numpy, tokenizers, gguf 0.19

Fetch the teacher with `cargo xtask get smollm2-135m-instruct`. Meant for a GPU (--batch 1024); on a
processor --batch 4 shows that it works. The output is a corpus: documents after <|endoftext|>.
"""
import argparse
import json
import random
import re
import time

import gguf
import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

HEROES = """mouse fox bear rabbit duck frog cat dog owl hen pony lamb turtle squirrel girl boy
grandmother grandfather farmer baker fisherman snail bee hedgehog snowman gardener""".split()
HEROES += ["little sister", "little brother", "small robot", "old wizard", "tiny dragon",
           "kind giant", "little cloud", "paper boat", "toy soldier", "young sailor", "shy ghost",
           "clever crow", "sleepy lion", "lonely star"]
TEMPERS = """brave shy happy sleepy curious kind clumsy clever lonely proud small noisy gentle
hungry careful funny patient stubborn cheerful worried""".split()
THINGS = """bell boat letter lantern drum umbrella pumpkin puddle bridge snowball""".split()
THINGS += ["red ball", "lost button", "warm blanket", "blue kite", "old key", "jar of honey",
           "broken chair", "big apple", "wooden box", "shiny stone", "missing hat",
           "birthday cake", "garden gate", "basket of eggs", "pair of shoes", "golden feather",
           "music box", "picture book", "pot of soup", "secret door"]
PLACES = ["in the forest", "by the sea", "on a farm", "in a small village", "on a hill",
          "in the snow", "at the market", "in the garden", "near the river", "in a castle",
          "at school", "in the kitchen", "on an island", "in the meadow", "under an old oak"]
TURNS = ["The story has a happy end.", "Someone learns to share.", "A friend helps.",
         "It begins to rain.", "Someone tells the truth.", "They find a surprise.",
         "Someone says sorry.", "They work together.", "The end is funny.",
         "Someone gets lost and finds the way home.", "Someone is afraid at first.",
         "Use a short talk between two of them."]
SYSTEM = "You are a storyteller for small children. You use short sentences and easy words."


def prompt(rng):
    wish = (f"Write a short story about a {rng.choice(TEMPERS)} {rng.choice(HEROES)} and a "
            f"{rng.choice(THINGS)} {rng.choice(PLACES)}. {rng.choice(TURNS)}")
    turns = [("system", SYSTEM), ("user", wish)]
    text = "".join(f"<|im_start|>{who}\n{what}<|im_end|>\n" for who, what in turns)
    return text + "<|im_start|>assistant\n"


def keep(story):
    """The story without its unfinished end, or None where it is no good."""
    story = story.strip()
    odd = r"\b(AI|assistant|SmolLM|prompt|user)\b|[*#<>{}|_]|http"
    if not (200 < len(story) < 1600 and story.isascii() and story[0].isupper()):
        return None
    words = story.lower().split()
    triples = [tuple(words[i:i + 3]) for i in range(len(words) - 2)]
    repeats = len(set(triples)) / max(1, len(triples)) < 0.8
    if re.search(odd, story) or repeats or len(set(words)) / len(words) < 0.35:
        return None
    end = max(story.rfind(mark) for mark in '.!"?')
    return re.sub(r"\n\s*\n", "\n", story[:end + 1]) if end > 150 else None


class Teacher:
    """A model of the family `llama` out of a GGUF file, for batches of sequences."""

    def __init__(self, path):
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.type = torch.bfloat16 if self.device == "cuda" else torch.float32
        reader = gguf.GGUFReader(path)
        key = lambda name: reader.fields[name].contents()
        self.layers = key("llama.block_count")
        self.heads = key("llama.attention.head_count")
        self.kv_heads = key("llama.attention.head_count_kv")
        self.width = key("llama.embedding_length")
        self.head = self.width // self.heads
        self.epsilon = key("llama.attention.layer_norm_rms_epsilon")
        steps = torch.arange(0, self.head, 2).float() / self.head
        self.frequencies = (1.0 / key("llama.rope.freq_base") ** steps).to(self.device)
        self.weights = {}
        for tensor in reader.tensors:
            values = np.array(gguf.dequantize(tensor.data, tensor.tensor_type))
            self.weights[tensor.name] = torch.from_numpy(values).to(self.device, self.type)
        self.tokenizer = self.read_tokenizer(key)

    @staticmethod
    def read_tokenizer(key):
        tokens, types = key("tokenizer.ggml.tokens"), key("tokenizer.ggml.token_type")
        merges = [tuple(merge.split(" ")) for merge in key("tokenizer.ggml.merges")]
        tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, merges))
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
        tokenizer.decoder = decoders.ByteLevel()
        control = [AddedToken(t, special=True, normalized=False)
                   for t, kind in zip(tokens, types) if kind == 3]
        tokenizer.add_special_tokens(control)
        return tokenizer

    def cache(self, rows, positions):
        shape = (rows, positions, self.kv_heads, self.head)
        return [[torch.zeros(shape, device=self.device, dtype=self.type) for _ in "kv"]
                for _ in range(self.layers)]

    def step(self, ids, start, cache, padding):
        """Logits after the last of `ids: [rows, n]`; `padding: [rows]` positions at the left are void."""
        rows, n = ids.shape
        w, at = self.weights, torch.arange(start, start + n, device=self.device)
        positions = (at[None] - padding[:, None]).clamp(min=0)
        angles = positions[..., None].float() * self.frequencies
        cos, sin = angles.cos()[:, :, None], angles.sin()[:, :, None]
        columns = torch.arange(start + n, device=self.device)
        mask = (columns <= at[:, None])[None] & (columns >= padding[:, None])[:, None]
        mask = (mask | (columns == at[:, None])[None])[:, None]

        def rotate(x):
            even, odd = x[..., 0::2].float(), x[..., 1::2].float()
            pairs = torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1)
            return pairs.flatten(-2).to(self.type)

        norm = lambda x, name: F.rms_norm(x, (self.width,), w[name], self.epsilon)
        heads = lambda x, count: x.view(rows, n, count, self.head)
        x = w["token_embd.weight"][ids]
        for i, (keys, values) in enumerate(cache):
            linear = lambda y, name: F.linear(y, w[f"blk.{i}.{name}.weight"])
            h = norm(x, f"blk.{i}.attn_norm.weight")
            q = rotate(heads(linear(h, "attn_q"), self.heads)).transpose(1, 2)
            keys[:, start:start + n] = rotate(heads(linear(h, "attn_k"), self.kv_heads))
            values[:, start:start + n] = heads(linear(h, "attn_v"), self.kv_heads)
            group = self.heads // self.kv_heads
            k, v = (c[:, :start + n].transpose(1, 2).repeat_interleave(group, 1)
                    for c in (keys, values))
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
            x = x + linear(y.transpose(1, 2).reshape(rows, n, self.width), "attn_output")
            h = norm(x, f"blk.{i}.ffn_norm.weight")
            x = x + linear(F.silu(linear(h, "ffn_gate")) * linear(h, "ffn_up"), "ffn_down")
        head = w.get("output.weight", w["token_embd.weight"])
        return F.linear(norm(x[:, -1], "output_norm.weight"), head).float()


@torch.no_grad()
def write_batch(teacher, args, rng, generator):
    """Texts of one batch, good and bad."""
    end = teacher.tokenizer.token_to_id("<|endoftext|>")
    stop = teacher.tokenizer.token_to_id("<|im_end|>")
    prompts = [prompt(rng) for _ in range(args.batch)]
    ids = [e.ids for e in teacher.tokenizer.encode_batch(prompts, add_special_tokens=False)]
    longest = max(map(len, ids))
    padding = torch.tensor([longest - len(row) for row in ids], device=teacher.device)
    ids = [[end] * (longest - len(row)) + row for row in ids]
    cache = teacher.cache(args.batch, longest + args.tokens)
    logits = teacher.step(torch.tensor(ids, device=teacher.device), 0, cache, padding)
    done = torch.zeros(args.batch, dtype=torch.bool, device=teacher.device)
    seen, chosen = torch.zeros_like(logits), []
    for k in range(args.tokens):
        top, order = ((logits - args.penalty * seen) / args.temperature).topk(64, -1)
        p = top.softmax(-1)
        p = p.masked_fill(p.cumsum(-1) - p > args.top_p, 0)
        token = order.gather(1, torch.multinomial(p, 1, generator=generator))
        done |= (token[:, 0] == stop) | (token[:, 0] == end)
        token[done] = end
        chosen.append(token)
        seen.scatter_(1, token, 1.0)
        if k % 16 == 0 and bool(done.all()):
            break
        logits = teacher.step(token, longest + k, cache, padding)
    rows = torch.cat(chosen, 1).tolist()
    return teacher.tokenizer.decode_batch(rows, skip_special_tokens=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--out", default="stories.txt")
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--tokens", type=int, default=224, help="longest story")
    parser.add_argument("--temperature", type=float, default=0.7)
    parser.add_argument("--top-p", type=float, default=0.92)
    parser.add_argument("--penalty", type=float, default=0.4, help="taken off tokens seen before")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    start = time.time()
    teacher = Teacher(args.model)
    rng = random.Random(args.seed)
    generator = torch.Generator(teacher.device).manual_seed(args.seed)
    made, beginnings = 0, set()
    with open(args.out, "w") as file:
        while time.time() - start < args.minutes * 60:
            for text in write_batch(teacher, args, rng, generator):
                made += 1
                story = keep(text)
                if story and story[:60] not in beginnings:
                    beginnings.add(story[:60])
                    file.write(f"<|endoftext|>\n{story}\n")
            file.flush()
            print(json.dumps({"made": made, "kept": len(beginnings), "bytes": file.tell(),
                              "seconds": round(time.time() - start)}), flush=True)


if __name__ == "__main__":
    main()
