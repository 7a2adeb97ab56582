"""Steering: adds a probe's vectors to the cell state in the cells of a few moves, to test whether the policy acts on
what the probe reads."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from drc_lab.envs.batch import SKIP
from drc_lab.envs.vector import LevelVectorEnv
from drc_lab.evaluation.measures.finding import Finding
from drc_lab.evaluation.stats.intervals import mean_interval, paired_difference
from drc_lab.evaluation.stats.significance import holm, is_clear, paired_t_test
from drc_lab.interpretation.causal.alternatives import Routes
from drc_lab.interpretation.hooks import Hook, hooks
from drc_lab.interpretation.labels.backward import NEVER
from drc_lab.interpretation.probes.linear import Probe
from drc_lab.models.policy import Policy
from drc_lab.models.taps import Point
from drc_lab.progress import Advance, silent

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ONCE, EVERY_TICK = "first tick", "every tick"
ONE, BOTH = "move", "move and own"  # the cells that are written to
MANY = 24  # a figure of more rows shows those with BOTH only


def writes(
    cell: np.ndarray, vectors: np.ndarray, own_cell: np.ndarray, against: np.ndarray | None, device: torch.device
) -> Hook:
    """Returns a hook that adds vectors to cells of a state [N, C, H, W].

    Args:
        cell: int64 [N, K], the cells.
        vectors: float32 [N, K, C], what is added to each of them.
        own_cell: int64 [N], the cell to which ``against`` is added; -1 for none.
        against: float32 [C]; None adds nothing.
        device: of the state.
    """
    at, added = torch.from_numpy(cell).to(device), torch.from_numpy(vectors).to(device)
    rows = torch.arange(len(at), device=device)
    has = torch.from_numpy(np.flatnonzero(own_cell >= 0)).to(device)
    own_cells = torch.from_numpy(own_cell).to(device)[has]
    opposed = None if against is None else torch.from_numpy(against).to(device)

    def hook(c: Tensor, point: Point) -> Tensor:
        new = c.flatten(2).clone()  # (N, C, P)
        for k in range(at.shape[1]):
            new[rows, :, at[:, k]] += added[:, k].to(c)
        if opposed is not None:
            new[has, :, own_cells] += opposed.to(c)
        return new.view(c.shape)

    return hook


@torch.no_grad()
def followed(
    policy: Policy,
    env: LevelVectorEnv,
    routes: Routes,
    vectors: np.ndarray,
    layer: int,
    when: str = EVERY_TICK,
    against: np.ndarray | None = None,
) -> np.ndarray:
    """Plays the policy greedily while steering it; returns how many moves of its route it makes before it deviates,
    int64 [N].

    At every step the vectors of the moves that are still to be made are added to the cell state.

    Args:
        policy: with a cell state, "c".
        env: with as many boards as there are routes; they are set to those that the routes begin on.
        routes: that the policy is steered along.
        vectors: float32 [N, K, C], one for each move.
        layer: whose cell state is written to.
        when: vectors are added at the ``first tick`` of each step or at ``every tick``.
        against: float32 [C], added to the cell of the policy's own first move; None adds nothing.
    """
    batch, device = env.batch, next(policy.parameters()).device
    name = f"{layer}.{0 if when == ONCE else '*'}.c"
    batch.set_state(dict(routes.boards))
    moves_made, follows, carry = np.zeros(len(routes.action), np.int64), routes.there.copy(), None
    for k in range(routes.action.shape[1]):
        hook = writes(routes.cell[:, k:], vectors[:, k:], routes.own_cell, against, device)
        with hooks(policy, {name: hook}):
            out, carry = policy(torch.from_numpy(batch.observation).to(device), carry)
        follows &= out.policy_logits.argmax(-1).cpu().numpy() == routes.action[:, k]
        moves_made += follows
        if not follows.any():
            break
        batch.step(np.where(follows, routes.action[:, k], SKIP))
    return moves_made


def vectors_of(probe: Probe, routes: Routes) -> np.ndarray:
    """Returns for each move the probe's weights for its class minus their mean over classes, float32 [N, K, C]."""
    return (probe.weight - probe.weight.mean(0))[routes.kind]


