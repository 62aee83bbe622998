"""Files inside files, whatever the one around them holds."""

import pytest

from hipcli.documents.document import Document
from hipcli.documents.options import ReadOptions
from hipcli.documents.reading import Begun, Ended, read_bytes

MESSAGE = b"""Content-Type: multipart/mixed; boundary=b

--b
Content-Type: text/plain; name=a.txt
Content-Disposition: attachment

inside
--b--
"""


@pytest.mark.parametrize("found", [True, False])
def test_a_file_with_nothing_but_files_inside_is_a_container(found: bool) -> None:
    results = read_bytes(MESSAGE, "m.eml", "m.eml", ReadOptions(), found)
    (inner,) = (result for result in results if not isinstance(result, Begun | Ended))
    assert isinstance(inner, Document)
    assert (inner.path, inner.pages[0].text) == ("m.eml/a.txt", "inside")
