"""Writes crates/model/engine/tests/goldens/counter.tflite, a network that remembers: it adds what it
is given to a variable that begins as 1, 2, 3 and gives the sum. Prints what LiteRT gives for three
runs, which the test holds.

Needs the packages ai-edge-litert (2.3.0), flatbuffers and numpy. Run from the repository root:

    python tools/goldens/counter.py
"""

from pathlib import Path

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

OUT = Path("crates/model/engine/tests/goldens/counter.tflite")
ADD, CALL_ONCE, VAR_HANDLE, READ_VARIABLE, ASSIGN_VARIABLE = 0, 129, 142, 143, 144
FLOAT32, RESOURCE = 0, 13


def tensor(name, ty=FLOAT32, buffer=0):
    made = schema.TensorT()
    made.name, made.type, made.buffer, made.hasRank = name, ty, buffer, True
    made.shape = [] if ty == RESOURCE else [3]
    return made


def operator(code, inputs, outputs, kind=0, options=None):
    made = schema.OperatorT()
    made.opcodeIndex, made.inputs, made.outputs = code, inputs, outputs
    made.builtinOptionsType, made.builtinOptions = kind, options
    return made


def handle(output):
    options = schema.VarHandleOptionsT()
    options.container, options.sharedName = "", "sum"
    return operator(0, [], [output], schema.BuiltinOptions.VarHandleOptions, options)


def graph(name, tensors, inputs, outputs, operators):
    made = schema.SubGraphT()
    made.name, made.tensors, made.operators = name, tensors, operators
    made.inputs, made.outputs = inputs, outputs
    return made


model = schema.ModelT()
model.version, model.description = 3, "a variable that is added to"
model.operatorCodes = []
for builtin in (VAR_HANDLE, READ_VARIABLE, ASSIGN_VARIABLE, ADD, CALL_ONCE):
    code = schema.OperatorCodeT()
    code.builtinCode, code.deprecatedBuiltinCode, code.version = builtin, min(builtin, 127), 1
    model.operatorCodes.append(code)
once = schema.CallOnceOptionsT()
once.initSubgraphIndex = 1
main = graph(
    "main",
    [tensor("x"), tensor("handle", RESOURCE), tensor("before"), tensor("after")],
    [0], [3],
    [
        operator(4, [], [], schema.BuiltinOptions.CallOnceOptions, once),
        handle(1),
        operator(1, [1], [2]),
        operator(3, [2, 0], [3], schema.BuiltinOptions.AddOptions, schema.AddOptionsT()),
        operator(2, [1, 3], []),
    ],
)
begin = graph(
    "begin", [tensor("handle", RESOURCE), tensor("first", buffer=1)], [], [],
    [handle(0), operator(2, [0, 1], [])],
)
model.subgraphs = [main, begin]
empty, first = schema.BufferT(), schema.BufferT()
first.data = np.frombuffer(np.array([1, 2, 3], np.float32).tobytes(), np.uint8)
model.buffers = [empty, first]
builder = flatbuffers.Builder(0)
builder.Finish(model.Pack(builder), b"TFL3")
OUT.parent.mkdir(exist_ok=True)
OUT.write_bytes(builder.Output())

interpreter = Interpreter(str(OUT))
interpreter.allocate_tensors()
for run in range(3):
    given = np.array([1, 10, 100], np.float32) * (run + 1)
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], given)
    interpreter.invoke()
    print(given, "->", interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))
