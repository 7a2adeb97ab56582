"""What was played, level by level, as a pandas table: all statistics, plots and reports read it, and Parquet keeps it.

Columns of a record, one for each setting and level:

- ``kind``, ``amount``, ``baseline``: of the setting, see `drc_lab.evaluation.play.thinking.Setting`;
- ``level`` (number), ``optimal`` (steps, -1 if unknown);
- ``solved`` (only where the env says success), ``length`` (steps), ``return``, ``passes`` (extra ones), ``ticks`` (of
  all passes);
- ``thinks`` (times that the policy chose to) and ``moves`` (steps without those), only where the env has that action;
  ``decisions``: see `drc_lab.evaluation.measures.learned.Decisions`;
- ``cycles``, ``cycle_steps``, ``cycle_start``, ``cycle_length``: see `drc_lab.evaluation.watchers.cycles.Cycles`;
- ``height``, ``width`` (of the level, -1 if unknown): see `drc_lab.evaluation.watchers.sizes.Sizes`;
- ``judged_moves``, ``optimal_moves``, ``lost_at``, ``verdicts``: see `drc_lab.evaluation.measures.agreement.Agreement`,
  missing where it did not watch;
- what other watchers add.

A study of several checkpoints has the columns ``checkpoint``, ``seed``, ``frames`` too; one of worlds adds its own.
"""

from collections.abc import Sequence

import pandas as pd

from drc_lab.evaluation.measures.measure import SOLVED
from drc_lab.evaluation.play.thinking import Played

SETTING = ["kind", "amount"]  # the columns that name a setting
SUBJECT = ["checkpoint", "seed", "frames"]  # one of several checkpoints: its name, its training's seed, its frames


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
    """Those of the baseline policy: of one setting, though it may be the baseline of several kinds."""
    theirs = records[records["baseline"]]
    first = theirs.iloc[0]
    return theirs[(theirs["kind"] == first["kind"]) & (theirs["amount"] == first["amount"])]


def concatenated(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Records one after the other. Where an env said success only later, nothing had been solved before."""
    records = pd.concat(parts, ignore_index=True)
    if SOLVED.column in records:
        records[SOLVED.column] = records[SOLVED.column].eq(True)
    return records


def joined(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Records one after the other, those of a setting together, settings in the order of their first appearance."""
    records = concatenated(parts)
    place = records.groupby(SETTING, sort=False).ngroup()
    return records.iloc[place.argsort(kind="stable")].reset_index(drop=True)


def moves(played: pd.DataFrame) -> pd.Series:
    """Steps of the game: all, but for those in which the policy chose to think."""
    return played["moves" if "moves" in played else "length"]


def decisions(played: pd.DataFrame) -> pd.Series:
    """Moves and thinks together: each takes a pass of its own."""
    return moves(played) + played["thinks"] if "thinks" in played else played["length"]


def ticks_a_step(played: pd.DataFrame) -> float:
    """Mean number of ticks for each step of the game, those of extra passes and thinks included."""
    return float(played["ticks"].sum() / max(1, moves(played).sum()))


def ticks_a_pass(baseline: pd.DataFrame) -> float:
    """Of a policy that is given no extra ones."""
    return float(baseline["ticks"].sum() / decisions(baseline).sum())
