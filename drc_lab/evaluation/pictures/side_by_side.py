"""Videos of the same levels without and with extra passes, side by side, to show what thinking changes and when.

Each frame is one forward pass on both sides. During extra passes the board on the right stands still while the policy's
action probabilities, value and entropy change below it; the episode on the left goes on.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int64, UInt8

from drc_lab.envs.vector import LevelVectorEnv
from drc_lab.evaluation.kinds.first_passes import FIRST_PASSES
from drc_lab.evaluation.pictures.episode_video import progress
from drc_lab.evaluation.pictures.panel import Moment, Panel
from drc_lab.evaluation.play.records import baseline_of
from drc_lab.evaluation.play.replay import is_over, replay
from drc_lab.evaluation.play.thinking import Thinking
from drc_lab.evaluation.watchers.watcher import Actions, Envs, Observations, Waits, Watcher
from drc_lab.models.policy import Policy, PolicyValue

GAP = 12  # pixels between the two sides
HOLD = 6  # number of times that the last frame of a level is shown
OF_EACH = 2  # levels, at most, that only thinking solves, and as many that only the baseline policy solves


class Timeline(Watcher):
    """Records each forward pass of each episode, and its end.

    Args:
        env: the env that is played.
        cell_size: size of a cell in pixels.
        passes: total number of extra passes, for the text below the board.

    Attributes:
        moments: for each env, its moments in order.
    """

    def __init__(self, env: LevelVectorEnv, cell_size: int, passes: int):
        self.env, self.cell_size, self.passes = env, cell_size, passes
        self.moments: list[list[Moment]] = [[] for _ in range(env.num_envs)]
        self.boards: list[UInt8[np.ndarray, "H W 3"]] = [np.empty((0, 0, 3), np.uint8)] * env.num_envs
        self.says = [""] * env.num_envs

    def seen(self, envs: Envs, obs: Observations, info: dict[str, Any]) -> None:
        for i in envs.tolist():
            over = is_over(self.env, info, i)
            self.boards[i] = self.env.batch.picture(i, self.cell_size)
            self.says[i] = progress(info, i, int(self.env.limit[i]), over)
            if over:
                self.moments[i].append(Moment(self.boards[i], self.says[i]))

    def thought(self, envs: Envs, out: PolicyValue) -> None:
        for row, i in enumerate(envs.tolist()):
            says = f"thinking: pass {len(self.moments[i]) + 1} of {self.passes}"
            self.moments[i].append(Moment(self.boards[i], says, *_opinion(out, row)))

    def decided(self, envs: Envs, out: PolicyValue, actions: Actions, waits: Waits) -> None:
        for row, i in enumerate(envs.tolist()):
            action = int(actions[row])
            says = f"{self.says[i]}: {self.env.action_names[action]}"
            self.moments[i].append(Moment(self.boards[i], says, *_opinion(out, row), action))


def _opinion(out: PolicyValue, row: int) -> tuple[Float[np.ndarray, "A"], float]:
    """The policy's output for one env: its action probabilities, and the value."""
    return torch.softmax(out.policy_logits[row].double(), -1).numpy(), float(out.value[row])


def timelines(
    policy: Policy, env: LevelVectorEnv, levels: Sequence[int], passes: int, cell_size: int
) -> list[list[Moment]]:
    """Plays levels with ``passes`` extra first passes; returns the moments of each episode."""
    batches: list[tuple[Timeline, int]] = []

    def watcher(numbers: Int64[np.ndarray, "n"]) -> Timeline:
        batches.append((Timeline(env, cell_size, passes), len(numbers)))
        return batches[-1][0]

    replay(policy, env, levels, watcher, Thinking(first_passes=passes))
    return [moments for timeline, n in batches for moments in timeline.moments[:n]]


def side_by_side(
    policy: Policy, env: LevelVectorEnv, levels: Sequence[int], passes: int, cell_size: int
) -> list[UInt8[np.ndarray, "H W 3"]]:
    """Draws the frames of a video: on the left without extra passes, on the right with ``passes`` extra first passes.

    Args:
        policy: any policy.
        env: an env with numbered levels, without autoreset.
        levels: numbers of the levels to play.
        passes: extra first passes on the right side.
        cell_size: size of a cell in pixels.

    Returns:
        frames, one for each pass, one level after the other.
    """
    frames = []
    sides = [timelines(policy, env, levels, n, cell_size) for n in (0, passes)]
    for level, left, right in zip(levels, *sides, strict=True):
        names, most = env.action_names, max(len(left), len(right))
        head = (f"level {level}: no extra passes", f"{passes} extra pass{'es' * (passes != 1)}")
        panels = [Panel(title, moments, names) for title, moments in zip(head, (left, right), strict=True)]
        for tick in [*range(most), *[most - 1] * (HOLD - 1)]:
            frames.append(_beside(*(panel.draw(tick) for panel in panels)))
    return frames


def _beside(left: UInt8[np.ndarray, "H W 3"], right: UInt8[np.ndarray, "H V 3"]) -> UInt8[np.ndarray, "H U 3"]:
    gap = np.full((len(left), GAP, 3), 255, np.uint8)
    return np.concatenate([left, gap, right], axis=1)


def best_passes(records: pd.DataFrame) -> int | None:
    """The number of extra first passes, above 0, with the highest solve rate; None if none was played."""
    tried = records[(records["kind"] == FIRST_PASSES) & (records["amount"] > 0)]
    rates = tried.groupby("amount")["solved"].mean()
    return None if rates.empty else int(rates.idxmax())


def telling_levels(records: pd.DataFrame, passes: int) -> list[int]:
    """A few levels solved only with ``passes`` extra first passes, then a few solved only by the baseline policy.

    If there are neither, or that number of passes was not played, the first level.
    """
    plain = baseline_of(records).set_index("level")["solved"]
    extra = records[(records["kind"] == FIRST_PASSES) & (records["amount"] == passes)].set_index("level")["solved"]
    if extra.empty:  # that number was not played
        return [int(plain.index[0])]
    extra = extra.reindex(plain.index)
    helped, hurt = plain.index[~plain & extra], plain.index[plain & ~extra]
    return [int(level) for level in [*helped[:OF_EACH], *hurt[:OF_EACH]]] or [int(plain.index[0])]
