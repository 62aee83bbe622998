"""Where the Triton tests run: on a GPU, or in Triton's interpreter where TRITON_INTERPRET=1 is set.

The interpreter has to be chosen before Triton is imported: `triton_backend/test_interpreter.py` starts processes
for it.
"""

import os

import pytest
import torch

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cpu" if INTERPRETED else "cuda"
NEEDS_DEVICE: list[pytest.MarkDecorator] = []  # a test file's `pytestmark`

if INTERPRETED:
    torch.set_num_threads(1)
else:
    NEEDS_DEVICE += [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")]
