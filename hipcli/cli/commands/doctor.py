"""`hip doctor`: is everything here that a run needs?"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from hipcli.cli import options as o
from hipcli.errors import ExitCode
from hipcli.models.resolve import DEFAULT_MODEL

if TYPE_CHECKING:
    from hipcli.doctor import Check


def doctor(model: o.ModelName = DEFAULT_MODEL, as_json: o.AsJson = False) -> None:
    """Check libraries, device, memory, model and folders. Exit status 1 if something is broken."""
    from hipcli.doctor import checks
    from hipcli.output.answers import Output, write_json

    found = list(checks(model))
    broken = any(check.status == "FAIL" for check in found)
    with Output() as output:
        if as_json:
            report = {"schema_version": 1, "command": "doctor", "ok": not broken}
            write_json(output, report | {"checks": [check.as_json() for check in found]})
        else:
            output.write(_page(found))
    if broken:
        raise typer.Exit(ExitCode.FAILED)


def _page(found: Sequence["Check"]) -> str:
    from hipcli.output.messages import one_line

    lines = []
    for check in found:
        lines.append(f"{check.status:4}  {check.name:12}  {one_line(check.value)}\n")
        if check.hint:
            lines.append(f"{'':18}  {one_line(check.hint)}\n")
    return "".join(lines)
