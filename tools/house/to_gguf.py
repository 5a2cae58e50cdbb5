#!/usr/bin/env python3
"""Turn the folder that train.py wrote into the GGUF file that Ledge embeds.

usage: to_gguf.py FOLDER OUT.gguf [--type f32|f16|q8_0|q4_0] [--name NAME]
needs: numpy, gguf 0.19, safetensors

The folder is a Hugging Face Llama one (model.safetensors, config.json, tokenizer.json). Rotary
positions there pair element i with i + head_dim/2; GGUF files of the family `llama` pair
neighbours, so the rows of q and k are permuted. The tied embedding is at least 8 bit.
"""
import argparse
import json
import pathlib

import gguf
import numpy as np
from safetensors.numpy import load_file

FILE_TYPES = {"f32": 0, "f16": 1, "q4_0": 2, "q8_0": 7}
LAYER_TENSORS = [
    ("attn_norm", "input_layernorm"),
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_output", "self_attn.o_proj"),
    ("ffn_norm", "post_attention_layernorm"),
    ("ffn_gate", "mlp.gate_proj"),
    ("ffn_up", "mlp.up_proj"),
    ("ffn_down", "mlp.down_proj"),
]


def neighbour_pairs(matrix, heads):
    """Reorders rows within each head from (i, i + half) pairs to (2i, 2i + 1) pairs."""
    rows, columns = matrix.shape
    halves = matrix.reshape(heads, 2, rows // heads // 2, columns)
    return halves.transpose(0, 2, 1, 3).reshape(rows, columns)


def encode(writer, name, matrix, kind):
    matrix = np.ascontiguousarray(matrix, dtype=np.float32)
    if matrix.ndim == 1 or kind == "f32":
        writer.add_tensor(name, matrix)
    elif kind == "f16":
        writer.add_tensor(name, matrix.astype(np.float16))
    else:
        q8 = kind == "q8_0" or name == "token_embd.weight"
        block = gguf.GGMLQuantizationType.Q8_0 if q8 else gguf.GGMLQuantizationType.Q4_0
        writer.add_tensor(name, gguf.quantize(matrix, block), raw_dtype=block)


def add_settings(writer, config, name, kind):
    writer.add_name(name)
    writer.add_license("MIT OR Apache-2.0")
    writer.add_description("The model inside Ledge: tales, trained from scratch by tools/house")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_dimension_count(config["head_dim"])
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_file_type(FILE_TYPES[kind])


def add_tokenizer(writer, config, tokenizer):
    special = {t["id"]: t["content"] for t in tokenizer["added_tokens"]}
    ids = {i: t for t, i in tokenizer["model"]["vocab"].items()} | special
    tokens, types = [], []
    for i in range(config["vocab_size"]):
        tokens.append(ids.get(i, f"<unused{i}>"))
        types.append(3 if i in special else 1 if i in ids else 5)
    merges = tokenizer["model"]["merges"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in merges])
    writer.add_bos_token_id(config["bos_token_id"])
    writer.add_eos_token_id(config["eos_token_id"])
    writer.add_add_bos_token(True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("out")
    parser.add_argument("--type", default="q8_0", choices=FILE_TYPES)
    parser.add_argument("--name", default="Ledge house")
    args = parser.parse_args()
    config = json.loads((args.folder / "config.json").read_text())
    tokenizer = json.loads((args.folder / "tokenizer.json").read_text(encoding="utf-8"))
    weights = load_file(args.folder / "model.safetensors")
    heads = {"attn_q": config["num_attention_heads"], "attn_k": config["num_key_value_heads"]}

    writer = gguf.GGUFWriter(args.out, "llama")
    add_settings(writer, config, args.name, args.type)
    add_tokenizer(writer, config, tokenizer)
    encode(writer, "token_embd.weight", weights["model.embed_tokens.weight"], args.type)
    for layer in range(config["num_hidden_layers"]):
        for ours, theirs in LAYER_TENSORS:
            matrix = weights[f"model.layers.{layer}.{theirs}.weight"]
            if ours in heads:
                matrix = neighbour_pairs(matrix, heads[ours])
            encode(writer, f"blk.{layer}.{ours}.weight", matrix, args.type)
    encode(writer, "output_norm.weight", weights["model.norm.weight"], args.type)
    if "lm_head.weight" in weights:
        encode(writer, "output.weight", weights["lm_head.weight"], args.type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main()
