#!/usr/bin/env python3
"""What llama.cpp's samplers leave of a row of logits: goldens for the sampler's tests.

usage: sampler.py VOCABULARY.gguf OUT.json
Needs the packages llama-cpp-python and numpy. VOCABULARY.gguf is any small model: its vocabulary is asked for by
llama.cpp's DRY sampler, which is given no breakers, so its content does not matter.
OUT: {"rows": [[logit]], "cases": [{"row", "history", settings…, "kept": [[token, probability]]}]}, best first.
"""
import ctypes, json, sys
import numpy as np
import llama_cpp as l

SIZE = 40
rng = np.random.default_rng(20261121)
rows = [np.round(rng.normal(0, 2.0, SIZE), 3), np.round(rng.normal(0, 0.3, SIZE), 3), np.round(rng.gumbel(0, 3.0, SIZE), 3)]
history = [int(t) for t in rng.integers(0, 6, 30)] + [7, 8, 9, 7, 8, 9, 7, 8]

OFF = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "typical_p": 1.0, "repetition_penalty": 1.0,
       "frequency_penalty": 0.0, "presence_penalty": 0.0, "penalty_window": 64}
settings = [
    {}, {"temperature": 0.7}, {"temperature": 2.5}, {"top_k": 1}, {"top_k": 5}, {"top_k": 39}, {"top_k": 40}, {"top_k": 100},
    {"top_p": 0.1}, {"top_p": 0.5}, {"top_p": 0.95}, {"min_p": 0.05}, {"min_p": 0.3}, {"min_p": 1.0},
    {"typical_p": 0.2}, {"typical_p": 0.9}, {"temperature": 0.7, "top_p": 0.95, "min_p": 0.05},
    {"top_k": 10, "top_p": 0.8}, {"top_k": 20, "typical_p": 0.7, "top_p": 0.9, "min_p": 0.1, "temperature": 1.3},
    {"typical_p": 0.8, "min_p": 0.2}, {"repetition_penalty": 1.3}, {"frequency_penalty": 0.4, "presence_penalty": 0.6},
    {"repetition_penalty": 1.1, "frequency_penalty": 0.2, "penalty_window": 5, "top_k": 12},
    {"logit_bias": [[3, 4.5], [11, -2.0]], "top_p": 0.9},
    {"dry": {"multiplier": 0.8, "base": 1.75, "allowed_length": 2, "window": 64}},
    {"dry": {"multiplier": 1.5, "base": 1.2, "allowed_length": 1, "window": 12}, "top_k": 15},
    {"dry": {"multiplier": 0.5, "base": 3.0, "allowed_length": 4, "window": 64}, "repetition_penalty": 1.05, "temperature": 0.8},
]


def run(vocab, row, s):
    data = (l.llama_token_data * SIZE)(*[l.llama_token_data(i, float(row[i]), 0.0) for i in range(SIZE)])
    array = l.llama_token_data_array(data, SIZE, -1, False)
    chain = []
    if "logit_bias" in s:
        bias = (l.llama_logit_bias * len(s["logit_bias"]))(*[l.llama_logit_bias(t, b) for t, b in s["logit_bias"]])
        chain.append(l.llama_sampler_init_logit_bias(SIZE, len(s["logit_bias"]), bias))
    chain.append(l.llama_sampler_init_penalties(SIZE, s["penalty_window"], s["repetition_penalty"], s["frequency_penalty"], s["presence_penalty"]))
    if "dry" in s:
        d = s["dry"]
        chain.append(l.llama_sampler_init_dry(vocab, d["multiplier"], d["base"], d["allowed_length"], d["window"], None, 0))
    chain += [l.llama_sampler_init_top_k(s["top_k"]), l.llama_sampler_init_typical(s["typical_p"], 1),
              l.llama_sampler_init_top_p(s["top_p"], 1), l.llama_sampler_init_min_p(s["min_p"], 1),
              l.llama_sampler_init_temp(s["temperature"])]
    for sampler in chain:
        for t in history:
            l.llama_sampler_accept(sampler, t)
        l.llama_sampler_apply(sampler, ctypes.byref(array))
        l.llama_sampler_free(sampler)
    logits = np.array([[array.data[i].id, array.data[i].logit] for i in range(array.size)])
    p = np.exp(logits[:, 1] - logits[:, 1].max())
    kept = sorted(zip(logits[:, 0].astype(int), p / p.sum()), key=lambda c: (-c[1], c[0]))
    return [[int(t), float(f"{q:.7g}")] for t, q in kept]


if len(sys.argv) != 3:
    sys.exit(__doc__)
params = l.llama_model_default_params()
params.vocab_only = True
model = l.llama_load_model_from_file(sys.argv[1].encode(), params)
vocab = l.llama_model_get_vocab(model)
cases = []
for s in settings:
    for row in range(len(rows)):
        full = {**OFF, **s}
        cases.append({"row": row, **full, "kept": run(vocab, rows[row], full)})
out = {"rows": [[float(x) for x in row] for row in rows], "history": history, "cases": cases}
with open(sys.argv[2], "w") as f:
    f.write('{"rows": ' + json.dumps(out["rows"]) + ',\n"history": ' + json.dumps(history) + ',\n"cases": [\n')
    f.write(",\n".join(json.dumps(c) for c in cases) + "\n]}\n")
print(len(cases), "cases")
