"""Records: a pandas table with a row for each setting and level. All statistics, plots and reports are made from it.

Columns:

- ``kind``, ``amount``, ``baseline``: the setting, see `drc_lab.evaluation.kinds.kind.Setting`;
- ``level`` (its number), ``optimal`` (optimal length in steps, -1 if unknown);
- ``solved`` (only if the env reports success), ``length`` (steps), ``return``, ``passes`` (extra passes), ``ticks`` (of
  all passes);
- ``thinks`` (how often the policy chose to think) and ``moves`` (decisions other than thinks), only if the env has the
  action "think"; ``decisions``: see `drc_lab.evaluation.measures.learned.Decisions`;
- ``cycles``, ``cycle_steps``, ``cycle_start``, ``cycle_length``: see `drc_lab.evaluation.watchers.cycles.Cycles`;
- ``height``, ``width`` (size of the level, -1 if unknown): see `drc_lab.evaluation.watchers.sizes.Sizes`;
- ``judged_moves``, ``optimal_moves``, ``lost_at``, ``verdicts``: see `drc_lab.evaluation.measures.agreement.Agreement`,
  missing for settings without that watcher;
- the columns of other watchers.

An evaluation of several checkpoints also has the columns ``checkpoint``, ``seed`` and ``frames``; one under
distribution shifts adds its own.
"""

from collections.abc import Sequence

import pandas as pd

from drc_lab.evaluation.measures.criterion import SOLVED
from drc_lab.evaluation.play.played import Played

SETTING = ["kind", "amount"]  # the columns that identify a setting
SUBJECT = ["checkpoint", "seed", "frames"]  # the columns that identify a checkpoint: name, training seed, frames


def records_of(played: Played) -> pd.DataFrame:
    """The records of one setting, a row for each level."""
    setting, episodes = played.setting, played.episodes
    return pd.DataFrame(
        {
            "kind": setting.kind.label,
            "amount": float(setting.amount),
            "baseline": setting.is_baseline,
            "level": episodes.level,
            "optimal": episodes.optimal,
            **({SOLVED.column: episodes.solved} if episodes.says_success else {}),
            "length": episodes.length,
            "return": episodes.returns,
            "passes": episodes.passes,
            "ticks": episodes.ticks,
            **({} if episodes.thinks is None else {"thinks": episodes.thinks, "moves": episodes.moves}),
            **played.columns,
        }
    )


def baseline_of(records: pd.DataFrame) -> pd.DataFrame:
    """The records of the baseline policy.

    It may appear as several settings (0 first passes, 0 no-ops, its own repeats); only the first of these is returned,
    so that each level is there once.
    """
    theirs = records[records["baseline"]]
    first = theirs.iloc[0]
    return theirs[(theirs["kind"] == first["kind"]) & (theirs["amount"] == first["amount"])]


def concatenated(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Concatenates records.

    A foreign env may report success for the first time in a later part. Levels of earlier parts, which have no column
    ``solved``, then count as not solved.
    """
    records = pd.concat(parts, ignore_index=True)
    if SOLVED.column in records:
        records[SOLVED.column] = records[SOLVED.column].eq(True)
    return records


def joined(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Concatenates records and groups them by setting, in the order in which settings first appear."""
    records = concatenated(parts)
    place = records.groupby(SETTING, sort=False).ngroup()
    return records.iloc[place.argsort(kind="stable")].reset_index(drop=True)


def moves(played: pd.DataFrame) -> pd.Series:
    """Moves of each episode: all decisions other than to think."""
    return played["moves" if "moves" in played else "length"]


def decisions(played: pd.DataFrame) -> pd.Series:
    """Moves and thinks of each episode together: the passes of a policy without extra passes."""
    return moves(played) + played["thinks"] if "thinks" in played else played["length"]


def ticks_a_step(played: pd.DataFrame) -> float:
    """Mean number of ticks per move, including the ticks of extra passes and thinks."""
    return float(played["ticks"].sum() / max(1, moves(played).sum()))


def ticks_a_pass(baseline: pd.DataFrame) -> float:
    """Mean number of ticks per pass, from the records of a policy that makes no extra passes."""
    return float(baseline["ticks"].sum() / decisions(baseline).sum())
