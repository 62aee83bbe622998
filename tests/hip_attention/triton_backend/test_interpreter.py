"""Runs the Triton tests without a GPU, in Triton's interpreter and in two processes of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

triton = pytest.importorskip("triton")
numpy = pytest.importorskip("numpy")
OLD_TRITON = tuple(map(int, triton.__version__.split(".")[:2])) < (3, 7)
NEW_NUMPY = tuple(map(int, numpy.__version__.split(".")[:2])) >= (2, 4)


@pytest.mark.skipif(OLD_TRITON and NEW_NUMPY, reason="the interpreter of Triton before 3.7 breaks on NumPy 2.4")
def test_kernels_in_the_interpreter() -> None:
    here = Path(__file__)
    files = sorted(str(path) for path in here.parent.glob("test_*.py") if path.name != here.name)
    files.append(str(here.parents[2] / "hipcli/engine/test_cuda_graph.py"))
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    environment = {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    halves = [
        subprocess.Popen(
            [*command, *half], env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        for half in (files[::2], files[1::2])
    ]
    said = [half.communicate()[0] for half in halves]
    assert [half.returncode for half in halves] == [0, 0], said[0][-4000:] + said[1][-4000:]
