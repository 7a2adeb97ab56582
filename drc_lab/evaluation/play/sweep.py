"""A resumable sweep over settings and levels: finished batches are saved, and an interrupted sweep continues there."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from drc_lab.envs.interface import BatchEnv
from drc_lab.evaluation.kinds.kind import Setting
from drc_lab.evaluation.play.played import NewWatchers, Played, play
from drc_lab.evaluation.play.records import joined, records_of
from drc_lab.evaluation.watchers.watcher import Watcher
from drc_lab.files import written
from drc_lab.models.policy import Policy
from drc_lab.progress import Advance, silent

DEPENDS_ON = b"drc_lab"  # metadata key of a part's file, for the hash of what its records depend on


class Ended(Watcher):
    """Reports progress: calls ``advance`` with the number of episodes that have newly ended.

    Attributes:
        reported: how many have been reported so far.
    """

    def __init__(self, advance: Advance):
        self.advance, self.playing, self.reported = advance, 0, 0

    def seen(self, envs: np.ndarray, obs: np.ndarray, info: dict[str, Any]) -> None:
        if len(envs) < self.playing:
            self.catch_up(self.reported + self.playing - len(envs))
        self.playing = len(envs)

    def catch_up(self, ended: int) -> None:
        """Reports those of ``ended`` episodes in all that have not been reported yet, and begins anew."""
        self.advance(ended - self.reported)
        self.reported, self.playing = ended, 0


class Parts:
    """A cache of records in Parquet files, one for each setting and batch of levels.

    Args:
        folder: of the files.
        depends_on: everything that records depend on besides the setting and the levels, as plain types. Files that
            were written with other values are ignored and overwritten.
    """

    def __init__(self, folder: Path, depends_on: Mapping[str, Any]):
        self.folder = folder
        self.key = hashlib.sha256(json.dumps(depends_on, sort_keys=True, default=str).encode()).digest()

    def read(self, setting: Setting, levels: range) -> pd.DataFrame | None:
        """The saved records; None if there are none, the file is damaged, or they depend on other values."""
        try:
            table = pq.read_table(self._path(setting, levels))
        except (OSError, pa.ArrowException):
            return None
        if (table.schema.metadata or {}).get(DEPENDS_ON) != self._key(setting, levels):
            return None
        return table.to_pandas()

    def write(self, setting: Setting, levels: range, records: pd.DataFrame) -> None:
        """Saves records."""
        table = pa.Table.from_pandas(records, preserve_index=False)
        table = table.replace_schema_metadata({**table.schema.metadata, DEPENDS_ON: self._key(setting, levels)})
        with written(self._path(setting, levels)) as part:
            pq.write_table(table, part)

    def _path(self, setting: Setting, levels: range) -> Path:
        return self.folder / f"{setting.name}.{levels.start:07}.parquet"

    def _key(self, setting: Setting, levels: range) -> bytes:
        return hashlib.sha256(self.key + repr((setting, levels)).encode()).digest()


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
    parts: Parts | None = None,
    advance: Advance = silent,
    watchers: NewWatchers = lambda setting: (),
) -> pd.DataFrame:
    """Plays all settings on the same levels, ``env.num_envs`` at once.

    Args:
        policy: any policy.
        env: a batch env that deals its levels in order.
        settings: ways to play.
        num_levels: plays the env's first ``num_levels`` levels.
        seed: of everything random; each batch of levels gets a seed derived from it.
        parts: where finished batches are saved to and read from; None saves nothing.
        advance: called with the number of episodes that have newly ended or were read from ``parts``.
        watchers: see `play`. Saved records depend on them too, so ``depends_on`` of ``parts`` has to cover them.

    Returns:
        the records, see `drc_lab.evaluation.play.records`.
    """
    records: list[pd.DataFrame] = []
    for levels in batches(num_levels, env.num_envs):
        by_name = {setting.name: parts.read(setting, levels) if parts else None for setting in settings}
        missing = [setting for setting in settings if by_name[setting.name] is None]
        advance((len(settings) - len(missing)) * len(levels))
        for played in _played(policy, env, missing, levels, seed, advance, watchers):
            by_name[played.setting.name] = made = records_of(played)
            if parts:
                parts.write(played.setting, levels, made)
        records += [each for each in by_name.values() if each is not None]
    return joined(records)


def _played(
    policy: Policy,
    env: BatchEnv,
    settings: Sequence[Setting],
    levels: range,
    seed: int,
    advance: Advance,
    watchers: NewWatchers,
) -> Iterator[Played]:
    """`play` for one batch of levels, with a seed of its own, that reports its progress."""
    ended, names = Ended(advance), {setting.name for setting in settings}

    def all_watchers(setting: Setting) -> list[Watcher]:
        counted = [ended] if setting.name in names else []  # the baseline policy may be played in addition
        return [*counted, *watchers(setting)]

    seed_of_batch = int(np.random.SeedSequence([seed, levels.start]).generate_state(1)[0])
    for number, played in enumerate(play(policy, env, settings, levels, seed_of_batch, all_watchers), 1):
        yield played
        ended.catch_up(number * len(levels))  # a result may be that of another setting, which was played before
