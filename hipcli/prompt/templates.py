"""Prompts as files: Jinja2 templates of three blocks, with the documents as inert values.

`system` says who answers, `documents` lays out the documents, `question` asks. Each block is rendered by itself, so
that the first two stay the same whatever is asked. `{% extends "summarize" %}` takes the blocks that a template leaves
out from a packaged one.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from jinja2 import (
    Environment,
    FunctionLoader,
    StrictUndefined,
    Template,
    TemplateError,
    TemplateNotFound,
    TemplateSyntaxError,
    UndefinedError,
    meta,
    nodes,
)
from jinja2.sandbox import SandboxedEnvironment

from hipcli.disk.paths import config_dir
from hipcli.documents.document import Document, Page
from hipcli.documents.marks import marked_text, without_frame, without_marks
from hipcli.errors import ExitCode, HipError

BLOCKS = ("system", "documents", "question")
RESERVED = frozenset({"documents", "question", "length", "cite"})

_NAME = re.compile(r"[A-Za-z0-9_-]+")
_LONGEST_NAME = 200
_MANY_WORDS = 20_000  # as a document has, so that a template that cuts texts is found


@dataclass(frozen=True)
class Source:
    """A document as a template sees it. `text` has its pages marked; `name` is safe to stand in one line."""

    id: str
    name: str
    kind: str
    pages: int | None
    text: str


class Prompt:
    """A template, followed by those it extends, with the values of its parameters. What is `required` has to stand in
    the question.

    Every method raises HipError, exit code 2, when the template needs something it is not given.
    """

    def __init__(
        self, name: str, templates: Sequence[Template], values: Mapping[str, Any], required: Mapping[str, str]
    ) -> None:
        self.name = name
        self._templates = templates
        self._values = {**values, **required}
        self._required = dict(required)

    def system(self) -> str:
        return self._render("system", {}).strip()

    def documents(self, documents: Iterable[Document]) -> str:
        """The documents part; it cannot depend on the question."""
        found = sources(documents)
        if len(found) > 1:
            self._require_texts(len(found))
        return self._render("documents", {"documents": found}).strip("\n")

    def question(self, documents: Iterable[Document], question: str | None) -> str:
        """The question part; `question` is None for tasks that ask nothing of their own."""
        values: dict[str, Any] = {"documents": sources(documents)}
        if question is not None:
            values["question"] = question
        return self._render("question", values).strip()

    def check(self, asks: bool) -> None:
        """Raise HipError where the prompt leaves out or cuts a document, or something that is asked of the answer: the
        question of a task that `asks` one, the schema, the focus, the language.
        """
        self._require_texts(1, " word" * _MANY_WORDS)
        question = "q1u2e3s4"
        required = self._required | ({"question": question} if asks else {})
        made = self.question([], required.get("question")).lower() if required else ""
        for name, value in required.items():
            if value.lower() not in made:
                hint = f"write {{{{ {name} }}}} where it is to stand"
                raise HipError(f"prompt {self.name}: block question leaves out the {name}", hint, ExitCode.USAGE)

    def _require_texts(self, count: int, between: str = "") -> None:
        """Raise HipError unless the texts of `count` documents are all there, from the beginning to the end."""
        ends = [(f"b{number}egin", f"e{number}nd") for number in range(count)]
        probes = [Document("probe", "text", (Page(1, f"{begin}{between} {end}"),), "") for begin, end in ends]
        made = self._render("documents", {"documents": sources(probes)}).lower()
        if not all(begin in made and end in made for begin, end in ends):
            hint = "{% for document in documents %} ... {{ document.text }} ... {% endfor %}"
            raise HipError(f"prompt {self.name}: block documents leaves out their text", hint, ExitCode.USAGE)

    def _render(self, block: str, values: Mapping[str, Any]) -> str:
        context = self._templates[0].new_context({**self._values, **values})
        for extended in self._templates[1:]:
            for name, body in extended.blocks.items():
                context.blocks.setdefault(name, []).append(body)
        try:
            return "".join(context.blocks[block][0](context))
        except UndefinedError as error:
            hint = "give it with --param NAME=VALUE, or give it a default in the template"
            raise HipError(f"prompt {self.name}: {error.message} in block {block}", hint, ExitCode.USAGE) from error
        except (TemplateError, ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise HipError(f"prompt {self.name}: {error} in block {block}", None, ExitCode.USAGE) from error


def load(
    name: str,
    parameters: Mapping[str, str],
    length: str | None = None,
    cite: bool = False,
    *,
    schema: str | None = None,
    focus: str | None = None,
    language: str | None = None,
) -> Prompt:
    """The prompt `name`: a file if that looks like a path, else the user's or the packaged one of that name.

    `cite` asks for quotes with their pages, where the template makes a difference of it; `schema` is what the answer
    has to follow, `focus` what it is to be about above all, `language` what it is to be written in.

    Raises HipError, exit code 2, for a prompt that cannot be found or read, a template with a fault or without
    one of its blocks, and a parameter the template has no use for.
    """
    text = _read(name)
    environment = SandboxedEnvironment(
        undefined=StrictUndefined, autoescape=False, trim_blocks=True, lstrip_blocks=True,
        loader=FunctionLoader(_packaged_text),
    )  # fmt: skip
    try:
        texts = [text, *_extended(environment, text)]
        templates = [environment.from_string(each) for each in texts]
        wanted = set().union(*(meta.find_undeclared_variables(environment.parse(each)) for each in texts))
    except TemplateNotFound as error:
        hint = 'write {% extends "NAME" %} with the name of a packaged prompt'
        raise HipError(f"prompt {name}: extends no packaged prompt", hint, ExitCode.USAGE) from error
    except TemplateSyntaxError as error:
        raise HipError(f"prompt {name}: line {error.lineno}: {error.message}", None, ExitCode.USAGE) from error
    for block in BLOCKS:
        if not any(block in template.blocks for template in templates):
            hint = f"a prompt defines the blocks {', '.join(BLOCKS)}: {{% block {block} %}}...{{% endblock %}}"
            raise HipError(f"prompt {name}: block {block} is missing", hint, ExitCode.USAGE)
    options = {"schema": schema, "focus": focus, "language": language}
    required = {option: value for option, value in options.items() if value is not None}
    for parameter in parameters:
        if parameter in RESERVED or parameter in required or parameter not in wanted:
            known = ", ".join(sorted(wanted - RESERVED)) or "none"
            message = f"--param {parameter}: prompt {name} has no such parameter"
            raise HipError(message, f"its parameters: {known}", ExitCode.USAGE)
    values: dict[str, Any] = {**dict.fromkeys(options), **parameters, "cite": cite}
    if length is not None:
        values["length"] = length
    return Prompt(name, templates, values, required)


def names() -> list[str]:
    """Prompts that can be asked for by name."""
    found = {entry.name for entry in _packaged().iterdir()}
    user = config_dir() / "prompts"
    if user.is_dir():
        found |= {entry.name for entry in user.iterdir()}
    return sorted(name.removesuffix(".md") for name in found if name.endswith(".md"))


def sources(documents: Iterable[Document]) -> list[Source]:
    return [
        Source(
            id=f"d{number}",
            name=safe_name(document.known_as or document.path),
            kind=document.kind,
            pages=len(document.pages) if document.unit else None,
            text=framed_text(document),
        )
        for number, document in enumerate(documents, 1)
    ]


def framed_text(document: Document) -> str:
    """The document's text as a template gets it, pages marked: nothing in it looks like the frame around documents."""
    text = marked_text(document)
    return without_frame(without_marks(text) if document.unit is None else text)


