"""A resumable sweep over settings and levels."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import drc_lab
from drc_lab.envs.interface import BatchEnv
from drc_lab.evaluation.kinds.first_passes import BASELINE
from drc_lab.evaluation.kinds.kind import Setting
from drc_lab.evaluation.measures.measure import Measure
from drc_lab.evaluation.play.identity import identity, identity_of_env, identity_of_levels, identity_of_policy
from drc_lab.evaluation.play.parts import Parts
from drc_lab.evaluation.play.played import Played, play
from drc_lab.evaluation.play.records import joined, records_of
from drc_lab.evaluation.watchers.watcher import Envs, Observations, Watcher
from drc_lab.models.policy import Policy
from drc_lab.progress import Advance, silent


class Ended(Watcher):
    """Reports progress: calls ``advance`` with the number of episodes that have newly ended.

    Attributes:
        reported: how many have been reported so far.
    """

    def __init__(self, advance: Advance):
        self.advance, self.playing, self.reported = advance, 0, 0

    def seen(self, envs: Envs, obs: Observations, info: dict[str, Any]) -> None:
        if len(envs) < self.playing:
            self.catch_up(self.reported + self.playing - len(envs))
        self.playing = len(envs)

    def catch_up(self, ended: int) -> None:
        """Reports those of ``ended`` episodes in all that have not been reported yet, and begins anew."""
        self.advance(ended - self.reported)
        self.reported, self.playing = ended, 0


def batches(num_levels: int, at_once: int) -> Iterator[range]:
    """Splits level numbers 0 to ``num_levels`` - 1 into batches of at most ``at_once``."""
    for start in range(0, num_levels, at_once):
        yield range(start, min(start + at_once, num_levels))


def sweep(
    policy: Policy,
    env: BatchEnv,
    settings: Sequence[Setting],
    num_levels: int,
    seed: int = 0,
    folder: Path | None = None,
    advance: Advance = silent,
    measures: Sequence[Measure] = (),
) -> pd.DataFrame:
    """Plays all settings on the same levels, ``env.num_envs`` at once.

    Args:
        policy: any policy.
        env: a batch env that deals its levels in order.
        settings: ways to play.
        num_levels: plays the env's first ``num_levels`` levels.
        seed: of everything random; each batch of levels gets a seed derived from it.
        folder: where finished batches are kept. Those of an earlier sweep there are not played again, as far as they
            are of the same policy, env, levels, seed, settings and measures, and of the same code of those from
            outside. None keeps nothing.
        advance: called with the number of episodes that have newly ended or were read from ``folder``.
        measures: their watchers watch.

    Returns:
        the records, see `drc_lab.evaluation.play.records`.
    """
    parts = Parts(folder) if folder else None
    players = [drc_lab.__version__, identity_of_policy(policy), identity_of_env(env)] if parts else []
    records: list[pd.DataFrame] = []
    for levels in batches(num_levels, env.num_envs):
        seed_of_batch = int(np.random.SeedSequence([seed, levels.start]).generate_state(1)[0])
        by_name: dict[str, pd.DataFrame] = {}
        depends_on: dict[str, Any] = {}
        if parts:
            shared = [*players, identity_of_levels(env, levels, seed_of_batch), seed_of_batch]
            for setting in settings:
                depends_on[setting.name] = [*shared, identity(setting), _watching(measures, setting, env)]
                if (kept := parts.read(setting, levels, depends_on[setting.name])) is not None:
                    by_name[setting.name] = kept
        missing = [setting for setting in settings if setting.name not in by_name]
        advance(len(by_name) * len(levels))
        for played in _played(policy, env, missing, levels, seed_of_batch, advance, measures):
            name = played.setting.name
            by_name[name] = records_of(played)
            if parts:
                parts.write(played.setting, levels, depends_on[name], by_name[name])
        records += [by_name[setting.name] for setting in settings]
    return joined(records)


def _watching(measures: Sequence[Measure], setting: Setting, env: BatchEnv) -> list[Any]:
    """Describes the measures that watch a setting, on which the columns of its records depend."""
    watched = BASELINE if setting.is_baseline else setting  # as `play` does
    return [identity(measure) for measure in measures if measure.watchers(watched, env)]


def _played(
    policy: Policy,
    env: BatchEnv,
    settings: Sequence[Setting],
    levels: range,
    seed: int,
    advance: Advance,
    measures: Sequence[Measure],
) -> Iterator[Played]:
    """`play` for one batch of levels, which the measures watch, and which reports its progress."""
    ended, names = Ended(advance), {setting.name for setting in settings}

    def watchers(setting: Setting) -> list[Watcher]:
        counted = [ended] if setting.name in names else []  # the baseline policy may be played in addition
        return [*counted, *(watcher for measure in measures for watcher in measure.watchers(setting, env))]

    for number, played in enumerate(play(policy, env, settings, levels, seed, watchers), 1):
        yield played
        ended.catch_up(number * len(levels))  # a result may be that of another setting, which was played before
