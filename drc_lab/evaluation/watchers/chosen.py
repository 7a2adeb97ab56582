"""What a thinking sweep watches besides cycles."""

from collections.abc import Callable, Sequence

from drc_lab.envs.interface import BatchEnv
from drc_lab.envs.vector import LevelVectorEnv
from drc_lab.evaluation.measures.agreement import Agreement
from drc_lab.evaluation.measures.learned import Decisions
from drc_lab.evaluation.play.thinking import FIRST_PASSES, PLAIN, Setting
from drc_lab.evaluation.thinking_spec import ThinkingSpec
from drc_lab.evaluation.watchers.sizes import Sizes
from drc_lab.evaluation.watchers.watcher import Watcher


def watchers(spec: ThinkingSpec, env: BatchEnv, threads: int = 1) -> Callable[[Setting], Sequence[Watcher]]:
    """For `sweep`: sizes and, where there is a choice, decisions to think at each setting; the exact solver for the
    baseline policy and for its most first passes."""
    most = max(spec.first_passes, default=0)

    def of(setting: Setting) -> list[Watcher]:
        watched: list[Watcher] = [Sizes(env)]
        if env.think_action is not None:
            watched.append(Decisions(env.think_action))
        is_judged = setting == PLAIN or (setting.kind == FIRST_PASSES and setting.amount == most)
        if isinstance(env, LevelVectorEnv) and spec.solver_levels and is_judged:
            watched.append(Agreement(env, spec.solver_levels, spec.solver_max_states, threads))
        return watched

    return of
