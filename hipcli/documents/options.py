"""How to read documents, as the user asks for it."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from hipcli.documents.gitignore import check_patterns
from hipcli.documents.page_ranges import PageRanges, parse_page_ranges
from hipcli.documents.readers.text.text import check_encoding

Ocr = Literal["auto", "off", "force"]

MIB = 2**20


@dataclass(frozen=True)
class ReadOptions:
    """How to read. Raises HipError (usage) where a value is nonsense.

    `include`, `exclude`, `gitignore` and `links` choose among the files of directories; a file named by itself is
    always read. `pages` such as "3-40,77" and `password` are for PDFs, `encoding` is for text. `running_lines` keeps
    the heads and feet of pages, `hidden` the text that a viewer of a PDF would not show. `ocr` is when to recognise
    text in pictures. `seconds` and `memory` (MiB) limit what the reading of one document may take.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    gitignore: bool = True
    links: bool = False
    pages: str | None = None
    password: str | None = None
    encoding: str | None = None
    running_lines: bool = False
    hidden: bool = False
    ocr: Ocr = "auto"
    seconds: float = 120.0
    memory: int = 2048

    def __post_init__(self) -> None:
        check_patterns("--include", self.include)
        check_patterns("--exclude", self.exclude)
        if self.pages is not None:
            parse_page_ranges(self.pages)
        if self.encoding is not None:
            check_encoding(self.encoding)

    @property
    def page_ranges(self) -> PageRanges | None:
        return None if self.pages is None else parse_page_ranges(self.pages)

    @property
    def most_bytes(self) -> int:
        """The biggest file that can be read within `memory`: its text takes some of it, too."""
        return self.memory * MIB // 4

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "ReadOptions":
        values: dict[str, Any] = {key: tuple(item) if isinstance(item, list) else item for key, item in value.items()}
        return cls(**values)
