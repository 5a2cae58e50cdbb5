#!/usr/bin/env python3
"""Samples of what every TFLite model gives, by LiteRT's reference kernels.

Usage: tflite_models.py MODELS DATA > dev/conformance/src/tflite_models.toml

MODELS is the folder of `cargo xtask get`, DATA the test data. Needs numpy, flatbuffers, ai-edge-litert
and, for a file that LiteRT refuses, tflite-micro. Operators that MediaPipe adds are computed here, by
the formulas of google-ai-edge/mediapipe `util/tflite/operations`, and what lies between them by LiteRT.
"""

import copy
import math
import sys
from pathlib import Path

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from flatbuffers import flexbuffers

SAMPLES = 16
FOLDERS = ["mediapipe", "face-tflite", "micro-wake-words", "open-wake-words", "mnist-tflite"]
# Extents of inputs that a file leaves open.
OPEN = {"embedding_model": [1, 76, 32, 1], "melspectrogram": [1, 4000], "sine": [1, 1]}


def pattern(shape, dtype, place):
    """Floats vary slowly over pictures; whole numbers are scattered bytes."""
    count = int(np.prod(shape))
    i = np.arange(count, dtype=np.uint64)
    if dtype == np.float32:
        if len(shape) == 4 and shape[1] > 1:
            y, x, c = np.meshgrid(*[np.arange(n, dtype=np.float64) for n in shape[1:]], indexing="ij")
            angle = 7 * x / shape[2] + 3 * y / shape[1] + c
        else:
            angle = 0.37 * i.astype(np.float64) + place
        return (0.5 + 0.4 * np.sin(angle)).astype(np.float32).reshape(shape)
    bits = (i * 2654435761 + place * 40503 + 12345) & 0xFFFFFFFF
    bits ^= bits >> 15
    bits = (bits * 2246822519) & 0xFFFFFFFF
    bits ^= bits >> 13
    return (bits >> 24).astype(np.uint8).view(dtype).reshape(shape)


def text(name):
    return name.decode() if isinstance(name, bytes) else name


def to_matrix(x, options):
    points = x.reshape(-1, 3).astype(np.float64)
    left, right = points[options["left_rotation_idx"]], points[options["right_rotation_idx"]]
    turn = options["target_rotation_radians"] - math.atan2(right[1] - left[1], right[0] - left[0])
    cos, sin = math.cos(turn), math.sin(turn)
    turned = points[options["subset_idxs"]][:, :2] @ np.array([[cos, -sin], [sin, cos]]).T
    size, middle = np.ptp(turned, axis=0), (turned.max(0) + turned.min(0)) / 2
    back = np.eye(4)
    back[:2, :2] = [[cos, sin], [-sin, cos]]
    width, height = options["output_width"], options["output_height"]

    def shift(x, y):
        matrix = np.eye(4)
        matrix[:2, 3] = x, y
        return matrix

    scale = np.diag([options["scale_x"] * size[0] / width, options["scale_y"] * size[1] / height, 1, 1])
    matrix = shift(*(back[:2, :2] @ middle)) @ back @ scale @ shift(-width / 2, -height / 2)
    return matrix.astype(np.float32).reshape(1, 4, 4)


def sample(x, matrix, options):
    height, width = options["output_height"], options["output_width"]
    m = matrix.reshape(4, 4).astype(np.float64)
    padded = np.pad(x[0].astype(np.float64), ((0, 1), (0, 1), (0, 0)))
    out = np.zeros((1, height, width, x.shape[3]), np.float32)
    for i in range(height):
        for j in range(width):
            a, b = (m[:2, 0] * (j + 0.5) + m[:2, 1] * (i + 0.5) + m[:2, 3] - 0.5).tolist()
            if a < 0 or b < 0 or a > x.shape[2] - 1 or b > x.shape[1] - 1:
                continue
            left, top = int(a), int(b)
            a, b = a - left, b - top
            upper = (1 - a) * padded[top, left] + a * padded[top, left + 1]
            lower = (1 - a) * padded[top + 1, left] + a * padded[top + 1, left + 1]
            out[0, i, j] = (1 - b) * upper + b * lower
    return out


def transform(x, matrix):
    m = matrix.reshape(4, 4).astype(np.float64)
    points = x.reshape(-1, x.shape[-1]).copy()
    places = points[:, :1].astype(np.float64) * m[:2, 0] + points[:, 1:2] * m[:2, 1] + m[:2, 3]
    points[:, :2] = places
    return points.reshape(x.shape)


def turned_conv(x, weights, bias, options):
    padding, stride_w, stride_h = np.frombuffer(options[:12], np.int32)
    _, h, w, _ = x.shape
    out, kh, kw, _ = weights.shape
    full = np.zeros((h * stride_h + kh, w * stride_w + kw, out))
    for i in range(kh):
        for j in range(kw):
            part = x[0].astype(np.float64) @ weights[:, i, j].astype(np.float64).T
            full[i : i + h * stride_h : stride_h, j : j + w * stride_w : stride_w] += part
    # 1 is SAME, whose result is as large as strides say.
    tall = h * stride_h + (max(kh - stride_h, 0) if padding == 2 else 0)
    wide = w * stride_w + (max(kw - stride_w, 0) if padding == 2 else 0)
    top = 0 if padding == 2 else max(kh - stride_h, 0) // 2
    left = 0 if padding == 2 else max(kw - stride_w, 0) // 2
    return (full[top : top + tall, left : left + wide] + bias).astype(np.float32)[None]


