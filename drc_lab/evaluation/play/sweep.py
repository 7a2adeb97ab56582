"""A resumable sweep over settings and levels: finished batches are saved, and an interrupted sweep continues there."""

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
DEPENDS_ON = b"drc_lab"  # metadata key of a part's file, for the hash of what its records depend on


class Ended(Watcher):
    """Reports progress: calls ``tell`` with the number of episodes that have ended since its last call.

    Args:
        tell: called with that number.
    """

    def __init__(self, tell: Tell):
        self.tell, self.playing, self.told = tell, 0, 0

    def seen(self, envs: np.ndarray, obs: np.ndarray, info: dict[str, Any]) -> None:
        self.rest(max(0, self.playing - len(envs)) + self.told)
        self.playing = len(envs)

    def rest(self, all_of: int) -> None:
        """Reports those of ``all_of`` ended episodes that have not been reported yet."""
        self.tell(all_of - self.told)
        self.told = all_of


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
        return hashlib.sha256(self.key + repr((setting.name, setting.thinking, levels)).encode()).digest()


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
    tell: Tell = lambda number: None,
    watchers: Callable[[Setting], Sequence[Watcher]] = lambda setting: (),
) -> pd.DataFrame:
    """Plays all settings on the same levels, ``env.num_envs`` at once.

    Args:
        policy: any policy.
        env: a batch env that deals its levels in order.
        settings: ways to play.
        num_levels: plays the env's first ``num_levels`` levels.
        seed: of everything random; each batch of levels gets a seed derived from it.
        parts: where finished batches are saved to and read from; None saves nothing.
        tell: called with the number of episodes that have newly ended or were read from ``parts``.
        watchers: see `play`. Saved records depend on them too, so ``depends_on`` of ``parts`` has to cover them.

    Returns:
        the records, see `drc_lab.evaluation.play.records`.
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
