"""How many frames a second does the small Ricochet training make, and on how many cores, beside an earlier commit?

Both are trained by turns on this machine, once for few frames and once for more: the difference is free of what a start
takes. Writes ricochet_small.csv into the folder.

    python tools/against_before.py --folder outputs/runs/bench/before
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

from drc_lab.process import machine_name
from drc_lab.speed.timing import report, rounded

BEFORE = "e3f209162541cfb2afdbb4d4980b2eefe9ebad8f"  # with a tick loop of torch's operations
HERE = Path(__file__).parents[1]
EXPERIMENT, NAME_BEFORE = "ricochet_small", "thinking_sweep"
COLUMNS = ("code", "threads", "frames/s", "CPU us a frame", "cores")


class Cost(NamedTuple):
    """Seconds of wall time, and of all cores together."""

    wall: float
    cpu: float


def main() -> None:
    """Measures, prints a table and writes it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="for the table")
    parser.add_argument("--before", default=BEFORE, help="the commit to compare with")
    parser.add_argument("--frames", type=int, nargs=2, default=(16_000, 216_000), help="of the two trainings")
    parser.add_argument("--threads", type=int, nargs="+", default=(1, 2))
    parser.add_argument("overrides", nargs="*", help="of the config, in both")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        old = Path(scratch) / "before"
        if subprocess.run(["git", "-C", HERE, "worktree", "add", "--detach", old, args.before], check=False).returncode:
            sys.exit(f"--before: found {args.before}, which this clone does not hold; allowed: a commit of its history")
        try:
            for code in (old, HERE):
                train(code, 1, args.frames[0], args.overrides, Path(scratch) / code.name)  # compiles
            rows = [row for threads in args.threads for row in by_turns(old, threads, args, Path(scratch))]
        finally:
            subprocess.run(["git", "-C", HERE, "worktree", "remove", "--force", old], check=True)
    caption = f"frames {args.frames[0]:,} to {args.frames[1]:,}, everything on, seed 0; {machine_name()}"
    path, title = args.folder / f"{EXPERIMENT}.csv", f"A training of {EXPERIMENT}, before and now"
    report(title, (*COLUMNS, "ratio"), rows, path, caption)


def by_turns(old: Path, threads: int, args: argparse.Namespace, scratch: Path) -> list[tuple[object, ...]]:
    """Two rows: of the earlier commit, and of this one with how many times as fast it is."""
    costs: dict[str, list[Cost]] = {"before": [], "now": []}
    for frames in args.frames:
        for name, code in (("before", old), ("now", HERE)):
            costs[name].append(train(code, threads, frames, args.overrides, scratch / f"{name}-{threads}-{frames}"))
    frames, rows, speeds = args.frames[1] - args.frames[0], [], []
    for name, (short, long) in costs.items():
        wall, cpu = long.wall - short.wall, long.cpu - short.cpu
        speeds.append(frames / wall)
        row = name, threads, rounded(speeds[-1]), rounded(1e6 * cpu / frames), rounded(cpu / wall)
        rows.append((*row, rounded(speeds[-1] / speeds[0])))
    return rows


def train(code: Path, threads: int, frames: int, overrides: list[str], folder: Path) -> Cost:
    """What one training costs, its start included."""
    name = EXPERIMENT if (code / "conf" / "experiment" / f"{EXPERIMENT}.yaml").is_file() else NAME_BEFORE
    command = [
        sys.executable, "-m", "drc_lab", f"+experiment={name}", "task=train", f"algo.rollouts.frames={frames}",
        f"threads={threads}", "trainer.max_time=null", f"root={folder}", *overrides,
    ]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": str(code)}
    began = perf_counter()
    process = subprocess.Popen(command, cwd=code, env=environment, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(command)}\nin {code} ended with {os.waitstatus_to_exitcode(status)}")
    return Cost(perf_counter() - began, used.ru_utime + used.ru_stime)


if __name__ == "__main__":
    main()