class Split:
    """A model whose custom operators are computed here."""

    def __init__(self, raw):
        self.model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(raw, 0))
        self.graph = self.model.subgraphs[0]
        codes = [text(code.customCode or "") for code in self.model.operatorCodes]
        self.names = [codes[operator.opcodeIndex] for operator in self.graph.operators]
        pairs = enumerate(self.graph.operators)
        self.writer = {int(t): place for place, operator in pairs for t in operator.outputs}
        self.values = {}

    def constant(self, tensor):
        data = self.model.buffers[self.graph.tensors[tensor].buffer].data
        return data is not None and len(data) > 0

    def array(self, tensor):
        if tensor not in self.values and self.constant(tensor):
            found = self.graph.tensors[tensor]
            data = bytes(self.model.buffers[found.buffer].data)
            dtype = {0: np.float32, 1: np.float16}[found.type]
            return np.frombuffer(data, dtype).reshape(found.shape).astype(np.float32)
        self.compute(tensor)
        return self.values[tensor]

    def custom(self, place):
        operator, name = self.graph.operators[place], self.names[place]
        options = bytes(operator.customOptions if operator.customOptions is not None else b"")
        operands = [self.array(int(t)) for t in operator.inputs]
        if name == "Landmarks2TransformMatrix":
            return to_matrix(*operands, flexbuffers.Loads(options))
        if name == "TransformTensorBilinear":
            return sample(*operands, flexbuffers.Loads(options))
        if name == "TransformLandmarks":
            return transform(*operands)
        return turned_conv(*operands, options)

    def compute(self, tensor):
        if tensor in self.values:
            return
        place = self.writer[tensor]
        if self.names[place]:
            self.values[tensor] = self.custom(place)
            return
        operators, inputs, stack, seen = set(), set(), [tensor], set()
        while stack:
            one = stack.pop()
            if one in seen or one < 0 or self.constant(one):
                continue
            seen.add(one)
            if one in self.values or self.names[self.writer[one]]:
                inputs.add(one)
                continue
            operators.add(self.writer[one])
            stack += [int(t) for t in self.graph.operators[self.writer[one]].inputs]
        for one in inputs:
            self.compute(one)
        graph, model = copy.copy(self.graph), copy.copy(self.model)
        graph.operators = [self.graph.operators[place] for place in sorted(operators)]
        graph.inputs, graph.outputs = np.array(sorted(inputs), np.int32), np.array([tensor], np.int32)
        model.subgraphs, model.signatureDefs, model.metadata = [graph], None, None
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(model.Pack(builder), b"TFL3")
        feed = [self.values[one] for one in sorted(inputs)]
        self.values[tensor] = reference(bytes(builder.Output()), lambda *_: feed)[0]

    def run(self, give):
        inputs = [(self.graph.tensors[int(t)].shape, np.float32) for t in self.graph.inputs]
        arrays = [give(shape, dtype, place) for place, (shape, dtype) in enumerate(inputs)]
        self.values = {int(t): array for t, array in zip(self.graph.inputs, arrays)}
        return [self.array(int(t)) for t in self.graph.outputs]


def reference(raw, give, open_extents=None):
    kind = OpResolverType.BUILTIN_REF
    interpreter = Interpreter(model_content=raw, experimental_op_resolver_type=kind)
    if open_extents:
        interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], open_extents)
    interpreter.allocate_tensors()
    details = interpreter.get_input_details()
    arrays = give(details) if callable(give) else give
    for detail, array in zip(details, arrays):
        interpreter.set_tensor(detail["index"], array)
    interpreter.invoke()
    return [interpreter.get_tensor(d["index"]).copy() for d in interpreter.get_output_details()]


def micro(raw):
    from tflite_micro import runtime

    interpreter = runtime.Interpreter.from_bytes(raw)
    detail = interpreter.get_input_details(0)
    interpreter.set_input(pattern(detail["shape"], detail["dtype"], 0), 0)
    interpreter.invoke()
    return [interpreter.get_output(0)]


def feed(details):
    return [pattern(d["shape"], d["dtype"], place) for place, d in enumerate(details)]


def outputs(path):
    raw = path.read_bytes()
    try:
        return "litert", reference(raw, feed, OPEN.get(path.stem))
    except (RuntimeError, ValueError) as error:
        if "custom op" in str(error):
            return "litert and this script", Split(raw).run(pattern)
        return "tflite-micro", micro(raw)


def main(models, data):
    print("# What TFLite models give for a pattern: elements at equal distances, and the largest one.")
    print("# Made by `python3 tools/goldens/tflite_models.py models DATA`; ai-edge-litert 2.3.0 without")
    print("# delegates, tflite-micro of 2026-10-23. Tolerance: rtol 1e-4 of the largest; bytes exactly.")
    paths = [path for folder in FOLDERS for path in sorted((models / folder).glob("*.tflite"))]
    paths += sorted((data / "networks" / "models").glob("*.tflite"))
    for path in paths:
        runtime, arrays = outputs(path)
        print(f'\n[[model]]\nfolder = "{path.parent.name}"\nfile = "{path.name}"\nby = "{runtime}"')
        if path.stem in OPEN:
            print(f"input = {OPEN[path.stem]}")
        for array in arrays:
            flat = array.reshape(-1)
            places = [k * (flat.size - 1) // (SAMPLES - 1) for k in range(SAMPLES)]
            places = sorted(set(places))
            numbers = ", ".join(f"{float(flat[place]):.7g}" for place in places)
            largest = float(np.abs(flat.astype(np.float64)).max())
            print(f"[[model.output]]\nshape = {list(map(int, array.shape))}\nlargest = {largest:.7g}")
            print(f"samples = [{numbers}]")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
