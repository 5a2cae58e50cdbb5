"""Writes what onnxruntime gives for real networks: dev/conformance/goldens/networks.json.

    python3 tools/goldens/network_outputs.py MODELS

MODELS is the folder that `cargo xtask get` and the test data's get.py fetch into (models/); the
networks that are not there keep what the file has of them. Needs numpy and onnxruntime 1.31.1; its
optimisations are off. Inputs come from a formula (`fill`), which the check has as well; of each
output the golden keeps the extents, the largest magnitude and up to 24 elements, evenly spread.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime

OUT = Path("dev/conformance/goldens/networks.json")
SAMPLES = 24
# Of the largest magnitude. Networks in integers: where a rounding falls on the other side, the
# last place of a quantised step is seen in the result.
FLOAT, INTEGER = 1e-4, 2e-2
TYPES = {"f32": np.float32, "i64": np.int64, "i32": np.int32}


def mixed(seed, count):
    """SplitMix64 of each place: 24 bits."""
    with np.errstate(over="ignore"):
        z = np.arange(count, dtype=np.uint64) + np.uint64(seed << 32)
        z = (z + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return (z ^ (z >> np.uint64(31))) >> np.uint64(40)


def array(given):
    """The elements of an input; `fill` is [seed, low, high]."""
    kind = TYPES[given["type"]]
    if "values" in given:
        return np.array(given["values"], kind).reshape(given["dims"])
    seed, low, high = given["fill"]
    bits = mixed(seed, int(np.prod(given["dims"])))
    if kind is np.float32:
        list = low + (high - low) * (bits.astype(np.float64) / 2**24)
    else:
        list = low + (bits % np.uint64(high - low)).astype(np.int64)
    return list.astype(kind).reshape(given["dims"])


def fill(name, dims, seed=1, low=-0.5, high=0.5, type="f32"):
    return {"name": name, "type": type, "dims": dims, "fill": [seed, low, high]}


def values(name, dims, list, type="i64"):
    return {"name": name, "type": type, "dims": dims, "values": list}


def case(model, file, *steps, carry=(), tolerance=FLOAT):
    return {"model": model, "file": file, "tolerance": tolerance,
            "carry": [list(pair) for pair in carry], "steps": [{"inputs": s} for s in steps]}


def silero(file, samples=576, batch=1, rate=16000):
    def step(i):
        inputs = [fill("input", [batch, samples], i)]
        return inputs + ([values("sr", [], [rate])] if rate else [])
    return case("silero-vad", file, *map(step, range(4)), carry=[("state", "stateN")])


def text(model, tokens, tolerance=FLOAT, types=True):
    ids = fill("input_ids", [1, tokens], 7, 1000, 20000, "i64")
    inputs = [ids, values("attention_mask", [1, tokens], [1] * tokens)]
    if types:
        inputs.append(values("token_type_ids", [1, tokens], [0] * tokens))
    return case(model, "model.onnx", inputs, tolerance=tolerance)


def cases():
    yield silero("silero_vad.onnx")
    yield silero("silero_vad.onnx", samples=288, batch=2, rate=8000)
    yield silero("silero_vad_16k_op15.onnx")
    yield silero("silero_vad_op18_ifless.onnx")
    yield silero("silero_vad_half.onnx", rate=None)
    yield silero("silero_vad_openvino_16k.onnx", rate=None)
    yield case("silero-vad", "silero_vad_16k_sequence.onnx",
               *([fill("input", [n, 576], n)] for n in (1, 3)), carry=[("h", "hn"), ("c", "cn")])
    yield case("dtln", "model_1.onnx", *([fill("input_2", [1, 1, 257], i, 0.0, 2.0)] for i in range(3)),
               carry=[("input_3", "tf_op_layer_stack_2")])
    yield case("dtln", "model_2.onnx", *([fill("input_4", [1, 1, 512], i)] for i in range(3)),
               carry=[("input_5", "tf_op_layer_stack_5")])
    yield case("nsnet2", "nsnet2-20ms-baseline.onnx",
               *([fill("input", [1, n, 161], n, -6.0, 1.0)] for n in (1, 10)))
    yield case("nsnet2", "nsnet2-20ms-48k-baseline.onnx", [fill("input", [2, 3, 513], 1, -6.0, 1.0)])
    for height, width in ((64, 96), (96, 64)):
        yield case("ppocr-v4", "ch_PP-OCRv4_det_infer.onnx",
                   [fill("x", [1, 3, height, width], 3, -2.0, 2.0)])
    for width in (80, 48):
        yield case("ppocr-v4", "ch_PP-OCRv4_rec_infer.onnx", [fill("x", [1, 3, 48, width], 4, -1.0, 1.0)])
    yield case("ppocr-v4", "ch_ppocr_mobile_v2.0_cls_infer.onnx",
               *([fill("x", [n, 3, 48, 192], 5, -1.0, 1.0)] for n in (1, 2)))
    yield case("magika", "model.onnx", [fill("bytes", [1, 2048], 6, 0, 257, "i32")])
    yield case("wakeword-features-onnx", "melspectrogram.onnx",
               *([fill("input", [1, n], 8, -3e3, 3e3)] for n in (1280, 1760)))
    yield case("wakeword-features-onnx", "embedding_model.onnx",
               [fill("input_1", [1, 76, 32, 1], 9, -1.0, 3.0)])
    yield case("basic-pitch", "nmp.onnx", [fill("serving_default_input_2:0", [1, 43844, 1], 10)])
    yield text("paraphrase-minilm-l3-onnx", 9, types=False)
    # With 7 tokens a rounding of a measured scale falls on an edge: onnxruntime's own levels of
    # optimisation differ by 0.4 % there, and by 1e-6 with these.
    for tokens in (8, 12):
        yield text("bge-small-en-v1.5-int8", tokens, tolerance=INTEGER)
    # Phonemes to speech: how long it is follows from the data. No noise, so that it is one answer.
    yield case("piper-en-us-joe-medium", "en_US-joe-medium.onnx",
               [fill("input", [1, 8], 11, 1, 100, "i64"), values("input_lengths", [1], [8]),
                values("scales", [3], [0.0, 1.0, 0.0], "f32")])
    for file in ("cls_qdq_u8s8.onnx", "cls_qop_u8s8.onnx"):
        yield case("networks/models", file, [fill("x", [1, 3, 48, 192], 12, -1.0, 1.0)],
                   tolerance=INTEGER)


def run(path, one):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    states = {}
    for pair in one["carry"]:
        known = next(i for i in session.get_inputs() if i.name == pair[0])
        batch = one["steps"][0]["inputs"][0]["dims"][0]
        dims = [d if isinstance(d, int) else batch for d in known.shape]
        states[pair[0]] = np.zeros(dims, np.float32)
    for step in one["steps"]:
        feeds = {given["name"]: array(given) for given in step["inputs"]}
        outputs = dict(zip(names, session.run(None, {**feeds, **states})))
        states = {pair[0]: outputs[pair[1]] for pair in one["carry"]}
        step["states"] = {name: list(state.shape) for name, state in states.items()}
        step["outputs"] = []
        for name, got in outputs.items():
            flat = got.astype(np.float64).reshape(-1)
            count = min(SAMPLES, flat.size)
            places = [k * (flat.size - 1) // max(count - 1, 1) for k in range(count)]
            step["outputs"].append({
                "name": name, "dims": list(got.shape),
                "largest": float(f"{np.abs(flat).max(initial=0):.7g}"),
                "samples": [float(f"{flat[place]:.7g}") for place in places],
            })
    return one


def main():
    models = [Path(folder) for folder in sys.argv[1:]]
    if not models:
        sys.exit(__doc__)
    have = json.loads(OUT.read_text()) if OUT.exists() else []
    out = []
    for one in cases():
        path = next((p for p in (m / one["model"] / one["file"] for m in models) if p.exists()), None)
        if path is not None:
            out.append(run(path, one))
            continue
        asked = lambda case: [case["model"], case["file"], [s["inputs"] for s in case["steps"]]]
        out += [old for old in have if asked(old) == asked(one)]
        print("absent:", one["model"], one["file"], file=sys.stderr)
    lines = ",\n".join(json.dumps(one, separators=(",", ":")) for one in out)
    OUT.write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
