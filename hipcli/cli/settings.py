"""What one run is asked to do, gathered from its options and checked for sense."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hip_attention.config import HipConfig

from hipcli.cli.attention import AttentionOptions
from hipcli.cli.evidence import check_files
from hipcli.cli.groups import InputOptions, RunOptions
from hipcli.cli.options import ATTENTION_DEFAULTS, AttentionKind, Dtype, KvCacheKind, PositionKind
from hipcli.disk.sessions import folder_of
from hipcli.documents.marks import without_frame, without_marks
from hipcli.documents.options import ReadOptions
from hipcli.errors import ExitCode, HipError
from hipcli.output.answers import STDOUT
from hipcli.structured.schema import AnswerSchema
from hipcli.structured.schema import load as load_schema

_LONGEST_PHRASE = 300
_DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?")
# Options of attention that do nothing with another kind of it than these.
_NEEDS = {
    "top_k": ("hip", "streaming"),
    "refresh_interval": ("hip",),
    "window": ("hip", "streaming"),
    "sink": ("hip", "streaming"),
    "dense_layers": ("hip", "streaming"),
    "selector": ("hip",),
    "positions": ("hip", "streaming"),
    "kv_cache": ("hip", "streaming"),
}


@dataclass(frozen=True)
class Settings:
    """Everything the options of `summarize` and `ask` say, apart from paths and questions.

    `unasked` are the fields of `hip` that the user left to us, which may suit the model and the device then.
    """

    read_options: ReadOptions
    session: str | None
    prompt: str
    parameters: dict[str, str]
    length: str | None
    model: str
    device: str
    dtype: Dtype
    kv_cache: KvCacheKind
    attention: AttentionKind
    hip: HipConfig
    unasked: frozenset[str]
    positions: PositionKind
    temperature: float
    top_p: float
    seed: int | None
    max_tokens: int
    cite: bool
    sources: int
    extract: int
    html: Path | None
    heatmap: Path | None
    schema: AnswerSchema | None
    focus: str | None
    language: str | None
    as_json: bool
    jsonl: bool
    resume: bool
    output: Path | None
    dry_run: bool
    verbose: bool
    quiet: bool

    @property
    def for_programs(self) -> bool:
        """Whether answers are written as JSON, each when it is complete."""
        return self.as_json or self.jsonl

    @property
    def wants_sources(self) -> bool:
        """Whether anything is to be shown of what the attention of answers lies on."""
        return bool(self.sources or self.extract or self.html or self.heatmap)


def gather(
    options: RunOptions,
    prompt: str,
    length: str | None = None,
    each: bool = False,
    *,
    schema: Path | None = None,
    focus: str | None = None,
    language: str | None = None,
) -> Settings:
    """The settings that a command's options come to. Raises HipError, exit code 2, naming the option that is wrong."""
    model, attention, sampling, output = options.model, options.attention, options.sampling, options.output
    _check(options, each)
    _check_for_programs(options, schema is not None)
    return Settings(
        read_options=read_options(options.input),
        session=options.session,
        prompt=prompt,
        parameters=_parameters(options.parameters or ()),
        length=length,
        model=model.name,
        device=model.device,
        dtype=model.dtype,
        kv_cache=attention.kv_cache,
        attention=attention.kind,
        hip=_hip(attention),
        unasked=_unasked(attention),
        positions=attention.positions,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        seed=sampling.seed,
        max_tokens=output.max_tokens,
        cite=options.evidence.cite,
        sources=options.evidence.sources,
        extract=options.evidence.extract,
        html=options.evidence.html,
        heatmap=options.evidence.heatmap,
        schema=None if schema is None else load_schema(schema),
        focus=_phrase("--focus", focus),
        language=_phrase("--language", language),
        as_json=output.as_json,
        jsonl=output.jsonl,
        resume=output.resume,
        output=None if output.file == STDOUT else output.file,
        dry_run=output.dry_run,
        verbose=output.verbose,
        quiet=output.quiet,
    )


def read_options(options: InputOptions) -> ReadOptions:
    """How to read documents. Raises HipError, exit code 2."""
    return ReadOptions(
        include=tuple(options.include or ()),
        exclude=tuple(options.exclude or ()),
        gitignore=not options.no_gitignore,
        pages=options.pages,
        password=options.password,
        encoding=options.encoding,
        links=options.links,
        ocr=options.ocr,
        running_lines=options.keep_running_lines,
        hidden=options.hidden,
        seconds=options.read_seconds,
        memory=round(options.read_memory * 1024),
    )


