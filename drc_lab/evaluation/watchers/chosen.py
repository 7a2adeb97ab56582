"""Chooses the watchers of a thinking sweep, in addition to `Cycles`."""

from collections.abc import Callable, Sequence

from drc_lab.envs.interface import BatchEnv
from drc_lab.envs.vector import LevelVectorEnv, solver_of
from drc_lab.evaluation.kinds.first_passes import FIRST_PASSES
from drc_lab.evaluation.kinds.kind import Setting
from drc_lab.evaluation.measures.agreement import Agreement
from drc_lab.evaluation.measures.learned import Decisions
from drc_lab.evaluation.thinking_spec import ThinkingSpec
from drc_lab.evaluation.watchers.sizes import Sizes
from drc_lab.evaluation.watchers.watcher import Watcher


def watchers(spec: ThinkingSpec, env: BatchEnv, threads: int = 1) -> Callable[[Setting], Sequence[Watcher]]:
    """Makes the argument ``watchers`` of `sweep`.

    Every setting gets `Sizes` and, if the env has the action "think", `Decisions`. The exact solver is slow, so
    `Agreement` watches only the baseline policy and the largest number of first passes.
    """
    most = spec.most_first_passes

    def of(setting: Setting) -> list[Watcher]:
        watched: list[Watcher] = [Sizes(env)]
        if env.think_action is not None:
            watched.append(Decisions(env.think_action))
        is_judged = setting.is_baseline or (setting.kind.label == FIRST_PASSES and setting.amount == most)
        if isinstance(env, LevelVectorEnv) and solver_of(env) and spec.solver_levels and is_judged:
            watched.append(Agreement(env, spec.solver_levels, spec.solver_max_states, threads))
        return watched

    return of
