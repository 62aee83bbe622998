"""`hip eval needle` on the embedded model: it can find a single needle in 2,048 tokens."""

import json
from pathlib import Path

import pytest

pytestmark = [pytest.mark.model, pytest.mark.slow]

SPARSE = "hip:min_context=0,top_k=512,window=256"


def test_single_needles(hip) -> None:
    hay = Path(__file__).parents[3] / "LICENSE"  # does not change: three needles say little of a text that does
    done = hip("eval", "needle", "--context", "2k", "--kinds", "single", "--n", "3", "-a", SPARSE, "--json", hay)
    assert done.code == 0, done.err
    row = json.loads(done.out)["rows"][0]
    assert row["metrics"]["exact"]["n"] == 3
    assert row["metrics"]["exact"]["mean"] > 0.5
