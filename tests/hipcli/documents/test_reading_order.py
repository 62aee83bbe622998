import pytest

from hipcli.documents.readers.pictures.reading_order import Line, arrange, straighten


def block(left: float, top: float, *texts: str, width: float = 400) -> list[Line]:
    """Lines 20 pixels high, 26 apart, one below the other."""
    return [Line(text, left, top + 26 * row, left + width, top + 26 * row + 20) for row, text in enumerate(texts)]


def test_two_columns_are_read_one_after_the_other() -> None:
    left, right = block(0, 0, "a1", "a2", "a3"), block(420, 7, "b1", "b2", "b3")
    assert arrange(left + right) == "a1\na2\na3\nb1\nb2\nb3"


def test_lines_across_the_page_part_its_columns() -> None:
    head = block(0, 0, "heading", width=820)
    above = block(0, 40, "a1", "a2") + block(420, 40, "b1", "b2")
    between = block(0, 110, "across", width=820)
    below = block(0, 150, "c1", "c2") + block(420, 150, "d1", "d2")
    order = arrange(below + between + above + head).replace("\n\n", "\n").split("\n")
    assert order == ["heading", "a1", "a2", "b1", "b2", "across", "c1", "c2", "d1", "d2"]


def test_a_short_line_at_the_end_of_a_column_stays_in_it() -> None:
    left = [*block(0, 0, "a1", "a2"), *block(0, 52, "end", width=60)]
    assert arrange(left + block(420, 0, "b1", "b2", "b3")) == "a1\na2\nend\nb1\nb2\nb3"


def test_a_table_is_read_row_by_row() -> None:
    names, numbers = block(0, 0, "Ann", "Bob", "Cid", width=80), block(300, 2, "1", "2", "3", width=30)
    assert arrange(numbers + names) == "Ann  1\nBob  2\nCid  3"


def test_a_line_found_in_two_parts_is_put_together() -> None:
    assert arrange([Line("later", 210, 1, 300, 21), Line("sooner or", 0, 0, 200, 20)]) == "sooner or later"


def test_an_empty_line_stands_between_paragraphs() -> None:
    assert arrange(block(0, 0, "a1", "a2", "a3") + block(0, 120, "b1", "b2")) == "a1\na2\na3\n\nb1\nb2"


def test_a_skewed_page_keeps_its_rows() -> None:
    # Over 1,000 pixels the page falls by 80, which is three rows.
    def corners(left: float, top: float, width: float) -> list[tuple[float, float]]:
        ends = [(left, top), (left + width, top), (left + width, top + 20), (left, top + 20)]
        return [(x, y + 0.08 * x) for x, y in ends]

    found = [(f"{name}{row}", corners(x, 26 * row, 450)) for row in (1, 2, 3) for name, x in (("a", 0), ("b", 500))]
    assert arrange(straighten(found)) == "a1\na2\na3\nb1\nb2\nb3"


def test_nothing_is_nothing() -> None:
    assert arrange(straighten([])) == ""


@pytest.mark.parametrize("columns", [1, 2])
def test_many_lines_take_little_time(columns: int) -> None:
    lines = [line for column in range(columns) for line in block(60 * column, 0, *map(str, range(1000)), width=50)]
    assert arrange(lines).split("\n")[-1].split()[0] == "999"
