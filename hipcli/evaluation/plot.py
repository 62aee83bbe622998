"""The heat map of depth and length as a picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from hipcli.output.figure import blank, save


def draw(maps: Mapping[str, Mapping[int, Sequence[float | None]]], path: Path) -> None:
    """One panel a spec, colour for the share found. Raises HipError where matplotlib is missing or the file fails."""
    figure = blank("eval: --plot", (6, 1 + 1.2 * sum(0.5 + len(cells) * 0.3 for cells in maps.values())))
    panels = figure.subplots(len(maps), squeeze=False)[:, 0]
    for panel, (name, cells) in zip(panels, maps.items(), strict=True):
        values = [[float("nan") if share is None else share for share in shares] for shares in cells.values()]
        panel.imshow(values, vmin=0, vmax=1, cmap="RdYlGn", aspect="auto")
        panel.set_title(name, fontsize="medium")
        panel.set_yticks(range(len(cells)), [f"{context:,}" for context in cells])
        panel.set_xticks(range(10), [f"{10 * i}" for i in range(10)])
    panels[-1].set_xlabel("depth, % of the text")
    figure.supylabel("tokens")
    figure.colorbar(panels[0].images[0], ax=panels, label="share found")
    save(figure, path, 150)
