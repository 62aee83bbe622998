"""What a run has found out, and its shape as JSON (schema/answer.schema.json)."""

from dataclasses import asdict, dataclass, field
from typing import Any

from hip_attention.config import HipConfig

from hipcli.cli.options import KvStorage, PlacedKind
from hipcli.cli.settings import Settings
from hipcli.documents.document import Document
from hipcli.engine.events import FinishReason
from hipcli.planning.budget import GIB, DocumentCount

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Answer:
    """One answer; `document` is the position of the one document it is about, None when it is about all."""

    question: str | None
    document: int | None
    text: str
    finish_reason: FinishReason
    completion_tokens: int


@dataclass
class Result:
    """The answers of a run and what they cost.

    Times are in seconds; token counts are sums over the run, apart from `longest`, the longest prompt with its answer.
    That was attended to by `hip`, and its keys stood at `positions`: "exact", "packed", or for "yarn" stretched
    `yarn_factor` times. `kv_cache` is what keys and values were kept as, "int8" where they were so for any of the
    prompts.
    """

    command: str
    settings: Settings
    model: str
    revision: str
    window: int | None
    hip: HipConfig
    documents: list[tuple[Document, DocumentCount]] = field(default_factory=list)
    titled: bool = False  # several answers, so that each needs a title
    answers: list[Answer] = field(default_factory=list)
    prompt_tokens: int = 0
    longest: int = 0
    positions: PlacedKind = "exact"
    yarn_factor: float = 1
    kv_cache: KvStorage = "full"
    cached_tokens: int = 0
    read_s: float = 0.0
    load_s: float = 0.0
    prefill_s: float = 0.0
    decode_s: float = 0.0
    peak_bytes: int = 0

    @property
    def completion_tokens(self) -> int:
        return sum(answer.completion_tokens for answer in self.answers)

    def as_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        settings = self.settings
        dense = settings.attention == "dense"
        return {
            "schema_version": SCHEMA_VERSION,
            "command": self.command,
            "model": self.model,
            "revision": self.revision or None,
            "documents": [
                {
                    "id": f"d{number}",
                    "path": document.path,
                    "sha256": document.sha256,
                    "kind": document.kind,
                    "pages": count.pages,
                    "characters": count.characters,
                    "tokens": count.tokens,
                    "warnings": list(document.warnings),
                }
                for number, (document, count) in enumerate(self.documents, 1)
            ],
            "answers": [
                {
                    "question": answer.question,
                    "document": None if answer.document is None else f"d{answer.document + 1}",
                    "text": answer.text,
                    "citations": [],
                    "finish_reason": answer.finish_reason,
                }
                for answer in self.answers
            ],
            "usage": {
                "prompt_tokens": self.prompt_tokens,
                "cached_tokens": self.cached_tokens,
                "completion_tokens": self.completion_tokens,
                "context_window": self.window,
                "truncated": False,
            },
            "attention": {
                "kind": settings.attention,
                "positions": self.positions,
                "yarn_factor": self.yarn_factor,
                **({} if dense else asdict(self.hip)),
            },
            "sampling": {
                "temperature": settings.temperature,
                "top_p": settings.top_p,
                "seed": settings.seed,
                "max_tokens": settings.max_tokens,
            },
            "timings": {
                "read_s": round(self.read_s, 3),
                "load_s": round(self.load_s, 3),
                "prefill_s": round(self.prefill_s, 3),
                "decode_s": round(self.decode_s, 3),
            },
            "memory": {"peak_gib": round(self.peak_bytes / GIB, 2), "kv_cache": self.kv_cache},
        }

    def statistics(self) -> str:
        """The same in one line."""
        parts = [f"{self.prompt_tokens:,} + {self.completion_tokens:,} tokens", f"prefill {self.prefill_s:.1f} s"]
        if self.cached_tokens:
            parts[0] += f" ({self.cached_tokens:,} from the session)"
        if self.decode_s > 0:
            parts.append(f"decode {self.completion_tokens / self.decode_s:.1f} tok/s")
        parts.append(self._attention())
        parts.append(f"{self.peak_bytes / GIB:.1f} GiB" + (" with int8 keys and values" * (self.kv_cache == "int8")))
        return " · ".join(parts)

    def _attention(self) -> str:
        hip, kind = self.hip, self.settings.attention
        if kind == "dense":
            text = "dense"
        elif self.longest <= hip.min_context:
            text = f"dense, as below min_context={hip.min_context}"
        elif kind == "streaming":
            text = f"streaming window={hip.window} sink={hip.sink}"
        else:
            text = f"hip top_k={hip.top_k} refresh_interval={hip.refresh_interval}"
        if self.positions == "yarn":
            text += f" positions stretched {self.yarn_factor:g} times"
        elif hip.packed_from is not None and hip.packed_from < self.longest:
            text += f" positions packed from {hip.packed_from:,}"
        return text
