"""Kinds, defaults and help panels of options, and the options that some verb takes without their group."""

from pathlib import Path
from typing import Annotated, Literal

import typer
from hip_attention.config import HipConfig

INPUT = "Input"
PROMPT = "Question and prompt"
MODEL = "Model"
ATTENTION = "Attention"
SAMPLING = "Sampling"
OUTPUT = "Output"
MESSAGES = "Messages"

ATTENTION_DEFAULTS = HipConfig()
GPU_REFRESH = 2  # answer tokens that share one selection on a GPU, where selecting takes next to no time
STRETCHED_TOP_K = 2048  # keys that a query block selects at stretched positions
LONG_WINDOW = 4096  # recent keys that a row sees past the trained window, where that is no more than half of it
ANSWER_TOKENS = 512

AttentionKind = Literal["hip", "dense", "streaming"]
PlacedKind = Literal["exact", "packed", "yarn"]
PositionKind = Literal["auto", PlacedKind]
Dtype = Literal["auto", "bfloat16", "float16", "float32"]
KvCacheKind = Literal["auto", "full", "int8"]
KvStorage = Literal["full", "int8"]
SummaryLength = Literal["short", "medium", "long"]
SummaryStyle = Literal["abstract", "bullets", "outline", "chapters"]

PromptName = Annotated[
    str,
    typer.Option(
        "--prompt",
        "-p",
        metavar="NAME_OR_FILE",
        help="Prompt template.",
        envvar="HIPCLI_PROMPT",
        rich_help_panel=PROMPT,
    ),
]
ModelName = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        metavar="ID_OR_PATH",
        envvar="HIPCLI_MODEL",
        help="A Hugging Face id, a local folder or a GGUF file.",
        rich_help_panel=MODEL,
    ),
]
AsJson = Annotated[
    bool,
    typer.Option("--json", metavar="", help="Print one JSON object at the end.", rich_help_panel=OUTPUT),
]
JsonLines = Annotated[
    bool,
    typer.Option(
        "--jsonl",
        metavar="",
        help="Print a line of JSON for each answer as soon as it is done.",
        rich_help_panel=OUTPUT,
    ),
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume",
        metavar="",
        help="With --jsonl and --output: keep the answers that FILE has, and make those it has not.",
        rich_help_panel=OUTPUT,
    ),
]
OutputFile = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="Write to FILE, which is replaced when the answers are complete.",
        rich_help_panel=OUTPUT,
        show_default=False,
    ),
]
Quiet = Annotated[
    bool,
    typer.Option("--quiet", metavar="", help="Print errors only.", rich_help_panel=MESSAGES),
]
