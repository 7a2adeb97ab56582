"""The measures of this package, in the order of the report, and those that a config adds from elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import torch

from drc_lab.envs.interface import BatchEnv
from drc_lab.envs.vector import LevelVectorEnv, solver_of
from drc_lab.evaluation.kinds.first_passes import FIRST_PASSES
from drc_lab.evaluation.kinds.kind import Setting
from drc_lab.evaluation.measures import findings as of_records
from drc_lab.evaluation.measures.agreement import Agreement, agreement_findings
from drc_lab.evaluation.measures.criterion import criterion_of
from drc_lab.evaluation.measures.cycle_measures import cycles, vanished_cycles
from drc_lab.evaluation.measures.finding import Finding
from drc_lab.evaluation.measures.learned import Decisions, thinks_findings
from drc_lab.evaluation.measures.measure import Measure
from drc_lab.evaluation.thinking_spec import ThinkingSpec
from drc_lab.evaluation.watchers.sizes import Sizes
from drc_lab.evaluation.watchers.watcher import Watcher


def some(*findings: Finding | None) -> list[Finding]:
    return [finding for finding in findings if finding is not None]


class ByOptimalLength(Measure):
    """Solve rates by optimal length."""

    def findings(self, records: pd.DataFrame, confidence: float) -> Sequence[Finding]:
        return some(of_records.by_optimal_length(records))


class BySize(Measure):
    """Solve rates by the size of the level."""

    def watchers(self, setting: Setting, env: BatchEnv) -> Sequence[Watcher]:
        return [Sizes(env)]

    def findings(self, records: pd.DataFrame, confidence: float) -> Sequence[Finding]:
        return some(of_records.by_size(records))


class Optimality(Measure):
    """Steps beyond the optimum."""

    def findings(self, records: pd.DataFrame, confidence: float) -> Sequence[Finding]:
        return some(of_records.optimality(records, confidence))


class TimeToSolve(Measure):
    """Share of levels that are solved within so many steps."""

    def findings(self, records: pd.DataFrame, confidence: float) -> Sequence[Finding]:
        return some(of_records.time_to_solve(records))


class Thinks(Measure):
    """Where a policy chooses to think."""

    of_returns = True

    def watchers(self, setting: Setting, env: BatchEnv) -> Sequence[Watcher]:
        return [] if env.think_action is None else [Decisions(env.think_action)]

    def findings(self, records: pd.DataFrame, confidence: float) -> Sequence[Finding]:
        return thinks_findings(records, confidence)


class OnlyWithThinking(Measure):
    """Levels that each kind of thinking gains and loses."""

    def findings(self, records: pd.DataFrame, confidence: float) -> Sequence[Finding]:
        return some(of_records.only_with_thinking(records, confidence))


class InCycles(Measure):
    """How often episodes run in cycles."""

    of_returns = True

    def findings(self, records: pd.DataFrame, confidence: float) -> Sequence[Finding]:
        return [cycles(records, confidence)]


class VanishedCycles(Measure):
    """Whether cycles vanish when the policy thinks in their place."""

    def findings(self, records: pd.DataFrame, confidence: float) -> Sequence[Finding]:
        return some(vanished_cycles(records, confidence))


@dataclass(frozen=True)
class OptimalMoves(Measure):
    """How often moves are optimal, of the baseline policy and with the most first passes: the exact solver is slow.

    Args:
        levels, max_states: see `Agreement`.
        first_passes: the most first passes.
    """

    levels: int = 0
    max_states: int = 100_000
    first_passes: int = 0

    def watchers(self, setting: Setting, env: BatchEnv) -> Sequence[Watcher]:
        most = setting.kind.label == FIRST_PASSES and setting.amount == self.first_passes
        if not (isinstance(env, LevelVectorEnv) and solver_of(env) and self.levels and (setting.is_baseline or most)):
            return []
        return [Agreement(env, self.levels, self.max_states, torch.get_num_threads())]

    def findings(self, records: pd.DataFrame, confidence: float) -> Sequence[Finding]:
        return agreement_findings(records, confidence)


def measures_of(spec: ThinkingSpec, judged: bool = True) -> list[Measure]:
    """All measures that a config asks for.

    Args:
        spec: of the config.
        judged: whether the exact solver judges moves, as ``thinking.solver_levels`` says.
    """
    levels = spec.solver_levels if judged else 0
    shipped: dict[str, Measure | None] = {
        "by_optimal_length": ByOptimalLength(),
        "by_size": BySize(),
        "optimality": Optimality(),
        "time_to_solve": TimeToSolve(),
        "thinks": Thinks(),
        "only_with_thinking": OnlyWithThinking(),
        "cycles": InCycles(),
        "vanished_cycles": VanishedCycles(),
        "optimal_moves": OptimalMoves(levels, spec.solver_max_states, spec.most_first_passes),
    }
    return [measure for measure in (shipped | spec.measures).values() if measure is not None]


def findings(records: pd.DataFrame, confidence: float, measures: Sequence[Measure]) -> list[Finding]:
    """What measures say about the records of one policy on one set of levels."""
    rated = criterion_of(records).is_rate
    answering = [measure for measure in measures if rated or measure.of_returns]
    return [finding for measure in answering for finding in measure.findings(records, confidence)]
