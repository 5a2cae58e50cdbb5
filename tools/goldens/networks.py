"""Writes small networks in ONNX and TFLite and tables of what is in them, as the packages that own
the formats read it: crates/input/formats/tests/goldens/network.{onnx,tflite,txt}.

Needs the packages onnx (1.23.2), tflite (2.18.0), flatbuffers and numpy. Run from the repository
root:

    python tools/goldens/networks.py
    python tools/goldens/networks.py table FILE.onnx|FILE.tflite    # prints the table of any file

A table has a line for each value, constant, operator and attribute; what is inside a sub-graph or
function is indented. Constants are their type, extents and the CRC-32 of their packed bytes.
"""

import json
import sys
import zlib
from pathlib import Path

import flatbuffers
import numpy as np
import onnx
import tflite
from onnx import AttributeProto, TensorProto, helper, numpy_helper

OUT = Path("crates/input/formats/tests/goldens")
TYPES = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64",
    8: "string", 9: "bool", 10: "float16", 11: "float64", 12: "uint32", 13: "uint64",
    14: "complex64", 15: "complex128", 16: "bfloat16", 17: "float8e4m3fn",
    18: "float8e4m3fnuz", 19: "float8e5m2", 20: "float8e5m2fnuz", 21: "uint4", 22: "int4",
}
ANY = "?"


def quoted(value):
    return json.dumps(value, ensure_ascii=False)


def packed(tensor):
    """A tensor's elements as bytes, two four-bit ones in each."""
    array = numpy_helper.to_array(tensor)
    if tensor.data_type not in (21, 22):
        return array.tobytes()
    nibbles = array.astype(np.int8).astype(np.uint8).reshape(-1) & 15
    nibbles = np.append(nibbles, np.zeros(nibbles.size % 2, np.uint8))
    return (nibbles[::2] | (nibbles[1::2] << 4)).astype(np.uint8).tobytes()


def tensor_text(tensor):
    head = f"{TYPES[tensor.data_type]} {list(tensor.dims)}"
    if tensor.data_location == TensorProto.EXTERNAL:
        facts = {entry.key: entry.value for entry in tensor.external_data}
        return f"{head} in {facts['location']} at {facts.get('offset', 0)}"
    if tensor.data_type == TensorProto.STRING:
        return f"{head} {quoted([s.decode() for s in tensor.string_data])}"
    return f"{head} {zlib.crc32(packed(tensor)):08x}"


def type_text(proto):
    kind = proto.WhichOneof("value")
    if kind is None:
        return ANY
    inner = getattr(proto, kind)
    if kind in ("tensor_type", "sparse_tensor_type"):
        name = TYPES.get(inner.elem_type, ANY)
        if not inner.HasField("shape"):
            return f"{name} {ANY}"
        dims = [str(d.dim_value) if d.HasField("dim_value") else d.dim_param or ANY
                for d in inner.shape.dim]
        return f"{'sparse ' if kind == 'sparse_tensor_type' else ''}{name} [{', '.join(dims)}]"
    if kind == "map_type":
        return f"map({TYPES[inner.key_type]}, {type_text(inner.value_type)})"
    return f"{kind.removesuffix('_type')}({type_text(inner.elem_type)})"


def attribute_lines(attribute):
    name = attribute.name
    if attribute.ref_attr_name:
        yield f"attribute {name} of caller {attribute.ref_attr_name}"
        return
    kind, value = attribute.type, helper.get_attribute_value(attribute)
    text = {
        AttributeProto.FLOAT: lambda: f"float {np.float32(value).tobytes()[::-1].hex()}",
        AttributeProto.INT: lambda: f"int {value}",
        AttributeProto.STRING: lambda: f"string {quoted(value.decode())}",
        AttributeProto.TENSOR: lambda: f"tensor {tensor_text(value)}",
        AttributeProto.FLOATS: lambda: "floats "
        + " ".join(np.float32(v).tobytes()[::-1].hex() for v in value),
        AttributeProto.INTS: lambda: f"ints {list(value)}",
        AttributeProto.STRINGS: lambda: f"strings {quoted([v.decode() for v in value])}",
        AttributeProto.TYPE_PROTO: lambda: f"type {type_text(value)}",
        AttributeProto.GRAPH: lambda: "graph",
    }[kind]()
    yield f"attribute {name} {text}"
    if kind == AttributeProto.GRAPH:
        yield from ("  " + line for line in graph_lines(value))


