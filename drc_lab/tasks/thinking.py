"""task=thinking: whether more thinking helps a trained policy, and where."""

from pathlib import Path

from omegaconf import DictConfig

from drc_lab.app.checked import thinking_spec
from drc_lab.app.record import evaluation_run, log_held_out
from drc_lab.app.start import start
from drc_lab.arguments import plain
from drc_lab.studies.session import tell_power
from drc_lab.studies.several import play_several
from drc_lab.studies.study import investigate, planned
from drc_lab.studies.subjects import subjects


def main(config: DictConfig, folder: Path) -> None:
    """Plays one or several checkpoints at every setting; prints and writes the report."""
    start(config)
    subject, *more = subjects(config)
    if more or thinking_spec(config).run is not None:
        play_several(config, [subject, *more], folder)
        return
    plan = planned(subject)
    tell_power(subject.config, plan.env, plan.settings)
    with evaluation_run(config, folder) as run:
        log_held_out(run, "test", plan.env, plain(subject.config))
        investigate(plan, folder, run)
