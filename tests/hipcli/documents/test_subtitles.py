import json

import pytest

from hipcli.documents.options import ReadOptions
from hipcli.documents.readers.text import notebook, subtitles, tables
from hipcli.errors import HipError

SRT = """1
00:00:01,000 --> 00:00:04,000
<i>Hello</i>
there

2
01:02:03,500 --> 01:02:05,000 X1:0
{\\an8}1984

"""
VTT = """WEBVTT - a title
Kind: captions

STYLE
::cue { color: red }

NOTE not said

intro
00:01.000 --> 00:04.000 align:start
<v Ann>Hi &amp; <c.loud>welcome</c>

00:05.000 --> 00:06.000
<00:05.500>bye
"""


class TestSubtitles:
    def test_srt(self) -> None:
        content = subtitles.read(SRT.replace("\n", "\r\n").encode("utf-8-sig"), "a.srt", ReadOptions())
        assert (content.kind, content.unit) == ("srt", None)
        assert content.pages[0].text == "[0:01] Hello\nthere\n[1:02:03] 1984"

    def test_vtt(self) -> None:
        content = subtitles.read(VTT.encode(), "a.vtt", ReadOptions())
        assert content.kind == "vtt"
        assert content.pages[0].text == "[0:01] Ann: Hi & welcome\n[0:05] bye"
        assert content.dropped == ("52 characters of notes and styles left out.",)

    def test_no_blank_line_between(self) -> None:
        lines = "1\n00:00:01,000 --> 00:00:02,000\na\n2\n00:00:03,000 --> 00:00:04,000\nb"
        assert subtitles.read(lines.encode(), "a.srt", ReadOptions()).pages[0].text == "[0:01] a\n[0:03] b"

    def test_without_times_is_text(self) -> None:
        content = subtitles.read(b"a\nb", "a.srt", ReadOptions())
        assert content.pages[0].text == "a\nb"
        assert content.warnings == ("has no times as subtitles do; it is read as text.",)

    def test_encoding(self) -> None:
        data = SRT.replace("Hello", "Zażółć").encode("cp1250")
        assert subtitles.read(data, "a.srt", ReadOptions(encoding="cp1250")).pages[0].text.startswith("[0:01] Zażółć")


def test_table_stays_as_it_is() -> None:
    content = tables.read(b'a;"b\r\n c"\r\n1;2\r\n', "a.csv", ReadOptions())
    assert (content.kind, content.unit, content.pages[0].text) == ("csv", None, 'a;"b\n c"\n1;2\n')


class TestNotebook:
    def read(self, notebook_json: object) -> tuple[str, tuple[str, ...]]:
        content = notebook.read(json.dumps(notebook_json).encode(), "a.ipynb", ReadOptions())
        return content.pages[0].text, content.warnings

    def test_cells_and_what_they_printed(self) -> None:
        outputs = [
            {"output_type": "stream", "text": ["4", "2\n"]},
            {"output_type": "execute_result", "data": {"text/plain": "<Figure>", "image/png": "AAAA"}},
            {"output_type": "display_data", "data": {"text/plain": ["<a b>"], "text/html": "<p>x<p>y"}},
            {"output_type": "error", "ename": "E", "evalue": "v", "traceback": ["\x1b[31mE\x1b[0m: v"]},
        ]
        cells = [
            {"cell_type": "markdown", "source": ["# T\n", "text"]},
            {"cell_type": "code", "source": "print(42)", "outputs": outputs},
            {"cell_type": "raw", "source": "raw"},
        ]
        text, warnings = self.read({"cells": cells, "metadata": {"kernelspec": {"language": "python"}}})
        assert text == (
            "# T\ntext\n\n```python\nprint(42)\n```\n\nOutput:\n42\n\nOutput:\n<Figure>\n\nOutput:\nx\n\ny\n\n"
            "Output:\nE: v\n\nraw"
        )
        assert warnings == ("A picture in it is not read.",)

    def test_version_3(self) -> None:
        cells = [
            {"cell_type": "heading", "level": 2, "source": "H"},
            {"cell_type": "code", "input": "1+1", "language": "python", "outputs": [{"text": "2", "png": "AA"}]},
        ]
        text, warnings = self.read({"worksheets": [{"cells": cells}], "nbformat": 3})
        assert text == "## H\n\n```python\n1+1\n```\n\nOutput:\n2"
        assert warnings == ("A picture in it is not read.",)

    @pytest.mark.parametrize("data", [b"{", b"[]", b"{}", b'{"cells": 1}', b'{"cells": [1]}', b"[" * 100_000])
    def test_no_notebook(self, data: bytes) -> None:
        with pytest.raises(HipError, match=r"^a\.ipynb: is no notebook$"):
            notebook.read(data, "a.ipynb", ReadOptions())
