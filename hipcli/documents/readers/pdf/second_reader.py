"""pypdf, which reads the pages that PDFium reads badly, and files that PDFium cannot open. It is much slower."""

import io

import pypdf

from hipcli.documents.readers.pdf.library_log import collected
from hipcli.errors import HipError, first_line


class SecondReader:
    """The pages of a PDF as pypdf reads them. `messages` are what it says about the file meanwhile.

    Raises HipError where it cannot open the file, which `where` names.
    """

    def __init__(self, data: bytes, where: str, password: str | None) -> None:
        self.messages: list[str] = []
        with collected("pypdf", self.messages):
            try:
                self._reader = pypdf.PdfReader(io.BytesIO(data))
                encrypted = self._reader.is_encrypted
                locked = encrypted and not (self._reader.decrypt(password or "") or self._reader.decrypt(""))
                self.page_count = 0 if locked else len(self._reader.pages)
                labelled = not locked and "/PageLabels" in self._reader.root_object
                self._labels = self._reader.page_labels if labelled else None
            except Exception as error:  # on damaged files pypdf raises anything, from KeyError to RecursionError
                raise _unreadable(data, where) from error
        if locked:
            raise _protected(where, password)

    def label(self, index: int) -> str | None:
        """What is printed on the page with this index, from 0, as its number."""
        return self._labels[index] if self._labels else None

    def text(self, index: int) -> str:
        """The raw text of a page, "" where it cannot be read; `messages` say why."""
        with collected("pypdf", self.messages):
            try:
                return self._reader.pages[index].extract_text()
            except Exception as error:  # see above
                self.messages.append(f"page {index + 1}: {first_line(error)}")
                return ""

    def written_anew(self) -> bytes | None:
        """The whole file as pypdf writes it, without encryption; None where it cannot."""
        buffer = io.BytesIO()
        with collected("pypdf", []):  # which repeats what was said of reading
            try:
                pypdf.PdfWriter(clone_from=self._reader).write(buffer)
            except Exception:  # see above; then there is the text alone
                return None
        return buffer.getvalue()


def _protected(where: str, password: str | None) -> HipError:
    if password is None:
        return HipError(
            f"{where}: protected by a password",
            "give it with --password, or in the environment variable HIPCLI_PASSWORD",
        )
    return HipError(f"{where}: the password is wrong", "check --password (or HIPCLI_PASSWORD)")


def _unreadable(data: bytes, where: str) -> HipError:
    if b"%PDF-" not in data[:1024]:
        return HipError(f"{where}: not a PDF, despite its name", "look at what it is with the command file")
    if b"/Encrypt" in data:
        return HipError(
            f"{where}: damaged, or encrypted in an unknown way",
            "make a plain copy first: qpdf --decrypt IN.pdf OUT.pdf",
        )
    return HipError(f"{where}: damaged PDF", "download it again, or repair it: qpdf IN.pdf OUT.pdf")
