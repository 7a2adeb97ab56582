"""Collects generated boards by difficulty into a bank."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from drc_lab.envs.ricochet.bank import Bank
from drc_lab.envs.ricochet.generate import BoardGenerator
from drc_lab.envs.ricochet.identity import identities
from drc_lab.envs.ricochet.level import Boards
from drc_lab.envs.ricochet.solve import robots_moved
from drc_lab.envs.search import in_threads
from drc_lab.envs.specs.ricochet import BankSpec

CHUNK = 64  # boards drawn from one seed
Report = Callable[[str, int, int], None]


def make_bank(
    generator: BoardGenerator, spec: BankSpec, seed: int = 0, report: Report = lambda what, done, total: None
) -> Bank:
    """Collects generated boards of every optimal length, sorted by it, no two of them the same up to symmetry.

    The number of threads does not change the result.

    Args:
        generator: its limits on the optimal length are the first and the last bin (without an upper limit there is no
            last bin). Its ``split`` is ignored: boards of all splits are collected.
        spec: how much to collect; its ``max_states`` replaces the generator's.
        report: is called with the current phase, how much of it is done, and its total.

    Raises:
        ConfigError: the generator cannot make a board.
    """
    generator = replace(generator, split=None, max_states=spec.max_states)
    kept = _draw(generator, spec, seed, report)
    moved = []
    for start in range(0, len(kept), CHUNK):
        report("searching for the robots that have to move", start, len(kept))
        moved.append(robots_moved(kept[start : start + CHUNK], spec.max_states, spec.threads))
    report("searching for the robots that have to move", len(kept), len(kept))
    return Bank(kept.walls, kept.robots, kept.goal, kept.target, kept.optimal, np.concatenate(moved))


def counts(bank: Bank) -> dict[int, Counter[int]]:
    """For each optimal length in the bank: how many boards there are by robots moved (-1: unknown)."""
    return {int(n): Counter(bank.moved[bank.optimal == n].tolist()) for n in np.unique(bank.optimal)}


def _draw(generator: BoardGenerator, spec: BankSpec, seed: int, report: Report) -> Boards:
    bins, seen, parts, draws = Counter[int](), set[int](), list[Boards](), 0
    number_of_bins = None if generator.max_optimal is None else generator.max_optimal - generator.min_optimal + 1
    chunks = range(-(-spec.max_draws // CHUNK))
    for boards in in_threads(lambda k: generator(np.random.default_rng([seed, k]), CHUNK), chunks, spec.threads):
        boards = boards[: spec.max_draws - draws]
        draws += len(boards)
        fresh = []
        for i, (number, optimal) in enumerate(zip(identities(boards).tolist(), boards.optimal.tolist(), strict=True)):
            if number not in seen and bins[optimal] < spec.per_bin:
                seen.add(number)
                bins[optimal] += 1
                fresh.append(i)
        parts.append(boards[fresh])
        report("drawing boards", draws, spec.max_draws)
        if number_of_bins is not None and sum(bins.values()) == spec.per_bin * number_of_bins:
            break
    everything = Boards.concat(parts)
    return everything[np.argsort(everything.optimal, kind="stable")]
