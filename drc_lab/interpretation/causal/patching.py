"""Activation patching: finds where a policy represents a difference between two levels, by copying what it computed on
one level into its computation on the other, place by place."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from drc_lab.envs.ricochet.step import RicochetBatch
from drc_lab.envs.sokoban.level import FLOOR, TARGET
from drc_lab.envs.sokoban.step import SokobanBatch
from drc_lab.envs.vector import LevelVectorEnv
from drc_lab.errors import ConfigError
from drc_lab.evaluation.measures.finding import Finding
from drc_lab.evaluation.stats.intervals import mean_interval
from drc_lab.interpretation.hooks import hooks, run_with_cache
from drc_lab.models.policy import Policy
from drc_lab.models.taps import Point
from drc_lab.progress import Advance, silent

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LEAST = 0.5  # nats; with a smaller preference between the two moves, the restored share would divide by nearly 0


def changed_boards(env: LevelVectorEnv, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Returns observations [N, ...] of the env's first levels, and of the same levels with the goal moved at random.

    The goal is one of the targets in Sokoban and the goal cell in Ricochet Robots.

    Raises:
        ConfigError: for any other game.
    """
    batch, rng = env.batch, np.random.default_rng(seed)
    clean, _ = env.reset(seed=seed)
    clean = clean.copy()
    if isinstance(batch, SokobanBatch):
        for tiles in batch.tiles:
            targets, floor = np.flatnonzero(tiles == TARGET), np.flatnonzero(tiles == FLOOR)
            if len(targets) and len(floor):
                tiles[rng.choice(targets)], tiles[rng.choice(floor)] = FLOOR, TARGET
    elif isinstance(batch, RicochetBatch):
        for number, robots in enumerate(batch.robots):
            free = np.setdiff1d(np.flatnonzero(batch.walls[number] != 15), [*robots, batch.goal[number]])
            batch.goal[number] = rng.choice(free)
    else:
        raise ConfigError("env.id", type(batch).__name__, "Sokoban | Ricochet Robots")
    batch.observe(np.arange(len(clean)))
    return clean, batch.observation.copy()


@torch.no_grad()
def patching(
    policy: Policy,
    clean: Tensor,
    changed: Tensor,
    names: Sequence[str],
    confidence: float = 0.95,
    advance: Advance = silent,
) -> Finding | None:
    """Measures for each place how much of the preference on the clean level patching restores on the changed one.

    Only pairs count in which the policy's greedy actions differ, each preferred by more than `LEAST` nats on its own
    level. Returns None if there are fewer than two.

    Args:
        policy: any.
        clean, changed: [N, ...], first observations in pairs.
        names: of the places, each the name of a single point (``layer.tick.what``).
        confidence: of the intervals.
        advance: called with 1 after each place.
    """
    (out, _), cache = run_with_cache(policy, clean, None, names)
    (other, _), _ = run_with_cache(policy, changed, None, names)
    a, b = out.policy_logits.argmax(-1), other.policy_logits.argmax(-1)

    def preference(logits: Tensor) -> Tensor:
        """Returns the preference for the clean level's action over the changed level's, in nats, [N]."""
        return (logits.gather(1, a[:, None]) - logits.gather(1, b[:, None]))[:, 0]

    full, none = preference(out.policy_logits), preference(other.policy_logits)
    kept = (a != b) & (full > LEAST) & (none < -LEAST)
    if kept.sum() < 2:
        return None
    rows: list[list[object]] = []
    for name in names:

        def put(value: Tensor, point: Point, name: str = name) -> Tensor:
            return cache[name]

        with hooks(policy, {name: put}):
            patched, _ = policy(changed)
        back = ((preference(patched.policy_logits) - none) / (full - none))[kept].cpu().numpy()
        layer, tick, what = name.split(".") if name.count(".") == 2 else ("", "", name)
        rows.append(
            [name, layer, tick, what, back.mean(), *mean_interval(back, confidence), np.median(back), len(back)]
        )
        advance(1)
    table = pd.DataFrame(rows, columns=["place", "layer", "tick", "what", "restored", "low", "high", "median", "pairs"])
    text = (
        "Levels and the same levels with the goal somewhere else, on which the policy wants another first move. What "
        "it computed on the first is put in one place while it looks at the second. restored: how much of the "
        "preference (in nats, between these two moves) comes back; 0: nothing, 1: all; mean over pairs, with "
        f"{confidence:.0%} intervals. A place at 1 holds all that the goal has to say; one at 0 nothing that is used "
        "later."
    )
    draw = (lambda axis: _draw(axis, table)) if (table["layer"] != "").any() else None
    return Finding("patching", "Where does the goal's place sit?", text, table, draw)


def _draw(axis: "Axes", table: pd.DataFrame) -> None:
    inner = table[table["layer"] != ""]
    lines = [f"{layer}.{what}" for layer, what in dict.fromkeys(zip(inner["layer"], inner["what"], strict=True))]
    ticks = sorted(inner["tick"].unique(), key=int)
    grid = np.full((len(lines), len(ticks)), np.nan)
    for row in inner.itertuples():
        grid[lines.index(f"{row.layer}.{row.what}"), ticks.index(row.tick)] = row.restored
    axis.imshow(grid, cmap="viridis", vmin=0, vmax=1, aspect="auto")
    for (y, x), value in np.ndenumerate(grid):
        axis.text(
            x, y, "" if np.isnan(value) else f"{value:.2f}", ha="center", va="center", color="white", fontsize="small"
        )
    axis.set_xticks(range(len(ticks)), [str(int(tick) + 1) for tick in ticks])
    axis.set_yticks(range(len(lines)), lines)
    axis.set(xlabel="tick of the step", ylabel="layer and what")
