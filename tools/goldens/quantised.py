#!/usr/bin/env python3
"""Small networks quantised by onnxruntime, and what onnxruntime gives for them.

Usage: quantised.py DIR

Writes DIR/NAME.onnx, DIR/outputs.json and DIR/goldens.toml. The networks are drawn from a fixed seed
and quantised statically, with QuantizeLinear and DequantizeLinear around operators: activations and
weights signed or not, scales for each tensor or each channel. Needs numpy, onnx and onnxruntime.
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from patterns import pattern

SEED = 20261122
U8, S8 = QuantType.QUInt8, QuantType.QInt8
# Activations, weights, and whether each channel has a scale.
VARIANTS = {
    "u8s8": (U8, S8, False),
    "u8s8-channels": (U8, S8, True),
    "s8s8-channels": (S8, S8, True),
    "u8u8": (U8, U8, False),
}


class Net:
    """Nodes and drawn constants."""

    def __init__(self, dims, seed):
        self.dims, self.nodes, self.constants = dims, [], []
        self.rng = np.random.default_rng(seed)

    def constant(self, array):
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def drawn(self, *dims, size=None):
        size = size or (2 / np.prod(dims[1:])) ** 0.5
        return self.constant((self.rng.standard_normal(dims) * size).astype(np.float32))

    def op(self, kind, *inputs, **attributes):
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=f"n{len(self.nodes)}", **attributes))
        return name

    def conv(self, x, out, channels, kernel, stride=1, groups=1):
        w = self.drawn(out, channels // groups, kernel, kernel)
        pads = [kernel // 2] * 4
        bias = self.drawn(out, size=0.1)
        sizes = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": pads}
        return self.op("Conv", x, w, bias, group=groups, **sizes)

    def model(self, result, dims):
        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, self.dims)
        y = helper.make_tensor_value_info(result, TensorProto.FLOAT, dims)
        graph = helper.make_graph(self.nodes, "network", [x], [y], self.constants)
        opset = [helper.make_opsetid("", 17)]
        return helper.make_model(graph, opset_imports=opset, ir_version=8)


def residual(seed):
    """Convolutions of all kinds, a residual, pools, a concatenation, a matrix."""
    n = Net([1, 3, 20, 22], seed)
    x = n.op("Relu", n.conv("x", 16, 3, 3, stride=2))
    y = n.op("Clip", n.conv(x, 16, 16, 3, groups=16), n.constant(np.float32(0)), n.constant(np.float32(6)))
    y = n.op("Add", n.conv(y, 16, 16, 1), x)
    z = n.op("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2])
    a, b = n.op("Relu", n.conv(z, 12, 16, 3, groups=2)), n.conv(z, 20, 16, 1)
    z = n.op("Concat", a, b, axis=1)
    z = n.op("AveragePool", z, kernel_shape=[2, 2], strides=[1, 1])
    z = n.op("Flatten", n.op("GlobalAveragePool", z))
    z = n.op("Gemm", z, n.drawn(10, 32), n.drawn(10, size=0.1), transB=1)
    return n.model(z, [1, 10])


def gated(seed):
    """Hard swish written out, a gate by channel, a leaky end, an image twice as large."""
    n = Net([1, 8, 12, 10], seed)
    x = n.conv("x", 24, 8, 1)
    three, six = n.constant(np.float32(3)), n.constant(np.float32(6))
    h = n.op("Clip", n.op("Add", x, three), n.constant(np.float32(0)), six)
    x = n.op("Div", n.op("Mul", x, h), six)
    x = n.conv(x, 24, 24, 5, stride=2, groups=24)
    s = n.op("Relu", n.conv(n.op("GlobalAveragePool", x), 8, 24, 1))
    x = n.op("Mul", x, n.op("Sigmoid", n.conv(s, 24, 8, 1)))
    x = n.op("LeakyRelu", n.conv(x, 16, 24, 3), alpha=0.1)
    scales = n.constant(np.array([1, 1, 2, 2], np.float32))
    sizes = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    x = n.op("Resize", x, "", scales, **sizes)
    return n.model(n.conv(x, 4, 16, 3), [1, 4, 12, 10])


def matrices(seed):
    """Products of matrices with and without a bias, turned and cut, a softmax between."""
    n = Net([2, 9, 32], seed)
    x = n.op("Add", n.op("MatMul", "x", n.drawn(32, 48, size=0.2)), n.drawn(48, size=0.1))
    parts = n.op("Reshape", x, n.constant(np.array([2, 9, 3, 16], np.int64)))
    parts = n.op("Transpose", parts, perm=[2, 0, 1, 3])
    q, k, v = (n.op("Gather", parts, n.constant(np.int64(i)), axis=0) for i in range(3))
    scores = n.op("MatMul", q, n.op("Transpose", k, perm=[0, 2, 1]))
    scores = n.op("Softmax", n.op("Mul", scores, n.constant(np.float32(0.25))), axis=-1)
    y = n.op("MatMul", n.op("MatMul", scores, v), n.drawn(16, 32, size=0.3))
    y = n.op("Tanh", n.op("Add", y, "x"))
    y = n.op("Sub", y, n.op("Slice", "x", *(n.constant(np.array([i], np.int64)) for i in (0, 9, 1))))
    return n.model(n.op("MatMul", y, n.drawn(32, 12, size=0.2)), [2, 9, 12])


NETWORKS = {"residual": residual, "gated": gated, "matrices": matrices}


class Patterns(CalibrationDataReader):
    def __init__(self, dims):
        self.all = iter([{"x": pattern(dims, place)} for place in range(1, 9)])

    def get_next(self):
        return next(self.all, None)


def step(model):
    """The last scale: one code of the result."""
    result = model.graph.output[0].name
    node = next(node for node in model.graph.node if result in node.output)
    scale = next(c for c in model.graph.initializer if c.name == node.input[1])
    return float(numpy_helper.to_array(scale).max())


def codes(path, level, dims, unit):
    """The result in steps, from its least number that stands for one."""
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    options.graph_optimization_level = level
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    result = session.run(None, {"x": pattern(dims, 0)})[0]
    return result.shape, [int(n) for n in np.rint(result.reshape(-1) / unit)]


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    cases = []
    for name, network in NETWORKS.items():
        float_model = network(SEED)
        dims = [d.dim_value for d in float_model.graph.input[0].type.tensor_type.shape.dim]
        for variant, (activations, weights, channels) in VARIANTS.items():
            path = folder / f"{name}-{variant}.onnx"
            with tempfile.TemporaryDirectory() as held:
                source = Path(held) / "float.onnx"
                onnx.save(float_model, source)
                quantize_static(
                    source, path, Patterns(dims), quant_format=QuantFormat.QDQ,
                    activation_type=activations, weight_type=weights, per_channel=channels,
                )
            unit = step(onnx.load(path))
            levels = ort.GraphOptimizationLevel
            shape, fused = codes(path, levels.ORT_ENABLE_ALL, dims, unit)
            _, plain = codes(path, levels.ORT_DISABLE_ALL, dims, unit)
            case = {"name": path.stem, "dims": dims, "shape": list(shape), "step": unit}
            cases.append(case | {"fused": fused, "plain": plain})
    (folder / "outputs.json").write_text(
        "[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n"
    )
    (folder / "goldens.toml").write_text(
        "# Networks quantised by onnxruntime, and its results in codes: with all optimisations and without.\n"
        f'command = "python3 tools/goldens/quantised.py DIR"\nseed = {SEED}\n'
        f'tools = ["onnxruntime {ort.__version__}", "onnx {onnx.__version__}", "numpy {np.__version__}"]\n'
        'date = "2026-11-22"\n'
        'tolerance = "one code: means of codes lie on halves, which any order of summation moves; where'
        ' both results of onnxruntime differ (its softmax of codes), as far from the optimised one"\n'
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
