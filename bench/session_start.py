"""How long a question waits for the first character of its answer, with and without a session on the disk.

python bench/session_start.py BOOK.txt --context 32000 [--model M]

Every figure is a whole `hip ask`, from the start of the process, so it includes imports and loading the model. The
load average says whether the machine was busy with something else.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import save

from hipcli.disk.files import size_of
from hipcli.models.resolve import DEFAULT_MODEL, resolve
from hipcli.prompt.tokenizer import load_tokenizer

_QUESTIONS = ("Who is Dorothea's sister?", "Where does Mr. Casaubon live?", "Who is Celia?", "What is Tipton Grange?")


def first_character(command: list[str], cache: Path) -> float:
    """Seconds from the start of the process to the first byte on its standard output."""
    begin = time.perf_counter()
    environment = os.environ | {"HIPCLI_CACHE_DIR": str(cache)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        os.read(process.stdout.fileno(), 1)
        seconds = time.perf_counter() - begin
        process.stdout.read()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}: exit status {process.returncode}")
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("document", type=Path)
    parser.add_argument("--context", type=int, default=32000, help="tokens of the document to read")
    parser.add_argument("--model", default=DEFAULT_MODEL)
    arguments = parser.parse_args()
    source = resolve(arguments.model, print)
    tokenizer = load_tokenizer(source.name, source.path)
    ids = tokenizer.encode(arguments.document.read_text(encoding="utf-8"), control=False)
    with tempfile.TemporaryDirectory() as folder:
        text, cache = Path(folder, "book.txt"), Path(folder, "cache")
        text.write_text(tokenizer.decode(ids[: arguments.context]), encoding="utf-8")
        ask = [sys.executable, "-m", "hipcli", "ask", "--quiet", "--model", str(source.path), "--session", "book"]
        rows = []
        for question in _QUESTIONS:
            seconds = first_character([*ask, "--max-tokens", "8", "-q", question, str(text)], cache)
            rows.append({"seconds": round(seconds, 2), "load_average": round(os.getloadavg()[0], 1)})
            print(f"{'with' if len(rows) > 1 else 'without'} a session: {rows[-1]}", flush=True)
        kept = size_of(cache)
    result = {"model": arguments.model, "context": arguments.context, "session_bytes": kept}
    save(f"session_start_{arguments.context}", {**result, "without": rows[0], "with": rows[1:]})


if __name__ == "__main__":
    main()
