import time

import pytest

from hipcli.documents.readers.hyphens import join_hyphenated
from hipcli.documents.readers.pdf_text import clean
from hipcli.documents.readers.running_lines import drop_running_lines as drop_running_lines_and_say


def drop_running_lines(texts: list[str]) -> list[str]:
    return drop_running_lines_and_say(texts, [None] * len(texts), keep=False)[0]


class TestRepairs:
    def test_clean(self) -> None:
        raw = "a\x00b \r\nc\x0fd\te\r\n\ufb01x\ud800\rf x²\r\n"
        assert clean(raw) == "ab\ncd\te\nfixf x²"

    @pytest.mark.parametrize("marker", ["\x02", "\ufffe", "-\r\n", "\u00ad\r\n"])
    def test_divided_word(self, marker: str) -> None:
        assert join_hyphenated([clean(f"a good pos{marker}session")]) == ["a good possession"]

    def test_compound_keeps_its_hyphen(self) -> None:
        page = "an FAA-\napproved part and a non-\nnormal one"
        assert join_hyphenated([page, "the FAA-approved one"])[0] == "an FAA-approved part and a nonnormal one"

    @pytest.mark.parametrize("page", ["prefer-\n13", "the Never-\nEnding", "pages 3-\n4", "a -\nb"])
    def test_other_line_ends_stay(self, page: str) -> None:
        assert join_hyphenated([page]) == [page]

    def test_hyphens_take_linear_time(self) -> None:
        started = time.perf_counter()
        join_hyphenated(["x" * 1_000_000, "a-" * 500_000])
        assert time.perf_counter() - started < 5

    def test_running_heads_and_page_numbers_go_and_the_first_head_stays(self) -> None:
        pages = [f"A Short History\nbody of page {letter}\n{n}" for n, letter in enumerate("abcdefgh", 31)]
        cleaned = drop_running_lines(pages)
        assert cleaned[0] == "A Short History\nbody of page a"
        assert cleaned[1:] == [f"body of page {letter}" for letter in "bcdefgh"]

    def test_several_running_lines(self) -> None:
        pages = [f"body {letter}\nConfidential\n{n} of 9" for n, letter in enumerate("abcdefghi", 1)]
        assert drop_running_lines(pages)[3:5] == ["body d", "body e"]

    def test_alternating_heads(self) -> None:
        heads = [f"{n} THE SIEGE" if n % 2 else f"CHAPTER TWO {n}" for n in range(1, 13)]
        pages = [f"{head}\nbody {letter}" for head, letter in zip(heads, "abcdefghijkl", strict=True)]
        assert drop_running_lines(pages)[:2] == pages[:2]
        assert drop_running_lines(pages)[2:] == [f"body {letter}" for letter in "cdefghijkl"]

    def test_rows_of_a_table_stay(self) -> None:
        numbers = [17, 4, 99, 3, 58, 21, 7, 64]
        pages = [f"{chr(97 + n)}\n{number} {number * 7 % 50}" for n, number in enumerate(numbers)]
        assert drop_running_lines(pages) == pages

    def test_closing_braces_stay(self) -> None:
        pages = [f"function {chr(97 + n)} {{\n}}" for n in range(8)]
        assert drop_running_lines(pages) == pages

    def test_a_line_on_few_pages_stays(self) -> None:
        pages = [f"{'Thank you' if n < 3 else chr(97 + n)}\nbody" + chr(97 + n) for n in range(10)]
        assert drop_running_lines(pages) == pages

    def test_short_documents_are_left_alone(self) -> None:
        pages = [f"Head\nbody\n{n}" for n in range(5)]
        assert drop_running_lines(pages) == pages
