"""drc_lab: train recurrent agents that plan, give them more time to think, and look inside them."""

import os
from typing import TYPE_CHECKING, Any

# Otherwise torch's threads busy-wait for milliseconds after each operation, on cores that the threads of the tick loop
# need. OpenMP reads this variable when torch is imported.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

from drc_lab import envs
from drc_lab.unknown_user import name_unknown_user

if TYPE_CHECKING:
    from drc_lab.api import (
        ConfigError,
        Evaluation,
        Thinking,
        TrainingResult,
        UserError,
        evaluate,
        load_policy,
        make_env,
        thinking_sweep,
        train,
    )

__version__ = "0.1.0"
__all__ = [
    "ConfigError",
    "Evaluation",
    "Thinking",
    "TrainingResult",
    "UserError",
    "envs",
    "evaluate",
    "load_policy",
    "make_env",
    "thinking_sweep",
    "train",
]

name_unknown_user()


def __getattr__(name: str) -> Any:
    """Imports `drc_lab.api` on first use of one of its names, because the import takes seconds."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from drc_lab import api

    return getattr(api, name)
