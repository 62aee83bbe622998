"""Things to find in a long text, after RULER's tasks (arXiv 2404.06654), in wording and with values of our own.

Every text but those of "single" holds several independent puzzles, so that reading it once serves several questions.
"""

import random
import re
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass

GROUPS = 4  # questions a text
KEYS = 12
VALUES = 4
HOPS = 5
LISTS = 8
COMMON = 3
RARE = 4

_ADJECTIVES = re.findall(
    r"\w+",
    """
    amber ancient brave bright broken calm clever copper crimson curious distant eager early empty faithful fierce
    frozen gentle golden hollow humble hungry idle ivory jolly lonely lucky marble mellow modest narrow noble pale
    patient polite proud quiet rapid royal rusty silent silver simple sleepy slender solemn steady sturdy tender
    velvet violet wandering weary wild wooden
    """,
)
_NOUNS = re.findall(
    r"\w+",
    """
    anchor apron badger barrel basket beacon blanket bridge cabin candle canyon carpet castle cellar cherry compass
    cottage cradle desert dragon falcon feather ferry flute forest fountain garden glacier hammer harbor helmet
    island jacket kettle ladder lantern lizard magnet mirror mountain needle orchard otter paddle parrot pepper
    pillow planet pocket puzzle rabbit ribbon river saddle salmon sparrow stable temple thunder ticket tunnel turtle
    valley violin wagon walnut window
    """,
)
_OWNERS = ("Agatha", "Benno", "Clothilde", "Dagmar")


@dataclass(frozen=True)
class Needle:
    """A sentence to put into the text, at the share `depth` of it."""

    text: str
    depth: float


@dataclass(frozen=True)
class Expected:
    """What an answer must hold. `depth` is where the text says so, None where it is all over the text."""

    text: str
    depth: float | None


@dataclass(frozen=True)
class Question:
    """A question, the words its answer begins with, and what must follow. `model_answer` is as long as it may get."""

    text: str
    opening: str
    expected: tuple[Expected, ...]
    model_answer: str


@dataclass(frozen=True)
class Puzzle:
    """What to hide, by ascending depth, and what to ask."""

    needles: tuple[Needle, ...]
    questions: tuple[Question, ...]


def puzzle(kind: str, seed: int, number: int, of: int, taken: str = "") -> Puzzle:
    """Puzzle `number` of `of` of a kind in KINDS; over all of them depths cover the text evenly.

    The same seed gives the same puzzle. Nothing in `taken`, the text to hide it in, is used as a value or a name.
    """
    draw = _Draw(random.Random(f"{seed} {kind} {number}"), taken, (number + 0.5) / of, number)
    needles, questions = KINDS[kind](draw)
    return Puzzle(tuple(sorted(needles, key=lambda needle: needle.depth)), tuple(questions))


class _Draw:
    """Random parts of one puzzle, no two alike. `phase` in (0, 1) shifts its depths, `number` is the puzzle's own."""

    def __init__(self, rng: random.Random, taken: str, phase: float, number: int) -> None:
        self.rng = rng
        self.number = number
        self._taken = taken
        self._phase = phase
        self._used: set[str] = set()

    def depths(self, count: int) -> list[float]:
        """`count` depths, evenly spaced, ascending."""
        return [(i + self._phase) / count for i in range(count)]

    def scattered(self, count: int, groups: int) -> list[list[float]]:
        """The depths of `count` needles dealt to `groups` groups at random, ascending in each."""
        depths = self.depths(count)
        self.rng.shuffle(depths)
        return [sorted(depths[i::groups]) for i in range(groups)]

    def name(self) -> str:
        return self._new(lambda: f"{self.rng.choice(_ADJECTIVES)} {self.rng.choice(_NOUNS)}")

    def value(self) -> str:
        return self._new(lambda: str(self.rng.randrange(1_000_000, 10_000_000)))

    def variable(self) -> str:
        return self._new(lambda: "".join(self.rng.choices(string.ascii_uppercase, k=5)))

    def _new(self, make: Callable[[], str]) -> str:
        while (text := make()) in self._used or text in self._taken:
            pass
        self._used.add(text)
        return text


