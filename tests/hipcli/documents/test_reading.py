"""Files inside files, whatever the one around them holds."""

from hipcli.documents.document import Document, Skipped
from hipcli.documents.options import ReadOptions
from hipcli.documents.reading import Begun, Ended, ReadingError, read_bytes

MESSAGE = b"""Content-Type: multipart/mixed; boundary=b

--b
Content-Type: text/plain; name=a.txt
Content-Disposition: attachment

inside
--b--
"""


def test_a_file_without_text_does_not_cost_the_files_inside_it() -> None:
    for found, kind in ((True, Skipped), (False, ReadingError)):
        results = read_bytes(MESSAGE, "m.eml", "m.eml", ReadOptions(), found)
        outer, inner = (result for result in results if not isinstance(result, Begun | Ended))
        assert isinstance(outer, kind) and outer.path == "m.eml"
        assert isinstance(inner, Document)
        assert (inner.path, inner.pages[0].text) == ("m.eml/a.txt", "inside")
