"""Where the attention of answers lies, page by page, as a picture."""

from pathlib import Path

from hipcli.errors import ExitCode, HipError
from hipcli.output.figure import blank, save
from hipcli.output.messages import one_line
from hipcli.output.places import name_of
from hipcli.output.result import Result

_LONGEST = 60  # characters of a title
_HOTTEST = 8.0  # times the mean: as hot as can be shown


def check(path: Path) -> None:
    """Raise HipError, exit code 2, where the picture cannot be drawn or the file not be written."""
    blank("--heatmap", (1, 1))
    if path.suffix.lower() not in (".png", ".pdf", ".svg"):
        raise HipError(f"--heatmap {path}: not the name of a picture", "end it in .png, .pdf or .svg", ExitCode.USAGE)
    if not path.absolute().parent.is_dir():
        raise HipError(f"--heatmap {path}: there is no such folder", None, ExitCode.USAGE)


def draw(result: Result, path: Path) -> None:
    """A row an answer and document with pages. Raises HipError where there is none or the file cannot be written."""
    rows = []
    for answer in result.answers:
        for document, heats in zip(answer.documents, answer.evidence.heat or (), strict=False):
            if len(heats) > 1:
                title = f"{_short(answer.question or 'Summary')}  ({_short(Path(name_of(document)).name)})"
                rows.append((title.replace("$", r"\$"), document.unit or "page", list(heats)))
    if not rows:
        raise HipError("--heatmap: no document has pages", "--sources shows passages of documents without pages")
    figure = blank("--heatmap", (9, 0.6 + 0.9 * len(rows)))
    panels = figure.subplots(len(rows), squeeze=False)[:, 0]
    for panel, (title, unit, heats) in zip(panels, rows, strict=True):
        panel.imshow(
            [heats], vmin=0, vmax=_HOTTEST, cmap="cividis", aspect="auto", extent=(0.5, len(heats) + 0.5, 0, 1)
        )
        panel.set_title(title, fontsize="small", loc="left")
        panel.set_yticks([])
        panel.set_xlabel(unit, fontsize="x-small")
        panel.tick_params(labelsize="x-small")
    figure.colorbar(panels[0].images[0], ax=panels, label="times the mean")
    save(figure, path, 150)


def _short(text: str) -> str:
    line = one_line(text)
    return line if len(line) <= _LONGEST else line[: _LONGEST - 3] + "..."