Made = tuple[list[Needle], list[Question]]


def _single(draw: _Draw) -> Made:
    return _pairs(draw, 1, [[0]])


def _multikey(draw: _Draw) -> Made:
    return _pairs(draw, KEYS, [[(draw.number + i * KEYS // GROUPS) % KEYS] for i in range(GROUPS)])


def _multiquery(draw: _Draw) -> Made:
    order = draw.rng.sample(range(GROUPS * VALUES), GROUPS * VALUES)
    return _pairs(draw, len(order), [sorted(order[i::GROUPS]) for i in range(GROUPS)])


def _pairs(draw: _Draw, count: int, asked: Sequence[Sequence[int]]) -> Made:
    """`count` names with one number each, and a question for every list of names."""
    facts = [(draw.name(), draw.value(), depth) for depth in draw.depths(count)]
    needles = [Needle(f"The special number of the {name} is {value}.", depth) for name, value, depth in facts]
    questions = []
    for chosen in asked:
        names = _listed([f"the {facts[i][0]}" for i in chosen])
        noun = "special number" if len(chosen) == 1 else "special numbers"
        verb = "is" if len(chosen) == 1 else "are"
        expected = tuple(Expected(facts[i][1], facts[i][2]) for i in chosen)
        answer = _listed([facts[i][1] for i in chosen])
        if len(chosen) > 1:
            answer += " " + _listed([f"the {facts[i][0]}: {facts[i][1]}" for i in chosen])
        questions.append(
            Question(
                f"What {verb} the {noun} of {names}, by the text?", f"The {noun} of {names} {verb}", expected, answer
            )
        )
    return needles, questions


def _multivalue(draw: _Draw) -> Made:
    needles, questions = [], []
    for depths in draw.scattered(GROUPS * VALUES, GROUPS):
        name, values = draw.name(), [draw.value() for _ in depths]
        needles += [
            Needle(f"One of the special numbers of the {name} is {value}.", depth)
            for value, depth in zip(values, depths, strict=True)
        ]
        questions.append(
            Question(
                f"The text gives {len(values)} special numbers of the {name}. What are all of them?",
                f"The {len(values)} special numbers of the {name} are",
                tuple(map(Expected, values, depths)),
                _listed(values),
            )
        )
    return needles, questions


def _variables(draw: _Draw) -> Made:
    needles, questions = [], []
    for depths in draw.scattered(GROUPS * HOPS, GROUPS):
        names, value = [draw.variable() for _ in depths], draw.value()
        sources = [value, *(f"the value of variable {name}" for name in names[:-1])]
        needles += [
            Needle(f"Variable {name} is set to {source}.", depth)
            for name, source, depth in zip(names, sources, depths, strict=True)
        ]
        questions.append(
            Question(
                f"Which {len(names)} variables in the text have the value {value}, set directly or through another?",
                f"The {len(names)} variables with the value {value} are named",
                tuple(map(Expected, names, depths)),
                _listed(names),
            )
        )
    return needles, questions


def _words(draw: _Draw) -> Made:
    needles, questions = [], []
    for owner, depths in zip(_OWNERS, draw.scattered(GROUPS * LISTS, GROUPS), strict=True):
        words = draw.rng.sample(_NOUNS, COMMON + LISTS * RARE)
        common, rare = words[:COMMON], words[COMMON:]
        for i, depth in enumerate(depths):
            listed = common + rare[i * RARE : (i + 1) * RARE]
            draw.rng.shuffle(listed)
            needles.append(Needle(f"{owner} wrote a list: {', '.join(listed)}.", depth))
        questions.append(
            Question(
                f"Which {COMMON} words stand in every list that {owner} wrote?",
                f"The {COMMON} words in every list of {owner} are",
                tuple(Expected(word, None) for word in common),
                _listed(common),
            )
        )
    return needles, questions


def _listed(items: Sequence[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


KINDS: dict[str, Callable[[_Draw], Made]] = {
    "single": _single,
    "multikey": _multikey,
    "multivalue": _multivalue,
    "multiquery": _multiquery,
    "variables": _variables,
    "words": _words,
}
