#!/usr/bin/env python3
"""Tiny tokenizers of every kind and the ids that their own libraries give.

usage: tiny_tokenizers.py crates/input/text/tests/goldens/tokenizers

Trains on the sentences below, so every byte of the result is the project's own. Needs the packages
tokenizers 0.22.2, sentencepiece 0.2.3, gguf 0.19.0 and llama-cpp-python 0.3.36. Writes
NAME.json / NAME.model (vocabularies) and ids.json: for each vocabulary and reference the ids of
every line in LINES, without begin and end tokens.
"""
import io, json, os, struct, sys, tempfile

import gguf
import sentencepiece as spm
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

TEXT = """The lighthouse keeper counted ships until the fog came in, and then she counted sounds.
Three bells, two horns and one small radio that only played weather. It's raining, it'll rain, we've had rain!
In 1987 the lamp burned 4,380 hours; in 2026 it burned 12.5 watts for 8,760 hours.
"Who's there?" asked the gull. "I'm the tide," said the tide; "I'd knock, but I can't."
def keep(lamp, hours=24):\n    return [lamp.light(h) for h in range(hours)]  # every hour
Der Leuchtturm steht auf einem Felsen, groß und weiß; die Möwen schlafen früh.
Le gardien a noté l'heure, la marée et le vent; ça suffit, où qu'on soit.
Маяк стоит на скале, и чайки кричат над водой.
灯台守は船を数えた。霧が来ると音を数えた。
등대지기는 배를 세었다. 안개가 오면 소리를 세었다.
海上的灯塔在夜里发光。
नाविक ने दीपक देखा और घर लौट आया।
الليل طويل والبحر هادئ.
""".split("\n")

LINES = [
    "", " ", "The lighthouse keeper", " two  spaces and   three", "tabs\tand\nlines\r\n\r\nend  ", "\n\n\n  x",
    "It's I'LL we'Ve can't o'clock ’s", "4,380 hours in 1987 and 123456789", "x=4;y=y**2 # light(h)!?", "camelCase HTTPServer ÉCOLE",
    "Leuchtturm groß Möwe e\u0301 ﬁn ①", "Маяк и чайки", "灯台守は船を、数えた。", "등대지기 ㄱㅏ", "नाविक ने", "الليل طويل",
    "👩‍🚀 🇫🇷 ok", "nul\x00 bell\x07 \u200bzero \ufeffbom \u3000wide \u00a0nbsp", "<s> </s> <unk> <|end|>x<pad> [MASK] <|note|>y", "a" * 40 + " " * 20 + "b",
    "<0x41> ▁under Ġ ##ing", "\U0010fffd\ue000 \ud7ff",
]

RULES = {"ﬁ": "fi", "①": "1", "\u00a0": " ", "\u3000": " ", "e\u0301": "é", "\t": " ", "\u200b": "", "ß": "ss"}

SPECIAL = ["<unk>", "<s>", "</s>", "<|end|>"]


def byte_level(size=420):
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(TEXT, trainers.BpeTrainer(
        vocab_size=size, special_tokens=["<|end|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    t.add_tokens([AddedToken("  ", normalized=False), AddedToken("light", normalized=True, single_word=True)])
    return t


def byte_fallback():
    t = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    t.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    t.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    bytes_ = [f"<0x{b:02X}>" for b in range(256)]
    t.train_from_iterator(TEXT[:4], trainers.BpeTrainer(vocab_size=400, special_tokens=SPECIAL + bytes_, show_progress=False))
    file = json.loads(t.to_str())
    file["added_tokens"] = [a for a in file["added_tokens"] if not a["content"].startswith("<0x")]
    file["post_processor"] = json.loads(processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)]).__getstate__())
    return Tokenizer.from_str(json.dumps(file))


def unigram():
    t = Tokenizer(models.Unigram())
    t.normalizer = normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    t.pre_tokenizer = pre_tokenizers.Metaspace()
    t.decoder = decoders.Metaspace()
    t.train_from_iterator(TEXT, trainers.UnigramTrainer(vocab_size=320, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False))
    return t


def wordpiece():
    t = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    t.normalizer = normalizers.BertNormalizer()
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    t.decoder = decoders.WordPiece()
    t.train_from_iterator(TEXT, trainers.WordPieceTrainer(
        vocab_size=350, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], show_progress=False))
    t.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return t