def node_lines(nodes):
    for node in nodes:
        domain = "" if node.domain == "ai.onnx" else node.domain
        yield (f"node {quoted(node.name)} {domain}::{node.op_type} "
               f"{quoted(list(node.input))} -> {quoted(list(node.output))}")
        for attribute in node.attribute:
            yield from ("  " + line for line in attribute_lines(attribute))


def graph_lines(graph):
    for role, values in [("input", graph.input), ("output", graph.output),
                         ("value", graph.value_info)]:
        for value in values:
            yield f"{role} {value.name} {type_text(value.type)}"
    for tensor in graph.initializer:
        yield f"constant {tensor.name} {tensor_text(tensor)}"
    for sparse in graph.sparse_initializer:
        yield (f"sparse {sparse.values.name} {list(sparse.dims)} of {tensor_text(sparse.values)} "
               f"at {tensor_text(sparse.indices)}")
    yield from node_lines(graph.node)


def onnx_table(path):
    """The table of an ONNX file by the onnx package."""
    model = onnx.load(path, load_external_data=False)
    yield f"ir {model.ir_version} by {model.producer_name} {model.producer_version}"
    for entry in model.opset_import:
        yield f"opset {quoted('' if entry.domain == 'ai.onnx' else entry.domain)} {entry.version}"
    for entry in model.metadata_props:
        yield f"property {entry.key} {entry.value}"
    yield from graph_lines(model.graph)
    for function in model.functions:
        yield (f"function {function.domain}::{function.name} {quoted(list(function.input))} "
               f"{quoted(list(function.attribute))} -> {quoted(list(function.output))}")
        for attribute in function.attribute_proto:
            yield from ("  " + line for line in attribute_lines(attribute))
        yield from ("  " + line for line in node_lines(function.node))


