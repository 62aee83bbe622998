"""What an answer depends on, in a few letters: answers with the same key need not be made again."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from hashlib import sha256

from hipcli.cli.settings import Settings
from hipcli.disk.session_header import Basis
from hipcli.documents.document import Document
from hipcli.planning.plan import Plan
from hipcli.prompt.templates import Prompt


def answer_key(
    prompt: Prompt,
    documents: Sequence[Document],
    question: str | None,
    basis: Basis,
    plan: Plan,
    settings: Settings,
) -> str:
    """SHA-256, in hex, of what the answer to `question` depends on, but for what its documents are called."""
    nameless = [
        replace(document, path=f"document {number}", known_as=None) for number, document in enumerate(documents, 1)
    ]
    facts = {
        "content": [document.sha256 for document in documents],
        "prompt": [prompt.system(), prompt.documents(nameless), prompt.question(nameless, question)],
        "model": asdict(basis),
        "attention": asdict(plan.hip),
        "sampling": [settings.temperature, settings.top_p, settings.seed, settings.max_tokens],
        "schema": settings.schema and settings.schema.text,
        "evidence": [settings.cite, settings.sources, settings.extract, settings.wants_sources],
    }
    return sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()