def pieces():
    """Every pre-tokenizer and normaliser that has no place in the others."""
    t = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    t.normalizer = normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents(), normalizers.Lowercase(), normalizers.Strip()])
    t.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(r"\d+,?"), "merged_with_previous"), pre_tokenizers.Split("-", "removed"),
        pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation("contiguous"), pre_tokenizers.Digits(individual_digits=True)])
    t.decoder = decoders.BPEDecoder()
    t.train_from_iterator(TEXT, trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<unk>", "<|end|>"], end_of_word_suffix="</w>", show_progress=False))
    return t


def sentencepiece(folder, kind, **options):
    out = io.BytesIO()
    # A table of a few rules: that of NFKC takes 240 kB.
    with open(os.path.join(folder, "rules.tsv"), "w") as f:
        for source, target in RULES.items():
            f.write(" ".join(f"{ord(c):X}" for c in source) + "\t" + " ".join(f"{ord(c):X}" for c in target) + "\n")
    if kind == "unigram":
        options["normalization_rule_tsv"] = f.name
    spm.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT), model_writer=out, model_type=kind, vocab_size=options.pop("size"), hard_vocab_limit=False,
        user_defined_symbols=["<|note|>", "light"], minloglevel=2, num_threads=1, **options)
    return out.getvalue()


# One name of each group that llama.cpp's own matcher treats as the model's pattern says.
PRE = ["default", "gpt-2", "llama-bpe", "dbrx", "qwen2", "qwen35", "smollm", "falcon", "deepseek-llm", "deepseek-coder", "deepseek-v3",
       "bloom", "viking", "chameleon", "bailingmoe", "seed-coder", "exaone-moe", "afmoe", "jais-2", "hunyuan-dense"]
# Models whose own pattern is the reference.
UPPER, LOWER = r"\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}", r"\p{Ll}\p{Lm}\p{Lo}\p{M}"
SUFFIX, REST = "(?i:'s|'t|'re|'ve|'m|'ll|'d)?", r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def cased(suffix, digits, rest=REST, minus=""):
    head = r"[^\r\n\p{L}\p{N}]?"
    return f"{head}[{UPPER}{minus}]*[{LOWER}{minus}]+{suffix}|{head}[{UPPER}{minus}]+[{LOWER}{minus}]*{suffix}|{digits}{rest}"


PATTERNS = {
    "gpt-4o": [cased(SUFFIX, r"\p{N}{1,3}")],
    "tekken": [cased("", r"\p{N}")],
    "kimi-k2": [r"[\p{Han}]+|" + cased(SUFFIX, r"\p{N}{1,3}", REST.replace("/", ""), r"&&[^\p{Han}]")],
    "tiny_aya": [r"\d{1,3}(?=(?:\d{3})*\b)", cased(SUFFIX, r"\p{N}{1,3}")],
    "superbpe": [r"\p{N}+", r"(?=(\d{3})+(?!\d))"],
}


def llamacpp(bpe, pre, folder):
    from llama_cpp import Llama
    model = json.loads(bpe.to_str())["model"]
    words = sorted(model["vocab"], key=model["vocab"].get)
    path = os.path.join(folder, pre + ".gguf")
    w = gguf.GGUFWriter(path, "gpt2")
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre(pre)
    w.add_token_list(words)
    w.add_token_types([3 if word == "<|end|>" else 1 for word in words])
    w.add_token_merges([" ".join(m) if isinstance(m, list) else m for m in model["merges"]])
    for add in (w.add_bos_token_id, w.add_eos_token_id):
        add(0)
    w.write_header_to_file(); w.write_kv_data_to_file(); w.close()
    t = Llama(model_path=path, vocab_only=True, verbose=False)
    return [t.tokenize(line.encode(), add_bos=False, special=False) for line in LINES]


def pieces_of(model):
    """Texts, scores, types and the table of replacements of a SentencePiece model, from its protobuf."""
    def fields(data):
        at = 0
        def varint():
            nonlocal at
            value = shift = 0
            while True:
                byte = data[at]; at += 1
                value |= (byte & 127) << shift; shift += 7
                if byte < 128:
                    return value
        while at < len(data):
            tag = varint()
            if tag & 7 == 0:
                yield tag >> 3, varint()
            else:
                size = varint() if tag & 7 == 2 else {1: 8, 5: 4}[tag & 7]
                yield tag >> 3, data[at:at + size]; at += size
    pieces, charsmap = [], b""
    for number, value in fields(model):
        if number == 1:
            piece = dict(fields(value))
            pieces.append((piece[1].decode(), struct.unpack("<f", piece.get(2, bytes(4)))[0], piece.get(3, 1)))
        elif number == 3:
            charsmap = dict(fields(value)).get(2, b"")
    return [list(column) for column in zip(*pieces)] + [charsmap]