def make_onnx(path):
    """Every way to store a constant, every kind of attribute in use, graphs in graphs."""
    f32, i64 = TensorProto.FLOAT, TensorProto.INT64

    def value(name, dims, ty=f32):
        return helper.make_tensor_value_info(name, ty, dims)

    typed = [
        helper.make_tensor("typed_f32", f32, [2, 2], [0.5, -1.5, 3.0, 1e-20]),
        helper.make_tensor("typed_i64", i64, [3], [-1, 2**40, 0]),
        helper.make_tensor("typed_i32", TensorProto.INT32, [2], [-(2**31), 7]),
        helper.make_tensor("typed_i8", TensorProto.INT8, [3], [-128, 0, 127]),
        helper.make_tensor("typed_u16", TensorProto.UINT16, [2], [65535, 1]),
        helper.make_tensor("typed_f16", TensorProto.FLOAT16, [2], [1.0, -2.5]),
        helper.make_tensor("typed_bf16", TensorProto.BFLOAT16, [2], [1.0, -2.5]),
        helper.make_tensor("typed_bool", TensorProto.BOOL, [2], [True, False]),
        helper.make_tensor("typed_f64", TensorProto.DOUBLE, [], [2.5]),
        helper.make_tensor("typed_u32", TensorProto.UINT32, [2], [2**32 - 1, 1]),
        helper.make_tensor("typed_u64", TensorProto.UINT64, [1], [2**64 - 1]),
        helper.make_tensor("typed_i4", TensorProto.INT4, [3], [-8, 7, 1]),
        helper.make_tensor("typed_f8", TensorProto.FLOAT8E4M3FN, [2], [1.0, -448.0]),
        helper.make_tensor("typed_complex", TensorProto.COMPLEX64, [1], [1.0 + 2.0j]),
        helper.make_tensor("labels", TensorProto.STRING, [2], ["cat", "grüße"]),
    ]
    raw = [
        numpy_helper.from_array(np.arange(6, dtype=np.float32).reshape(2, 3), "w"),
        numpy_helper.from_array(np.array([1, -1], np.int8), "raw_i8"),
        numpy_helper.from_array(np.zeros((0, 4), np.float32), "none"),
        numpy_helper.from_array(np.array(True), "cond"),
    ]
    outside = TensorProto(name="outside", data_type=f32, dims=[16],
                          data_location=TensorProto.EXTERNAL)
    for key, text in [("location", "weights/outside.bin"), ("offset", "4096"), ("length", "64")]:
        outside.external_data.add(key=key, value=text)
    sparse = helper.make_sparse_tensor(
        helper.make_tensor("sparse", f32, [2], [1.0, 2.0]),
        helper.make_tensor("places", i64, [2], [1, 4]), [2, 3])
    inner = helper.make_graph(
        [helper.make_node("Identity", ["h"], ["deep"])], "inner", [], [value("deep", None)])
    then = helper.make_graph(
        [helper.make_node("If", ["cond"], ["deep_out"], then_branch=inner, else_branch=inner)],
        "then", [], [value("deep_out", ["n", 2])])
    other = helper.make_graph(
        [helper.make_node("Constant", [], ["c"], value=typed[0])], "other", [],
        [value("c", [2, 2])])
    nodes = [
        helper.make_node("Gemm", ["x", "w", ""], ["h"], name="gemm", alpha=0.5, transB=0),
        helper.make_node("If", ["cond"], ["y"], name="choose", then_branch=then,
                         else_branch=other),
        helper.make_node("Scaled", ["h"], ["z"], domain="test.local", factor=2.0),
        helper.make_node("Odd", ["x"], ["", "odd"], domain="test.other", ints=[1, -1],
                         floats=[0.5, 1.0], strings=["a", "b"], mode="linear",
                         kind=helper.make_tensor_type_proto(f32, ["k"])),
    ]
    scaled = helper.make_function(
        "test.local", "Scaled", ["a"], ["b"],
        [helper.make_node("Constant", [], ["f"]), helper.make_node("Mul", ["a", "f"], ["b"])],
        [helper.make_opsetid("", 18)], ["factor"],
        [helper.make_attribute("shift", 1)])
    reference = AttributeProto(name="value_float", type=AttributeProto.FLOAT,
                               ref_attr_name="factor")
    scaled.node[0].attribute.append(reference)
    graph = helper.make_graph(
        nodes, "main",
        [value("x", ["n", 3]), value("free", [None, 4]), value("any", None),
         helper.make_tensor_sequence_value_info("list", f32, ["k"]),
         helper.make_value_info("maybe", helper.make_optional_type_proto(
             helper.make_tensor_type_proto(i64, [])))],
        [value("y", None), value("z", ["n", 2])], raw + typed + [outside],
        value_info=[value("h", ["n", 2])], sparse_initializer=[sparse])
    annotation = graph.quantization_annotation.add(tensor_name="w")
    annotation.quant_parameter_tensor_names.add(key="SCALE_TENSOR", value="typed_f32")
    model = helper.make_model(
        graph, functions=[scaled], producer_name="networks.py", producer_version="1",
        ir_version=10,
        opset_imports=[helper.make_opsetid("", 18), helper.make_opsetid("test.local", 1),
                       helper.make_opsetid("test.other", 2)])
    helper.set_model_props(model, {"mean": "0.5", "labels": "cat,dog"})
    path.write_bytes(model.SerializeToString(deterministic=True))


LITE = {
    0: "float32", 1: "float16", 2: "int32", 3: "uint8", 4: "int64", 5: "string", 6: "bool",
    7: "int16", 8: "complex64", 9: "int8", 10: "float64", 11: "complex128", 12: "uint64",
    13: "resource", 14: "variant", 15: "uint32", 16: "uint16", 17: "int4", 18: "bfloat16",
}
OPERATORS = {code: name for name, code in vars(tflite.BuiltinOperator).items()
             if isinstance(code, int)}


def numbers(array):
    """What a vector's AsNumpy gives: an array, or 0 where there is none."""
    return [] if isinstance(array, int) else array.tolist()


