#!/usr/bin/env python3
"""TFLite networks of one operator, and what LiteRT's reference kernels give for them.

Usage: tflite_ops.py DIR

Writes DIR/NAME.tflite, DIR/outputs.json and DIR/goldens.toml: products of floats with weights of bytes, and
operators that remember between runs. Constants are drawn from a fixed seed. Needs numpy, flatbuffers and
ai-edge-litert.
"""

import json
import sys
from pathlib import Path

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from patterns import pattern

SEED = 20261122
RUNS = 3
TYPES = {np.dtype(np.float32): 0, np.dtype(np.int32): 2, np.dtype(np.int8): 9, np.dtype(np.int16): 7}


class Net:
    """One operator with its tensors."""

    def __init__(self, seed):
        self.rng, self.tensors, self.buffers = np.random.default_rng(seed), [], [schema.BufferT()]
        self.inputs = []

    def tensor(self, dims, dtype=np.float32, data=None, scale=None, axis=0, variable=False):
        one = schema.TensorT()
        one.name, one.shape, one.type = f"t{len(self.tensors)}", list(dims), TYPES[np.dtype(dtype)]
        one.isVariable, one.buffer = variable, 0
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(data, dtype).tobytes(), np.uint8)
            one.buffer = len(self.buffers)
            self.buffers.append(buffer)
        if scale is not None:
            quantization = schema.QuantizationParametersT()
            quantization.scale = [float(s) for s in np.atleast_1d(scale)]
            quantization.zeroPoint = [0] * len(quantization.scale)
            quantization.quantizedDimension = axis
            one.quantization = quantization
        self.tensors.append(one)
        return len(self.tensors) - 1

    def input(self, *dims):
        place = self.tensor(dims)
        self.inputs.append(place)
        return place

    def floats(self, *dims, size=0.5):
        return self.tensor(dims, data=self.rng.standard_normal(dims) * size)

    def bytes(self, *dims, axis=None):
        data = self.rng.integers(-127, 128, dims)
        count = 1 if axis is None else dims[axis]
        return self.tensor(dims, np.int8, data, self.rng.uniform(0.002, 0.01, count), axis or 0)

    def state(self, *dims):
        return self.tensor(dims, variable=True)

    def model(self, code, options, inputs, dims, name):
        output = self.tensor(dims)
        operator, operator_code = schema.OperatorT(), schema.OperatorCodeT()
        operator_code.builtinCode, operator_code.version = code, 3
        operator_code.deprecatedBuiltinCode = min(code, 127)
        operator.opcodeIndex, operator.inputs, operator.outputs = 0, inputs, [output]
        kind = type(options).__name__.removesuffix("T")
        operator.builtinOptionsType = getattr(schema.BuiltinOptions, kind)
        operator.builtinOptions = options
        graph, model = schema.SubGraphT(), schema.ModelT()
        graph.tensors, graph.inputs, graph.outputs, graph.operators = self.tensors, self.inputs, [output], [operator]
        graph.name = "main"
        model.version, model.description = 3, name
        model.operatorCodes, model.subgraphs, model.buffers = [operator_code], [graph], self.buffers
        builder = flatbuffers.Builder(1 << 14)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def options(kind, **values):
    one = getattr(schema, kind + "OptionsT")()
    for name, value in values.items():
        assert hasattr(one, name), name
        setattr(one, name, value)
    return one


OP = schema.BuiltinOperator


def conv(n, axis, batch):
    x, w, b = n.input(batch, 6, 7, 5), n.bytes(8, 3, 3, 5, axis=axis), n.floats(8)
    o = options("Conv2D", padding=0, strideW=2, strideH=1, dilationWFactor=1, dilationHFactor=1, fusedActivationFunction=1)
    return OP.CONV_2D, o, [x, w, b], [batch, 6, 4, 8]


def depthwise(n):
    x, w, b = n.input(1, 6, 7, 4), n.bytes(1, 3, 3, 8, axis=3), n.floats(8)
    o = options("DepthwiseConv2D", padding=0, strideW=1, strideH=1, depthMultiplier=2, dilationWFactor=1, dilationHFactor=1)
    return OP.DEPTHWISE_CONV_2D, o, [x, w, b], [1, 6, 7, 8]


def connected(n, asymmetric):
    x, w, b = n.input(3, 20), n.bytes(9, 20), n.floats(9)
    o = options("FullyConnected", asymmetricQuantizeInputs=asymmetric, fusedActivationFunction=3)
    return OP.FULLY_CONNECTED, o, [x, w, b], [3, 9]


