"""Runs the Triton tests without a GPU, in Triton's interpreter and in a process of its own."""

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
    files = sorted(
        str(path) for path in Path(__file__).parent.glob("test_triton_*.py") if path.name != Path(__file__).name
    )
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *files]
    done = subprocess.run(command, env={**os.environ, "TRITON_INTERPRET": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
