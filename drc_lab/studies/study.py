"""The thinking study of one policy: it is played at all settings, measured, logged and reported on."""

from pathlib import Path

from drc_lab.app.continuing import continuable
from drc_lab.app.start import say
from drc_lab.evaluation.measures.all_findings import statistics_of
from drc_lab.evaluation.measures.gains import sensitivity
from drc_lab.evaluation.measures.shipped import findings, measures_of
from drc_lab.evaluation.measures.table import Row, table
from drc_lab.progress import working
from drc_lab.studies.episodes import PARTS, play_all
from drc_lab.studies.nested_runs import log_settings
from drc_lab.studies.plan import Plan
from drc_lab.studies.reporting import report_on, tell_where
from drc_lab.studies.shift import play_shifts
from drc_lab.studies.tracing import traced
from drc_lab.tracking.run import Run


def run_study(plan: Plan, folder: Path, run: Run, so_far: str = "") -> list[Row]:
    """Plays a sweep, or the rest of an interrupted one, and writes the report; returns the rows of its table.

    Args:
        plan: what to play.
        folder: of the run.
        run: that results are logged to.
        so_far: a sentence on what the command has done before, for the message when it is stopped.

    Raises:
        Stopped: by a signal.
    """
    subject, env = plan.subject, plan.env
    confidence, power = subject.settings.evaluation.confidence, subject.settings.thinking.power
    with continuable(folder, so_far):
        records = play_all(subject, env, plan.thinking_settings, folder / PARTS)
        with working("statistics of all settings"):
            rows = table(records, confidence)
            statistics = statistics_of(records, rows, confidence, power)
        shifted = play_shifts(plan.shifts, rows, folder, run)
        measured = findings(records, confidence, measures_of(subject.settings.thinking))
        answers = [*statistics, *shifted, *measured, *traced(subject, env, records)]
        log_settings(rows, run, subject.frames)
        shown = report_on("Does more thinking help?", subject, env, rows, answers, records, folder, run)
    if rows[0].criterion.is_rate:
        say(sensitivity(rows, confidence, power))
    tell_where([*shown, *run.shown])
    return rows
