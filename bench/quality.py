r"""Evaluations as several processes that share the GPUs: decoding one sequence leaves most of a GPU idle.

    python bench/quality.py --workers 5 --devices cuda:0,cuda:1 --results quality.jsonl \
        --set MODEL=DIR --set BOOK=book.txt bench/jobs/gpu.txt

Every line of JOBS.txt is the arguments of one `hip eval`, and a line that begins with # is passed over:

    needle --model $MODEL --context 16k,32k --n 100 -a dense -a hip:top_k=2048 $BOOK

Each worker takes its shard of every job. When all are done the jobs are reported from the results, each as
NAME-LINE.json and .txt beside the results. Stopped and started again, it goes on where it was.
"""

import argparse
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from string import Template


def hip_eval(arguments: list[str], results: Path, *more: str, log: Path | None = None) -> int:
    command = [sys.executable, "-m", "hipcli", "eval", *arguments, "--results", str(results), *more]
    if log is None:
        return subprocess.run(command).returncode
    with open(log, "a") as file:
        return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=file).returncode


def work(jobs: list[list[str]], results: Path, number: int, of: int, device: str) -> int:
    """All jobs of one worker; returns how many failed. What a worker says is in RESULTS.NUMBER.log."""
    log = results.with_name(f"{results.name}.{number}.log")
    shard = ("--shard", f"{number}/{of}", "--device", device)
    return sum(hip_eval(job, results, *shard, log=log) != 0 for job in jobs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("jobs", type=Path)
    parser.add_argument("--workers", type=int, default=4, help="processes a device")
    parser.add_argument("--devices", default="cuda:0")
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="what $NAME in jobs stands for"
    )
    options = parser.parse_args()
    lines = [line for line in options.jobs.read_text().splitlines() if line.strip() and not line.startswith("#")]
    values = dict(pair.split("=", 1) for pair in options.set)
    jobs = [[Template(word).substitute(values) for word in shlex.split(line)] for line in lines]
    devices = options.devices.split(",")
    of = options.workers * len(devices)
    with ThreadPoolExecutor(of) as pool:
        workers = [pool.submit(work, jobs, options.results, i + 1, of, devices[i % len(devices)]) for i in range(of)]
        failed = sum(worker.result() for worker in workers)
    for i, job in enumerate(jobs, 1):
        base = options.results.with_name(f"{options.results.stem}-{i}")
        # Nothing is left to do where all went well; what failed is not tried again here.
        report = ("--shard", "1/1", "--device", devices[0], "--quiet")
        hip_eval(job, options.results, *report, "--json", "--output", f"{base}.json")
        hip_eval(job, options.results, *report, "--output", f"{base}.txt")
    if failed:
        raise SystemExit(f"{failed} runs failed: see {options.results}.*.log")


if __name__ == "__main__":
    main()
