"""What the benchmark scripts share: the model, the text, the machine, and where results go."""

import json
import platform
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from hipcli.engine.device import choose_device, choose_dtype
from hipcli.models.language_model import LoadedModel
from hipcli.models.load import load_model
from hipcli.models.resolve import resolve
from hipcli.prompt.tokenizer import Tokenizer, load_tokenizer

RESULTS = Path(__file__).parent / "results"


def load(name: str | None, dtype: str = "auto") -> tuple[LoadedModel, Tokenizer]:
    """Model and tokenizer for a name as `hip --model` takes it."""
    source, device = resolve(name, print), choose_device()
    return load_model(source, device, choose_dtype(dtype, device)), load_tokenizer(source.name, source.path)


def endless(loaded: LoadedModel) -> LoadedModel:
    """The same model, with answers that end at their longest."""
    return replace(loaded, stops=frozenset())


def load_transformers(name: str | None, dtype: str = "auto") -> Any:
    """The same model of transformers with SDPA."""
    from transformers import AutoModelForCausalLM

    path, device = resolve(name, print).path, choose_device()
    model = AutoModelForCausalLM.from_pretrained(path, dtype=choose_dtype(dtype, device), attn_implementation="sdpa")
    return model.to(device).eval()


def tokens(tokenizer: Tokenizer, path: Path, count: int, skip_characters: int = 60_000) -> list[int]:
    """`count` token ids of a text file, after its front matter."""
    text = path.read_text(encoding="utf-8", errors="replace")[skip_characters : skip_characters + 10 * count]
    ids: list[int] = tokenizer.encode(text, control=False)
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
