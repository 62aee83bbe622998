"""`hip summarize` and `hip ask` on every document that fits a model's window: by path, through a pipe, in a directory.

    python bench/documents.py ../shared/data --tokens 24

Every answer is checked: exit code 0, JSON that the schema accepts, a text that is not empty, and the same text for the
file alone and as what a directory holds.
"""

import argparse
import json
import subprocess
import sys
import time
from importlib import resources
from pathlib import Path

import jsonschema
from common import save

SCHEMA = json.loads((resources.files("hipcli.output") / "schema" / "answer.schema.json").read_text())
QUESTION = "What is this document about?"
COMMANDS = {"summarize": [], "ask": ["-q", QUESTION]}


def hip(*arguments: str, stdin: Path | None = None) -> subprocess.CompletedProcess[str]:
    source = stdin.open("rb") if stdin else subprocess.DEVNULL
    return subprocess.run([sys.executable, "-m", "hipcli", *arguments], stdin=source, capture_output=True, text=True)


def answer(*arguments: str, stdin: Path | None = None) -> dict:
    done = hip(*arguments, "--json", stdin=stdin)
    if done.returncode:
        raise SystemExit(f"hip {' '.join(arguments)}: exit {done.returncode}: {done.stderr}")
    result = json.loads(done.stdout)
    jsonschema.validate(result, SCHEMA)
    assert all(given["text"].strip() for given in result["answers"]), result
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tokens", type=int, default=24, help="longest answer")
    options = parser.parse_args()
    limit = ["--max-tokens", str(options.tokens)]
    rows = []
    for path in sorted(path for path in options.folder.rglob("*") if path.suffix in (".txt", ".pdf")):
        planned = hip("ask", "-q", QUESTION, "--dry-run", *limit, str(path))
        if planned.returncode:
            print(f"{path.name:52s} {planned.stderr.splitlines()[-2] if planned.returncode == 1 else 'does not fit'}")
            continue
        for command, extra in COMMANDS.items():
            begin = time.perf_counter()
            alone = answer(command, *extra, *limit, str(path))
            took = time.perf_counter() - begin
            piped = answer(command, *extra, *limit, "-", stdin=path)
            inside = answer(command, *extra, *limit, "--include", path.name, str(path.parent))
            same = alone["answers"][0]["text"] == inside["answers"][0]["text"]
            assert same, (alone["answers"], inside["answers"])
            rows.append(
                {
                    "document": path.name,
                    "command": command,
                    "prompt_tokens": alone["usage"]["prompt_tokens"],
                    "seconds": took,
                    "prefill_s": alone["timings"]["prefill_s"],
                    "peak_gib": alone["memory"]["peak_gib"],
                    "text": alone["answers"][0]["text"],
                    "piped": piped["answers"][0]["text"],
                }
            )
            row = rows[-1]
            print(f"{path.name:52s} {command:10s} {row['prompt_tokens']:6d} tokens {took:6.1f} s  ok", flush=True)
    together = sorted(options.folder.rglob("squality_63477.txt")) + sorted(options.folder.rglob("vicksburg*.pdf"))
    each = answer("summarize", "--each", *limit, *map(str, together))
    assert len(each["answers"]) == len(together)
    save("documents", {"rows": rows, "each": each["answers"]})
    print(f"{len(rows)} runs by path, as many through a pipe and in a directory: all valid")


if __name__ == "__main__":
    main()
