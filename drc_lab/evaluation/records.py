"""What was played, level by level, as a pandas table: all statistics, plots and reports read it, and Parquet keeps it.

Columns of a record, one for each setting and level:

- ``kind``, ``amount``, ``baseline``: of the setting, see `drc_lab.evaluation.thinking.Setting`;
- ``level`` (number), ``optimal`` (steps, -1 if unknown);
- ``solved``, ``length`` (steps), ``return``, ``passes`` (extra ones), ``ticks`` (of all passes);
- ``cycles``, ``cycle_steps``, ``cycle_start``, ``cycle_length``: see `drc_lab.evaluation.cycles.Cycles`;
- what other watchers add.

A study of several checkpoints or worlds adds columns that tell them apart.
"""

from collections.abc import Sequence

import pandas as pd

from drc_lab.evaluation.thinking import Played

SETTING = ["kind", "amount"]  # the columns that name a setting


def records_of(played: Played) -> pd.DataFrame:
    """A record for each level."""
    setting, episodes = played.setting, played.episodes
    return pd.DataFrame(
        {
            "kind": setting.kind,
            "amount": float(setting.amount),
            "baseline": setting.is_baseline,
            "level": episodes.level,
            "optimal": episodes.optimal,
            "solved": episodes.solved,
            "length": episodes.length,
            "return": episodes.returns,
            "passes": episodes.passes,
            "ticks": episodes.ticks,
            **played.columns,
        }
    )


def joined(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Records one after the other, those of a setting together, settings in the order of their first appearance."""
    records = pd.concat(parts, ignore_index=True)
    place = records.groupby(SETTING, sort=False).ngroup()
    return records.iloc[place.argsort(kind="stable")].reset_index(drop=True)
