"""A folder of a thousand mixed files, read by `hip extract --report`: seconds, and whether every file is accounted for.

    python bench/folder.py ../shared/data --files 1000

The folder holds copies of the files below the one named, in turn, each under a name of its own. Files with more than
a megabyte are left out, so that the time is that of a thousand files and not of a novel.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from itertools import cycle
from pathlib import Path

from common import save

BIGGEST = 1_000_000  # bytes


def fill(folder: Path, sources: list[Path], count: int) -> list[str]:
    """Copies, a hundred in a folder."""
    names = []
    for number, source in zip(range(count), cycle(sources), strict=False):
        place = folder / f"{number // 100:02}" / f"{number:04}-{source.name}"
        place.parent.mkdir(exist_ok=True)
        shutil.copyfile(source, place)
        names.append(str(place))
    return names


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=10, help="limit of time for one document")
    options = parser.parse_args()
    found = sorted(path for path in options.source.rglob("*") if path.is_file() and not path.is_symlink())
    sources = [path for path in found if path.stat().st_size <= BIGGEST and not path.name.startswith(".")]
    with tempfile.TemporaryDirectory() as name:
        names = fill(Path(name), sources, options.files)
        start = time.perf_counter()
        command = [sys.executable, "-m", "hipcli", "extract", "--report", "--json", "--ocr", "off"]
        limit = ["--read-seconds", str(options.seconds)]
        done = subprocess.run([*command, *limit, name], capture_output=True, text=True)
        seconds = time.perf_counter() - start
    documents = json.loads(done.stdout)["documents"]
    # What is inside a file is listed as well, below its name.
    listed = {document["path"] for document in documents}
    missing = [name for name in names if not any(path == name or path.startswith(f"{name}/") for path in listed)]
    result = {
        "files": len(names),
        "bytes": sum(source.stat().st_size for _, source in zip(names, cycle(sources), strict=False)),
        "seconds": round(seconds, 1),
        "cores": len(os.sched_getaffinity(0)),
        "exit": done.returncode,
        "listed": len(listed),
        "missing": missing,
        "status": Counter(document["status"] for document in documents),
        "kinds": Counter(document["kind"] for document in documents if document["kind"]),
    }
    print(json.dumps(result, indent=1))
    save("folder", result)


if __name__ == "__main__":
    main()
