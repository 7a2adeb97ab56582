"""Whether what a probe reads is what the policy acts on: its vectors added to the cells of one move, and nothing
else."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from drc_lab.evaluation.finding import Finding
from drc_lab.evaluation.intervals import paired_difference, rate_interval
from drc_lab.evaluation.significance import holm, paired_test
from drc_lab.interpretation.hooks import hooks
from drc_lab.interpretation.labels.backward import NEVER
from drc_lab.interpretation.probes import Probe
from drc_lab.models.policy import Policy
from drc_lab.models.taps import Point

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ONCE, EVERY_TICK = "first tick", "every tick"
ONE, BOTH = "move", "move and own"  # which cells are written to


@dataclass(frozen=True)
class Moves:
    """Moves that a policy is to be steered to, one for each of N observations.

    Args:
        obs: [N, ...], the first of an episode each.
        cell: int64 [N], the cell of the policy's maps that the move is about.
        kind: int64 [N], the class of the label that stands for the move there.
        action: int64 [N], the move. The policy as it is makes another one.
        own_cell: int64 [N], the cell of the move that it makes as it is; -1 where the label has none for it, or it is
        the
            same.
    """

    obs: Tensor
    cell: np.ndarray
    kind: np.ndarray
    action: np.ndarray
    own_cell: np.ndarray

    def __len__(self) -> int:
        return len(self.action)


@torch.no_grad()
def steered(
    policy: Policy, moves: Moves, vectors: np.ndarray, layer: int, when: str = EVERY_TICK, batch: int = 512,
    against: np.ndarray | None = None,
) -> np.ndarray:  # fmt: skip
    """Whether the policy's greedy action is the move, bool [N], with vectors added to its cell state.

    Args:
        policy: with a cell state, "c".
        moves: what it is steered to.
        vectors: float32 [N, C], of each move.
        layer: whose cell state.
        when: at the ``first tick`` of the step, or at ``every tick``.
        against: float32 [C], added to the cell of the policy's own move.
    """
    name = f"{layer}.{0 if when == ONCE else '*'}.c"
    device = next(policy.parameters()).device
    found = []
    for rows in np.array_split(np.arange(len(moves)), max(1, -(-len(moves) // batch))):
        cell, vector = torch.from_numpy(moves.cell[rows]).to(device), torch.from_numpy(vectors[rows]).to(device)

        own = torch.from_numpy(moves.own_cell[rows]).to(device)

        def push(c: Tensor, point: Point, cell: Tensor = cell, vector: Tensor = vector, own: Tensor = own) -> Tensor:
            new = c.flatten(2).clone()  # (n, C, P)
            new[torch.arange(len(c), device=c.device), :, cell] += vector.to(c)
            if against is not None:
                has = (own >= 0).nonzero()[:, 0]
                new[has, :, own[has]] += torch.from_numpy(against).to(c)
            return new.view(c.shape)

        with hooks(policy, {name: push}):
            out, _ = policy(moves.obs[rows].to(device))
        found.append(out.policy_logits.argmax(-1).cpu().numpy() == moves.action[rows])
    return np.concatenate(found)


def vectors_of(probe: Probe, moves: Moves) -> np.ndarray:
    """What the probe reads as each move's class, less what it reads as any: float32 [N, C]."""
    return (probe.weight - probe.weight.mean(0))[moves.kind]


def random_vectors(like: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Of the same norm each, in directions of their own."""
    drawn = rng.normal(size=like.shape)
    return (drawn * np.linalg.norm(like, axis=1, keepdims=True) / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(
        np.float32
    )


def steering(
    policy: Policy,
    moves: Moves,
    probes: dict[int, Probe],
    alphas: Sequence[float],
    label: str,
    seed: int = 0,
    confidence: float = 0.95,
    tell: Callable[[int], object] = lambda number: None,
) -> Finding:
    """How often the policy makes a move that it would not have made, for each strength; beside random vectors.

    Args:
        policy, moves: see `steered`.
        probes: the 1x1 probe of each layer's cell state after the last tick.
        alphas: what the probe's vectors are multiplied by.
        label: what the probes read.
        seed: of the random vectors.
        confidence: of the intervals, and 1 - alpha of the tests.
        tell: is told of each setting that is done.
    """
    rows: list[list[object]] = []
    for layer, probe in probes.items():
        rng = np.random.default_rng(seed)
        own, never = vectors_of(probe, moves), probe.weight[NEVER] - probe.weight.mean(0)
        other, nothing = random_vectors(own, rng), random_vectors(never[None], rng)[0]
        for cells, when, alpha in product((ONE, BOTH), (ONCE, EVERY_TICK), alphas):
            against = (alpha * never, alpha * nothing) if cells == BOTH else (None, None)
            hit = steered(policy, moves, np.float32(alpha) * own, layer, when, against=against[0])
            miss = steered(policy, moves, np.float32(alpha) * other, layer, when, against=against[1])
            gain = paired_difference(hit, miss, confidence)
            rows.append([layer, cells, when, alpha, hit.mean(), *rate_interval(hit, confidence), miss.mean(),
                         hit.mean() - miss.mean(), *gain, paired_test(hit, miss).p_value])  # fmt: skip
            tell(1)
    columns = ["layer", "cells", "when", "alpha", "steered", "low", "high", "random", "difference", "difference_low",
               "difference_high", "p"]  # fmt: skip
    table = pd.DataFrame(rows, columns=columns)
    table["p_holm"] = holm(table["p"].to_numpy())
    table["clear"] = np.where((table["p_holm"] <= 1 - confidence) & (table["difference"] > 0), "yes", "")
    text = (
        f"{len(moves):,} moves on first observations that the policy does not make by itself (0% unsteered). For each, "
        f"the vector that a 1x1 probe reads as this move ({label}), alpha times, is added to the cell state of the "
        "cell of the move; and, where cells says so, the vector of never to that of the policy's own move. steered: "
        "share of moves that are then made; random: with vectors of the same norms in random directions; "
        f"{confidence:.0%} intervals, McNemar's exact test, Holm's correction over all rows. when: added once, at the "
        "step's first tick, or at every tick."
    )
    return Finding("steering", "Does it do what is written into it?", text, table, lambda axis: _draw(axis, table))


def _draw(axis: "Axes", table: pd.DataFrame) -> None:
    for number, ((layer, cells, when), line) in enumerate(table.groupby(["layer", "cells", "when"], sort=False)):
        axis.plot(
            line["alpha"], line["steered"], marker="o", color=f"C{number}", label=f"layer {layer}, {cells}, {when}"
        )
        axis.fill_between(line["alpha"], line["low"], line["high"], color=f"C{number}", alpha=0.15)
        axis.plot(line["alpha"], line["random"], linestyle=":", color=f"C{number}")
    axis.set(xlabel="alpha", ylabel="share of moves made (dotted: random vectors)", ylim=(0, 1.02), xscale="log")
    axis.legend(fontsize="x-small")
