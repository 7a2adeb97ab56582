"""Probe scores as training curves, for the policy's states and for observations as a control."""

from typing import Any

import lightning as L
import numpy as np

from drc_lab.arguments import takes
from drc_lab.envs.vector import LevelVectorEnv
from drc_lab.errors import ConfigError
from drc_lab.evaluation.play.evaluator import evaluate
from drc_lab.interpretation.hooks import last_states, tapping
from drc_lab.interpretation.labels import Label, find_labels
from drc_lab.interpretation.probes.emergence import at_checkpoint
from drc_lab.interpretation.probes.probing import OBSERVATION
from drc_lab.interpretation.probes.targets import targets
from drc_lab.interpretation.recorder import Recorder, size_of
from drc_lab.interpretation.recording import Recording
from drc_lab.interpretation.spec import ProbeCurvesSpec
from drc_lab.learning.agent import Agent
from drc_lab.learning.rollout import Rollout
from drc_lab.learning.stop import stopping
from drc_lab.models.policy import Policy
from drc_lab.process import random_states_kept
from drc_lab.progress import working


class ProbeCurves(L.Callback):
    """Plays held-out levels greedily at intervals during training and logs the scores of 1x1 probes.

    ``probe/LABEL`` is the macro-F1 on levels that the probe was not fitted to, for the layer where it is highest. The
    probes read cell states after a step's last tick, or hidden states if the policy has no cell states.
    ``probe_observation/LABEL`` is the score of the same probe on the observation. A label of which only one class
    occurs in the episodes is not logged, which is common early in training.

    See `ProbeCurvesSpec` for the arguments.
    """

    @takes(ProbeCurvesSpec)
    def __init__(self, spec: ProbeCurvesSpec):
        self.spec = spec
        self._labels: list[Label] = []
        self._names: list[str] = []
        self._logged_at = -1  # frames

    def check(self, policy: Policy, game: str) -> None:
        """Checks before training that the policy has states to read and the game has the labels.

        Raises:
            ConfigError: the policy has no cell or hidden states, or the game no such labels of cells.
        """
        if self.spec.every_frames is None:
            return
        self._names = list((last_states(policy, "c") or last_states(policy, "h")).values())
        if not self._names:
            raise ConfigError("every_frames", self.spec.every_frames, "null for a policy without cell or hidden states")
        self._labels = [label for label in find_labels(game, self.spec.labels, "labels") if label.cells]
        if not self._labels:
            raise ConfigError("labels", self.spec.labels, f"at least one that cells have; {game} has none such")

    def _due(self, agent: Agent) -> bool:
        every = self.spec.every_frames
        return every is not None and agent.frames > 0 and agent.rollouts % agent.spec.in_rollouts(every) == 0

    def _log(self, trainer: L.Trainer, agent: Agent) -> None:
        """Logs the scores once for the present weights. A training that is about to stop leaves that to the process
        that goes on."""
        if self._logged_at == agent.frames or stopping(trainer):
            return
        self._logged_at = agent.frames
        agent.log_metrics(trainer.strategy.broadcast(self._scores(trainer, agent) if trainer.is_global_zero else {}))

    def _scores(self, trainer: L.Trainer, agent: Agent) -> dict[str, float]:
        env = trainer.datamodule.held_out(self.spec.levels)  # type: ignore[attr-defined]
        if not isinstance(env, LevelVectorEnv):
            return {}
        with working("probing held-out episodes", aside=True), random_states_kept():
            recorder = Recorder(agent.policy, env, self._names, np.float32)
            with tapping(agent.policy, recorder.taps):
                evaluate(agent.policy, env, watchers=[recorder])
            height, width = size_of(env)
            recording = Recording(*recorder.shard(), {"height": height, "width": width})
            to_predict = targets(recording, self._labels, recording.board)
            rows = at_checkpoint(agent.frames, recording, None, to_predict, self.spec.probes())
        scored = [row for row in rows if "score" in row]
        return {f"probe/{row['label']}": row["score"] for row in scored} | {
            f"probe_observation/{row['label']}": row[OBSERVATION] for row in scored
        }

    def on_train_start(self, trainer: L.Trainer, agent: L.LightningModule) -> None:
        assert isinstance(agent, Agent)
        if self._due(agent):  # where the training stopped, and nothing was logged
            self._log(trainer, agent)

    def on_train_batch_end(
        self, trainer: L.Trainer, agent: L.LightningModule, outputs: Any, batch: Rollout, batch_idx: int
    ) -> None:
        assert isinstance(agent, Agent)
        if batch.last and self._due(agent):
            self._log(trainer, agent)

    def on_train_end(self, trainer: L.Trainer, agent: L.LightningModule) -> None:
        assert isinstance(agent, Agent)
        if self.spec.every_frames is not None:
            self._log(trainer, agent)

    def state_dict(self) -> dict[str, Any]:
        return {"logged_at": self._logged_at}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._logged_at = state_dict["logged_at"]
