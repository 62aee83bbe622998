import time

import pytest

from hipcli.documents.readers.pdf.hyphens import join_hyphenated


def join(page: str, *others: str) -> str:
    return join_hyphenated([page, *others])[0]


class TestWithEvidence:
    def test_word_that_stands_elsewhere(self) -> None:
        assert join("a good pos-\nsession", "his possession") == "a good possession"
        assert join("POS-\nSESSION", "his possession") == "POSSESSION"

    def test_other_form_that_stands_elsewhere(self) -> None:
        assert join("signif-\nicantly", "a significant step") == "significantly"
        assert join("well-\nknown", "the wells knew") == "well-known"

    def test_compound_that_stands_elsewhere(self) -> None:
        assert join("an FAA-\napproved part", "the FAA-approved one") == "an FAA-approved part"
        assert join("state-of-the-\nart", "a state-of-the-art method") == "state-of-the-art"
        assert join("COVID-\n19", "COVID-19") == "COVID-19"

    def test_the_more_frequent_form_wins(self) -> None:
        assert join("co-\noperation", "cooperation, cooperation, co-operation") == "cooperation"
        assert join("co-\noperation", "cooperation, co-operation") == "co-operation"

    def test_a_prefix_is_no_word(self) -> None:
        assert join("co-\noperation is un-\nlikely and mis-\nleading") == "cooperation is unlikely and misleading"
        assert join("a co-\noperation", "the co-operation") == "a co-operation"
        assert join("an un-\nAmerican act") == "an un-\nAmerican act"

    def test_line_ends_are_no_evidence(self) -> None:
        assert join("self-\nevident", "self-\nevident selfevi-\ndent") == "self-evident"

    def test_divided_twice(self) -> None:
        assert join("self-\nposses-\nsion", "possession") == "self-possession"

    @pytest.mark.parametrize("others", [[], ["an operation"]])
    def test_soft_hyphen(self, others: list[str]) -> None:
        assert join("The co\u00ad\noperation", *others) == "The cooperation"


class TestWithoutEvidence:
    def test_the_hyphen_stays(self) -> None:
        assert (
            join("is self-\nevident: twenty-\none well-\nknown non-\nlinear ones")
            == "is self-evident: twenty-one well-known non-linear ones"
        )
        assert join("SELF-\nEVIDENT") == "SELF-EVIDENT"

    def test_hyphen_for_the_rest_of_the_next_word(self) -> None:
        assert join("pre-\nand post-war") == "pre- and post-war"
        assert join("Straßen-\nund Wegebau") == "Straßen- und Wegebau"
        assert join("rock-\nand-roll") == "rock-and-roll"
        assert join("thous-\nand men", "a thousand") == "thousand men"

    def test_addresses(self) -> None:
        assert join("see https://github.com/x/openie-\nstandalone") == "see https://github.com/x/openie-standalone"
        assert join("https://a.org/ pos-\nsession", "possession") == "https://a.org/ possession"

    def test_ranges(self) -> None:
        assert join("in the years 2019-\n2020") == "in the years 2019-2020"

    @pytest.mark.parametrize(
        "page",
        ["prefer-\n13", "the Never-\nEnding", "100-\n200", "from 1,100-\n1,200", "in 2020-\n19", "a -\nb", "漢-\n字"],
    )
    def test_other_line_ends_stay(self, page: str) -> None:
        assert join(page) == page


def test_takes_linear_time() -> None:
    started = time.perf_counter()
    join_hyphenated(["x" * 500_000, "a-" * 100_000, "a-\n" * 50_000, "1-\n2" * 50_000, "w" * 300_000 + "-\na"])
    assert time.perf_counter() - started < 5
