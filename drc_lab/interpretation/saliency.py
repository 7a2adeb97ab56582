"""Saliency: attributions of a policy's value and greedy action to the cells of the board, computed with Captum."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from captum.attr import IntegratedGradients, Occlusion, Saliency
from torch import Tensor

from drc_lab.envs.ricochet.step import RicochetBatch
from drc_lab.envs.sokoban.step import SokobanBatch
from drc_lab.envs.vector import LevelVectorEnv
from drc_lab.evaluation.measures.finding import Finding
from drc_lab.evaluation.stats.intervals import mean_interval
from drc_lab.interpretation.pictures.galleries import heat, mosaic
from drc_lab.interpretation.recorder import bytes_computed
from drc_lab.interpretation.spec import ATTRIBUTED, ATTRIBUTIONS
from drc_lab.models.policy import Policy, as_floats
from drc_lab.progress import Advance, silent

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GRADIENT, INTEGRATED, _ = METHODS = ATTRIBUTIONS
ACTION, VALUE = ATTRIBUTED
PATHS = 24  # points on the path of integrated gradients
AT_ONCE = 256  # boards that integrated gradients processes in one batch
SHOWN, CELL = 6, 24  # boards in a picture; side of a cell in pixels


def attributions(policy: Policy, obs: Tensor, method: str, of: str = ACTION, repeats: int | None = None) -> Tensor:
    """Attributes a policy's output on first observations to the cells of the board: float32 [N, H, W], 0 or more.

    Attributions are absolute. Those of gradients are summed over channels; occlusion hides all channels of a cell at
    once. The reference, for occlusion and integrated gradients, is an observation of zeros.

    Args:
        policy: in evaluation mode.
        obs: [N, C, H, W].
        method: ``gradient``: with respect to the observation; ``integrated``: gradients along the path from zeros to
            the observation, times the observation (Sundararajan et al. 2017); ``occlusion``: one cell at a time is set
            to zero in all channels.
        of: which output: the logit of the greedy ``action``, or the ``value``.
        repeats: number of ticks; None is the policy's own.
    """
    x = as_floats(obs, next(policy.parameters()).dtype)
    with torch.no_grad():
        chosen = policy(x, None, repeats)[0].policy_logits.argmax(-1)

    def says(seen: Tensor, chosen: Tensor) -> Tensor:
        out, _ = policy(seen, None, repeats)
        return out.value[:, 0] if of == VALUE else out.policy_logits.gather(1, chosen[:, None])[:, 0]

    if method == GRADIENT:
        start = x.clone().requires_grad_()
        attributed = Saliency(says).attribute(start, abs=True, additional_forward_args=(chosen,))
    elif method == INTEGRATED:
        at_once = max(AT_ONCE, len(x))
        attributed = IntegratedGradients(says).attribute(
            x.clone(), n_steps=PATHS, internal_batch_size=at_once, additional_forward_args=(chosen,)
        )
    else:
        window = (x.shape[1], 1, 1)
        with torch.no_grad():
            attributed = Occlusion(says).attribute(
                x, sliding_window_shapes=window, baselines=0.0, additional_forward_args=(chosen,)
            )
            return attributed[:, 0].abs()  # the same in all channels
    return attributed.detach().abs().sum(1)


def bytes_of_level(policy: Policy) -> int:
    """Estimates the bytes of memory that the attributions of one level take: the activations that a backward pass
    keeps, their gradients, and the points of an integrated gradient's path."""
    obs = np.prod(policy.obs_shape) * np.dtype(np.float32).itemsize
    return 2 * bytes_computed(policy, ["*"], "float32") + PATHS * int(obs)


