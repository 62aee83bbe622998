"""`hip summarize`: one summary of everything, or with --each one a file."""

from typing import Annotated

import typer

from hipcli.cli import options as o
from hipcli.models.resolve import DEFAULT_MODEL

Length = Annotated[
    o.SummaryLength,
    typer.Option(
        "--length", "-l", help="How long a summary to ask for.", envvar="HIPCLI_LENGTH", rich_help_panel=o.PROMPT
    ),
]
Each = Annotated[
    bool,
    typer.Option("--each", metavar="", help="One summary a file instead of one of all files.", rich_help_panel=o.INPUT),
]


def summarize(
    ctx: typer.Context,
    paths: o.Paths = None,
    each: Each = False,
    include: o.Include = None,
    exclude: o.Exclude = None,
    no_gitignore: o.NoGitignore = False,
    pages: o.Pages = None,
    password: o.Password = None,
    encoding: o.Encoding = None,
    session: o.SessionName = None,
    length: Length = "medium",
    prompt: o.PromptName = "summarize",
    parameters: o.Parameters = None,
    model: o.ModelName = DEFAULT_MODEL,
    device: o.Device = "auto",
    dtype: o.ModelDtype = "auto",
    kv_cache: o.KvCache = "auto",
    attention: o.Attention = "hip",
    top_k: o.TopK = None,
    refresh_interval: o.RefreshInterval = None,
    window: o.Window = None,
    sink: o.Sink = o.ATTENTION_DEFAULTS.sink,
    dense_layers: o.DenseLayers = o.ATTENTION_DEFAULTS.dense_layers,
    selector: o.KeySelector = o.ATTENTION_DEFAULTS.selector,
    positions: o.Positions = "auto",
    temperature: o.Temperature = 0.0,
    top_p: o.TopP = 1.0,
    seed: o.Seed = None,
    max_tokens: o.MaxTokens = o.ANSWER_TOKENS,
    as_json: o.AsJson = False,
    output: o.OutputFile = None,
    dry_run: o.DryRun = False,
    verbose: o.Verbose = False,
    quiet: o.Quiet = False,
) -> int:
    """Summarize files, directories or standard input. All documents are read together, in one prompt, and get one
    summary; with --each every file gets its own. Nothing is cut off: what does not fit is refused, and --dry-run
    tells beforehand.
    """
    from hipcli.cli.settings import gather
    from hipcli.run import Task, run

    return run(Task("summarize", [None], each, can_split=not each), paths, gather(ctx))
