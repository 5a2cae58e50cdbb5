"""Goldens of Hugging Face transformers for tiny folders of every family that is read from safetensors: makes them, or checks them.

    python tools/goldens/folders.py                # make all (testdata/folders/NAME/*)
    python tools/goldens/folders.py --only phi3    # those whose name contains "phi3"
    python tools/goldens/folders.py --check        # run transformers over the stored folders, compare with the stored logits

Needs the packages torch, numpy and transformers 5. A folder is what `save_pretrained` writes of a model with random BF16 weights, and
`golden.npy`: [positions, vocabulary] f32 logits (bert: hidden states) of transformers in f32, eager attention, for the ids
`(i * 37 + 11) % vocabulary`. The tokens outnumber every window, so that windows are seen.
"""

import argparse
import datetime
import platform
from pathlib import Path

import numpy as np
import torch
import transformers
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

POSITIONS, VOCABULARY = 48, 64
BASE = dict(vocab_size=VOCABULARY, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
            max_position_embeddings=128, bos_token_id=1, eos_token_id=2, pad_token_id=0)
LLAMA3 = dict(rope_type="llama3", rope_theta=500000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=64)
CASES = {
    "llama": dict(rope_parameters=LLAMA3, tie_word_embeddings=True),
    "llama-bias": dict(model_type="llama", attention_bias=True, mlp_bias=True, head_dim=12),
    "mistral": dict(sliding_window=12, head_dim=16),
    "qwen2": dict(use_sliding_window=True, sliding_window=10, max_window_layers=1),
    "qwen3": dict(head_dim=16, tie_word_embeddings=True),
    "gemma2": dict(sliding_window=14, head_dim=16, query_pre_attn_scalar=24, attn_logit_softcapping=5.0, final_logit_softcapping=6.0),
    "phi3": dict(sliding_window=16, num_key_value_heads=4, partial_rotary_factor=0.5),
    "phi3-long": dict(model_type="phi3", original_max_position_embeddings=32, rope_parameters=dict(
        rope_type="longrope", rope_theta=10000.0, short_factor=[1.0 + 0.1 * i for i in range(4)], long_factor=[2.0 + 0.5 * i for i in range(4)])),
    "bert": dict(hidden_act="gelu", num_key_value_heads=None, type_vocab_size=2),
}


def fill(model, seed):
    """Random weights that BF16 holds exactly; logits spread over a few units."""
    draw = torch.Generator().manual_seed(seed)
    norm_is_offset = model.config.model_type == "gemma2"
    with torch.no_grad():
        for name, p in model.named_parameters():
            r = torch.randn(p.shape, generator=draw)
            if "norm" in name.lower() and name.endswith("weight"):
                r = 0.2 * r if norm_is_offset else 1 + 0.2 * r
            elif p.dim() == 1:
                r = 0.2 * r
            elif "embed" in name:
                r = 0.5 * r
            else:
                r = r * 1.3 / p.shape[-1] ** 0.5
            p.copy_(r.bfloat16().float())


def run(model, ids):
    model.eval()
    with torch.no_grad():
        out = model(input_ids=torch.tensor([ids]))
    return (out.logits if hasattr(out, "logits") else out.last_hidden_state)[0].numpy().astype("<f4")


def load(folder):
    config = AutoConfig.from_pretrained(folder)
    kind = AutoModel if config.model_type == "bert" else AutoModelForCausalLM
    return kind.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")


def main():
    root = Path(__file__).resolve().parents[2] / "testdata" / "folders"
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--only", default="")
    p.add_argument("--check", action="store_true")
    args = p.parse_args()
    ids = [(i * 37 + 11) % VOCABULARY for i in range(POSITIONS)]
    for seed, (name, own) in enumerate(CASES.items()):
        if args.only not in name:
            continue
        folder = root / name
        if not args.check:
            settings = {**BASE, **own}
            kind = settings.pop("model_type", name)
            config = AutoConfig.for_model(kind, **{k: v for k, v in settings.items() if v is not None})
            config._attn_implementation = "eager"
            model = (AutoModel if kind == "bert" else AutoModelForCausalLM).from_config(config)
            fill(model, seed)
            model.bfloat16().save_pretrained(folder)
            (folder / "generation_config.json").unlink(missing_ok=True)
            (folder / "model.safetensors").chmod(0o644)
        got = run(load(folder), ids)
        assert np.isfinite(got).all(), name
        spread = float(got.max() - got.min())
        if args.check:
            far = float(np.abs(got - np.load(folder / "golden.npy")).max()) / spread
            assert far < 1e-5, f"{name}: {far} of the spread from the stored golden"
        else:
            np.save(folder / "golden.npy", got)
            (folder / "goldens.toml").write_text(
                f'# transformers\' {"hidden states" if name == "bert" else "logits"} for the folder beside this, see tools/goldens/folders.py.\n'
                f'command = "python tools/goldens/folders.py --only {name}"\nseed = {seed}\n'
                f'tool = "transformers {transformers.__version__}, torch {torch.__version__} (CPU, f32, eager attention), {platform.machine()}"\n'
                f'date = "{datetime.date.today()}"\ntolerance = 1e-3\nwhy = "of the spread: f32 on both sides, only the order of sums differs"\n')
        print(f"{name:12} spread {spread:.2f}", flush=True)


if __name__ == "__main__":
    main()
