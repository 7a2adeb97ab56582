"""Episodes of a policy at several settings of thinking; an interrupted command goes on with those that are missing."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from drc_lab.envs.interface import BatchEnv
from drc_lab.evaluation.kinds.kind import Setting
from drc_lab.evaluation.measures.shipped import measures_of
from drc_lab.evaluation.play.sweep import sweep
from drc_lab.progress import working
from drc_lab.studies.levels import count_levels
from drc_lab.studies.subjects import Subject

PARTS = "parts"  # in a run's folder: what a sweep of settings has played so far, to resume it after an interruption


def play_all(
    subject: Subject,
    env: BatchEnv,
    thinking_settings: Sequence[Setting],
    folder: Path,
    what: str = "playing",
    judged: bool = True,
) -> pd.DataFrame:
    """Plays all levels at all settings; returns the records.

    Args:
        subject: the policy.
        env: with the levels.
        thinking_settings: amounts of thinking and controls.
        folder: keeps what has been played, so that an interrupted sweep can be resumed.
        what: name of this sweep in the progress display, if there are several.
        judged: whether the exact solver judges moves, as ``thinking.solver_levels`` says.
    """
    num_levels, seed = count_levels(env), int(subject.config.seed)
    measures = measures_of(subject.settings.thinking, judged)
    text = f"{what}: {len(thinking_settings)} settings on {num_levels:,} levels"
    with working(text, len(thinking_settings) * num_levels) as advance:
        return sweep(subject.policy, env, thinking_settings, num_levels, seed, folder, advance, measures)
