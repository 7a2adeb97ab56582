"""Episodes of a policy at several settings of thinking; an interrupted command goes on with those that are missing."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch

from drc_lab.arguments import plain
from drc_lab.envs.interface import BatchEnv
from drc_lab.evaluation.kinds.kind import Setting
from drc_lab.evaluation.play.sweep import Parts, sweep
from drc_lab.evaluation.watchers.chosen import watchers
from drc_lab.progress import working
from drc_lab.studies.levels import count_levels
from drc_lab.studies.subjects import Subject
from drc_lab.tracking.datasets import digest

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
    config, num_levels, thinking = subject.config, count_levels(env), subject.settings.thinking
    if not judged:
        thinking = replace(thinking, solver_levels=0)
    depends_on = {
        "weights": subject.digest,
        "env": plain(config.env),
        "changed": plain(config.evaluation.env),
        "levels": digest(env, plain(config.evaluation)),
        "seed": int(config.seed),
        "judged": [thinking.most_first_passes, thinking.solver_levels, thinking.solver_max_states],
    }
    text, episodes = (
        f"{what}: {len(thinking_settings)} settings on {num_levels:,} levels",
        len(thinking_settings) * num_levels,
    )
    with working(text, episodes) as advance:
        return sweep(
            subject.policy, env, thinking_settings, num_levels, int(config.seed), Parts(folder, depends_on), advance,
            watchers(thinking, env, torch.get_num_threads()),
        )  # fmt: skip
