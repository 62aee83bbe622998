"""What a run has found out, and its shape as JSON (schema/answer.schema.json)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hipcli.cli.settings import Settings
from hipcli.documents.document import Document
from hipcli.engine.events import FinishReason
from hipcli.evidence.reference import Citation, Evidence
from hipcli.output.places import passage_json
from hipcli.planning.budget import GIB, DocumentCount
from hipcli.planning.plan import Execution, Plan

if TYPE_CHECKING:
    from hipcli.output.lines import Lines

SCHEMA_VERSION = 5


@dataclass(frozen=True)
class Answer:
    """One answer; `document` is the position of the one document it is about, None when it is about all.

    `fault` says why the text is no answer, None where it may be one; `value` is what the text means under a schema.
    """

    question: str | None
    document: int | None
    text: str
    finish_reason: FinishReason
    completion_tokens: int
    documents: Sequence[Document]  # that the prompt held
    fault: str | None = None
    evidence: Evidence = field(default_factory=Evidence)
    value: Any = None

    @property
    def first(self) -> int:
        """The position of the first of `documents` among all that were read."""
        return self.document or 0

    def as_json(self) -> dict[str, Any]:
        """Its object in the answers that `--json` prints."""
        first = self.first
        return {
            "question": self.question,
            "document": None if self.document is None else f"d{first + 1}",
            "text": self.text,
            "value": self.value,
            "finish_reason": self.finish_reason,
            "fault": self.fault,
            "citations": None if self.evidence.citations is None else [
                self._citation(citation, first) for citation in self.evidence.citations
            ],
            "sources": None if self.evidence.sources is None else [
                {**passage_json(source.passage, self.documents, first), "score": round(source.score, 4)}
                for source in self.evidence.sources
            ],
            "heat": None if self.evidence.heat is None else [
                {"document": f"d{first + number}", "pages": [round(value, 3) for value in pages]}
                for number, pages in enumerate(self.evidence.heat, 1)
            ],
        }  # fmt: skip

    def _citation(self, citation: Citation, first: int) -> dict[str, Any]:
        found = citation.passage
        return {
            "quote": citation.quote,
            "verified": citation.verified,
            "score": citation.score,
            "cited": citation.cited,
            "found": None if found is None else passage_json(found, self.documents, first),
        }


@dataclass
class Result:
    """The answers of a run and what they cost.

    Times are in seconds; token counts are sums over the run. `plan` and `execution` are those of the longest prompt,
    None until it is answered.
    """

    command: str
    settings: Settings
    model: str
    revision: str
    window: int | None
    reading: dict[str, list[Any]] = field(default_factory=dict)  # see output.reading
    counts: list[DocumentCount] = field(default_factory=list)  # of those that are read
    titled: bool = False  # several answers, so that each needs a title
    lines: "Lines | None" = None  # where each answer gets a line
    answers: list[Answer] = field(default_factory=list)
    plan: Plan | None = None
    execution: Execution | None = None
    prompt_tokens: int = 0
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
        return {
            "schema_version": SCHEMA_VERSION,
            "command": self.command,
            "model": self.model,
            "revision": self.revision or None,
            "documents": self.documents(),
            "passed_over": self.reading["passed_over"],
            "answers": [answer.as_json() for answer in self.answers],
            "usage": {
                "prompt_tokens": self.prompt_tokens,
                "cached_tokens": self.cached_tokens,
                "completion_tokens": self.completion_tokens,
                "context_window": self.window,
            },
            "attention": self.execution.as_json(self.plan) if self.plan and self.execution else None,
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
            "memory": {"peak_gib": round(self.peak_bytes / GIB, 2)},
        }

    def documents(self) -> list[dict[str, Any]]:
        """The reading report, where documents that are read have an id and a number of tokens, too."""
        counts = enumerate(self.counts, 1)
        documents = []
        for document in self.reading["documents"]:
            number, tokens = None, 0
            if document["status"] == "read":
                number, count = next(counts)
                tokens = count.tokens
            documents.append({"id": None if number is None else f"d{number}", **document, "tokens": tokens})
        return documents

    def statistics(self) -> str:
        """The same in one line."""
        parts = [f"{self.prompt_tokens:,} + {self.completion_tokens:,} tokens", f"prefill {self.prefill_s:.1f} s"]
        if self.cached_tokens:
            parts[0] += f" ({self.cached_tokens:,} from the session)"
        if self.decode_s > 0:
            parts.append(f"decode {self.completion_tokens / self.decode_s:.1f} tok/s")
        parts.append(self._attention())
        parts.append(f"{self.peak_bytes / GIB:.1f} GiB")
        return " · ".join(parts)

    def _attention(self) -> str:
        """The attention that ran, in a few words; `Execution.lines` says more."""
        plan, execution = self.plan, self.execution
        if plan is None or execution is None:
            return "nothing was answered"
        if execution.rows == "dense":
            text = "dense"
            if plan.answers_sparsely:
                text += f" answer top_k={plan.decode.top_k} refresh_interval={plan.decode.refresh_interval}"
        elif plan.kind == "streaming":
            text = f"streaming window={plan.prefill.window} sink={plan.prefill.sink}"
        else:
            text = f"hip top_k={plan.prefill.top_k} refresh_interval={plan.decode.refresh_interval}"
        if plan.positions == "yarn":
            text += f" positions stretched {plan.yarn_factor:g} times"
        elif plan.prefill.packed_from is not None:
            text += f" positions packed from {plan.prefill.packed_from:,}"
        return text + " int8 keys and values" * (plan.kv_cache == "int8")
