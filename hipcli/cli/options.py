"""Command-line options shared by several verbs, each declared once."""

from pathlib import Path
from typing import Annotated, Literal

import typer
from hip_attention.config import HipConfig, Selector

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

Paths = Annotated[
    list[str] | None,
    typer.Argument(metavar="PATH", help="Files, directories, or - for standard input.", show_default=False),
]
Include = Annotated[
    list[str] | None,
    typer.Option(
        "--include",
        metavar="GLOB",
        help="In directories, read only matching files. Repeatable.",
        rich_help_panel=INPUT,
        show_default=False,
    ),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option(
        "--exclude",
        metavar="GLOB",
        help="In directories, skip matching files. Repeatable.",
        rich_help_panel=INPUT,
        show_default=False,
    ),
]
NoGitignore = Annotated[
    bool,
    typer.Option(
        "--no-gitignore", metavar="", help="In directories, read what .gitignore excludes too.", rich_help_panel=INPUT
    ),
]
Pages = Annotated[
    str | None,
    typer.Option(
        "--pages",
        metavar="RANGES",
        help="Pages of a PDF to read, such as 3-40,77.",
        rich_help_panel=INPUT,
        show_default=False,
    ),
]
SessionName = Annotated[
    str | None,
    typer.Option(
        "--session",
        metavar="NAME",
        help="Keep what the model read of these documents under NAME, and take it from there in later runs.",
        rich_help_panel=INPUT,
        show_default=False,
    ),
]
Password = Annotated[
    str | None,
    typer.Option(
        "--password",
        metavar="TEXT",
        help="Password of encrypted PDFs.",
        envvar="HIPCLI_PASSWORD",
        rich_help_panel=INPUT,
        show_default=False,
    ),
]
Encoding = Annotated[
    str | None,
    typer.Option(
        "--encoding",
        metavar="NAME",
        help="Encoding of text files, where it is not found by itself.",
        rich_help_panel=INPUT,
        show_default=False,
    ),
]

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
Parameters = Annotated[
    list[str] | None,
    typer.Option(
        "--param",
        metavar="KEY=VALUE",
        help="Value for a parameter of the prompt. Repeatable.",
        rich_help_panel=PROMPT,
        show_default=False,
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
Device = Annotated[
    str,
    typer.Option(
        "--device", metavar="NAME", help="auto, cpu, cuda or cuda:N.", envvar="HIPCLI_DEVICE", rich_help_panel=MODEL
    ),
]
ModelDtype = Annotated[
    Dtype,
    typer.Option("--dtype", help="Number format of the weights.", envvar="HIPCLI_DTYPE", rich_help_panel=MODEL),
]
KvCache = Annotated[
    KvCacheKind,
    typer.Option(
        "--kv-cache",
        help="What the model's keys and values are kept as: int8 takes about half the memory; "
        "auto takes it where full does not fit.",
        envvar="HIPCLI_KV_CACHE",
        rich_help_panel=MODEL,
    ),
]

Attention = Annotated[
    AttentionKind,
    typer.Option(
        "--attention",
        help="hip selects keys, streaming sees only sink and window, dense sees all keys.",
        envvar="HIPCLI_ATTENTION",
        rich_help_panel=ATTENTION,
    ),
]
TopK = Annotated[
    int | None,
    typer.Option(
        "--top-k",
        min=0,
        metavar="TOKENS",
        help="Keys every query block selects. Unless said: "
        f"{ATTENTION_DEFAULTS.top_k}, at stretched positions {STRETCHED_TOP_K}.",
        envvar="HIPCLI_TOP_K",
        rich_help_panel=ATTENTION,
    ),
]
RefreshInterval = Annotated[
    int | None,
    typer.Option(
        "--refresh-interval",
        min=1,
        metavar="TOKENS",
        help=f"Answer tokens that share one selection. Unless said: {ATTENTION_DEFAULTS.refresh_interval}, "
        f"on a GPU {GPU_REFRESH}.",
        envvar="HIPCLI_REFRESH_INTERVAL",
        rich_help_panel=ATTENTION,
    ),
]
Window = Annotated[
    int | None,
    typer.Option(
        "--window",
        min=1,
        metavar="TOKENS",
        help=f"Most recent keys, always seen. Unless said: {ATTENTION_DEFAULTS.window}, past the trained window up to "
        f"{LONG_WINDOW}.",
        envvar="HIPCLI_WINDOW",
        rich_help_panel=ATTENTION,
    ),
]
Sink = Annotated[
    int,
    typer.Option(
        "--sink",
        min=0,
        metavar="TOKENS",
        help="First keys, always seen.",
        envvar="HIPCLI_SINK",
        rich_help_panel=ATTENTION,
    ),
]
DenseLayers = Annotated[
    int,
    typer.Option(
        "--dense-layers",
        min=0,
        metavar="N",
        help="First layers that see all keys.",
        envvar="HIPCLI_DENSE_LAYERS",
        rich_help_panel=ATTENTION,
    ),
]
KeySelector = Annotated[
    Selector,
    typer.Option("--selector", help="How keys are found.", envvar="HIPCLI_SELECTOR", rich_help_panel=ATTENTION),
]
Positions = Annotated[
    PositionKind,
    typer.Option(
        "--positions",
        help="packed numbers the keys a token sees one after the other, exact as they stand in the prompt, yarn "
        "stretches the model's trained window up to 4 times; auto takes yarn for Qwen 2 and 3 and packed for others "
        "where the prompt is longer than the window.",
        envvar="HIPCLI_POSITIONS",
        rich_help_panel=ATTENTION,
    ),
]

Temperature = Annotated[
    float,
    typer.Option(
        "--temperature",
        "-t",
        min=0,
        metavar="NUMBER",
        help="0 always takes the likeliest token.",
        envvar="HIPCLI_TEMPERATURE",
        rich_help_panel=SAMPLING,
    ),
]
TopP = Annotated[
    float,
    typer.Option(
        "--top-p",
        metavar="NUMBER",
        min=0,
        max=1,
        help="Sample among the likeliest tokens of this total probability.",
        envvar="HIPCLI_TOP_P",
        rich_help_panel=SAMPLING,
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(
        "--seed",
        metavar="NUMBER",
        min=0,
        help="Make sampling repeatable.",
        envvar="HIPCLI_SEED",
        rich_help_panel=SAMPLING,
        show_default=False,
    ),
]

MaxTokens = Annotated[
    int,
    typer.Option(
        "--max-tokens",
        "-n",
        min=1,
        metavar="TOKENS",
        help="Longest answer.",
        envvar="HIPCLI_MAX_TOKENS",
        rich_help_panel=OUTPUT,
    ),
]
AsJson = Annotated[
    bool,
    typer.Option("--json", metavar="", help="Print one JSON object at the end.", rich_help_panel=OUTPUT),
]
OutputFile = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="Write to FILE, which changes only when all went well.",
        rich_help_panel=OUTPUT,
        show_default=False,
    ),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run", metavar="", help="Count tokens and memory, say whether it fits, and stop.", rich_help_panel=OUTPUT
    ),
]

Verbose = Annotated[
    bool,
    typer.Option(
        "--verbose", "-v", metavar="", help="Print statistics, and what the libraries say.", rich_help_panel=MESSAGES
    ),
]
Quiet = Annotated[
    bool,
    typer.Option("--quiet", metavar="", help="Print errors only.", rich_help_panel=MESSAGES),
]
