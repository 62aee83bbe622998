"""What HTML holds: sections of text, and counts of what is not in them."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Section:
    """Text below a title; without one, the text above the first."""

    title: str | None
    text: str


@dataclass(frozen=True)
class Markup:
    """What HTML holds. `hidden` and `navigation` count the characters that were left out, `scripts` those of programs,
    `shown` those that are hidden and were kept. `pictures` counts those without a text in their place, `frames` and
    `media` what is embedded from elsewhere.
    """

    title: str | None
    sections: tuple[Section, ...]
    hidden: int
    navigation: int
    scripts: int
    pictures: int
    frames: int
    media: int
    shown: int = 0

    @property
    def characters(self) -> int:
        return sum(len(section.text) + len(section.title or "") for section in self.sections)


def total(markups: Sequence[Markup]) -> Markup:
    """All sections of them, and their counts together."""
    counts = ("hidden", "navigation", "scripts", "pictures", "frames", "media", "shown")
    sections = tuple(section for markup in markups for section in markup.sections)
    return Markup(None, sections, **{name: sum(getattr(markup, name) for markup in markups) for name in counts})
