"""Videos of held-out episodes during training."""

import math
from pathlib import Path
from typing import Any

import lightning as L

from drc_lab.arguments import takes
from drc_lab.envs.vector import LevelVectorEnv
from drc_lab.evaluation.pictures.episode_video import record
from drc_lab.evaluation.pictures.video import write_video
from drc_lab.learning.agent import Agent
from drc_lab.learning.checkpointing import recorders
from drc_lab.learning.rollout import Rollout
from drc_lab.learning.specs import VideosSpec
from drc_lab.learning.stop import stopping
from drc_lab.process import random_states_kept
from drc_lab.progress import working


class EpisodeVideos(L.Callback):
    """Records videos of the first held-out levels, played greedily, at regular intervals and when training ends.

    The videos are written to the folder ``videos`` of the run and of its artifacts. Envs from outside this project have
    no pictures, so there are no videos of them.

    See `VideosSpec` for the arguments.
    """

    @takes(VideosSpec)
    def __init__(self, spec: VideosSpec):
        self.levels, self.every_frames = spec.levels, spec.every_frames
        self.cell_size, self.fps, self.suffix = spec.cell_size, spec.fps, spec.suffix
        self._made_at = -1

    def _make(self, trainer: L.Trainer, agent: Agent) -> None:
        if self._made_at == agent.frames or not trainer.is_global_zero:
            return
        self._made_at = agent.frames
        path = Path(trainer.default_root_dir) / "videos" / f"frames-{agent.frames:012}{self.suffix}"
        with working("video of held-out episodes", aside=True):
            env = trainer.datamodule.held_out(self.levels)  # type: ignore[attr-defined]
            if not isinstance(env, LevelVectorEnv):
                return
            with random_states_kept():
                frames = record(agent.policy, env, self.cell_size, math.ceil(self.fps))
            write_video(frames, path, self.fps)
        for run in recorders(trainer):
            run.log_artifact(path, "videos")

    def on_train_batch_end(
        self, trainer: L.Trainer, agent: L.LightningModule, outputs: Any, batch: Rollout, batch_idx: int
    ) -> None:
        assert isinstance(agent, Agent)
        if self.every_frames is None or not batch.last:
            return
        if agent.rollouts % agent.spec.in_rollouts(self.every_frames) == 0:
            self._make(trainer, agent)

    def on_train_end(self, trainer: L.Trainer, agent: L.LightningModule) -> None:
        assert isinstance(agent, Agent)
        if not stopping(trainer):
            self._make(trainer, agent)
