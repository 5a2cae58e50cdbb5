"""Writes the tests of the package onnx 1.23.2 as files, for `cargo xtask onnx-suite`.

    python3 tools/goldens/onnx_suite.py FOLDER

FOLDER gets node/, pytorch-operator/, pytorch-converted/, simple/ and light/, each with a folder per
test that holds model.onnx and test_data_set_N/{input,output}_N.pb. Node tests are generated, the
others copied; the light networks get inputs that rise from 0 to 1, as the package's own runner
gives them. Makes an environment of its own with pip, FOLDER/.venv, and works in it.
"""

import argparse
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

PACKAGES = ["onnx==1.23.2"]


def enter(folder):
    """Goes on in an environment that has the packages."""
    home = folder / ".venv"
    python = home / "bin" / "python"
    if Path(sys.prefix).resolve() == home.resolve():
        return
    if not python.exists():
        venv.create(home, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES, "pillow"], check=True)
    os.execv(python, [str(python), *sys.argv])


def generate(folder):
    from onnx.backend.test import cmd_tools
    from onnx.backend.test.case import node

    cases = node.collect_testcases()
    # The package's own command writes the cases of one collector, which is that of whole models.
    cmd_tools.model_test = argparse.Namespace(collect_testcases=lambda: cases)
    cmd_tools.generate_data(argparse.Namespace(output=str(folder)))


def copy(source, folder):
    for kind in ["pytorch-operator", "pytorch-converted", "simple"]:
        shutil.copytree(source / kind, folder / kind, dirs_exist_ok=True)


def light(source, folder):
    import numpy as np
    import onnx
    from onnx import numpy_helper

    for path in sorted((source / "light").glob("*.onnx")):
        test = folder / "light" / f"test_{path.stem}"
        sets = test / "test_data_set_0"
        sets.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, test / "model.onnx")
        shutil.copy(path.with_name(path.stem + "_output_0.pb"), sets / "output_0.pb")
        graph = onnx.load(path).graph
        constants = {tensor.name for tensor in graph.initializer}
        inputs = [value for value in graph.input if value.name not in constants]
        for place, value in enumerate(inputs):
            shape = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
            count = int(np.prod(shape))
            array = (np.arange(count) / count).astype(np.float32).reshape(shape)
            tensor = numpy_helper.from_array(array, value.name)
            (sets / f"input_{place}.pb").write_bytes(tensor.SerializeToString())


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    enter(folder.resolve())
    import onnx

    source = Path(onnx.__file__).parent / "backend" / "test" / "data"
    generate(folder)
    copy(source, folder)
    light(source, folder)


if __name__ == "__main__":
    main()
