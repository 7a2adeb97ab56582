"""How often a policy's moves are optimal, judged by the games' exact solvers."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int64, Shaped

from drc_lab.envs.judge import Judge
from drc_lab.envs.search import LIMIT, UNSOLVABLE
from drc_lab.envs.vector import LevelVectorEnv
from drc_lab.errors import ConfigError
from drc_lab.evaluation.kinds.first_passes import FIRST_PASSES
from drc_lab.evaluation.measures.finding import Finding
from drc_lab.evaluation.measures.table import groups
from drc_lab.evaluation.play.records import SETTING
from drc_lab.evaluation.stats.intervals import ratio_interval
from drc_lab.evaluation.watchers.watcher import Actions, Columns, Envs, Observations, Waits, Watcher
from drc_lab.models.policy import PolicyValue

NONE = -1
OPTIMAL, WORSE, OPEN = "+-?"  # verdicts on a move; OPEN means that there is none
STEPS_SHOWN = 10


class Agreement(Watcher):
    """Judges each move on some levels. A move is optimal if it reduces the fewest remaining steps by one.

    Args:
        env: without autoreset, so that the boards of ended episodes can still be judged.
        levels: levels with numbers below this are judged.
        max_states, threads: see `Judge`.

    A watcher of one evaluation: `seen` comes before each step and after the last, `decided` in between.

    Adds to the records:
        verdicts: a string with OPTIMAL, WORSE or OPEN for each step; "" for a level that is not judged. OPEN are moves
            from or to positions that the solver could not solve within ``max_states``, moves after the level became
            unsolvable, and thinks, which move nothing. No-ops are moves, and never optimal.
        judged_moves, optimal_moves: number of verdicts other than OPEN, and of OPTIMAL ones.
        lost_at: number of steps after which the level was unsolvable, 0 if it was so from the start, NONE if it never
            was.
    """

    def __init__(self, env: LevelVectorEnv, levels: int, max_states: int, threads: int = 1):
        if env.autoreset:
            raise ConfigError("autoreset", True, "false, as the boards that ended are judged too")
        self.judge, self.levels, self.think = Judge(env.batch, max_states, threads), levels, env.think_action
        self.step = -1

    def seen(self, envs: Envs, obs: Observations, info: dict[str, Any]) -> None:
        self.step += 1
        if self.step == 0:
            self._begin(len(envs), info["level"][: len(envs)] < self.levels)
        envs = envs[self.judged[envs]]
        before, after = self.steps_to_solve[envs], self._steps_to_solve(envs)
        self.steps_to_solve[envs] = after
        self.lost_at[envs[(after == UNSOLVABLE) & (before != UNSOLVABLE)]] = self.step
        if self.step:  # a move led here
            for env, verdict in zip(envs, verdicts(before, after, self.thinks[envs]), strict=True):
                self.verdicts[env] += str(verdict)

    def _begin(self, num_envs: int, judged: np.ndarray) -> None:
        self.judged, self.verdicts = judged, [""] * num_envs
        self.steps_to_solve, self.lost_at = np.full(num_envs, LIMIT), np.full(num_envs, NONE)
        self.thinks = np.zeros(num_envs, bool)

    def _steps_to_solve(self, envs: Envs) -> Int64[np.ndarray, "n"]:
        """The fewest steps from the current boards, or LIMIT or UNSOLVABLE; what is unsolvable stays so."""
        steps, solvable = np.full(len(envs), UNSOLVABLE), self.steps_to_solve[envs] != UNSOLVABLE
        steps[solvable] = self.judge.steps_to_solve(envs[solvable])
        return steps

    def decided(self, envs: Envs, out: PolicyValue, actions: Actions, waits: Waits) -> None:
        self.thinks[envs] = actions == self.think if self.think is not None else False

    def columns(self) -> Columns:
        optimal, worse = (np.array([v.count(kind) for v in self.verdicts]) for kind in (OPTIMAL, WORSE))
        return {
            "judged_moves": optimal + worse,
            "optimal_moves": optimal,
            "lost_at": self.lost_at,
            "verdicts": np.array(self.verdicts, object),
        }


def verdicts(
    before: Int64[np.ndarray, "n"], after: Int64[np.ndarray, "n"], thinks: Bool[np.ndarray, "n"]
) -> Shaped[np.ndarray, "n"]:
    """OPTIMAL, WORSE or OPEN for each of some moves.

    Args:
        before, after: the fewest steps to solve the level before and after the move, or LIMIT or UNSOLVABLE,
            which are negative.
        thinks: whether the move was a think.
    """
    known = (before > 0) & (after != LIMIT) & ~thinks
    return np.where(known, np.where(after == before - 1, OPTIMAL, WORSE), OPEN)


def agreement_findings(records: pd.DataFrame, confidence: float = 0.95) -> list[Finding]:
    """How often moves are optimal, by optimal length and by step; [] if no move was judged."""
    if "judged_moves" not in records or not (records["judged_moves"] > 0).any():
        return []
    judged = records[(records["judged_moves"] > 0) & (records["kind"] == FIRST_PASSES)]  # others repeat the baseline
    return [_by_length(judged, confidence), _by_step(judged, confidence)]


def _by_length(judged: pd.DataFrame, confidence: float) -> Finding:
    rows = []
    for (kind, amount), played in judged.groupby(SETTING, sort=False):
        for name, chosen in groups(played["optimal"].to_numpy()).items():
            part, whole = (played[column].to_numpy()[chosen] for column in ("optimal_moves", "judged_moves"))
            low, high = ratio_interval(part, whole, confidence)
            lost = played["lost_at"].to_numpy()[chosen] != NONE
            rows.append([kind, amount, name, int(whole.sum()), part.sum() / whole.sum(), low, high, float(lost.mean())])
    columns = [*SETTING, "optimal", "moves", "agreement", "low", "high", "lost"]
    table = pd.DataFrame(rows, columns=columns)
    return Finding(
        "agreement",
        "How often is a move an optimal one?",
        "Share of moves after which the fewest remaining steps, by the exact solver, are one fewer, of all moves that "
        f"it could judge, by the level's optimal length; {confidence:.0%} intervals by a bootstrap over levels. "
        "lost: levels that became unsolvable.",
        table,
        _drawer(table[table["optimal"] != "all"], "optimal", "steps of an optimal solution"),
    )


def _by_step(judged: pd.DataFrame, confidence: float) -> Finding:
    rows = []
    for (kind, amount), played in judged.groupby(SETTING, sort=False):
        for step in range(STEPS_SHOWN):
            verdicts = played["verdicts"].str.slice(step, step + 1)
            optimal, counted = (verdicts == OPTIMAL).to_numpy(), verdicts.isin([OPTIMAL, WORSE]).to_numpy()
            if counted.any():
                interval = ratio_interval(optimal, counted, confidence)
                rows.append([kind, amount, str(step), int(counted.sum()), optimal.sum() / counted.sum(), *interval])
    table = pd.DataFrame(rows, columns=[*SETTING, "step", "moves", "agreement", "low", "high"])
    return Finding(
        "agreement_by_step",
        "When are moves optimal?",
        "The same by step of the episode, 0 being the first; later steps are those of levels that are not solved yet.",
        table,
        _drawer(table, "step", "step of the episode"),
        in_terminal=False,
    )


def _drawer(table: pd.DataFrame, x: str, label: str) -> Callable[..., Any]:
    order: Sequence[str] = list(dict.fromkeys(table[x]))

    def draw(axes: Any) -> None:
        for (kind, amount), line in table.groupby(SETTING, sort=False):
            place, y = [order.index(name) for name in line[x]], line["agreement"]
            axes.plot(place, y, marker="o", label=f"{kind}={amount:g}")
            axes.fill_between(place, line["low"], line["high"], alpha=0.2)
        axes.set_xticks(range(len(order)), order)
        axes.set(xlabel=label, ylabel="share of moves that are optimal", ylim=(0, 1.02))
        axes.legend()

    return draw
