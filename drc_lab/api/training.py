"""The Python function that trains a policy."""

from collections.abc import Sequence
from pathlib import Path

from drc_lab.composing import checked, composed, import_task
from drc_lab.errors import ConfigError, UserError
from drc_lab.files import remove_empty
from drc_lab.process import process_kept
from drc_lab.tasks.train import TrainingResult

TRAININGS = ("train", "thinking_sweep")


def train(overrides: Sequence[str] = ()) -> TrainingResult:
    """Trains a policy, like ``python -m drc_lab`` with these overrides; ``task=thinking_sweep`` adds a report.

    Signals and Ctrl-C end the training as they end the command: it writes a checkpoint and raises a KeyboardInterrupt
    whose message is the command that resumes. Calling this again with the same overrides and ``folder`` resumes too.

    Args:
        overrides: group=option, key=value and +experiment=name, as on the command line.

    Raises:
        UserError: there is a mistake in the config; nothing has been written yet.
        Diverged: a NaN or an infinity appeared in the training.
    """
    with process_kept(), composed(overrides) as config:
        if config.task not in TRAININGS:
            raise ConfigError("task", config.task, " | ".join(TRAININGS))
        if config.trainer.devices not in (1, "1"):
            raise ConfigError("trainer.devices", config.trainer.devices, "1: the command line starts several processes")
        config.folder = str(Path(config.folder).absolute())  # resolved once: the default contains the time
        folder = Path(config.folder)
        settings = checked(config, folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"folder: {error.filename}: {error.strerror}") from error
        try:
            result: TrainingResult = import_task(config.task).run(settings, folder)
        finally:
            remove_empty(folder)
        return result
