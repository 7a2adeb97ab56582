"""Records the size of each level."""

from typing import Any

import numpy as np
from jaxtyping import Int64

from drc_lab.envs.interface import BatchEnv
from drc_lab.envs.vector import game_of
from drc_lab.evaluation.watchers.watcher import Columns, Envs, Observations, Watcher

UNKNOWN = -1


class Sizes(Watcher):
    """Adds ``height`` and ``width`` of each level to the records.

    In the project's games that is the level's own size, without the padding to the size of the batch. In a foreign env
    it is the size of the observation, or UNKNOWN if the observation is a vector.
    """

    def __init__(self, env: BatchEnv):
        self.game = game_of(env)
        self.sizes: Int64[np.ndarray, "N 2"] | None = None

    def seen(self, envs: Envs, obs: Observations, info: dict[str, Any]) -> None:
        if self.sizes is not None:
            return
        if self.game is not None:
            self.sizes = self.game.sizes()[envs]
        else:
            self.sizes = np.full((len(envs), 2), obs.shape[2:] if obs.ndim == 4 else UNKNOWN)

    def columns(self) -> Columns:
        assert self.sizes is not None
        return {"height": self.sizes[:, 0], "width": self.sizes[:, 1]}