def tflite_table(path):
    """The table of a TFLite file by the tflite package."""
    model = tflite.Model.GetRootAs(Path(path).read_bytes(), 0)
    names = []
    for idx in range(model.OperatorCodesLength()):
        code = model.OperatorCodes(idx)
        number = max(code.DeprecatedBuiltinCode(), code.BuiltinCode())
        names.append(code.CustomCode().decode() if number == 32 else OPERATORS[number])
        yield f"code {number} {names[-1]} {code.Version()}"
    for idx in range(model.SubgraphsLength()):
        graph = model.Subgraphs(idx)
        yield f"graph {(graph.Name() or b'').decode()}"
        yield f"  inputs {numbers(graph.InputsAsNumpy())} outputs {numbers(graph.OutputsAsNumpy())}"
        for at in range(graph.TensorsLength()):
            yield f"  {lite_tensor(model, graph.Tensors(at))}"
        for at in range(graph.OperatorsLength()):
            operator = graph.Operators(at)
            custom = numbers(operator.CustomOptionsAsNumpy())
            yield (f"  operator {names[operator.OpcodeIndex()]} {numbers(operator.InputsAsNumpy())}"
                   f" -> {numbers(operator.OutputsAsNumpy())} options {operator.BuiltinOptionsType()}"
                   f" custom {zlib.crc32(bytes(custom)):08x}")
    for idx in range(model.MetadataLength()):
        entry = model.Metadata(idx)
        content = bytes(numbers(model.Buffers(entry.Buffer()).DataAsNumpy()))
        yield f"metadata {entry.Name().decode()} {zlib.crc32(content):08x}"
    for idx in range(model.SignatureDefsLength()):
        entry = model.SignatureDefs(idx)
        yield f"signature {entry.SignatureKey().decode()} of {entry.SubgraphIndex()}"
        for role, length, get in [("input", entry.InputsLength(), entry.Inputs),
                                  ("output", entry.OutputsLength(), entry.Outputs)]:
            for at in range(length):
                yield f"  {role} {get(at).Name().decode()} {get(at).TensorIndex()}"


def lite_tensor(model, tensor):
    content = bytes(numbers(model.Buffers(tensor.Buffer()).DataAsNumpy()))
    text = (f"tensor {tensor.Name().decode()} {LITE[tensor.Type()]} {numbers(tensor.ShapeAsNumpy())}"
            f" {numbers(tensor.ShapeSignatureAsNumpy())} {zlib.crc32(content):08x}")
    quantization = tensor.Quantization()
    if quantization and quantization.ScaleLength():
        scales = [np.float32(s).tobytes()[::-1].hex() for s in numbers(quantization.ScaleAsNumpy())]
        text += (f" scales {' '.join(scales)} zeros {numbers(quantization.ZeroPointAsNumpy())}"
                 f" along {quantization.QuantizedDimension()}")
    return text + (" variable" if tensor.IsVariable() else "")


class Lite:
    """Builds TFLite's tables by field number: {field: value}."""

    def __init__(self):
        self.builder = flatbuffers.Builder(1024)

    def table(self, fields):
        """Writes a table; values are (kind, number) or offsets of what was written before."""
        builder = self.builder
        builder.StartObject(max(fields, default=-1) + 1)
        for slot, (kind, value) in sorted(fields.items()):
            if kind == "offset":
                builder.PrependUOffsetTRelativeSlot(slot, value, 0)
            else:
                getattr(builder, f"Prepend{kind}Slot")(slot, value, 0)
        return builder.EndObject()

    def offsets(self, items):
        self.builder.StartVector(4, len(items), 4)
        for item in reversed(items):
            self.builder.PrependUOffsetTRelative(item)
        return "offset", self.builder.EndVector()

    def array(self, values, dtype):
        return "offset", self.builder.CreateNumpyVector(np.array(values, dtype))

    def text(self, text):
        return "offset", self.builder.CreateString(text)


