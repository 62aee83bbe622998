"""Running heads and feet: page numbers, and titles that stand beside them.

A number at the edge of a page may as well be content: "Question 4", "Invoice No. 2042", the date in a diary. So a
line goes only if its number is the page's own, and the first of each title stays. Lines without a number stay, even
if every page repeats them: the last rows of tables, options in an exam and signatures do so, too.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from hipcli.documents.page_ranges import format_page_ranges
from hipcli.documents.readers.pdf.page_numbers import Numbered, numbers_in

_MIN_PAGES = 6  # fewer pages have too few lines to tell a running line from a coincidence
_MIN_RUN = 4  # pages that count on, before their numbers are believed
_MAX_GAP = 3  # pages of such a run from one number to the next: chapters often begin without one
_MIN_REPEATS = 3
_MIN_STILL_NUMBERS = 10  # a line with so many numbers of which one counts pages is a stamp of the printer
_EDGE_LINES = 3

_Place = tuple[int, int]  # which page, counting from 0, and which line
_Title = tuple[str, str]  # what a line says before and after its number


def drop_running_lines(
    texts: Sequence[str], labels: Sequence[str | None], keep: bool, numbers: Sequence[int] | None = None
) -> tuple[list[str], tuple[str, ...]]:
    """`texts` of pages without their running lines, and sentences that say what was dropped; all of it if `keep`.

    `labels` are what the document calls the pages; `numbers` counts them (from 1), by default 1, 2, 3 and so on.
    """
    if keep or len(texts) < _MIN_PAGES:
        return list(texts), ()
    numbers = range(1, len(texts) + 1) if numbers is None else numbers
    pages = [text.split("\n") for text in texts]
    edges = _Edges(pages, labels, numbers)
    bare = _page_numbers(edges)
    titles = _titles(edges, bare)
    outside = _outside(edges, {*bare, *titles})
    dropped = {*bare, *_but_the_first(titles), *_but_the_first(outside)}
    kept = [
        "\n".join(line for row, line in enumerate(lines) if (page, row) not in dropped).strip("\n")
        for page, lines in enumerate(pages)
    ]
    return kept, tuple(_sentences(edges, bare, titles, outside))


class _Edges:
    """The first and the last lines of pages, outermost first, with the numbers on them."""

    def __init__(self, pages: Sequence[Sequence[str]], labels: Sequence[str | None], numbers: Sequence[int]) -> None:
        self.pages, self.labels, self.numbers = pages, labels, numbers
        self.lines: list[tuple[list[_Place], list[_Place]]] = []
        self.found: dict[_Place, list[Numbered]] = {}
        for page, lines in enumerate(pages):
            rows = [row for row, line in enumerate(lines) if line.strip()]
            if len(rows) == 1:
                rows = []  # all that the page says
            # A line is at one edge only: on a short page the nearer one.
            first = rows[: min(_EDGE_LINES, (len(rows) + 1) // 2)]
            last = rows[::-1][: min(_EDGE_LINES, len(rows) // 2)]
            self.lines.append(([(page, row) for row in first], [(page, row) for row in last]))
            for row in (*first, *last):
                self.found[page, row] = list(numbers_in(lines[row], labels[page]))

    def text(self, place: _Place) -> str:
        return self.pages[place[0]][place[1]].strip()

    def offset(self, place: _Place, found: Numbered) -> int:
        return found.value - self.numbers[place[0]]

    def outermost(self, known: Iterable[_Place] = ()) -> Iterator[tuple[_Place, int]]:
        """The outermost lines, each with its edge (0 or 1), and the next ones where `known` lines are outside."""
        known = set(known)
        for both in self.lines:
            for edge, places in enumerate(both):
                for place in places:
                    yield place, edge
                    if place not in known:
                        break


def _page_numbers(edges: _Edges) -> dict[_Place, Numbered]:
    """Lines that say no more than the page's number, which goes up by one a page in a run of pages."""
    counting: dict[tuple[str, int], list[tuple[_Place, Numbered]]] = defaultdict(list)
    repeated = _repeated(edges)
    for place, _ in edges.outermost(repeated):
        for found in edges.found[place]:
            if found.bare:
                counting[found.style, edges.offset(place, found)].append((place, found))
    candidates: dict[int, list[tuple[_Place, Numbered]]] = defaultdict(list)
    for lines in counting.values():
        for place, found in _runs(lines, edges.numbers):
            candidates[place[0]].append((place, found))
    return dict(line for page, lines in candidates.items() for line in _own(lines, edges.labels[page]))


def _runs(lines: list[tuple[_Place, Numbered]], numbers: Sequence[int]) -> Iterator[tuple[_Place, Numbered]]:
    run: list[tuple[_Place, Numbered]] = []
    for line in lines:
        if run and numbers[line[0][0]] - numbers[run[-1][0][0]] > _MAX_GAP:
            if len(run) >= _MIN_RUN:
                yield from run
            run = []
        run.append(line)
    if len(run) >= _MIN_RUN:
        yield from run


def _own(lines: list[tuple[_Place, Numbered]], label: str | None) -> list[tuple[_Place, Numbered]]:
    """Those of the lines of one page that have the page's number: none if they differ and nothing says which."""
    if len({found.value for _, found in lines}) == 1:
        return lines
    for said in (
        [line for line in lines if line[1].written == label],
        [line for line in lines if line[1].named],
    ):
        if len({found.value for _, found in said}) == 1:
            return said
    return []


