"""What surrounds the loading of a model."""

import gc
import subprocess
import sys
from collections.abc import Iterator

import pytest

from hipcli.engine.runtime import _importing


@pytest.fixture(autouse=True)
def thawed() -> Iterator[None]:
    gc.unfreeze()
    yield
    gc.unfreeze()


def test_what_was_imported_is_never_looked_through_again() -> None:
    with _importing():
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count() > 0


def test_a_failed_import_leaves_the_collector_on() -> None:
    with pytest.raises(ImportError), _importing():
        raise ImportError
    assert gc.isenabled()


def test_the_end_of_the_process_is_silent() -> None:
    pytest.importorskip("triton")
    program = "from hipcli.engine.runtime import _importing\nwith _importing():\n    import triton"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
