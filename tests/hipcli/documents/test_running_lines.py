import time

import pytest

from hipcli.documents.readers.pdf.running_lines import drop_running_lines

WORDS = "abcdefghijklmnopqrstuvwxyz"


def drop(pages: list[str], labels: list[str | None] | None = None) -> tuple[list[str], tuple[str, ...]]:
    return drop_running_lines(pages, labels or [None] * len(pages), keep=False)


def bodies(head: str = "", foot: str = "", first: int = 1, count: int = 8) -> list[str]:
    """Pages whose head and foot have the page's number for #."""
    return [
        "\n".join(line.replace("#", str(first + index)) for line in (head, f"body {WORDS[index]}", foot) if line)
        for index in range(count)
    ]


BODIES = bodies()


class TestPageNumbers:
    @pytest.mark.parametrize(
        "written",
        ["#", "- # -", "[#]", "# of 8", "#/300", "Page #", "Page # of 300", "Seite # von 12", "p. #", "第#页"],
    )
    @pytest.mark.parametrize("first", [1, 84])
    def test_go(self, written: str, first: int) -> None:
        said = f'"{written.replace("#", str(first))}" to "{written.replace("#", str(first + 7))}"'
        for pages in (bodies(foot=written, first=first), bodies(head=written, first=first)):
            assert drop(pages) == (BODIES, (f"page numbers: {said} on pages 1-8.",))

    def test_in_roman_figures(self) -> None:
        pages = [
            f"{roman}\nbody {WORDS[i]}" for i, roman in enumerate(["iv", "v", "vi", "vii", "viii", "ix", "x", "xi"])
        ]
        assert drop(pages) == (BODIES, ('page numbers: "iv" to "xi" on pages 1-8.',))

    def test_labels(self) -> None:
        pages = bodies(foot="A-#")
        assert drop(pages)[0] == pages
        assert drop(pages, [f"A-{number}" for number in range(1, 9)])[0] == BODIES

    def test_starting_again(self) -> None:
        pages = bodies(foot="#", count=5) + bodies(foot="#", count=6)
        assert drop(pages)[1] == ('page numbers: "1" to "5" on pages 1-5; "1" to "6" on pages 6-11.',)

    def test_chapters_that_begin_without(self) -> None:
        pages = bodies(foot="#")
        pages[3] = "Chapter 2\nbody d"
        assert drop(pages)[0] == [*BODIES[:3], "Chapter 2\nbody d", *BODIES[4:]]

    def test_of_selected_pages(self) -> None:
        pages = bodies(foot="#", first=40) + bodies(foot="#", first=90, count=2)
        dropped = drop_running_lines(pages, [None] * 10, keep=False, numbers=[*range(40, 48), 90, 91])
        assert dropped[0] == BODIES + bodies(foot="#", first=90, count=2)  # two pages are no run
        assert dropped[1] == ('page numbers: "40" to "47" on pages 40-47.',)

    def test_numbers_that_do_not_count_pages_stay(self) -> None:
        numbers = [17, 4, 99, 3, 58, 21, 7, 64]
        pages = [f"{body}\n{number}" for body, number in zip(BODIES, numbers, strict=True)]
        assert drop(pages) == (pages, ())

    def test_two_numbers_that_both_count(self) -> None:
        sonnets = [f"{18 + index}\n{page}" for index, page in enumerate(bodies(foot="#", first=5))]
        assert drop(sonnets) == (sonnets, ())
        labels: list[str | None] = [str(number) for number in range(5, 13)]
        assert drop(sonnets, labels)[0] == [f"{18 + index}\n{body}" for index, body in enumerate(BODIES)]

    def test_short_documents_are_left_alone(self) -> None:
        pages = bodies(foot="#", count=5)
        assert drop(pages) == (pages, ())