def make_tflite(path):
    """A quantised convolution, a variable, a branch, a sparse constant and a custom operator."""
    lite = Lite()
    contents = [b"", np.arange(-9, 9, dtype=np.int8).tobytes(),
                np.array([5, -5], np.int32).tobytes(), b"1.14.0\0", b"",
                np.array([1, 2, 3], np.float32).tobytes()]
    buffers = lite.offsets([
        lite.table({0: lite.array(list(bytes_), np.uint8)} if bytes_ else {})
        for bytes_ in contents])

    def quantization(scales, zeros, dimension=0):
        fields = {2: lite.array(scales, np.float32), 3: lite.array(zeros, np.int64),
                  6: ("Int32", dimension)}
        return "offset", lite.table(fields)

    def sparsity():
        # [2, 4]: rows dense, columns listed: (0, 1), (1, 0), (1, 3).
        parts = [lite.table({0: lite.array(values, np.uint8)}) for values in ([0, 1, 3], [1, 0, 3])]
        metadata = [lite.table({0: ("Int8", 0), 1: ("Int32", 2)}),
                    lite.table({0: ("Int8", 1), 2: ("Uint8", 3), 3: ("offset", parts[0]),
                                4: ("Uint8", 3), 5: ("offset", parts[1])})]
        return "offset", lite.table({0: lite.array([0, 1], np.int32), 2: lite.offsets(metadata)})

    def tensor(name, ty, shape, buffer=0, extra=None):
        fields = {0: lite.array(shape, np.int32), 1: ("Int8", ty), 2: ("Uint32", buffer),
                  3: lite.text(name)}
        return lite.table(fields | (extra or {}))

    def operator(code, inputs, outputs, extra=None):
        fields = {0: ("Uint32", code), 1: lite.array(inputs, np.int32),
                  2: lite.array(outputs, np.int32)}
        return lite.table(fields | (extra or {}))

    conv = lite.table({0: ("Int8", 0), 1: ("Int32", 2), 2: ("Int32", 1), 3: ("Int8", 1)})
    branches = lite.table({0: ("Int32", 1), 1: ("Int32", 1)})
    variable = lite.table({0: lite.text("store"), 1: lite.text("state")})
    main = lite.table({
        0: lite.offsets([
            tensor("x", 9, [1, 8, 8, 1], 0, {
                4: quantization([0.5], [-3]), 7: lite.array([-1, 8, 8, 1], np.int32)}),
            tensor("w", 9, [2, 3, 3, 1], 1, {4: quantization([0.25, 0.125], [0, 0])}),
            tensor("b", 2, [2], 2, {4: quantization([0.125, 0.0625], [0, 0])}),
            tensor("y", 9, [1, 8, 4, 2], 0, {4: quantization([1.0], [7])}),
            tensor("flag", 6, []),
            tensor("z", 9, [1, 8, 4, 2]),
            tensor("state", 13, [1]),
            tensor("odd", 0, [3], 0, {5: ("Bool", True)}),
            tensor("sparse", 0, [2, 4], 5, {6: sparsity()}),
        ]),
        1: lite.array([0, 4], np.int32), 2: lite.array([5, 7], np.int32),
        3: lite.offsets([
            operator(0, [0, 1, 2], [3], {3: ("Uint8", 1), 4: ("offset", conv)}),
            operator(1, [4, 3], [5], {3: ("Uint8", 92), 4: ("offset", branches)}),
            operator(2, [], [6], {3: ("Uint8", 111), 4: ("offset", variable)}),
            operator(3, [3, -1], [7], {5: lite.array([1, 2, 3], np.uint8)}),
        ]),
        4: lite.text("main")})
    branch = lite.table({
        0: lite.offsets([tensor("i", 9, [1, 8, 4, 2])]), 1: lite.array([0], np.int32),
        2: lite.array([0], np.int32), 3: lite.offsets([]), 4: lite.text("branch")})

    def code(number, custom=None):
        fields = {0: ("Int8", min(number, 127)), 2: ("Int32", 2), 3: ("Int32", number)}
        return lite.table(fields | ({1: lite.text(custom)} if custom else {}))

    codes = lite.offsets([code(3), code(118), code(142), code(32, "Odd")])
    metadata = lite.offsets([lite.table({0: lite.text("min_runtime_version"), 1: ("Uint32", 3)})])

    def named(name, idx):
        return lite.table({0: lite.text(name), 1: ("Uint32", idx)})

    signature = lite.offsets([lite.table({
        0: lite.offsets([named("picture", 0), named("choice", 4)]),
        1: lite.offsets([named("result", 5)]), 2: lite.text("serving_default"), 4: ("Uint32", 0)})])
    root = lite.table({0: ("Uint32", 3), 1: codes, 2: lite.offsets([main, branch]),
                       3: lite.text("networks.py"), 4: buffers, 6: metadata, 7: signature})
    lite.builder.Finish(root, b"TFL3")
    path.write_bytes(bytes(lite.builder.Output()))


def table(path):
    return onnx_table(path) if str(path).endswith(".onnx") else tflite_table(path)


def make():
    make_onnx(OUT / "network.onnx")
    make_tflite(OUT / "network.tflite")
    lines = []
    for name in ["network.onnx", "network.tflite"]:
        lines += [f"# {name}", *table(OUT / name)]
    (OUT / "network.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] == ["table"]:
        print(*table(sys.argv[2]), sep="\n")
    else:
        make()