def _titles(edges: _Edges, bare: dict[_Place, Numbered]) -> dict[_Place, _Title]:
    """Lines with words and the page's own number, where other evidence than the line itself says that it is."""
    heads: dict[tuple[int, int], dict[_Title, list[tuple[_Place, Numbered]]]] = defaultdict(lambda: defaultdict(list))
    for place, edge in edges.outermost({*bare, *_repeated(edges)}):
        for found in edges.found[place]:
            if not found.bare and (found.named or found.first or found.last):
                heads[edge, edges.offset(place, found)][found.before, found.after].append((place, found))
    numbered = {place[0] for place in bare}
    bare_offsets = [edges.offset(place, found) for place, found in bare.items()]
    titles = dict(_stamps(edges))
    for (_, offset), groups in heads.items():
        mirrored = _mirrored(groups, edges.numbers)
        known = mirrored or bare_offsets.count(offset) >= _MIN_REPEATS or _labelled(groups, edges)
        for title, lines in groups.items():
            named = sum(found.named for _, found in lines) >= _MIN_RUN
            for place, _ in lines:
                if named or (known and (mirrored or place[0] not in numbered)):
                    titles[place] = title
    return titles


def _mirrored(groups: dict[_Title, list[tuple[_Place, Numbered]]], numbers: Sequence[int]) -> bool:
    """Whether the number stands outside the title, on the left of even pages and on the right of odd ones."""
    parities: dict[bool, set[int]] = {True: set(), False: set()}
    repeated = dict.fromkeys(parities, False)
    for lines in groups.values():
        left = lines[0][1].first
        parities[left] |= {numbers[place[0]] % 2 for place, _ in lines}
        repeated[left] |= len(lines) >= _MIN_REPEATS
    return all(repeated.values()) and parities[True].isdisjoint(parities[False])


def _labelled(groups: dict[_Title, list[tuple[_Place, Numbered]]], edges: _Edges) -> bool:
    """Whether the document calls these pages by these numbers, and not only because it counts them from 1."""
    return any(
        sum(
            found.written == edges.labels[place[0]] and found.value != edges.numbers[place[0]] for place, found in lines
        )
        >= _MIN_REPEATS
        for lines in groups.values()
    )


def _stamps(edges: _Edges) -> Iterator[tuple[_Place, _Title]]:
    counting: dict[tuple[_Title, int], list[_Place]] = defaultdict(list)
    for place, numbers in edges.found.items():
        if len(numbers) > _MIN_STILL_NUMBERS:
            for found in numbers:
                counting[(found.before, found.after), edges.offset(place, found)].append(place)
    for (title, _), places in counting.items():
        if len(places) >= _MIN_REPEATS:
            yield from ((place, title) for place in places)


def _repeated(edges: _Edges) -> set[_Place]:
    """Lines that pages repeat word for word at the same edge."""
    alike: dict[tuple[int, str], list[_Place]] = defaultdict(list)
    for both in edges.lines:
        for edge, places in enumerate(both):
            for place in places:
                alike[edge, edges.text(place)].append(place)
    return {place for places in alike.values() if len(places) >= _MIN_REPEATS for place in places}


def _outside(edges: _Edges, known: set[_Place]) -> dict[_Place, _Title]:
    """Repeated lines between the page's own number and the edge of the page, where no content stands."""
    repeated = _repeated(edges) - known
    return {
        place: (edges.text(place), "")
        for both in edges.lines
        for places in both
        for index, place in enumerate(places)
        if place in repeated and any(inner in known for inner in places[index + 1 :])
    }


def _but_the_first(titles: dict[_Place, _Title]) -> Iterator[_Place]:
    seen: set[_Title] = set()
    for place, title in sorted(titles.items()):
        if title in seen:
            yield place
        seen.add(title)


def _sentences(
    edges: _Edges, bare: dict[_Place, Numbered], titles: dict[_Place, _Title], outside: dict[_Place, _Title]
) -> Iterator[str]:
    if bare:
        counting: dict[tuple[str, int], list[_Place]] = defaultdict(list)
        for place, found in sorted(bare.items(), key=lambda line: line[0]):
            counting[found.style, edges.offset(place, found)].append(place)
        said = "; ".join(
            f'"{edges.text(places[0])}" to "{edges.text(places[-1])}" on {_on(edges, places)}'
            for places in counting.values()
        )
        yield f"page numbers: {said}."
    lines: dict[str, list[_Place]] = defaultdict(list)
    for numbered, mark in ((titles, "#"), (outside, "")):
        for place in _but_the_first(numbered):
            lines[mark.join(numbered[place])].append(place)
    if lines:
        said = "; ".join(f'"{line}" on {_on(edges, places)}' for line, places in lines.items())
        yield f"running lines that an earlier page has, too (# is the page's number): {said}."


def _on(edges: _Edges, places: Iterable[_Place]) -> str:
    numbers = sorted({edges.numbers[page] for page, _ in places})
    return f"{'page' if len(numbers) == 1 else 'pages'} {format_page_ranges(numbers)}"