class TestContent:
    @pytest.mark.parametrize(
        "line",
        [
            "Invoice No. #",
            "Article #",
            "Question #",
            "Question # of 8",
            "# March 1911",
            "§ #",
            "#. Sonnet",
            "Invoice No. #, 12 High Street, Oxford, VAT 12345",
            "TRUE",
            "Total 0",
            "B Bern",
            "Signed by the chair",
            "}",
        ],
    )
    @pytest.mark.parametrize("first", [1, 2041])
    def test_stays(self, line: str, first: int) -> None:
        for pages in (bodies(head=line, first=first), bodies(foot=line, first=first)):
            assert drop(pages) == (pages, ())

    @pytest.mark.parametrize("line", ["Question #", "B Bern", "TRUE", "Confidential"])
    def test_stays_inside_page_numbers(self, line: str) -> None:
        for pages in (bodies(head=line, foot="#"), bodies(foot=f"{line}\n#")):
            kept, said = drop(pages)
            assert kept == [page.removesuffix(f"\n{number}") for number, page in enumerate(pages, 1)]
            assert said == ('page numbers: "1" to "8" on pages 1-8.',)

    def test_rows_of_a_table(self) -> None:
        numbers = [17, 4, 99, 3, 58, 21, 7, 64]
        pages = [f"{WORDS[n]}\n{number} {number * 7 % 50}" for n, number in enumerate(numbers)]
        assert drop(pages) == (pages, ())

    def test_all_that_a_page_says(self) -> None:
        pages = bodies(foot="#")
        pages[3] = "4"
        assert drop(pages)[0] == [*BODIES[:3], "4", *BODIES[4:]]

    def test_keep(self) -> None:
        pages = bodies(head="A Short History", foot="#")
        assert drop_running_lines(pages, [None] * 8, keep=True) == (pages, ())


class TestTitles:
    def test_outside_the_number(self) -> None:
        pages = bodies(head="A Short History\n#", foot="Page #\nConfidential")
        kept, said = drop(pages)
        assert kept == ["A Short History\nbody a\nConfidential", *BODIES[1:]]
        assert said == (
            'page numbers: "1" to "Page 8" on pages 1-8.',
            "running lines that an earlier page has, too (# is the page's number): "
            '"A Short History" on pages 2-8; "Confidential" on pages 2-8.',
        )

    def test_named_number_beside_a_title(self) -> None:
        pages = bodies(foot="Annual report | Page # of 8")
        assert drop(pages)[0] == [pages[0], *BODIES[1:]]

    def test_on_the_outer_sides_of_odd_and_even_pages(self) -> None:
        heads = ["# THE SIEGE", "CHAPTER TWO #"] * 4 + ["# THE SIEGE", "CHAPTER THREE #"] * 3
        pages = [f"{head.replace('#', str(n))}\nbody {WORDS[n]}" for n, head in enumerate(heads, 12)]
        kept, said = drop(pages)
        plain = [f"body {WORDS[n]}" for n in range(12, 26)]
        assert kept == [*pages[:2], *plain[2:9], pages[9], *plain[10:]]
        assert said == (
            "running lines that an earlier page has, too (# is the page's number): "
            '"# THE SIEGE" on pages 3, 5, 7, 9, 11, 13; "CHAPTER TWO #" on pages 4, 6, 8; '
            '"CHAPTER THREE #" on pages 12, 14.',
        )

    def test_where_other_pages_have_the_bare_number(self) -> None:
        pages = [
            page if number % 6 == 0 or number < 5 else f"A Short History {number}\n{page.splitlines()[0]}"
            for number, page in enumerate(bodies(foot="#", count=24), 1)
        ]
        assert [number for number, page in enumerate(drop(pages)[0], 1) if "History" in page] == [5]

    def test_where_the_document_calls_the_page_so(self) -> None:
        pages = bodies(head="A Short History #", first=31)
        assert drop(pages)[0] == pages
        assert drop(pages, [str(number) for number in range(31, 39)])[0] == [pages[0], *BODIES[1:]]

    def test_stamp_of_a_printer(self) -> None:
        pages = bodies(foot="VerDate Sep<11>2014 16:21 Aug 05, 2020 Jkt 25 PO 00 Frm # Fmt 4702 Sfmt 4702 06AUP1")
        assert drop(pages)[0] == [pages[0], *BODIES[1:]]


def test_takes_linear_time() -> None:
    pages = ["\n".join([" ".join("1" * 90)] * 3 + ["9" * 100_000, "i" * 100_000]) for _ in range(200)]
    started = time.perf_counter()
    drop(pages)
    assert time.perf_counter() - started < 5
