"""Loads thousands of damaged files of each kind: python tools/fuzz.py [--seed 0] [--only NUMBER] [KIND ...]

Each has to give a valid object or a UserError of one line. Every kind is loaded in a process of its own with little
memory, which a file that takes too long ends. Writes the rows of these kinds in experiments/reliability/fuzz.csv.
"""

import argparse
import csv
import multiprocessing
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fuzz_kinds import KINDS, loaded, one_case, samples_of

from drc_lab.memory import bytes_of_process, reset_peak

CSV = Path(__file__).parents[1] / "experiments/reliability/fuzz.csv"
MEMORY = 2 * 2**30  # bytes that loading may take beyond the libraries
PATIENCE = 60.0  # seconds for one file


def work(name: str, seed: int, numbers: Sequence[int], pipe: Any) -> None:
    """Loads files in this process; sends for each what came of it, its seconds and the peak of memory so far."""
    with tempfile.TemporaryDirectory() as place:
        samples = samples_of(name, Path(place))
        for path in samples:
            loaded(name, path, seed)  # compiles and imports
        resource.setrlimit(resource.RLIMIT_DATA, (bytes_of_process("VmData") + MEMORY,) * 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        reset_peak()
        pipe.send("ready")
        for number in numbers:
            began = time.perf_counter()
            came = one_case(name, samples, Path(place) / "case", seed, number)
            pipe.send((came, time.perf_counter() - began, bytes_of_process("VmHWM")))


def run_kind(name: str, numbers: Sequence[int], seed: int) -> dict[str, Any]:
    """Loads files of a kind, in one process after the other where a file ends it."""
    outcomes, longest, peak, left = Counter[str](), 0.0, 0, list(numbers)
    context = multiprocessing.get_context("spawn")
    while left:
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=work, args=(name, seed, left, sender))
        process.start()
        sender.close()
        receiver.recv()
        ended = "took too long"
        try:
            while left and receiver.poll(PATIENCE):
                came, seconds, taken = receiver.recv()
                longest, peak = max(longest, seconds), max(peak, taken)
                _count(outcomes, name, left.pop(0), came)
        except EOFError:
            ended = "ended the process"
        process.kill()
        process.join()
        if left:
            _count(outcomes, name, left.pop(0), ended)
    return {"kind": name, "cases": len(numbers), **{key: outcomes[key] for key in ("valid", "refused", "failed")},
            "longest_seconds": round(longest, 3), "peak_mb": round(peak / 1e6), "seed": seed}  # fmt: skip


def _count(outcomes: Counter[str], name: str, number: int, came: str) -> None:
    if came not in ("valid", "refused"):
        print(f"{name} {number}: {came}", file=sys.stderr, flush=True)
        came = "failed"
    outcomes[came] += 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(KINDS)}; all, if none is named")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="the number of one file, to look at what failed; writes nothing")
    args = parser.parse_args()
    kept = {row["kind"]: row for row in csv.DictReader(CSV.open())} if CSV.exists() else {}
    failed = 0
    for name in args.kinds or KINDS:
        row = run_kind(name, range(KINDS[name].count) if args.only is None else [args.only], args.seed)
        print(row, flush=True)
        failed += row["failed"]
        if args.only is None:
            kept[name] = row
            with CSV.open("w", newline="") as file:
                writer = csv.DictWriter(file, list(row))
                writer.writeheader()
                writer.writerows(kept[each] for each in KINDS if each in kept)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