def gguf_model(model, folder, tokens, types, scores=None, charsmap=b"", **flags):
    """A source as VocabularySource has it, and llama.cpp's ids with and without special tokens in the text."""
    from llama_cpp import Llama
    path = os.path.join(folder, model + ".gguf")
    w = gguf.GGUFWriter(path, "llama")
    w.add_tokenizer_model(model)
    w.add_token_list(tokens); w.add_token_types(types)
    if scores:
        w.add_token_scores(scores)
    if charsmap:
        w.add_precompiled_charsmap(charsmap)
    for flag, value in flags.items():
        (w.add_uint32 if flag.endswith("_id") else w.add_bool)("tokenizer.ggml." + flag, value)
    w.write_header_to_file(); w.write_kv_data_to_file(); w.close()
    t = Llama(model_path=path, vocab_only=True, verbose=False)
    ids = lambda special: [t.tokenize(line.encode(), add_bos=False, special=special) for line in LINES]
    return {"source": {"model": model, "tokens": tokens, "types": types, "scores": scores, "charsmap": list(charsmap), **flags},
            "text": ids(False), "parse": ids(True)}


def patterned(bpe, patterns):
    file = json.loads(bpe.to_str())
    file["added_tokens"] = []
    t = Tokenizer.from_str(json.dumps(file))
    t.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(p), "isolated") for p in patterns] + [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    return [t.encode(line, add_special_tokens=False).ids for line in LINES]


def main():
    folder = sys.argv[1]
    os.makedirs(folder, exist_ok=True)
    lines = [line.encode("utf-8", "surrogatepass").decode("utf-8", "replace") for line in LINES]
    LINES[:] = lines
    out = {"lines": lines, "json": {}, "model": {}, "pre": {}, "gguf": {}}
    bpe = byte_level()
    for name, t in {"bytes": bpe, "fallback": byte_fallback(), "unigram": unigram(), "wordpiece": wordpiece(), "pieces": pieces()}.items():
        open(os.path.join(folder, name + ".json"), "w", encoding="utf-8").write(t.to_str())
        ids = [t.encode(line, add_special_tokens=False).ids for line in lines]
        out["json"][name] = {"ids": ids, "text": [t.decode(i, skip_special_tokens=False) for i in ids]}
    with tempfile.TemporaryDirectory() as temporary:
        kinds = {
            "sp-bpe": sentencepiece(temporary, "bpe", size=480, byte_fallback=True, character_coverage=0.99, normalization_rule_name="identity",
                                    remove_extra_whitespaces=False),
            "sp-unigram": sentencepiece(temporary, "unigram", size=260, character_coverage=1.0),
        }
        for name, model in kinds.items():
            open(os.path.join(folder, name + ".model"), "wb").write(model)
            t = spm.SentencePieceProcessor(model_proto=model)
            ids = [t.encode(line) for line in lines]
            out["model"][name] = {"ids": ids, "text": [t.decode(i) for i in ids]}
        tokens, scores, types, _ = pieces_of(kinds["sp-bpe"])
        out["gguf"]["llama"] = gguf_model("llama", temporary, tokens, types, scores, add_bos_token=False)
        tokens, scores, types, charsmap = pieces_of(kinds["sp-unigram"])
        out["gguf"]["t5"] = gguf_model("t5", temporary, tokens, types, scores, charsmap, unknown_token_id=0, eos_token_id=2,
                                       add_eos_token=False, add_space_prefix=True, remove_extra_whitespaces=True)
        vocab = json.loads(wordpiece().to_str())["model"]["vocab"]
        words = sorted(vocab, key=vocab.get)
        special = {"[PAD]": 3, "[UNK]": 3, "[CLS]": 3, "[SEP]": 3, "[MASK]": 3}
        tokens = [w if w in special else w[2:] if w.startswith("##") else "▁" + w for w in words]
        out["gguf"]["bert"] = gguf_model("bert", temporary, tokens, [special.get(w, 1) for w in words], bos_token_id=2, unknown_token_id=1,
                                         seperator_token_id=3, padding_token_id=0, mask_token_id=4)
        for pre in PRE:
            out["pre"][pre] = llamacpp(bpe, pre, temporary)
    for pre, patterns in PATTERNS.items():
        out["pre"][pre] = patterned(bpe, patterns)
    with open(os.path.join(folder, "ids.json"), "w", encoding="utf-8") as f:
        f.write(json.dumps(out, ensure_ascii=True, separators=(",", ":")) + "\n")


main()
