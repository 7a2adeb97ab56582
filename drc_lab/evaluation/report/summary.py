"""Summarises a sweep: how good the baseline policy is, and how more thinking and the controls compare with it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from drc_lab.evaluation.measures.table import Row
from drc_lab.evaluation.report.words import described, gain, score
from drc_lab.evaluation.stats.significance import verdict


@dataclass(frozen=True)
class Summary:
    """One policy's rows over all levels, sorted by role.

    Args:
        baseline: the row of the baseline policy.
        thinking: rows with more or less thinking than that.
        controls: rows of controls.
        confidence: of the intervals, and 1 - alpha of the tests: what is significant is called clear.
    """

    baseline: Row
    thinking: list[Row]
    controls: list[Row]
    confidence: float

    @property
    def more(self) -> list[Row]:
        """The settings with at least as many ticks per step as the baseline policy."""
        return [row for row in self.thinking if _per_step(row) >= _per_step(self.baseline) - 1e-6]

    @property
    def best(self) -> Row | None:
        """The one of `more` with the highest solve rate or return; None if there are none."""
        return max(self.more, key=lambda row: row.value, default=None)

    def sentences(self) -> list[str]:
        """The answer in sentences, with intervals."""
        base = self.baseline
        does = f"solves {score(base)} % of" if base.criterion.is_rate else f"reaches a return of {score(base)} on"
        said = [f"The baseline policy {does} {base.levels:,} held-out levels, in {base.mean_length:.1f} steps a level."]
        said += self._verdict()
        if self.controls:
            each = [f"{described(row.kind, row.amount)}: {score(row)}{_percent(row)}" for row in self.controls]
            said.append(f"For comparison, {'; '.join(each)}.")
        paired = "; gains are paired, level by level" if self.thinking else ""
        said.append(f"In brackets: {self.confidence:.0%} intervals{paired}.")
        return said

    def in_short(self) -> str:
        """The answer in one line, for a list of several policies."""
        base, best = self.baseline, self.best
        shown = "" if best is None else f"; most with {described(best.kind, best.amount)}: {_gained(best)}"
        who = f"{base.checkpoint} (seed {base.seed}, {base.frames:,} frames)"
        return f"{who}: {'' if base.criterion.is_rate else 'return '}{score(base)}{_percent(base)} as baseline{shown}."

    def _verdict(self) -> list[str]:
        """Sentences on what is clear after the correction for multiple tests.

        The p-value decides, as the interval of the best setting is not corrected for having been chosen as the best.
        """
        if self.best is None:
            return []
        clear: dict[str, list[Row]] = {}
        for row in self.more:
            clear.setdefault(verdict(row.difference, row.p_adjusted, self.confidence), []).append(row)
        said = []
        for direction, what in (("helps", "helps"), ("hurts", "does harm")):
            if so := clear.get(direction):
                most = max(so, key=lambda row: abs(row.difference))
                said.append(
                    f"More thinking {what}, clearly so at {len(so)} of {len(self.more)} settings, most of all "
                    f"with {described(most.kind, most.amount)}: {_gained(most)}."
                )
        if not said:
            shown = f"{described(self.best.kind, self.best.amount)}, {_gained(self.best)}"
            said.append(f"No change by thinking is clear on these levels. Best of {len(self.more)} settings: {shown}.")
        return said


def _percent(row: Row) -> str:
    return " %" if row.criterion.is_rate else ""


def _gained(row: Row) -> str:
    return f"{gain(row)} {row.criterion.unit}"


def _per_step(row: Row) -> float:
    """Mean ticks per step, including those of extra passes."""
    return row.mean_ticks / row.mean_length


def summarise(rows: Sequence[Row], confidence: float) -> list[Summary]:
    """Summarises a table: one summary for each policy.

    Args:
        rows: from `drc_lab.evaluation.measures.table.table`.
        confidence: of their intervals.
    """
    summaries = []
    for of_policy in by_policy(row for row in rows if row.optimal == "all"):
        thinking, controls = [row for row in of_policy if row.is_thinking], [row for row in of_policy if row.is_control]
        baseline = next(row for row in of_policy if not (row.is_thinking or row.is_control))
        summaries.append(Summary(baseline, thinking, controls, confidence))
    return summaries


def by_policy(rows: Iterable[Row]) -> list[list[Row]]:
    """Groups rows by checkpoint."""
    policies: dict[tuple[str, int, int], list[Row]] = {}
    for row in rows:
        policies.setdefault((row.checkpoint, row.seed, row.frames), []).append(row)
    return list(policies.values())


def by_length(rows: Iterable[Row]) -> dict[str, int]:
    """The groups of levels by optimal length, in order, with their sizes; {} if no length is known."""
    sizes = {row.optimal: row.levels for row in rows if row.optimal != "all"}
    return {} if list(sizes) == ["unknown"] else sizes


def answer(summaries: Sequence[Summary]) -> list[str]:
    """The answer for one policy in sentences, or for several policies in a line each."""
    if len(summaries) == 1:
        return summaries[0].sentences()
    first = summaries[0]
    said = [f"{len(summaries)} checkpoints, on the same {first.baseline.levels:,} held-out levels:"]
    said += [summary.in_short() for summary in summaries]
    return [*said, f"In brackets: {first.confidence:.0%} intervals over levels; gains are paired, level by level."]