def random_vectors(like: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draws vectors of the same norms as those of ``like`` [..., C], in independent random directions."""
    drawn = rng.normal(size=like.shape)
    norms = (np.linalg.norm(each, axis=-1, keepdims=True) for each in (like, drawn))
    return (drawn * np.divide(*norms)).astype(np.float32)


def settings(lengths: Sequence[int], alphas: Sequence[float]) -> list[tuple[int, str, str, float]]:
    """Returns all combinations (moves of the route, cells, when, alpha). Single moves are steered both at the first
    tick and at every tick, longer routes at every tick only."""
    whens = [(length, when) for length in lengths for when in (ONCE, EVERY_TICK) if length == 1 or when == EVERY_TICK]
    return [(length, cells, when, alpha) for length, when in whens for cells in (ONE, BOTH) for alpha in alphas]


def steering(
    policy: Policy,
    env: LevelVectorEnv,
    turned: Mapping[int, Sequence[Routes]],
    probes: Mapping[int, Probe],
    alphas: Sequence[float],
    label: str,
    seed: int = 0,
    confidence: float = 0.95,
    advance: Advance = silent,
) -> Finding:
    """Measures how often steering makes the policy follow a route that it would not follow by itself, for each
    strength, compared with random vectors.

    Args:
        policy, env: see `followed`.
        turned: by number of moves, the routes on the same levels in each symmetry.
        probes: for each layer the 1x1 probe of its cell state after the last tick.
        alphas: factors by which the probe's vectors are multiplied.
        label: that the probes predict.
        seed: of the random vectors.
        confidence: of the intervals, and 1 - alpha of the tests.
        advance: called with 1 after each setting.
    """
    rows: list[list[object]] = []
    for layer, probe in probes.items():
        never = probe.weight[NEVER] - probe.weight.mean(0)
        for length, cells, when, alpha in settings(list(turned), alphas):
            rng = np.random.default_rng(seed)
            by_probe: list[np.ndarray] = []  # for each symmetry, how many moves of each route were followed
            by_random: list[np.ndarray] = []
            for routes in turned[length]:
                vectors = np.float32(alpha) * vectors_of(probe, routes)
                random, random_never = random_vectors(vectors, rng), random_vectors(never[None], rng)[0]
                for moves, added, opposed in ((by_probe, vectors, never), (by_random, random, random_never)):
                    against = alpha * opposed if cells == BOTH else None
                    gone = followed(policy, env, routes, added, layer, when, against)
                    moves.append(np.where(routes.there, gone, np.nan))
            part = _of_levels([moves / length for moves in by_probe])
            steered, steered_by_random = (
                _of_levels([_whole(moves, length) for moves in each]) for each in (by_probe, by_random)
            )
            rows.append([
                layer, length, cells, when, alpha, steered.mean(), *mean_interval(steered, confidence), part.mean(),
                steered_by_random.mean(), steered.mean() - steered_by_random.mean(),
                *paired_difference(steered, steered_by_random, confidence),
                paired_t_test(steered, steered_by_random).p_value,
            ])  # fmt: skip
            advance(1)
    columns = ["layer", "moves", "cells", "when", "alpha", "steered", "low", "high", "part", "random", "difference",
               "difference_low", "difference_high", "p"]  # fmt: skip
    table = pd.DataFrame(rows, columns=columns)
    table["p_holm"] = holm(table["p"].to_numpy())
    table["clear"] = np.where(is_clear(table["p_holm"], confidence) & (table["difference"] > 0), "yes", "")
    counts = (f"{sum(each.there.sum() for each in routes):,} of {moves}" for moves, routes in turned.items())
    text = (
        f"Routes from first observations ({', '.join(counts)} moves) whose first move the policy does not make by "
        f"itself: 0% unsteered. Each level in {len(turned[1])} symmetries. The vector that a 1x1 probe reads as a move "
        f"({label}), alpha times, is added to the cell state of the cell of each move that is still to be made; and, "
        "where cells says so, the vector of never to that of the policy's "
        "own move. steered: share of routes that are then gone to their end, part: mean share of their moves; random: "
        f"with vectors of the same norms in random directions. {confidence:.0%} intervals and paired t tests over "
        "levels, Holm's correction over all rows. when: added once, at each step's first tick, or at every tick."
    )
    return Finding("steering", "Does it do what is written into it?", text, table, lambda axis: _draw(axis, table))


def _whole(moves_made: np.ndarray, length: int) -> np.ndarray:
    """Returns 1 where a route was followed to its end, 0 where it was not, nan where there is no route."""
    return np.where(np.isnan(moves_made), np.nan, moves_made == length)


def _of_levels(turned: Sequence[np.ndarray]) -> np.ndarray:
    """Averages over symmetries, [S, N] -> [levels]; levels without a route in any symmetry are left out."""
    values = np.stack(turned)
    values = values[:, ~np.isnan(values).all(0)]
    return np.asarray(np.nanmean(values, axis=0))


def _draw(axis: "Axes", table: pd.DataFrame) -> None:
    lines = table[table["cells"] == BOTH] if len(table) > MANY else table
    for number, ((layer, moves, cells, when), line) in enumerate(
        lines.groupby(["layer", "moves", "cells", "when"], sort=False)
    ):
        name = f"layer {layer}, {moves} move{'s' if moves > 1 else ''}, {cells}, {when}"
        axis.plot(line["alpha"], line["steered"], marker="o", color=f"C{number}", label=name)
        axis.fill_between(line["alpha"], line["low"], line["high"], color=f"C{number}", alpha=0.15)
        axis.plot(line["alpha"], line["random"], linestyle=":", color=f"C{number}")
    axis.set(xlabel="alpha", ylabel="share of routes gone (dotted: random vectors)", ylim=(0, 1.02), xscale="log")
    axis.legend(fontsize="x-small")
