"""Levels that the baseline policy does not solve: which they are, how they end, and which settings solve them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Int64, UInt8
from PIL import Image

from drc_lab.envs.vector import LevelVectorEnv
from drc_lab.evaluation.kinds.registry import kind_named
from drc_lab.evaluation.measures.criterion import criterion_of
from drc_lab.evaluation.measures.finding import Finding
from drc_lab.evaluation.measures.table import groups
from drc_lab.evaluation.play.records import SETTING, baseline_of
from drc_lab.evaluation.play.replay import is_over, replay
from drc_lab.evaluation.watchers.watcher import Envs, Observations, Watcher
from drc_lab.models.policy import Policy
from drc_lab.pictures import SMALLEST_CELL

PICTURE = 150  # approximate pixels of the longer side of a board, on a page with many boards
COLOURS = 64  # in such a picture


@dataclass(frozen=True)
class Failure:
    """One unsolved level.

    Args:
        level: its number.
        optimal: steps of a shortest solution; None if unknown.
        length: number of steps that the policy took.
        cycles, cycle_steps: see `drc_lab.evaluation.watchers.cycles.Cycles`.
        solved_by: (kind, amount) of the settings that solve it.
        first, last: PNGs of the board at the start and at the end of the episode; None without pictures.
    """

    level: int
    optimal: int | None
    length: int
    cycles: int
    cycle_steps: int
    solved_by: tuple[tuple[str, float], ...]
    first: bytes | None = None
    last: bytes | None = None


def failures(records: pd.DataFrame, most: int | None = None) -> list[Failure]:
    """The levels that the baseline policy does not solve; [] if the env does not report success.

    Levels with the shortest solutions come first, as failing on them is most surprising.

    Args:
        records: of one policy, see `drc_lab.evaluation.play.records`.
        most: the largest number of levels to return; None for all.
    """
    if not criterion_of(records).is_rate:
        return []
    plain = baseline_of(records)
    unsolved = plain[~plain["solved"]]
    hardness = unsolved["optimal"].where(unsolved["optimal"] >= 0, np.iinfo(np.int64).max)
    unsolved = unsolved.assign(hardness=hardness).sort_values(["hardness", "level"])[:most]
    kinds = [kind for kind in records["kind"].unique() if kind_named(kind).adds_thinking]
    thinking = records[records["solved"] & ~records["baseline"] & records["kind"].isin(kinds)]
    solved_by = {
        level: tuple(each[SETTING].itertuples(index=False, name=None))
        for level, each in thinking[thinking["level"].isin(unsolved["level"])].groupby("level")
    }
    return [
        Failure(
            int(row.level),
            int(row.optimal) if row.optimal >= 0 else None,
            int(row.length),
            int(row.cycles),
            int(row.cycle_steps),
            solved_by.get(row.level, ()),
        )
        for row in unsolved.itertuples(index=False)
    ]


def with_pictures(shown: Sequence[Failure], policy: Policy, env: LevelVectorEnv) -> list[Failure]:
    """Replays the levels of failures and adds pictures of their first and last boards.

    Args:
        shown: the failures.
        policy: the one that failed.
        env: numbers its levels as the records do; see `replay`.
    """
    pictures: dict[int, list[bytes]] = {}
    cell_size = 0

    class Ends(Watcher):
        def __init__(self, levels: Int64[np.ndarray, "n"]):
            self.levels = levels

        def seen(self, envs: Envs, obs: Observations, info: dict[str, Any]) -> None:
            nonlocal cell_size
            if not cell_size:
                smallest = env.batch.picture(int(envs[0]), SMALLEST_CELL)
                cell_size = max(SMALLEST_CELL, SMALLEST_CELL * PICTURE // max(smallest.shape[:2]))
            for i in envs.tolist():
                if info["length"][i] == 0 or is_over(env, info, i):
                    png = small_png(env.batch.picture(i, cell_size))
                    pictures.setdefault(int(self.levels[i]), []).append(png)

    replay(policy, env, [failure.level for failure in shown], Ends)
    return [replace(f, first=pictures[f.level][0], last=pictures[f.level][-1]) for f in shown]


def small_png(picture: UInt8[np.ndarray, "H W 3"]) -> bytes:
    """Encodes a picture as a PNG with few colours, so that pages with many pictures stay small."""
    file = BytesIO()
    image = Image.fromarray(picture).quantize(COLOURS, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    image.save(file, "PNG", optimize=True)
    return file.getvalue()


def endings(records: pd.DataFrame) -> Finding | None:
    """How the baseline policy's episodes end, by optimal length; None if the env does not report success."""
    if not criterion_of(records).is_rate:
        return None
    plain = baseline_of(records)
    optimal, solved, cycles = (plain[name].to_numpy() for name in ("optimal", "solved", "cycles"))
    extra = plain["length"].to_numpy() - optimal
    known = optimal >= 0
    ways = {
        "solved, shortest way": solved & known & (extra <= 0),
        "solved, longer way": solved & known & (extra > 0),
        "solved, shortest unknown": solved & ~known,
        "unsolved, in cycles": ~solved & (cycles > 0),
        "unsolved, otherwise": ~solved & (cycles == 0),
    }
    table = pd.DataFrame(
        [
            {
                "optimal": name,
                "levels": int(mask.sum()),
                **{way: float(each[mask].mean()) for way, each in ways.items()},
            }
            for name, mask in groups(optimal).items()
        ]
    )
    table = table[[name for name in table if name not in ways or table[name].any()]]
    shown = [way for way in ways if way in table]
    colours = dict(zip(ways, ("#0072B2", "#56B4E9", "#0072B2", "#D55E00", "#E69F00"), strict=True))

    def draw(axis: Any) -> None:
        rows, left = table[::-1], np.zeros(len(table))
        for way in shown:
            axis.barh(rows["optimal"], rows[way], left=left, color=colours[way], label=way)
            left = left + rows[way].to_numpy()
        axis.set(xlabel="share of the levels", ylabel="moves of an optimal solution", xlim=(0, 1))
        axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, fontsize="small", frameon=False)

    text = (
        "Shares of the levels, by the moves of an optimal solution. In cycles: the episode came back to a state "
        "that it had been in, at least once, before its steps ran out."
    )
    return Finding("endings", "How do its episodes end?", text, table, draw)
