"""What the benchmark scripts share: the model, the text, the machine, and where results go."""

import json
import platform
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
import transformers

from hipcli.models.load import load_model, load_tokenizer
from hipcli.models.resolve import resolve

RESULTS = Path(__file__).parent / "results"


def load(name: str | None, dtype: str = "auto", attention: str = "hip") -> tuple[Any, Any]:
    """Model and tokenizer for a name as `hip --model` takes it."""
    source = resolve(name, print)
    return load_model(source, dtype=dtype, attention=attention), load_tokenizer(source)


def tokens(tokenizer: Any, path: Path, count: int, skip_characters: int = 60_000) -> list[int]:
    """`count` token ids of a text file, after its front matter."""
    text = path.read_text(encoding="utf-8", errors="replace")[skip_characters : skip_characters + 10 * count]
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
    if len(ids) < count:
        raise SystemExit(f"{path} holds {len(ids)} tokens, not {count}")
    return ids[:count]


def machine() -> dict[str, str]:
    """Date, device and versions, which stand beside every figure."""
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else _cpu()
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "device": name,
        "threads": str(torch.get_num_threads()),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }


def save(name: str, result: dict[str, Any]) -> None:
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps({"machine": machine(), **result}, indent=1) + "\n")


def seconds(function: Any) -> float:
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


def _cpu() -> str:
    flags, name = "", platform.processor()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            name = line.split(":")[1].strip()
        if line.startswith("flags"):
            flags = line
    units = [unit for unit in ("amx_bf16", "avx512_bf16", "avx512f") if unit in flags]
    return f"{name} ({', '.join(units) or 'no AVX-512'})"