def matmul(n, asymmetric):
    x, w = n.input(2, 5, 12), n.bytes(2, 12, 7)
    o = options("BatchMatMul", adjX=False, adjY=False, asymmetricQuantizeInputs=asymmetric)
    return OP.BATCH_MATMUL, o, [x, w], [2, 5, 7]


def svdf(n, rank):
    batch, features, units, memory = 2, 6, 4, 5
    x, w = n.input(batch, features), n.floats(units * rank, features)
    t, b = n.floats(units * rank, memory), n.floats(units)
    s = n.state(batch, memory * units * rank)
    o = options("SVDF", rank=rank, fusedActivationFunction=1)
    return OP.SVDF, o, [x, w, t, b, s], [batch, units]


def lstm(n, major, peephole, projected, clip):
    time, batch, features, cells = 4, 2, 5, 6
    width = 3 if projected else cells
    x = n.input(time, batch, features) if major else n.input(batch, time, features)
    w = [n.floats(cells, features) for _ in range(4)] + [n.floats(cells, width) for _ in range(4)]
    peepholes = [n.floats(cells) for _ in range(3)] if peephole else [-1] * 3
    biases = [n.floats(cells) for _ in range(4)]
    projection = [n.floats(width, cells), n.floats(width)] if projected else [-1] * 2
    states = [n.state(batch, width), n.state(batch, cells)]
    o = options("UnidirectionalSequenceLSTM", timeMajor=major, cellClip=clip, projClip=0.0, fusedActivationFunction=4)
    inputs = [x, *w, *peepholes, *biases, *projection, *states, -1, -1, -1, -1]
    return OP.UNIDIRECTIONAL_SEQUENCE_LSTM, o, inputs, [time, batch, width] if major else [batch, time, width]


def rnn(n, major):
    time, batch, features, units = 4, 2, 5, 6
    x = n.input(time, batch, features) if major else n.input(batch, time, features)
    inputs = [x, n.floats(units, features), n.floats(units, units), n.floats(units), n.state(batch, units)]
    o = options("SequenceRNN", timeMajor=major, fusedActivationFunction=4)
    return OP.UNIDIRECTIONAL_SEQUENCE_RNN, o, inputs, [time, batch, units] if major else [batch, time, units]


CASES = {
    "conv-bytes-channels": lambda n: conv(n, 0, 1),
    "conv-bytes-images": lambda n: conv(n, 0, 2),
    "conv-bytes": lambda n: conv(n, None, 1),
    "depthwise-bytes": depthwise,
    "connected-bytes": lambda n: connected(n, False),
    "connected-bytes-zero": lambda n: connected(n, True),
    "matmul-bytes": lambda n: matmul(n, False),
    "matmul-bytes-zero": lambda n: matmul(n, True),
    "svdf": lambda n: svdf(n, 1),
    "svdf-rank2": lambda n: svdf(n, 2),
    "lstm": lambda n: lstm(n, True, False, False, 0.0),
    "lstm-peephole": lambda n: lstm(n, False, True, False, 0.0),
    "lstm-projected": lambda n: lstm(n, False, True, True, 0.5),
    "rnn": lambda n: rnn(n, True),
    "rnn-batches": lambda n: rnn(n, False),
}


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    cases = []
    for name, case in CASES.items():
        net = Net(SEED)
        code, settings, inputs, dims = case(net)
        raw = net.model(code, settings, inputs, dims, name)
        (folder / f"{name}.tflite").write_bytes(raw)
        interpreter = Interpreter(model_content=raw, experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
        interpreter.allocate_tensors()
        place = interpreter.get_input_details()[0]
        runs = []
        for run in range(RUNS):
            interpreter.set_tensor(place["index"], pattern(place["shape"], run))
            interpreter.invoke()
            result = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
            runs.append([float(f"{number:.8g}") for number in result.reshape(-1)])
        cases.append({"name": name, "dims": [int(d) for d in place["shape"]], "shape": dims, "runs": runs})
    (folder / "outputs.json").write_text("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")
    (folder / "goldens.toml").write_text(
        "# TFLite networks of one operator, and what LiteRT's reference kernels give in three runs.\n"
        f'command = "python3 tools/goldens/tflite_ops.py DIR"\nseed = {SEED}\n'
        f'tools = ["ai-edge-litert 2.3.0", "numpy {np.__version__}"]\ndate = "2026-11-22"\n'
        'tolerance = "1e-4 of the largest number: sums of floats in another order"\n'
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
