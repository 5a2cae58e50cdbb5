"""Gives the light models of the onnx package weights that look like trained ones.

usage: python networks.py FOLDER NAME…

The package's light_NAME.onnx are full-size networks whose weights are all one number, made when they
run. Here each becomes a stored tensor: normal with He's deviation for products, scales near 1/2, small
shifts, variances near 1; seeded, so that the same file comes out each time. `cargo xtask peers networks`
calls this with onnx 1.23.2.
"""

import pathlib
import sys

import numpy
import onnx
from onnx import numpy_helper


def shape_like_trained(rng, shape, op, place):
    """Elements for operand `place` of operator `op`."""
    normal = rng.standard_normal(shape, dtype=numpy.float32)
    if op in ("Conv", "Gemm", "MatMul") and place == 1:
        fan_in = numpy.prod(shape[1:]) if op == "Conv" else max(shape)
        return normal * numpy.float32(numpy.sqrt(2 / fan_in))
    if op == "BatchNormalization" and place == 4:
        return rng.uniform(0.5, 1.5, shape).astype(numpy.float32)
    if (op == "BatchNormalization" and place == 1) or op == "Mul":
        return rng.uniform(0.3, 0.7, shape).astype(numpy.float32)
    return normal * numpy.float32(0.1)


def fill(model, seed):
    graph = model.graph
    model.ir_version = 4  # from here on stored tensors need not be inputs
    stored = {tensor.name: tensor for tensor in graph.initializer}
    uses = {}
    for node in graph.node:
        for place, name in enumerate(node.input):
            uses.setdefault(name, (node, place))
    rng = numpy.random.default_rng(seed)
    kept = []
    for node in graph.node:
        if node.op_type != "ConstantOfShape":
            kept.append(node)
            continue
        shape = [int(n) for n in numpy_helper.to_array(stored.pop(node.input[0]))]
        user, place = uses[node.output[0]]
        # What only gets more dimensions is used behind that.
        while user.op_type in ("Unsqueeze", "Reshape") and user.output[0] in uses:
            user, place = uses[user.output[0]]
        elements = shape_like_trained(rng, shape, user.op_type, place)
        stored[node.output[0]] = numpy_helper.from_array(elements, node.output[0])
    inputs = [entry for entry in graph.input if entry.name not in stored]
    inputs = [entry for entry in inputs if entry.name in uses and not entry.name.endswith("__SHAPE")]
    for field, items in (("node", kept), ("initializer", stored.values()), ("input", inputs)):
        items = list(items)
        del getattr(graph, field)[:]
        getattr(graph, field).extend(items)
    return model


folder = pathlib.Path(sys.argv[1])
light = pathlib.Path(onnx.__file__).parent / "backend/test/data/light"
for seed, name in enumerate(sys.argv[2:]):
    model = fill(onnx.load(light / f"light_{name}.onnx"), seed)
    onnx.checker.check_model(model)
    path = folder / f"{name}.onnx"
    part = path.with_suffix(".part")
    onnx.save(model, part)
    part.rename(path)
