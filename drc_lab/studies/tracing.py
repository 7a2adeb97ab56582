"""What a policy computes tick by tick before its first move."""

import pandas as pd
import torch

from drc_lab.envs.interface import BatchEnv
from drc_lab.evaluation.measures.finding import Finding
from drc_lab.evaluation.measures.trace import trace, trace_findings
from drc_lab.evaluation.play.records import baseline_of
from drc_lab.progress import working
from drc_lab.studies.levels import count_levels
from drc_lab.studies.subjects import Subject


def traced(subject: Subject, env: BatchEnv, records: pd.DataFrame) -> list[Finding]:
    """Returns findings from ``thinking.trace_ticks`` single ticks on first observations; [] if it is 0.

    Args:
        subject: the policy.
        env: with the levels.
        records: of the policy on these levels.
    """
    thinking = subject.settings.thinking
    if not thinking.trace_ticks:
        return []
    with working(f"tracing {thinking.trace_ticks} single ticks"):
        ticks = trace(
            subject.policy,
            env,
            count_levels(env),
            thinking.trace_ticks,
            thinking.solver_levels,
            thinking.solver_max_states,
            torch.get_num_threads(),
            int(subject.config.seed),
        )
    return trace_findings(ticks, baseline_of(records), subject.settings.evaluation.confidence)
