"""Measures llama.cpp through llama-cpp-python, in the way of `ledge bench`.

usage: python llama.py '{"model": FILE, "threads": N, "prompt": N, "tokens": N, "depth": N,
                            "repeat": N, "repack": BOOL, "flash": BOOL, "kv": "f16"|"q8_0",
                            "seconds_max": S}'

One object comes out: prefill_tps, decode_tps (1 / median time of a token), p90_ms, version. Any
tokens do; the first run of each kind warms up and is not counted. A prompt or a filling of the cache
that takes longer than seconds_max is given up, and its rate is then missing. `cargo xtask peers lm`
calls this; it needs nothing but the package.
"""

import ctypes
import json
import statistics
import sys
import time

import llama_cpp as lib

CHUNK = 512
KV_TYPES = {"f16": 1, "q8_0": 8}  # ggml's numbers


def main(args):
    silent = lib.llama_log_callback(lambda level, text, user: None)
    lib.llama_log_set(silent, ctypes.c_void_p(0))
    lib.llama_backend_init()
    params = lib.llama_model_default_params()
    params.n_gpu_layers = 0
    params.use_extra_bufts = args["repack"]
    model = lib.llama_model_load_from_file(args["model"].encode(), params)
    if not model:
        sys.exit("llama.cpp does not load " + args["model"])
    settings = lib.llama_context_default_params()
    longest = max(args["prompt"], args["depth"] + args["tokens"])
    settings.n_ctx = (longest + 255) // 256 * 256
    settings.n_batch = settings.n_ubatch = CHUNK
    settings.n_threads = settings.n_threads_batch = args["threads"]
    settings.flash_attn_type = int(args["flash"])
    settings.type_k = settings.type_v = KV_TYPES[args["kv"]]
    context = lib.llama_init_from_model(model, settings)
    if not context:
        sys.exit("llama.cpp refuses these settings")
    memory = lib.llama_get_memory(context)
    vocabulary = lib.llama_vocab_n_tokens(lib.llama_model_get_vocab(model))
    ids = (ctypes.c_int32 * (longest + 1))(*((i * 7 + 1) % vocabulary for i in range(longest + 1)))

    def run(first, count):
        """Seconds for `count` tokens from `first` on."""
        begin = time.perf_counter()
        place = ctypes.cast(ctypes.byref(ids, 4 * first), ctypes.POINTER(ctypes.c_int32))
        if lib.llama_decode(context, lib.llama_batch_get_one(place, count)) != 0:
            sys.exit("llama_decode failed")
        lib.llama_synchronize(context)
        return time.perf_counter() - begin

    def fill(first, end):
        """Seconds for all chunks, or None when that is too long."""
        seconds = 0.0
        for start in range(first, end, CHUNK):
            seconds += run(start, min(CHUNK, end - start))
            if seconds > args["seconds_max"]:
                return None
        return seconds

    found = {"version": lib.__version__, "prefill_tps": None, "decode_tps": None, "p90_ms": None}
    times = []
    for repeat in range(args["repeat"] + 1 if args["prompt"] else 0):
        lib.llama_memory_clear(memory, False)
        seconds = fill(0, args["prompt"])
        if seconds is None:
            break
        if repeat > 0:
            times.append(seconds)
    if times:
        found["prefill_tps"] = args["prompt"] / statistics.median(times)
    times = []
    if args["tokens"]:
        lib.llama_memory_clear(memory, False)
        filled = fill(0, args["depth"])
        for repeat in range(args["repeat"] + 1 if filled is not None else 0):
            lib.llama_memory_seq_rm(memory, 0, args["depth"], -1)
            steps = [run(args["depth"] + i, 1) for i in range(args["tokens"])]
            if repeat > 0:
                times += steps
    if times:
        found["decode_tps"] = 1 / statistics.median(times)
        found["p90_ms"] = 1e3 * sorted(times)[len(times) * 9 // 10]
    print(json.dumps(found))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
