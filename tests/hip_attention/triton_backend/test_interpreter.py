"""Runs the Triton tests without a GPU, in Triton's interpreter: a process for each file, two at a time."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
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

    def run(file: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, file], env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    with ThreadPoolExecutor(2) as pool:
        failed = [each.stdout[-4000:] for each in pool.map(run, files) if each.returncode]
    assert not failed, "\n".join(failed)
