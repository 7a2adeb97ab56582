"""Ablation: how much the solve rate drops without the channels that a probe reads most, or without random ones."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from drc_lab.envs.vector import LevelVectorEnv
from drc_lab.evaluation.measures.finding import Finding
from drc_lab.evaluation.play.evaluator import evaluate
from drc_lab.evaluation.stats.intervals import paired_difference
from drc_lab.evaluation.stats.significance import holm, is_clear, paired_test
from drc_lab.interpretation.hooks import Hook, hooks
from drc_lab.interpretation.spec import ABLATIONS
from drc_lab.models.policy import Policy
from drc_lab.models.taps import Point
from drc_lab.progress import Advance, silent

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ZERO, MEAN, _ = METHODS = ABLATIONS


def without(channels: Sequence[int], method: str, means: np.ndarray, rng: torch.Generator) -> Hook:
    """Returns a hook that ablates channels of a map [B, C, H, W].

    Args:
        channels: numbers of the ablated channels.
        method: what takes their place: ``zero``; ``mean``: ``means``; ``resample``: their values in another episode of
            the batch, drawn anew at each call.
        means: float32 [C, H, W], the mean of each channel and cell over a recording.
        rng: draws the other episodes.
    """
    chosen, mean = torch.tensor(list(channels), dtype=torch.int64), torch.from_numpy(means)

    def hook(value: Tensor, point: Point) -> Tensor:
        new = value.clone()
        if method == ZERO:
            new[:, chosen] = 0
        elif method == MEAN or len(value) == 1:  # a batch of one has no other episode
            new[:, chosen] = mean[chosen].to(value)
        else:
            new[:, chosen] = value.roll(int(torch.randint(1, len(value), (), generator=rng)), 0)[:, chosen]
        return new

    return hook


def solved_without(
    policy: Policy,
    env: LevelVectorEnv,
    name: str,
    channels: Sequence[int],
    method: str,
    means: np.ndarray,
    seed: int = 0,
) -> np.ndarray:
    """Plays with channels ablated at every step; returns which levels are solved, bool [N]. See `without`."""
    hook = without(channels, method, means, torch.Generator().manual_seed(seed))
    with hooks(policy, {name: hook}):
        return evaluate(policy, env, seed=seed, chunk=env.num_envs).solved


def ablation(
    policy: Policy,
    env: LevelVectorEnv,
    ranked: dict[int, Sequence[int]],
    means: dict[int, np.ndarray],
    numbers: Sequence[int],
    methods: Sequence[str] = METHODS,
    seed: int = 0,
    draws: int = 3,
    confidence: float = 0.95,
    advance: Advance = silent,
) -> Finding:
    """Compares the solve rate without the channels that a probe reads most with that without random channels.

    Args:
        policy: with a cell state, "c".
        env: with one board for each level.
        ranked: for each layer all channels, sorted by the probe's weights, largest first.
        means: float32 [C, H, W], for each layer the mean of its cell state after a step's last tick.
        numbers: how many channels are ablated at a time.
        methods: see `without`.
        seed: of the random channels.
        draws: how many random sets of channels each setting is compared with.
        confidence: of the intervals, and 1 - alpha of the tests.
        advance: called with 1 after each setting.
    """
    plain = evaluate(policy, env, seed=seed).solved
    rng = np.random.default_rng(seed)
    rows: list[list[object]] = []
    for layer, order in ranked.items():
        for method in methods:
            for number in numbers:

                def play(channels: Sequence[int], layer: int = layer, method: str = method) -> np.ndarray:
                    return solved_without(policy, env, f"{layer}.*.c", channels, method, means[layer], seed)

                read = play(order[:number])
                others = [play(rng.permutation(len(order))[:number].tolist()) for _ in range(draws)]
                loss = paired_difference(read, plain, confidence)
                rate = float(np.mean([each.mean() for each in others]))
                worst = max(paired_test(each, read).p_value if each.mean() > read.mean() else 1.0 for each in others)
                rows.append([layer, method, number, read.mean(), read.mean() - plain.mean(), *loss, rate,
                             rate - plain.mean(), worst])  # fmt: skip
                advance(1)
    columns = [
        "layer",
        "method",
        "channels",
        "solve_rate",
        "difference",
        "low",
        "high",
        "random",
        "random_difference",
        "p",
    ]
    table = pd.DataFrame(rows, columns=columns)
    table["p_holm"] = holm(table["p"].to_numpy())
    table["clear"] = np.where(is_clear(table["p_holm"], confidence), "yes", "")
    text = (
        f"Solve rate ({plain.mean():.1%} with all) when channels of a layer's cell state are taken out at every tick "
        f"of every step: those with the largest weights in the probe, and random: the mean of {draws} draws of as many "
        "of all channels. zero; mean: what the channel and cell are on average; resample: what they are in another "
        f"episode. difference: on the same {len(plain):,} levels, with {confidence:.0%} intervals. clear: worse than "
        "each of the draws, by McNemar's exact test after Holm's correction over all rows."
    )
    return Finding(
        "ablation", "What does it lose without these channels?", text, table, lambda axis: _draw(axis, table)
    )


def _draw(axis: "Axes", table: pd.DataFrame) -> None:
    for number, ((layer, method), line) in enumerate(table.groupby(["layer", "method"], sort=False)):
        axis.plot(
            line["channels"], line["solve_rate"], marker="o", color=f"C{number}", label=f"layer {layer}, {method}"
        )
        axis.plot(line["channels"], line["random"], linestyle=":", color=f"C{number}")
    axis.set(xlabel="channels taken out (dotted: random ones)", ylabel="solve rate", ylim=(0, 1.02))
    axis.legend(fontsize="x-small")
