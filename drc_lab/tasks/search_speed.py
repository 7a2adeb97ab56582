"""task=search_speed: how fast levels are generated and solved, on one thread.

python -m drc_lab task=search_speed
"""

import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from drc_lab.app.settings import Settings
from drc_lab.envs.ricochet import BoardGenerator, solve_many
from drc_lab.envs.sokoban import ReverseGenerator, RoomGenerator
from drc_lab.envs.sokoban import solve_many as solve_sokoban
from drc_lab.progress import tracked
from drc_lab.speed.timing import report

GENERATORS: dict[str, Any] = {
    "Ricochet 5x5, 2 robots": BoardGenerator(),
    "Ricochet 8x8, 4 robots": BoardGenerator(8, 8, 4),
    "Ricochet 16x16, 4 robots, official": BoardGenerator(16, 16, 4, style="official"),
    "Sokoban rooms 7x7, 2 boxes": RoomGenerator(),
    "Sokoban reverse 10x10, 4 boxes": ReverseGenerator(),
}
# For comparison: mean milliseconds by optimal length of IDA* in Lireer's ricochet-robot-solver, on 16x16 boards with
# four robots.
LISTED = {5: 0.24, 10: 37.0, 15: 1900.0}


def main(settings: Settings, folder: Path) -> None:
    """Times generators and solvers, prints the tables and writes generators.csv and solvers.csv."""
    spec = settings.search_speed
    rates = [
        (name, levels_per_second(generate, spec.seconds))
        for name, generate in tracked(GENERATORS.items(), "generating")
    ]
    report(
        "Generators, one thread",
        ("levels", "per second"),
        [(n, f"{r:.0f}") for n, r in rates],
        folder / "generators.csv",
    )
    rows = ricochet_times(spec.boards) + sokoban_times(spec.levels)
    report(
        "Exact solvers, one thread: 16x16 with 4 robots, 10x10 with 4 boxes",
        ("levels", "optimum", "solved", "mean ms", "longest ms", "listed ms"),
        rows,
        folder / "solvers.csv",
    )


def levels_per_second(generate: Any, seconds: float) -> float:
    """Returns how many levels per second a generator makes, measured for about ``seconds``."""
    rng, generated, count = np.random.default_rng(0), 0, 1
    generate(rng, 1)  # warm-up, which also compiles
    started = time.perf_counter()
    while time.perf_counter() - started < seconds:
        generated += len(generate(rng, count))
        count = min(2 * count, 1024)
    return generated / (time.perf_counter() - started)


def ricochet_times(count: int) -> list[tuple[Any, ...]]:
    """Times the solver on official-like 16x16 boards; returns rows by optimal length."""
    boards = BoardGenerator(16, 16, 4, style="official", split=None)(np.random.default_rng(0), count)
    seconds = defaultdict(list)
    solve_many(boards[:1])  # loads compiled code
    for i in tracked(range(count), "solving Ricochet"):
        one = boards[i : i + 1]
        started = time.perf_counter()
        lengths, _ = solve_many(one)
        seconds[int(lengths[0])].append(time.perf_counter() - started)
    return [("Ricochet", optimal, *_times(seconds[optimal]), LISTED.get(optimal, "")) for optimal in sorted(seconds)]


def sokoban_times(count: int) -> list[tuple[Any, ...]]:
    """Times the solver on 10x10 levels with four boxes; returns a row for fewest moves and one for fewest pushes."""
    levels, rows = ReverseGenerator()(np.random.default_rng(0), count), []
    solve_sokoban(levels.tiles[:1])
    for optimal in ("moves", "pushes"):
        seconds = []
        for tiles in tracked(levels.tiles, f"solving Sokoban for {optimal}"):
            started = time.perf_counter()
            solve_sokoban(tiles[None], optimal)
            seconds.append(time.perf_counter() - started)
        rows.append(("Sokoban", f"fewest {optimal}", *_times(seconds), ""))
    return rows


def _times(seconds: list[float]) -> tuple[int, str, str]:
    return len(seconds), f"{1e3 * np.mean(seconds):.2f}", f"{1e3 * max(seconds):.1f}"
