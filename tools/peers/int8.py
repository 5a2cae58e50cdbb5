"""Makes TFLite networks of bytes with random weights, as converters write them: a scale a channel.

usage: python int8.py FOLDER [NAME…]

`mobilenet` is MobileNet v1 (Howard et al. 2017) of half width for pictures of 160 by 160, `ds-cnn` the
keyword network of Zhang et al. 2017 ("Hello Edge", DS-CNN L). Weights and scales are random, and such
that activations keep their spread; what such a network says means nothing, how fast it is does. Needs
numpy, flatbuffers and ai-edge-litert, whose schema it writes with.
"""

import pathlib
import sys

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as tfl

# What a code of an activation stands for: the range of a clamp at 6.
SCALE = 6.0 / 255
ZERO = -128


class Maker:
    """A model of one graph, written layer by layer; the last tensor is the next layer's operand."""

    def __init__(self, shape):
        self.random = np.random.default_rng(7)
        self.graph, self.model = tfl.SubGraphT(), tfl.ModelT()
        self.graph.tensors, self.graph.operators = [], []
        self.model.version, self.model.subgraphs = 3, [self.graph]
        self.model.buffers, self.model.operatorCodes = [tfl.BufferT()], []
        self.last = self.tensor("input", shape, tfl.TensorType.INT8, [SCALE], [ZERO])
        self.graph.inputs = [self.last]

    def tensor(self, name, shape, kind, scales=None, zeros=None, axis=0, data=None):
        tensor = tfl.TensorT()
        tensor.name, tensor.shape, tensor.type = name, list(shape), kind
        if data is not None:
            buffer = tfl.BufferT()
            buffer.data = np.frombuffer(data.tobytes(), np.uint8)
            self.model.buffers.append(buffer)
            tensor.buffer = len(self.model.buffers) - 1
        if scales is not None:
            tensor.quantization = tfl.QuantizationParametersT()
            tensor.quantization.scale, tensor.quantization.zeroPoint = scales, zeros
            tensor.quantization.quantizedDimension = axis
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def operator(self, code, inputs, kind, options, shape, out=(SCALE, ZERO)):
        codes = [entry.builtinCode for entry in self.model.operatorCodes]
        if code not in codes:
            entry = tfl.OperatorCodeT()
            entry.builtinCode, entry.deprecatedBuiltinCode, entry.version = code, min(code, 127), 1
            self.model.operatorCodes.append(entry)
            codes.append(code)
        operator = tfl.OperatorT()
        operator.opcodeIndex = codes.index(code)
        operator.builtinOptionsType, operator.builtinOptions = kind, options
        name = f"layer{len(self.graph.operators)}"
        self.last = self.tensor(name, shape, tfl.TensorType.INT8, [out[0]], [out[1]])
        operator.inputs, operator.outputs = inputs, [self.last]
        self.graph.operators.append(operator)

    def shape(self):
        return self.graph.tensors[self.last].shape

    def weights(self, shape, axis):
        fan = int(np.prod(shape)) // shape[axis]
        data = self.random.integers(-127, 128, shape, np.int8)
        # Sums of `fan` products of spread 73 * 73 become codes of spread 60 or so.
        each = 60 / (73 * 73 * np.sqrt(fan)) * self.random.uniform(0.5, 1.5, shape[axis])
        each = each.astype(np.float32)
        zeros = np.zeros(shape[axis], np.int64)
        weights = self.tensor("w", shape, tfl.TensorType.INT8, each, zeros, axis, data)
        bias = self.random.integers(-2000, 2000, shape[axis], np.int32)
        scales = (each * SCALE).astype(np.float32)
        return weights, self.tensor("b", [shape[axis]], tfl.TensorType.INT32, scales, zeros, 0, bias)

    def conv(self, outputs, kernel=(1, 1), stride=(1, 1), depthwise=False):
        n, h, w, c = self.shape()
        if depthwise:
            options, code = tfl.DepthwiseConv2DOptionsT(), tfl.BuiltinOperator.DEPTHWISE_CONV_2D
            kind, outputs = tfl.BuiltinOptions.DepthwiseConv2DOptions, c
            options.depthMultiplier = 1
            shape, axis = (1, *kernel, c), 3
        else:
            options, code = tfl.Conv2DOptionsT(), tfl.BuiltinOperator.CONV_2D
            kind, shape, axis = tfl.BuiltinOptions.Conv2DOptions, (outputs, *kernel, c), 0
        options.padding, (options.strideH, options.strideW) = tfl.Padding.SAME, stride
        options.dilationHFactor = options.dilationWFactor = 1
        options.fusedActivationFunction = tfl.ActivationFunctionType.RELU6
        out = [n, -(-h // stride[0]), -(-w // stride[1]), outputs]
        self.operator(code, [self.last, *self.weights(shape, axis)], kind, options, out)

    def mean_and_classes(self, classes):
        n, h, w, c = self.shape()
        options = tfl.Pool2DOptionsT()
        options.padding, options.strideH, options.strideW = tfl.Padding.VALID, h, w
        options.filterHeight, options.filterWidth = h, w
        kind = tfl.BuiltinOptions.Pool2DOptions
        self.operator(
            tfl.BuiltinOperator.AVERAGE_POOL_2D, [self.last], kind, options, [n, 1, 1, c]
        )
        kind, code = tfl.BuiltinOptions.FullyConnectedOptions, tfl.BuiltinOperator.FULLY_CONNECTED
        data = self.random.integers(-127, 128, (classes, c), np.int8)
        weights = self.tensor("w", (classes, c), tfl.TensorType.INT8, [0.002], [0], 0, data)
        bias = np.zeros(classes, np.int32)
        bias = self.tensor("b", [classes], tfl.TensorType.INT32, [0.002 * SCALE], [0], 0, bias)
        options = tfl.FullyConnectedOptionsT()
        self.operator(code, [self.last, weights, bias], kind, options, [n, classes], (0.1, 0))
        options, kind = tfl.SoftmaxOptionsT(), tfl.BuiltinOptions.SoftmaxOptions
        options.beta = 1.0
        code = tfl.BuiltinOperator.SOFTMAX
        self.operator(code, [self.last], kind, options, [n, classes], (1 / 256, -128))

    def finish(self, path):
        self.graph.outputs = [self.last]
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        path.write_bytes(bytes(builder.Output()))


def mobilenet():
    maker = Maker([1, 160, 160, 3])
    maker.conv(16, (3, 3), (2, 2))
    blocks = [(1, 32), (2, 64), (1, 64), (2, 128), (1, 128), (2, 256)]
    blocks += [(1, 256)] * 5 + [(2, 512), (1, 512)]
    for stride, outputs in blocks:
        maker.conv(None, (3, 3), (stride, stride), depthwise=True)
        maker.conv(outputs)
    maker.mean_and_classes(1000)
    return maker


def ds_cnn():
    maker = Maker([1, 49, 10, 1])
    maker.conv(276, (10, 4), (2, 1))
    for stride in [(2, 2), (1, 1), (1, 1), (1, 1), (1, 1)]:
        maker.conv(None, (3, 3), stride, depthwise=True)
        maker.conv(276)
    maker.mean_and_classes(12)
    return maker


NETWORKS = {"mobilenet": mobilenet, "ds-cnn": ds_cnn}

if __name__ == "__main__":
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[2:] or NETWORKS:
        NETWORKS[name]().finish(folder / f"{name}.tflite")
