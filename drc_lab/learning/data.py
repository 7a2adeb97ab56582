"""The DataModule: builds the envs and the rollout stream, and saves their state in the checkpoint."""

from collections.abc import Callable
from typing import Any

import lightning as L

from drc_lab.envs.interface import BatchEnv
from drc_lab.envs.judge import Judge
from drc_lab.errors import ConfigError
from drc_lab.learning.actor import Actor, GraphedActor
from drc_lab.learning.ranks import Ranks
from drc_lab.learning.rollout_spec import RolloutSpec
from drc_lab.learning.rollouts import RolloutStream
from drc_lab.models.policy import Policy


class RolloutData(L.LightningDataModule):
    """Gives Lightning the rollout stream and saves its state, so that a resumed run sees the same rollouts.

    Args:
        spec: sizes of the rollouts, summed over all ranks.
        make_env: builds the training env, given the number of envs.
        policy: the policy that is being trained.
        seed: seed of the stream.
        values: whether the loss needs the values that the policy estimated while acting.
        held_out: builds an env without autoreset on the first N held-out levels, given N; used by callbacks.
        say: called with one-line messages for the user.
        judge: makes the judge that finds the optimal actions in an env, if the loss needs them.
    """

    def __init__(
        self,
        spec: RolloutSpec,
        make_env: Callable[[int], BatchEnv],
        policy: Policy,
        seed: int,
        values: bool = False,
        held_out: Callable[[int], BatchEnv] | None = None,
        say: Callable[[str], None] = print,
        judge: Callable[[BatchEnv], Judge] | None = None,
    ):
        super().__init__()
        self.held_out, self.say, self.judge = held_out, say, judge
        self.spec, self.make_env, self.policy, self.seed, self.values = spec, make_env, policy, seed, values
        self.stream: RolloutStream | None = None
        self._saved: list[dict[str, Any]] | None = None

    def train_dataloader(self) -> RolloutStream:
        assert self.trainer is not None
        rank, ranks = self.trainer.global_rank, self.trainer.world_size
        on_gpu = self.trainer.strategy.root_device.type == "cuda"
        envs = [self.make_env(size) for size in self.spec.group_sizes(ranks, on_gpu)]
        actor = GraphedActor(self.policy, self.say) if on_gpu and self.spec.cuda_graph else Actor(self.policy)
        actor.profile = self.trainer.profiler.profile  # type: ignore[attr-defined] # Lightning's connector sets it
        acting = self.trainer.precision_plugin.forward_context
        judges = None if self.judge is None else [self.judge(env) for env in envs]
        self.stream = RolloutStream(self.spec, envs, self.policy, self.seed, rank, self.values, acting, actor, judges)
        if self._saved is not None:
            if len(self._saved) != ranks:
                raise ConfigError("trainer.devices", ranks, f"{len(self._saved)} in all, as in the run that goes on")
            self.stream.set_state(self._saved[rank])
        return self.stream

    def state_dict(self) -> dict[str, Any]:
        """The states of all ranks' streams, in the order of ranks. Collective: every rank has to call it."""
        if self.stream is None:
            return {}
        return {"streams": Ranks().gather(self.stream.get_state())}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._saved = state_dict["streams"]
