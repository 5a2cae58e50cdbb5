"""Perplexity of llama.cpp on a text, in llama-perplexity's way: the oracle of `ledge eval ppl`.

    python tools/goldens/perplexity.py MODEL.gguf TEXT.txt --ctx 256

Needs the packages numpy and llama-cpp-python 0.3.36. The text is cut into windows of the whole context; the first token of each is
replaced by the begin token where the model adds one; the second half of each window is scored. A rest shorter than a window is left out.
"""

import argparse
import ctypes
from pathlib import Path

import llama_cpp as lc
import numpy as np


# Kept for the process's life: llama.cpp still logs while it is torn down.
SILENCE = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)(lambda *_: None)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("model")
    p.add_argument("text", type=Path)
    p.add_argument("--ctx", type=int, default=256)
    args = p.parse_args()
    lc.llama_log_set(SILENCE, None)
    n = args.ctx
    model = lc.Llama(args.model, n_ctx=n, n_batch=n, n_ubatch=n, logits_all=True, n_threads=2, verbose=False)
    vocab = lc.llama_model_get_vocab(model.model)
    begins = lc.llama_vocab_get_add_bos(vocab)
    ids = model.tokenize(args.text.read_bytes(), add_bos=begins, special=False)
    total, count = 0.0, 0
    for start in range(0, len(ids) - n + 1, n):
        window = ids[start : start + n]
        if begins:
            window[0] = lc.llama_vocab_bos(vocab)
        model.reset()
        model.eval(window)
        logits = np.array(model.scores[n // 2 : n - 1], dtype=np.float64)
        chosen = logits[np.arange(len(logits)), window[n // 2 + 1 :]]
        total += (np.logaddexp.reduce(logits, axis=1) - chosen).sum()
        count += len(logits)
    model.close()
    print(f"tokens {len(ids)}, scored {count}, perplexity {np.exp(total / count):.5f}")


if __name__ == "__main__":
    main()
