"""Where the attention of answers lies, page by page, as a picture."""

import os
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from hipcli.documents.document import Document
from hipcli.errors import ExitCode, HipError
from hipcli.output.figure import blank, save
from hipcli.output.messages import one_line
from hipcli.output.places import name_of
from hipcli.output.result import Result

HOTTEST = 8.0  # times the mean: as hot as can be shown
_LONGEST = 60  # characters of a title
_COLUMNS = 1000  # about as many as there are dots


def check(path: Path) -> None:
    """Raise HipError, exit code 2, where the picture cannot be drawn or the file not be written."""
    blank("--heatmap", (1, 1))
    if path.suffix.lower() not in (".png", ".pdf", ".svg"):
        raise HipError(f"--heatmap {path}: not the name of a picture", "end it in .png, .pdf or .svg", ExitCode.USAGE)
    folder = path.absolute().parent
    if not folder.is_dir():
        raise HipError(f"--heatmap {path}: there is no such folder", None, ExitCode.USAGE)
    if path.is_dir() or not os.access(path if path.exists() else folder, os.W_OK):
        raise HipError(f"--heatmap {path}: cannot be written", None, ExitCode.USAGE)


def check_documents(documents: Sequence[Document]) -> None:
    """Raise HipError where there is nothing to draw."""
    if not any(len(document.pages) > 1 for document in documents):
        raise _nothing()


def draw(result: Result, path: Path) -> None:
    """A row an answer and document with pages. Raises HipError where there is none or the file cannot be written."""
    rows = []
    for answer in result.answers:
        for document, heats in zip(answer.documents, answer.evidence.heat or (), strict=False):
            if len(heats) > 1:
                title = f"{_short(answer.question or 'Summary')}  ({_short(Path(name_of(document)).name)})"
                rows.append((title, document.unit or "page", heats))
    if not rows:
        raise _nothing()
    figure = blank("--heatmap", (9, 0.6 + 0.9 * len(rows)))
    panels = figure.subplots(len(rows), squeeze=False)[:, 0]
    for panel, (title, unit, heats) in zip(panels, rows, strict=True):
        extent = (0.5, len(heats) + 0.5, 0, 1)
        panel.imshow([_hottest(heats)], vmin=0, vmax=HOTTEST, cmap="cividis", aspect="auto", extent=extent)
        panel.set_title(title, fontsize="small", loc="left", parse_math=False)
        panel.set_yticks([])
        panel.xaxis.get_major_locator().set_params(integer=True)
        panel.set_xlabel(unit, fontsize="x-small")
        panel.tick_params(labelsize="x-small")
    image = panels[0].images[0]
    bar = figure.colorbar(image, ax=panels, ticks=[0, 4, 8], extend="max", pad=0.01, aspect=8 * len(rows))
    bar.set_label("times the mean", fontsize="x-small")
    bar.ax.tick_params(labelsize="x-small")
    save(figure, path, 150)


def _nothing() -> HipError:
    return HipError("--heatmap: no document has pages", "--sources shows passages of documents without pages")


def _hottest(heats: Sequence[float]) -> list[float]:
    """The hottest page of each column, so that one among very many pages does not fade."""
    columns = min(len(heats), _COLUMNS)
    edges = [column * len(heats) // columns for column in range(columns + 1)]
    return [max(heats[start:stop]) for start, stop in pairwise(edges)]


def _short(text: str) -> str:
    line = one_line(text)
    return line if len(line) <= _LONGEST else line[: _LONGEST - 3] + "..."
