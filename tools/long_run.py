"""Does a long training leak? Memory, open files, threads, journal and database of a tiny one, over millions of frames.

Writes long_run.csv (a row every few seconds) and long_run_summary.csv (what a million frames add, and how steady it is)
into the folder. Five million frames take some minutes of one core.

    python tools/long_run.py --folder outputs/runs/long_run
"""

import argparse
import csv
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter, sleep
from typing import NamedTuple

import psutil
from scipy.stats import theilslopes

from drc_lab.files import size_of
from drc_lab.speed.timing import report, rounded
from drc_lab.tracking.journal import FILE

TINY = [  # a recurrent net on small boards, with everything on that a real training has
    "env.max_optimal=3", "env.max_steps=12", "policy.hidden_channels=8", "policy.num_layers=1",
    "policy.repeats_per_step=1", "policy.proj_dim=16", "evaluation.num_levels=100", "evaluation.every_frames=100_000",
    "callbacks.videos.levels=1", "callbacks.videos.every_frames=500_000", "threads=1",
]  # fmt: skip
WARM_UP = 0.2  # of the frames, left out of all slopes: memory is still being put to its first use
MB = 1e6


class Sample(NamedTuple):
    """One look at a training: what it has done, and what it holds."""

    seconds: float
    frames: int
    cpu_seconds: float
    rss_mb: float
    files: int
    threads: int
    journal_mb: float
    database_mb: float
    folder_mb: float


def main() -> None:
    """Trains, watches, prints a table and writes both files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="a new one, for the training and both tables")
    parser.add_argument("--frames", type=int, default=5_000_000)
    parser.add_argument("--every", type=float, default=5, help="seconds between two looks")
    parser.add_argument("overrides", nargs="*", help="of the config")
    args = parser.parse_args()
    if args.folder.exists():
        sys.exit(f"--folder: found {str(args.folder)!r}, allowed: one that is not there")
    words = [*TINY, f"algo.rollouts.frames={args.frames}", *args.overrides]
    samples = watched(words, args.folder, args.every)
    with (args.folder / "long_run.csv").open("w", newline="") as file:
        csv.writer(file).writerows([Sample._fields, *([round(value, 3) for value in one] for one in samples)])
    rows = summary(samples)
    report("A long training", ("what", "value"), rows, args.folder / "long_run_summary.csv")


def watched(words: Sequence[str], folder: Path, every: float) -> list[Sample]:
    """The samples of a training with these overrides, whose run is in ``folder/run``."""
    command = [sys.executable, "-m", "drc_lab", *words, "root=.", "folder=run"]
    folder.mkdir(parents=True)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    samples: list[Sample] = []
    frames, position, began = 0, 0, perf_counter()
    with psutil.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            sleep(every)
            frames, position = trained(folder / "run" / FILE, frames, position)
            try:
                with process.oneshot():
                    times, held = process.cpu_times(), process.memory_info().rss / MB
                    files, threads = process.num_fds(), process.num_threads()
                    ended = process.status() == psutil.STATUS_ZOMBIE
            except psutil.Error:
                break
            sizes = [
                size_of(path) / MB if path.exists() else 0
                for path in (folder / "run" / FILE, folder / "mlflow.db", folder)
            ]
            if frames and not ended:
                seconds = perf_counter() - began
                samples.append(Sample(seconds, frames, times.user + times.system, held, files, threads, *sizes))
    if process.returncode:
        sys.exit(f"{' '.join(command)}\nin {folder} ended with {process.returncode}")
    return samples


def trained(journal: Path, frames: int, position: int) -> tuple[int, int]:
    """How many frames a training has come to, and up to which byte its journal was read for that."""
    if not journal.is_file():
        return frames, position
    with journal.open("rb") as file:
        file.seek(position)
        for line in file:
            if not line.endswith(b"\n"):
                break
            position += len(line)
            operation = json.loads(line)
            if operation["op"] == "metrics" and "loss/total" in operation["values"]:
                frames = operation["step"]
    return frames, position


def summary(samples: Sequence[Sample]) -> list[tuple[str, float | str]]:
    """What a million frames add (Theil-Sen slopes with 95% intervals), what was held, and the speed."""
    last = samples[-1].frames
    steady = [one for one in samples if one.frames > WARM_UP * last]
    millions = [one.frames / 1e6 for one in steady]
    rows: list[tuple[str, float | str]] = [("frames", last), ("seconds", rounded(samples[-1].seconds))]
    for name in ("rss_mb", "journal_mb", "database_mb", "folder_mb"):
        found = theilslopes([getattr(one, name) for one in steady], millions)
        interval = f"{rounded(found.low_slope)} to {rounded(found.high_slope)}"
        rows += [(f"{name} per million frames", rounded(found.slope)), (f"{name} per million frames, 95%", interval)]
    for name in ("rss_mb", "files", "threads"):
        values = [getattr(one, name) for one in steady]
        rows.append((f"{name}, least and most", f"{min(values)} to {max(values)}"))
    third = len(steady) // 3
    for name, part in (("first", steady[: third + 1]), ("last", steady[-third - 1 :])):
        rows.append((f"frames per CPU second, {name} third", rounded(speed(part))))
    return rows


def speed(part: Sequence[Sample]) -> float:
    """Frames per CPU second, which other programs of the machine disturb less than those per second."""
    return (part[-1].frames - part[0].frames) / (part[-1].cpu_seconds - part[0].cpu_seconds)


if __name__ == "__main__":
    main()