def contents(batch: Any, board: tuple[int, int]) -> dict[str, np.ndarray]:
    """Returns masks of what the cells hold, bool [N, H, W] by name; {} for unknown games.

    Args:
        batch: the game's boards.
        board: height and width of the observations, which may lack the boards' border; the masks lack it too.
    """
    if isinstance(batch, SokobanBatch):
        tiles = batch.tiles.reshape(len(batch.tiles), -1, batch.width)
        names = {"player": (5, 6), "box": (3, 4), "target": (2, 3, 6), "wall": (0,), "floor": (1,)}
        masks = {name: np.isin(tiles, codes) for name, codes in names.items()}
    elif isinstance(batch, RicochetBatch):
        cells = np.arange(batch.walls.shape[1])
        target = batch.robots[np.arange(len(batch.walls)), batch.target]
        others = (batch.robots[..., None] == cells).any(1) & (cells != target[:, None])
        flat = {"target robot": cells == target[:, None], "goal": cells == batch.goal[:, None], "other robot": others}
        flat["rest"] = ~np.logical_or.reduce(list(flat.values()))
        masks = {name: each.reshape(len(each), -1, batch.width) for name, each in flat.items()}
    else:
        return {}
    border = [(size - seen) // 2 for size, seen in zip(next(iter(masks.values())).shape[1:], board, strict=True)]
    rows, columns = (slice(ring, ring + seen) for ring, seen in zip(border, board, strict=True))
    return {name: each[:, rows, columns] for name, each in masks.items()}


def saliency(
    policy: Policy,
    env: LevelVectorEnv,
    methods: Sequence[str] = METHODS,
    of: Sequence[str] = (ACTION, VALUE),
    seed: int = 0,
    confidence: float = 0.95,
    advance: Advance = silent,
) -> list[Finding]:
    """Measures which kinds of cells (boxes, walls, ...) attributions on first observations lie on, for each number of
    ticks.

    Args:
        policy: reads planes, or pictures with one pixel a cell.
        env: with one board for each level.
        methods, of: see `attributions`.
        seed: of the env.
        confidence: of the intervals.
        advance: called with 1 after each combination of method, output and number of ticks.
    """
    obs, _ = env.reset(seed=seed)
    seen = torch.from_numpy(obs).to(next(policy.parameters()).device)
    board = (seen.shape[2], seen.shape[3])
    holds = contents(env.batch, board)
    rows: list[list[object]] = []
    maps: dict[tuple[str, str], np.ndarray] = {}
    for method in methods:
        for what in of:
            for ticks in range(1, policy.repeats_per_step + 1):
                attributed = attributions(policy, seen, method, what, ticks).cpu().numpy()
                share = attributed / np.maximum(attributed.sum((1, 2), keepdims=True), 1e-12)
                maps[method, what] = share  # overwritten until only that of all ticks is left
                for name, where in holds.items():
                    each = (share * where).sum((1, 2))
                    by_chance = where.mean((1, 2))
                    interval = mean_interval(each, confidence)
                    rows.append([method, what, ticks, name, each.mean(), *interval, by_chance.mean()])
                advance(1)
    table = pd.DataFrame(rows, columns=["method", "of", "ticks", "cell", "share", "low", "high", "cells"])
    text = (
        "How much of the attribution on a first observation lies on cells that hold what, for the logit of the greedy "
        f"action and for the value, after so many ticks; means over levels with {confidence:.0%} intervals. cells: the "
        "share of such cells on the board, which is what an attribution that reads all alike would have. Attributions "
        "say what a decision hangs on near these boards, not what the policy makes of it."
    )
    shown = table[table["ticks"] == policy.repeats_per_step].drop(columns="ticks")
    findings = [
        Finding("saliency", "What does a decision read?", text, shown, lambda axis: _draw_shares(axis, shown)),
        Finding(
            "saliency_by_tick", "And after fewer ticks?", text, table, lambda axis: _draw_by_tick(axis, table), False
        ),
    ]
    pictures = [env.batch.picture(number, CELL) for number in range(min(SHOWN, env.num_envs))]
    for (method, what), share in maps.items():
        if what == of[0]:
            findings.append(_gallery(method, what, pictures, share[:SHOWN]))
    return findings


def _gallery(method: str, of: str, pictures: Sequence[np.ndarray], share: np.ndarray) -> Finding:
    def draw(axis: "Axes") -> None:
        scaled = [each / max(each.max(), 1e-12) for each in share]
        below = [heat(each, picture.shape[:2], CELL) for each, picture in zip(scaled, pictures, strict=True)]
        axis.imshow(mosaic([pictures, below]))
        axis.set_axis_off()

    half = [_half(each) for each in share]
    table = pd.DataFrame({"level": range(len(share)), "largest": share.max((1, 2)), "cells_of_half": half})
    text = (
        f"Levels, and below them where the attribution of the {of} lies ({method}): the redder, the more. "
        "cells_of_half: on so few cells lies half of it."
    )
    return Finding(f"saliency_{method}", f"Where does it look? ({method})", text, table, draw, in_terminal=False)


def _half(share: np.ndarray) -> int:
    return int(np.searchsorted(np.cumsum(np.sort(share.ravel())[::-1]), 0.5) + 1)


def _draw_shares(axis: "Axes", table: pd.DataFrame) -> None:
    cells = list(dict.fromkeys(table["cell"]))
    groups = list(table.groupby(["method", "of"], sort=False))
    for number, ((method, of), shares) in enumerate(groups):
        place = np.arange(len(cells)) + (number - len(groups) / 2) * 0.8 / len(groups)
        axis.bar(place, shares["share"], 0.8 / len(groups), label=f"{method}, {of}")
    axis.plot(range(len(cells)), shares["cells"], "k_", markersize=20, label="share of cells")
    axis.set_xticks(range(len(cells)), cells)
    axis.set(ylabel="share of the attribution", ylim=(0, 1))
    axis.legend(fontsize="x-small")


def _draw_by_tick(axis: "Axes", table: pd.DataFrame) -> None:
    shares = table[(table["method"] == table["method"].iloc[0]) & (table["of"] == table["of"].iloc[0])]
    for cell, line in shares.groupby("cell", sort=False):
        axis.plot(line["ticks"], line["share"], marker="o", label=cell)
    axis.set(xlabel="ticks", ylabel="share of the attribution", ylim=(0, 1))
    axis.legend(fontsize="x-small")
