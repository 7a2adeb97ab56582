"""The Python API: load, evaluate and train policies with the functions that the command line uses (docs/python.md).

All public names are available as ``drc_lab.NAME``. Mistakes raise a `UserError` or `ConfigError` with a one-line
message. Process-wide settings that the command line changes are restored, see `drc_lab.process.process_kept`.
"""

from drc_lab.api.evaluating import Evaluation, evaluate, thinking_sweep
from drc_lab.api.loading import load_policy, make_env
from drc_lab.api.training import train
from drc_lab.errors import ConfigError, UserError
from drc_lab.evaluation.play.thinking import Thinking
from drc_lab.tasks.train import TrainingResult

__all__ = [
    "ConfigError",
    "Evaluation",
    "Thinking",
    "TrainingResult",
    "UserError",
    "evaluate",
    "load_policy",
    "make_env",
    "thinking_sweep",
    "train",
]