def safe_name(path: str) -> str:
    """A file name that cannot pass for anything else in a prompt: one line, no brackets or quotes, not too long."""
    if path == "-":
        return "standard input"
    name = "".join(c if c.isprintable() and c not in '<>[]{}|"`' else "_" for c in path)
    return name if len(name) <= _LONGEST_NAME else "..." + name[-_LONGEST_NAME:]


def _read(name: str) -> str:
    # Only what cannot be a name is taken for a path: a file that lies beside the documents must not become the
    # prompt because it is called "ask".
    if not _NAME.fullmatch(name):
        place: Path | Traversable = Path(name)
    else:
        user = config_dir() / "prompts" / f"{name}.md"
        place = user if user.is_file() else _packaged() / f"{name}.md"
    try:
        return place.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        known = names()
        close = get_close_matches(name, known, 1)
        hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}; a file is given by its path"
        raise HipError(f"prompt {name}: not found", hint, ExitCode.USAGE) from error
    except OSError as error:
        raise HipError(f"prompt {name}: {error.strerror}", None, ExitCode.USAGE) from error
    except UnicodeDecodeError as error:
        raise HipError(f"prompt {name}: not UTF-8 text", None, ExitCode.USAGE) from error


def _extended(environment: Environment, text: str) -> Iterator[str]:
    """The texts of the templates that `text` extends, the nearest first. Raises TemplateNotFound."""
    for node in environment.parse(text).find_all(nodes.Extends):
        name = node.template.value if isinstance(node.template, nodes.Const) else None
        parent = _packaged_text(str(name))
        if parent is None:
            raise TemplateNotFound(str(name))
        yield parent
        yield from _extended(environment, parent)


def _packaged_text(name: str) -> str | None:
    place = _packaged() / f"{name}.md"
    return place.read_text(encoding="utf-8") if _NAME.fullmatch(name) and place.is_file() else None


def _packaged() -> Traversable:
    return resources.files("hipcli") / "prompts"
