"""A sweep over settings and levels that keeps what it has: one that is interrupted goes on where it stopped."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from drc_lab.envs.interface import BatchEnv
from drc_lab.evaluation.play.records import joined, records_of
from drc_lab.evaluation.play.thinking import Setting, play
from drc_lab.evaluation.watchers.watcher import Watcher
from drc_lab.files import written
from drc_lab.models.policy import Policy

Tell = Callable[[int], object]
DEPENDS_ON = b"drc_lab"  # in a part's metadata


class Ended(Watcher):
    """Tells of episodes as they end: takes what is told their number, and not twice."""

    def __init__(self, tell: Tell):
        self.tell, self.playing, self.told = tell, 0, 0

    def seen(self, envs: np.ndarray, obs: np.ndarray, info: dict[str, Any]) -> None:
        self.rest(max(0, self.playing - len(envs)) + self.told)
        self.playing = len(envs)

    def rest(self, all_of: int) -> None:
        """Tells of what it has not told yet of a number of episodes."""
        self.tell(all_of - self.told)
        self.told = all_of


class Parts:
    """Parquet files with the records of each setting on each batch of levels.

    Args:
        folder: of the files.
        depends_on: all that records depend on but for the setting and the levels; plain types. Files that were written
            with something else are not read, but replaced.
    """

    def __init__(self, folder: Path, depends_on: Mapping[str, Any]):
        self.folder = folder
        self.key = hashlib.sha256(json.dumps(depends_on, sort_keys=True, default=str).encode()).digest()

    def read(self, setting: Setting, levels: range) -> pd.DataFrame | None:
        """The records, if they are there and whole."""
        try:
            table = pq.read_table(self._path(setting, levels))
        except (OSError, pa.ArrowException):
            return None
        if (table.schema.metadata or {}).get(DEPENDS_ON) != self._key(setting, levels):
            return None
        return table.to_pandas()

    def write(self, setting: Setting, levels: range, records: pd.DataFrame) -> None:
        """Keeps them."""
        table = pa.Table.from_pandas(records, preserve_index=False)
        table = table.replace_schema_metadata({**table.schema.metadata, DEPENDS_ON: self._key(setting, levels)})
        with written(self._path(setting, levels)) as part:
            pq.write_table(table, part)

    def _path(self, setting: Setting, levels: range) -> Path:
        return self.folder / f"{setting.name}.{levels.start:07}.parquet"

    def _key(self, setting: Setting, levels: range) -> bytes:
        return hashlib.sha256(self.key + repr((setting.name, setting.thinking, levels)).encode()).digest()


def batches(num_levels: int, at_once: int) -> Iterator[range]:
    """The levels in batches."""
    for start in range(0, num_levels, at_once):
        yield range(start, min(start + at_once, num_levels))


def sweep(
    policy: Policy,
    env: BatchEnv,
    settings: Sequence[Setting],
    num_levels: int,
    seed: int = 0,
    parts: Parts | None = None,
    tell: Tell = lambda number: None,
    watchers: Callable[[Setting], Sequence[Watcher]] = lambda setting: (),
) -> pd.DataFrame:
    """The records (see `drc_lab.evaluation.play.records`) of all settings on the same levels, ``env.num_envs`` at once.

    Args:
        num_levels: the first so many of the env's.
        seed: of what is sampled; each batch of levels has its own.
        parts: where finished batches are kept, and taken from.
        tell: is told how many more episodes have ended, or had ended before.
        watchers: see `play`; they too are what kept records depend on.
    """
    found: list[pd.DataFrame] = []
    for levels in batches(num_levels, env.num_envs):
        kept = {setting: parts.read(setting, levels) if parts else None for setting in settings}
        missing = [setting for setting, records in kept.items() if records is None]
        tell((len(settings) - len(missing)) * len(levels))
        ended = Ended(tell)

        def watched(setting: Setting) -> list[Watcher]:
            return [ended, *watchers(setting)]  # noqa: B023 - called before the next batch

        own_seed = int(np.random.SeedSequence([seed, levels.start]).generate_state(1)[0])
        for number, played in enumerate(play(policy, env, missing, levels, own_seed, watched)):
            records = records_of(played)
            if parts:
                parts.write(played.setting, levels, records)
            kept[played.setting] = records
            ended.playing = 0
            ended.rest((number + 1) * len(levels))
        found += [records for records in kept.values() if records is not None]
    return joined(found)
