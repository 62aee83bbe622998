from hipcli.documents.readers.pdf.pdf_text import clean


class TestRepairs:
    def test_clean(self) -> None:
        raw = "a\x00b \r\nc\x0fd\te\r\n\ufb01x\ud800\rf x²\r\n"
        assert clean(raw) == "ab\ncd\te\nfixf x²"

    def test_hyphens_that_pdfium_took_out(self) -> None:
        assert clean("pos\x02session\ufffein") == "pos-\nsession-\nin"

    def test_hyphen_within_a_line(self) -> None:
        assert clean("SS\u00ad2541 co\u00ad\r\nop") == "SS-2541 co\u00ad\nop"
