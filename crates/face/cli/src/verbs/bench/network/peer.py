"""Serves `ledge bench --compare`: runs a network in another runtime, on request.

usage: python peer.py '{"runtime": NAME, "model": FILE, "threads": N,
                        "inputs": [{"name": NAME, "type": NUMPY TYPE, "shape": [N], "bytes": N}]}'

The elements of the inputs follow on stdin, one input after the other. What comes out is one JSON object
a line: first what loading took (to the end of the first run), or {"error": WHY}; then, for each line
`N` on stdin, the milliseconds of so many runs; for an empty line the process's peak memory and the
outputs, whose elements follow as bytes. Memory is told less what Python held before the runtime came.
"""

import json
import sys
import time


def field(name):
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith(name):
                return int(line.split()[1]) * 1024
    return None


def main(asked):
    import numpy

    arrays = {}
    for entry in asked["inputs"]:
        elements = sys.stdin.buffer.read(entry["bytes"])
        array = numpy.frombuffer(elements, entry["type"]).reshape(entry["shape"])
        arrays[entry["name"]] = array
    before = field("VmRSS:")
    version, load = RUNTIMES[asked["runtime"]]()
    begin = time.perf_counter()
    run = load(asked["model"], asked["threads"], arrays)
    outputs = run()
    load_ms = (time.perf_counter() - begin) * 1e3
    say({"version": version, "load_ms": load_ms})
    clock = time.perf_counter_ns
    for line in sys.stdin.buffer:
        if not line.strip():
            break
        times = []
        for _ in range(int(line)):
            begin = clock()
            run()
            times.append((clock() - begin) / 1e6)
        say({"times_ms": times})
    peak = field("VmHWM:")
    outputs = [(name, numpy.ascontiguousarray(array)) for name, array in outputs()]
    listed = [
        {"name": name, "type": str(a.dtype), "shape": a.shape, "bytes": a.nbytes} for name, a in outputs
    ]
    say({"peak_bytes": peak and peak - before, "outputs": listed})
    for _, array in outputs:
        sys.stdout.buffer.write(array.tobytes())
    sys.stdout.buffer.flush()


def onnxruntime():
    import onnxruntime as ort

    ort.set_default_logger_severity(3)

    def load(model, threads, arrays):
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]

        def run():
            results = session.run(None, arrays)
            return lambda: zip(names, results)

        return run

    return "onnxruntime " + ort.__version__, load


def litert():
    import importlib.metadata

    from ai_edge_litert.interpreter import Interpreter

    def load(model, threads, arrays):
        # XNNPACK is what it runs by default.
        interpreter = Interpreter(model, num_threads=threads)
        # Inputs may have other names in a signature than in the graph; their order is the same.
        inputs = interpreter.get_input_details()
        places = dict(zip(arrays, inputs))
        places.update((entry["name"], entry) for entry in inputs)
        for name, array in arrays.items():
            if list(places[name]["shape"]) != list(array.shape):
                interpreter.resize_tensor_input(places[name]["index"], array.shape)
        interpreter.allocate_tensors()
        details = interpreter.get_output_details()

        def run():
            for name, array in arrays.items():
                interpreter.set_tensor(places[name]["index"], array)
            interpreter.invoke()
            results = [interpreter.get_tensor(entry["index"]) for entry in details]
            return lambda: [(entry["name"], a) for entry, a in zip(details, results)]

        return run

    return "ai-edge-litert " + importlib.metadata.version("ai-edge-litert"), load


def tflite_micro():
    import importlib.metadata

    from tflite_micro.python.tflite_micro import runtime

    def load(model, threads, arrays):
        interpreter = runtime.Interpreter.from_file(model)

        def run():
            for i, array in enumerate(arrays.values()):
                interpreter.set_input(array, i)
            interpreter.invoke()
            result = interpreter.get_output(0)
            return lambda: [("", result)]

        return run

    return "tflite-micro " + importlib.metadata.version("tflite-micro"), load


RUNTIMES = {"onnxruntime": onnxruntime, "litert": litert, "tflite-micro": tflite_micro}


def say(answer):
    sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n")
    sys.stdout.buffer.flush()


try:
    main(json.loads(sys.argv[1]))
except Exception as error:  # whatever it is, the other side tells it
    say({"error": f"{type(error).__name__}: {error}"})
