"""Pictures by matplotlib, which not everybody has."""

from pathlib import Path
from typing import TYPE_CHECKING

from hipcli.errors import HipError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def blank(option: str, size: tuple[float, float]) -> "Figure":
    """An empty figure of `size` inches for `option`. Raises HipError where matplotlib is missing."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise HipError(f"{option} needs the package matplotlib", "pip install 'hipcli[eval]'") from error
    return Figure(figsize=size, layout="constrained")


def save(figure: "Figure", path: Path, dots: int) -> None:
    """Write a figure at so many dots per inch. Raises HipError where the file cannot be written."""
    try:
        figure.savefig(path, dpi=dots)
    except (OSError, ValueError) as error:
        raise HipError(f"{path}: {error}") from error
