"""What `--dry-run` prints: the tokens and the memory that each prompt would need."""

from collections.abc import Sequence
from typing import Any

from hipcli.output.answers import Output, write_json
from hipcli.output.messages import counted, one_line
from hipcli.planning.budget import GIB, MEMORY_PARTS, Budget


def write_budgets(
    output: Output, command: str, model: str, budgets: Sequence[Budget], reading: dict[str, list[Any]] | None
) -> None:
    """Write the budget of each prompt: a table each, or with the report of `reading` one JSON object for all."""
    if reading is not None:
        listed = [budget.as_json() for budget in budgets]
        header = {"schema_version": 2, "command": command, "model": model}
        write_json(output, {**header, **reading, "readings": listed})
    else:
        output.write("\n".join(_table(model, budget) for budget in budgets))


def _table(model: str, budget: Budget) -> str:
    rows = [
        (
            one_line(document.path),
            "" if document.pages is None else counted(document.pages, str(document.unit)),
            f"{document.characters:,} characters",
            f"{document.tokens:,} tokens",
        )
        for document in budget.documents
    ]
    rows.append(("instructions", "", "", f"{budget.instruction_tokens:,} tokens"))
    reserved = "questions and answers" if budget.converses else "the answer"
    rows.append((f"reserved for {reserved}", "", "", f"{budget.answer_tokens:,} tokens"))
    rows.append(("total", "", "", f"{budget.total_tokens:,} tokens"))
    model = one_line(model)
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = ["   ".join([row[0].ljust(widths[0]), *(row[i].rjust(widths[i]) for i in (1, 2, 3))]) for row in rows]
    if budget.window is None:
        lines.append(f"window of {model}: not known")
    else:
        lines.append(f"window of {model}: {budget.window:,} tokens, {budget.total_tokens / budget.window:.0%} taken")
    if budget.positions != "exact":
        lines.append(f"positions: {budget.placed}" + " beyond the window" * budget.packed)
    memory = budget.memory
    names = {"keys_and_values": "keys and values" + (" as int8" if budget.kv_cache == "int8" else "")}
    parts = " + ".join(f"{names.get(part, part)} {getattr(memory, part) / GIB:.2f}" for part in MEMORY_PARTS)
    free = "" if memory.available is None else f" of {memory.available / GIB:.2f} GiB free"
    lines.append(f"memory: {parts} = {memory.needed / GIB:.2f} GiB{free}")
    if budget.excess_tokens:
        lines.append(f"does not fit: {budget.excess_tokens:,} tokens too many")
    elif memory.excess:
        lines.append(f"does not fit: {memory.excess / GIB:.2f} GiB too much")
    else:
        lines.append("fits")
    return "\n".join(lines) + "\n"