def _check(options: RunOptions, each: bool) -> None:
    attention, sampling = options.attention, options.sampling
    if options.output.verbose and options.output.quiet:
        raise _usage("--verbose and --quiet exclude each other")
    if options.session is not None:
        folder_of(options.session)
        if each:
            raise _usage("--session and --each exclude each other", "a session keeps one reading of all documents")
    if not _DEVICE.fullmatch(options.model.device):
        raise _usage(f"--device {options.model.device}: no such device", "take auto, cpu, cuda or cuda:N")
    for name, kinds in _NEEDS.items():
        # Unlike packed, yarn does something to every kind of attention.
        stretches = name == "positions" and attention.positions == "yarn"
        if name in attention.given and attention.kind not in kinds and not stretches:
            raise _usage(f"{_flag(name)} has no effect with --attention {attention.kind}")
    if attention.kind == "hip" and attention.top_k == 0:
        raise _usage("--top-k 0 selects nothing", "say --attention streaming if that is what you want")
    if options.evidence.sources and options.evidence.extract:
        raise _usage("--sources and --extract exclude each other", "--extract prints the sources and no answer")
    if options.evidence.cite and options.evidence.extract:
        raise _usage("--cite and --extract exclude each other", "what --extract prints are quotes")
    check_files(options.output.file, options.evidence)
    if sampling.top_p <= 0:
        raise _usage("--top-p must be above 0")
    if "top_p" in sampling.given and sampling.temperature == 0:
        raise _usage("--top-p has no effect with --temperature 0", "raise --temperature")


def _check_for_programs(options: RunOptions, has_schema: bool) -> None:
    output, evidence = options.output, options.evidence
    if output.jsonl and output.as_json:
        raise _usage("--json and --jsonl exclude each other")
    if output.jsonl and output.dry_run:
        raise _usage("--jsonl has no effect with --dry-run", "take --json")
    if output.resume and not (output.jsonl and output.file not in (None, STDOUT)):
        raise _usage("--resume needs --jsonl and --output FILE")
    if output.resume and (evidence.html or evidence.heatmap):
        raise _usage("--resume excludes --html and --heatmap", "they show the answers of one run")
    if has_schema and evidence.extract:
        raise _usage("--schema and --extract exclude each other", "--extract prints passages and no answer")
    if has_schema and (evidence.cite or evidence.sources) and not (output.as_json or output.jsonl):
        raise _usage("--schema prints JSON alone: --cite and --sources need --json or --jsonl")


def _phrase(option: str, text: str | None) -> str | None:
    """A few words on one line, which cannot pass for a document's frame or the mark of a page."""
    if text is None:
        return None
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    if not line:
        raise _usage(f"{option} is empty")
    if len(line) > _LONGEST_PHRASE:
        raise _usage(f"{option} has more than {_LONGEST_PHRASE} characters")
    return without_frame(without_marks(line))


def _hip(attention: AttentionOptions) -> HipConfig:
    if attention.kind == "dense":
        return HipConfig(backend="dense")
    usual = ATTENTION_DEFAULTS
    top_k = usual.top_k if attention.top_k is None else attention.top_k
    window = usual.window if attention.window is None else attention.window
    refresh_interval = usual.refresh_interval if attention.refresh_interval is None else attention.refresh_interval
    streaming = attention.kind == "streaming"
    try:
        return HipConfig(
            # Streaming gets the same number of keys, so that the two can be compared.
            top_k=0 if streaming else top_k,
            window=window + top_k if streaming else window,
            sink=attention.sink,
            refresh_interval=refresh_interval,
            dense_layers=attention.dense_layers,
            selector=attention.selector,
        )
    except ValueError as error:
        field, _, rest = str(error).partition(" ")
        raise _usage(f"{_flag(field)} {rest}") from error


def _unasked(attention: AttentionOptions) -> frozenset[str]:
    asked = {"top_k": attention.top_k, "window": attention.window, "refresh_interval": attention.refresh_interval}
    return frozenset(name for name, value in asked.items() if value is None)


def _parameters(pairs: Sequence[str]) -> dict[str, str]:
    parameters = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.isidentifier():
            raise _usage(f"--param {pair}: not KEY=VALUE")
        parameters[key] = value
    return parameters


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _usage(message: str, hint: str | None = None) -> HipError:
    return HipError(message, hint, ExitCode.USAGE)
