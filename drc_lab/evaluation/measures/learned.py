"""Policies that choose when to think: where they do so, and whether it beats a given amount of thinking."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from drc_lab.evaluation.kinds.at_equal_compute import DRAWN_PASSES, FIXED_PASSES
from drc_lab.evaluation.kinds.first_passes import FIRST_PASSES
from drc_lab.evaluation.measures.compute import Outcome, equal_compute, mixture, played_at, spread
from drc_lab.evaluation.measures.criterion import Criterion, criterion_of
from drc_lab.evaluation.measures.finding import Finding
from drc_lab.evaluation.measures.table import groups
from drc_lab.evaluation.play.records import baseline_of
from drc_lab.evaluation.stats.intervals import mean_interval, paired_difference
from drc_lab.evaluation.watchers.watcher import Actions, Columns, Envs, Observations, Waits, Watcher
from drc_lab.models.policy import PolicyValue

if TYPE_CHECKING:
    from matplotlib.axes import Axes

THINK, MOVE = "t."  # the two kinds of decisions
MOVES_SHOWN = 10


class Decisions(Watcher):
    """Records when the policy chooses to think.

    Args:
        think: number of the action "think".

    Adds to the records:
        decisions: a string with THINK or MOVE for each decision of the episode.
    """

    def __init__(self, think: int):
        self.think = think
        self.decisions: list[list[str]] = []

    def seen(self, envs: Envs, obs: Observations, info: dict[str, Any]) -> None:
        if not self.decisions:
            self.decisions = [[] for _ in envs]

    def decided(self, envs: Envs, out: PolicyValue, actions: Actions, waits: Waits) -> None:
        for env, action in zip(envs.tolist(), actions.tolist(), strict=True):
            self.decisions[env].append(THINK if action == self.think else MOVE)

    def columns(self) -> Columns:
        return {"decisions": np.array(["".join(each) for each in self.decisions], object)}


def thinks_findings(records: pd.DataFrame, confidence: float = 0.95) -> list[Finding]:
    """Findings on where the baseline policy chooses to think; [] if the env has no action "think"."""
    if "thinks" not in records:
        return []
    plain = baseline_of(records)
    return [by_optimal(plain), *([by_move(plain, confidence)] if "decisions" in plain else [])]


def learned_findings(records: pd.DataFrame, confidence: float = 0.95) -> list[Finding]:
    """A finding on what that choice is worth; [] unless both fixed and drawn passes were played for comparison.

    Args:
        records: of one policy, see `drc_lab.evaluation.play.records`.
        confidence: of the intervals.
    """
    fixed, drawn = played_at(records, FIXED_PASSES), played_at(records, DRAWN_PASSES)
    if not (fixed and drawn):
        return []
    return [equal_finding(played_at(records, FIRST_PASSES)[0], fixed, drawn[1], confidence, criterion_of(records))]


def by_optimal(plain: pd.DataFrame) -> Finding:
    """Mean thinks by optimal length, per episode and per move."""
    optimal, thinks, moves = (plain[name].to_numpy() for name in ("optimal", "thinks", "moves"))
    table = pd.DataFrame(
        [
            {"thinks": "an episode", **spread(thinks, optimal)},
            {"thinks": "a move", **spread(thinks / np.maximum(moves, 1), optimal)},
        ]
    )
    names = [name for name in groups(optimal) if name != "all"]

    def draw(axis: "Axes") -> None:
        axis.plot(names, table.loc[0, names].astype(float), marker="o")
        label_thinks(axis, "moves of an optimal solution", "mean thinks of an episode")

    return Finding(
        "thinks_by_optimal_length",
        "Does it think more where levels are harder?",
        "How often the baseline policy chooses to think, by moves of an optimal solution: means of an episode's "
        "thinks, and of those for each of its moves, as an episode that fails has more of these. rank_correlation: "
        "Spearman's, with the optimal length.",
        table,
        draw,
    )


def by_move(plain: pd.DataFrame, confidence: float = 0.95) -> Finding:
    """Mean thinks before each move of an episode."""
    before = [[len(thinks) for thinks in text.split(MOVE)] for text in plain["decisions"]]  # last: after the last move
    rows = []
    for move in range(MOVES_SHOWN):
        thinks = np.array([each[move] for each in before if len(each) > move + 1], float)
        if len(thinks):
            rows.append([move, len(thinks), thinks.mean(), *mean_interval(thinks, confidence), (thinks > 0).mean()])
    table = pd.DataFrame(rows, columns=["move", "levels", "thinks", "low", "high", "ever"])

    def draw(axis: "Axes") -> None:
        axis.plot(table["move"], table["thinks"], marker="o")
        axis.fill_between(table["move"], table["low"], table["high"], alpha=0.2)
        label_thinks(axis, "move of the episode", "mean thinks before it")

    return Finding(
        "thinks_by_move",
        "When does it think?",
        "How often the baseline policy chooses to think before each move, 0 being the first: means over the levels "
        f"that have that move, with {confidence:.0%} intervals. ever: share of these in which it thinks there at all. "
        "Thinks that no move followed are left out.",
        table,
        draw,
        in_terminal=False,
    )


def label_thinks(axis: "Axes", x: str, y: str) -> None:
    """Labels an axis for mean counts, which starts at 0."""
    axis.set(xlabel=x, ylabel=y)
    axis.set_ylim(bottom=0)


def equal_finding(
    at_will: Outcome, fixed: dict[float, Outcome], drawn: Outcome, confidence: float, criterion: Criterion
) -> Finding:
    """Compares the baseline policy with the same policy without the action "think", at fixed and at drawn passes.

    Args:
        at_will: results of the baseline policy.
        fixed: results with fixed numbers of first passes on the same levels, by number.
        drawn: results with randomly drawn passes on the same levels.
        confidence: of the intervals.
        criterion: what the scores are.
    """
    spent, score, name = at_will.thinking.mean(), at_will.score.mean(), criterion.column
    beside, gain = (
        mixture(equal_compute(at_will, fixed, confidence)),
        paired_difference(at_will.score, drawn.score, confidence),
    )
    rows: list[dict[str, Any]] = [
        {"beside": "fixed", "passes": beside["passes"], "share": beside["share"], "ticks": spent,
         "its_ticks": math.nan if math.isnan(beside["share"]) else spent, name: score, f"its_{name}": beside["fixed"],
         "gain": beside["gain"], "low": beside["low"], "high": beside["high"]},
        {"beside": "drawn", "passes": "", "share": math.nan, "ticks": spent, "its_ticks": drawn.thinking.mean(),
         name: score, f"its_{name}": drawn.score.mean(), "gain": score - drawn.score.mean(), "low": gain.low,
         "high": gain.high},
    ]  # fmt: skip
    text = (
        f"{name}: {criterion.means} of the policy that thinks at will, and its_{name} of the same policy when it is "
        "told how much to think and may not choose to. fixed: a mixture of two neighbouring numbers of first passes "
        "(share: of levels with the larger) that spends as many ticks on thinking; empty where no two have that cost "
        "between them, as nothing is extrapolated. drawn: before each step a random number of passes, in the mean as "
        "many for each move as the policy's own thinks; episodes that take more moves cost more, so that its_ticks can "
        "differ. "
        "ticks, its_ticks: mean ticks of thinking in an episode. Passes are free of the step limit, thinks beyond "
        f"env.thinks are not. gain: the difference on these levels, low and high its {confidence:.0%} paired interval."
    )

    def draw(axis: "Axes") -> None:
        costs, scores = [x.thinking.mean() for x in fixed.values()], [x.score.mean() for x in fixed.values()]
        axis.plot(costs, scores, marker="o", label="fixed first passes")
        axis.plot(drawn.thinking.mean(), drawn.score.mean(), "D", label="drawn before every step")
        axis.plot(spent, score, "s", label="at will")
        axis.set(xlabel="mean ticks of thinking in an episode", ylabel=criterion.metric.replace("_", " "))
        axis.legend()

    title = "Learned, fixed or drawn thinking, at equal mean compute?"
    return Finding("learned_equal_compute", title, text, pd.DataFrame(rows), draw)
