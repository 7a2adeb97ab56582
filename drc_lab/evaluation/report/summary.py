"""The answer: how good the policy is as it is, and what more thinking and the controls come to beside it."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from drc_lab.evaluation.records import SETTING
from drc_lab.evaluation.report.words import described, gain, is_control, solved
from drc_lab.evaluation.table import Row


@dataclass(frozen=True)
class Summary:
    """Rows over all levels, sorted by who plays.

    Args:
        baseline: the policy as it is.
        thinking: with more or less thinking than that.
        controls: other players.
        confidence: of the intervals.
    """

    baseline: Row
    thinking: list[Row]
    controls: list[Row]
    confidence: float

    @property
    def best(self) -> Row | None:
        """The setting that solves most; None if nothing but the policy as it is has been played."""
        return max(self.thinking, key=lambda row: row.solve_rate, default=None)

    def sentences(self) -> list[str]:
        """The answer in plain words, with intervals."""
        base, best = self.baseline, self.best
        said = [f"As it is, the policy solves {solved(base)} % of {base.levels:,} held-out levels, in "
                f"{base.mean_length:.1f} steps a level."]  # fmt: skip
        if best is not None:
            said.append(self._verdict(best))
        if self.controls:
            each = [f"{described(row.kind, row.amount)}: {solved(row)} %" for row in self.controls]
            said.append(f"For comparison, {'; '.join(each)}.")
        said.append(f"In brackets: {self.confidence:.0%} intervals; gains are paired, level by level.")
        return said

    def _verdict(self, best: Row) -> str:
        worst, tried = min(self.thinking, key=lambda row: row.difference), len(self.thinking)
        alpha = 1 - self.confidence
        if (
            best.difference > 0 and best.p_adjusted <= alpha
        ):  # by its own interval the best of many would often help
            told, shown = "More thinking helps", best
        elif worst.difference < 0 and worst.p_adjusted <= alpha:
            told, shown = "More thinking does not help, and some of it does harm", worst
        else:
            told, shown = "Whether more thinking helps cannot be told from these levels", best
        extreme = "worst" if shown is worst and shown is not best else "best"
        what = described(shown.kind, shown.amount)
        return f"{told}: {what} ({extreme} of {tried} settings) changes the solve rate by {gain(shown)} points."


def summarise(rows: Sequence[Row], records: pd.DataFrame, confidence: float) -> Summary:
    """Sorts a table's rows.

    Args:
        rows: of `drc_lab.evaluation.table.table`.
        records: that they come from.
        confidence: of their intervals.
    """
    plain = {(kind, float(size)) for kind, size in records.loc[records["baseline"], SETTING].itertuples(index=False)}
    overall = [row for row in rows if row.optimal == "all"]
    return Summary(
        next(row for row in overall if (row.kind, row.amount) in plain),
        [row for row in overall if (row.kind, row.amount) not in plain and not is_control(row.kind)],
        [row for row in overall if is_control(row.kind)],
        confidence,
    )
