"""The schemas that JSON output follows."""

import json
from importlib import resources
from typing import Any


def schema(name: str) -> dict[str, Any]:
    return json.loads((resources.files("hipcli.output") / "schema" / name).read_text())
