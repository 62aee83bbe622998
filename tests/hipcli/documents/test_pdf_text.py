import time

import pytest

from hipcli.documents.readers.hyphens import join_hyphenated
from hipcli.documents.readers.pdf_text import clean


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
