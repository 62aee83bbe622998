"""Runs the Triton tests without a GPU, in Triton's interpreter: a process for each file."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

triton = pytest.importorskip("triton")
numpy = pytest.importorskip("numpy")
OLD_TRITON = tuple(map(int, triton.__version__.split(".")[:2])) < (3, 7)
NEW_NUMPY = tuple(map(int, numpy.__version__.split(".")[:2])) >= (2, 4)

HERE = Path(__file__)
FILES = sorted(path for path in HERE.parent.glob("test_*.py") if path.name != HERE.name)
FILES.append(HERE.parents[2] / "hipcli/engine/test_cuda_graph.py")


@pytest.mark.skipif(OLD_TRITON and NEW_NUMPY, reason="the interpreter of Triton before 3.7 breaks on NumPy 2.4")
@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_kernels_in_the_interpreter(file: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", str(file)]
    environment = {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout[-4000:]
