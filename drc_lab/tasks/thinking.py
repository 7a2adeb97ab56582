"""task=thinking: whether more thinking helps a trained policy, and where.

python -m drc_lab task=thinking checkpoint=FILE
"""

from pathlib import Path

from drc_lab.app.record import evaluation_run, log_held_out
from drc_lab.app.settings import Settings
from drc_lab.app.start import start
from drc_lab.arguments import plain
from drc_lab.studies.levels import tell_power
from drc_lab.studies.plan import plan_study
from drc_lab.studies.several import play_several
from drc_lab.studies.study import run_study
from drc_lab.studies.subjects import load_subjects


def main(settings: Settings, folder: Path) -> None:
    """Plays one or several checkpoints at every setting; prints and writes the report."""
    start(settings)
    subjects = load_subjects(settings)
    if len(subjects) > 1 or settings.thinking.run is not None:
        return play_several(settings, subjects, folder)
    plan = plan_study(subjects[0])
    tell_power(plan.subject.settings, plan.env, plan.thinking_settings)
    with evaluation_run(settings, folder, plan.subject.config) as run:
        log_held_out(run, "test", plan.env, plain(plan.subject.config))
        run_study(plan, folder, run)
