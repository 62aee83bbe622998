"""Text that three readers find in PDFs: hip, poppler's pdftotext and pypdf.

    python bench/text_kept.py ../shared/data/pdf/*.pdf

None of them is right by definition. A word counts as on the page where two of the three read it, a pair of words as
well, which tells about their order; the table has the share of those that each finds, and the seconds that each takes.
"""

import argparse
import io
import logging
import subprocess
import sys
import time
import unicodedata
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

from common import save

from hipcli.documents.document import Document
from hipcli.documents.inputs import read_documents
from hipcli.documents.options import ReadOptions


def with_hip(path: Path) -> str:
    # The other two leave nothing out, and recognise nothing.
    everything = ReadOptions(running_lines=True, hidden=True, ocr="off")
    (found, *_) = read_documents([str(path)], everything, sys.stdin.buffer)
    return "\n".join(page.text for page in found.pages) if isinstance(found, Document) else ""


def with_pdftotext(path: Path) -> str:
    done = subprocess.run(["pdftotext", "-q", "-enc", "UTF-8", str(path), "-"], capture_output=True)
    return done.stdout.decode()


def with_pypdf(path: Path) -> str:
    import pypdf

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    try:
        return "\n".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(path.read_bytes())).pages)
    except Exception:  # whatever a damaged file makes it raise: it reads nothing then
        return ""


READERS: dict[str, Callable[[Path], str]] = {"hip": with_hip, "pdftotext": with_pdftotext, "pypdf": with_pypdf}


def words(text: str) -> list[str]:
    """Words without their hyphens and cases; a character each in scripts without spaces."""
    text = unicodedata.normalize("NFKC", text).casefold().replace("\u00ad", "")
    joined = text.replace("-\n", "").replace("-", "")
    spaced = "".join(f" {c} " if unicodedata.east_asian_width(c) in "WF" else c for c in joined)
    return [word for word in "".join(c if c.isalnum() else " " for c in spaced).split() if word]


def agreed(counts: list[Counter]) -> Counter:
    """What two of three have."""
    first, second, third = counts
    return (first & second) | (first & third) | (second & third)


def share(found: Counter, expected: Counter) -> float:
    return (found & expected).total() / expected.total() if expected else 1.0


def row(path: Path) -> dict[str, object]:
    texts, seconds = {}, {}
    for name, read in READERS.items():
        start = time.perf_counter()
        texts[name] = words(read(path))
        seconds[name] = round(time.perf_counter() - start, 2)
    singles = {name: Counter(found) for name, found in texts.items()}
    pairs = {name: Counter(pairwise(found)) for name, found in texts.items()}
    all_words, all_pairs = agreed(list(singles.values())), agreed(list(pairs.values()))
    return {
        "file": path.name,
        "words": {name: len(found) for name, found in texts.items()},
        "found": {name: round(share(found, all_words), 4) for name, found in singles.items()},
        "order": {name: round(share(found, all_pairs), 4) for name, found in pairs.items()},
        "seconds": seconds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--name", default="text_kept")
    options = parser.parse_args()
    rows = []
    for path in options.files:
        rows.append(row(path))
        cells = [" / ".join(f"{value}" for value in rows[-1][key].values()) for key in ("words", "found", "order")]
        print(f"{path.name[:44]:44} {cells[0]:>24} {cells[1]:>26} {cells[2]:>26}", flush=True)
    save(options.name, {"readers": list(READERS), "rows": rows})


if __name__ == "__main__":
    main()
