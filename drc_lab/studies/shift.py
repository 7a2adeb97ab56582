"""Evaluations under distribution shift, which ``thinking.worlds`` describes, compared with the base levels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from drc_lab.app.shift import BASE, errors_name_shift, shifted_settings
from drc_lab.envs.interface import BatchEnv
from drc_lab.evaluation.kinds.kind import Setting
from drc_lab.evaluation.measures.finding import Finding
from drc_lab.evaluation.measures.shift import shift_findings
from drc_lab.evaluation.measures.table import Row, table
from drc_lab.evaluation.play.records import concatenated
from drc_lab.files import written
from drc_lab.studies.episodes import PARTS, play_all
from drc_lab.studies.levels import report_env
from drc_lab.studies.subjects import Subject
from drc_lab.tracking.run import Run

FILE = "worlds.parquet"  # records under all shifts; those of the base have a file of their own


@dataclass(frozen=True)
class Shift:
    """Levels that differ from training's, on which a policy can be played.

    Args:
        name: of the shift.
        subject: the policy, with the settings of these levels.
        env: with these levels.
        thinking_settings: amounts of thinking and controls to play there.
    """

    name: str
    subject: Subject
    env: BatchEnv
    thinking_settings: Sequence[Setting]


def make_shifts(subject: Subject, settings_in: Callable[[BatchEnv], Sequence[Setting]]) -> list[Shift]:
    """Makes the levels of all shifts.

    Args:
        subject: the policy, with the settings of its evaluation.
        settings_in: returns the settings to play in an env.

    Raises:
        ConfigError: a shift's description is invalid, or the policy cannot play there.
    """
    shifts = []
    for name, settings in shifted_settings(subject.settings).items():
        with errors_name_shift(name):
            env = report_env(settings, subject.policy)
        shifts.append(Shift(name, replace(subject, settings=settings), env, settings_in(env)))
    return shifts


def play_shifts(shifts: Sequence[Shift], base: Sequence[Row], folder: Path, run: Run) -> list[Finding]:
    """Plays under all shifts, writes and logs their records, and returns findings that compare them with the base; []
    if there are no shifts."""
    if not shifts:
        return []
    rows, parts = {BASE: base}, []
    confidence = shifts[0].subject.settings.evaluation.confidence
    for shift in shifts:
        records = play_all(shift.subject, shift.env, shift.thinking_settings, folder / PARTS / shift.name, shift.name)
        rows[shift.name] = table(records, confidence)
        parts.append(records.assign(world=shift.name))
    with written(folder / FILE) as part:
        concatenated(parts).to_parquet(part, index=False)
    run.log_artifact(folder / FILE)
    return shift_findings(rows, confidence)
