"""The DataModule: envs and rollouts, and their place in the checkpoint."""

from collections.abc import Callable
from typing import Any

import lightning as L

from drc_lab.envs.interface import BatchEnv
from drc_lab.learning.rollouts import RolloutSpec, RolloutStream
from drc_lab.models.policy import Policy


class RolloutData(L.LightningDataModule):
    """Hands Lightning the rollout stream and saves its state, so that a resumed run sees the same rollouts.

    Args:
        spec: sizes.
        make_env: builds the training env.
        policy: the one that is being trained.
        seed: of the stream.
    """

    def __init__(self, spec: RolloutSpec, make_env: Callable[[], BatchEnv], policy: Policy, seed: int):
        super().__init__()
        self.spec, self.make_env, self.policy, self.seed = spec, make_env, policy, seed
        self.stream: RolloutStream | None = None
        self._saved: dict[str, Any] | None = None

    def train_dataloader(self) -> RolloutStream:
        self.stream = RolloutStream(self.spec, self.make_env(), self.policy, self.seed)
        if self._saved is not None:
            self.stream.set_state(self._saved)
        return self.stream

    def state_dict(self) -> dict[str, Any]:
        return {} if self.stream is None else self.stream.get_state()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._saved = state_dict
