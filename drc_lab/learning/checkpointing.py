"""The checkpoints that a training keeps (the last one and the best ones), and when they are written."""

import re
import time
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO

from drc_lab.checkpoint_names import LAST
from drc_lab.evaluation.measures.criterion import RETURN, SOLVE_RATE
from drc_lab.files import link, remove_unfinished
from drc_lab.learning.agent import Agent
from drc_lab.learning.checkpoints import write_checkpoint
from drc_lab.learning.rollout import Rollout
from drc_lab.learning.specs import CheckpointSpec
from drc_lab.learning.stop import GracefulStop
from drc_lab.learning.validation import HeldOutEvaluation, rank
from drc_lab.saved_tensors import read_torch

BEST = "best.ckpt"


class Outcome(Enum):
    """How a training ended."""

    FINISHED = "it ran to its end"
    STOPPED = "a signal ended it"


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes checkpoints atomically, each with its checksum: the old file of that name stays until all of the new one
    is on the disk."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        write_checkpoint(checkpoint, Path(path))

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """Reads a checkpoint as `read_torch` does, onto the CPU; Lightning's other arguments are not needed."""
        return read_torch(path)


class Checkpoints(Checkpoint):
    """Writes checkpoints, always at the end of a rollout, the only point where a run's state is small and complete.

    ``last.ckpt`` is written after each evaluation, at regular intervals, and when training ends.
    A resumed training continues from that point: anything still pending at the end of that rollout (an interrupted
    evaluation, the end of the training) is done in `on_train_start`, before the first rollout.
    The best checkpoints have their frames in their names, and ``best.ckpt`` is a second name of the very best; of
    equally good ones the earlier is kept. A training can be resumed exactly from any of them. Lightning calls a
    `Checkpoint` after all other callbacks, so the file includes their updated state.

    Args:
        folder: folder of the files; other checkpoints of a training in it are removed.
        spec: how many checkpoints are kept, and how often they are written.
        every_rollouts: rollouts between two writes of ``last.ckpt``.
        evaluation: ranks the checkpoints, by solve rate where the env reports success, then by return.
        stop: knows whether a signal asked to stop.

    Attributes:
        kept: the best checkpoints, best first, each with name, frames, return, and solve_rate where the env reports
            success.
        outcome: how the training ended; None as long as it runs. A checkpoint says whether it is FINISHED.
    """

    def __init__(
        self,
        folder: Path,
        spec: CheckpointSpec,
        every_rollouts: int,
        evaluation: HeldOutEvaluation,
        stop: GracefulStop,
    ):
        self.folder, self.spec, self.every_rollouts = folder, spec, every_rollouts
        self.evaluation, self.stop = evaluation, stop
        self.kept: list[dict[str, Any]] = []
        self.judged_at, self._saved_at = 0, time.monotonic()
        self.outcome: Outcome | None = None
        self._ending = False  # whether a callback asked to end the training; saved in the checkpoint
        self._source: Path | None = None  # the checkpoint that was last written, or that this fit resumes from
        self._position: dict[str, Any] = {}  # Lightning's counters, read from that file

    @property
    def last(self) -> Path:
        return self.folder / LAST

    @property
    def best(self) -> Path:
        """The best checkpoint so far; the last one if there was no evaluation yet."""
        return self.folder / BEST if self.kept else self.last

    def on_fit_start(self, trainer: L.Trainer, agent: L.LightningModule) -> None:
        self._saved_at = time.monotonic()
        self._source = None if trainer.ckpt_path is None else Path(trainer.ckpt_path)
        if trainer.is_global_zero:
            remove_unfinished(self.folder.parent)
            if self._source is None:
                for name in (LAST, BEST):
                    (self.folder / name).unlink(missing_ok=True)
            else:
                self._bring_along(self._source.parent)
            self._remove_others(trainer)
        # A checkpoint that was moved may list files that are no longer beside it. Rank 0 decides for all ranks, because
        # they may have different names for the folder.
        self.kept = trainer.strategy.broadcast([one for one in self.kept if (self.folder / one["name"]).is_file()])
        if trainer.is_global_zero:
            self._link_best()

    def _bring_along(self, source: Path) -> None:
        """Links the best checkpoints of the folder that the training resumes from, if it is another folder."""
        for one in self.kept:
            if not (self.folder / one["name"]).exists() and (source / one["name"]).exists():
                link(source / one["name"], self.folder / one["name"])

    def on_train_start(self, trainer: L.Trainer, agent: L.LightningModule) -> None:
        # If the training was about to end when `last.ckpt` was written, it ends now. Resuming from any other checkpoint
        # means that it should go on, unless there is no last one.
        self._ending &= self._source is not None and (self._source.name == LAST or not self.last.exists())
        self._ending |= trainer.should_stop
        trainer.should_stop = self.stop.requested(trainer) or self._ending
        if self._keep_best(trainer, agent):
            self._save_last(trainer)

    def on_train_batch_end(
        self, trainer: L.Trainer, agent: L.LightningModule, outputs: Any, batch: Rollout, batch_idx: int
    ) -> None:
        assert isinstance(agent, Agent)
        self._ending = self._ending or trainer.should_stop
        trainer.should_stop = False  # a request to stop takes effect at the end of the rollout
        if not batch.last:
            return
        trainer.should_stop = self.stop.requested(trainer) or self._ending
        ends = trainer.should_stop or agent.rollouts == agent.spec.rollouts
        due = self._minutes_are_over(trainer) or agent.rollouts % self.every_rollouts == 0 or ends
        if self._keep_best(trainer, agent) or due:
            self._save_last(trainer)

    def on_train_end(self, trainer: L.Trainer, agent: L.LightningModule) -> None:
        assert isinstance(agent, Agent)
        stopped = self.stop.requested(trainer)
        if stopped:
            self.outcome = Outcome.STOPPED
            if agent.frames == 0:  # nothing was learned yet: the next start is a fresh one
                return
        self._position = self._counted()
        new = self._keep_best(trainer, agent)
        if not stopped:
            self.outcome = Outcome.FINISHED
        if new or not stopped:
            self._save_last(trainer)

    def on_save_checkpoint(self, trainer: L.Trainer, agent: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        checkpoint |= {"finished": self.outcome is Outcome.FINISHED, **self._position}

    def _counted(self) -> dict[str, Any]:
        """Lightning's counters at the end of the last rollout, read from the checkpoint.

        When a fit ends, Lightning advances its counters further, and not in the same way in a resumed process.
        """
        if self._source is None:  # this rank writes no checkpoints
            return {}
        state = read_torch(self._source)
        return {name: state[name] for name in ("epoch", "global_step", "loops")}

    def _minutes_are_over(self, trainer: L.Trainer) -> bool:
        minutes = (time.monotonic() - self._saved_at) / 60
        over = self.spec.every_minutes is not None and minutes >= self.spec.every_minutes
        return trainer.strategy.reduce_boolean_decision(over, all=False)

    def _keep_best(self, trainer: L.Trainer, agent: L.LightningModule) -> bool:
        """Keeps the weights if a new evaluation ranks them among the best; whether there was a new evaluation."""
        assert isinstance(agent, Agent)
        if self.judged_at == agent.frames or self.evaluation.evaluated_at != agent.frames:
            return False
        self.judged_at = agent.frames
        result = self.evaluation.result
        scores = {key: result[key] for key in (SOLVE_RATE, RETURN) if key in result}
        new: dict[str, Any] = {"name": f"frames-{agent.frames:012}.ckpt", "frames": agent.frames, **scores}
        ranked = sorted([*self.kept, new], key=lambda one: rank(one, result), reverse=True)
        self.kept = ranked[: self.spec.keep_best]
        if new in self.kept:
            path: Path = self.folder / new["name"]
            trainer.save_checkpoint(path)
            if trainer.is_global_zero:
                self._link_best()
                for run in recorders(trainer):
                    run.log_checkpoint(path, {f"valid/{key}": value for key, value in scores.items()}, agent.frames)
        return True

    def _link_best(self) -> None:
        if self.kept:
            link(self.folder / self.kept[0]["name"], self.folder / BEST)

    def _save_last(self, trainer: L.Trainer) -> None:
        for run in recorders(trainer):  # metrics must be on the disk before the state that continues after them
            run.sync()
        self._saved_at = time.monotonic()
        trainer.save_checkpoint(self.last)
        if trainer.is_global_zero:
            self._source = self.last
            self._remove_others(trainer)

    def _remove_others(self, trainer: L.Trainer) -> None:
        """Removes checkpoints that are no longer among the best, or that another training left in the folder."""
        names = {one["name"] for one in self.kept}
        for path in self.folder.glob("frames-*.ckpt"):
            if path.name not in names:
                for run in recorders(trainer):
                    run.drop_checkpoint(path.name)
                path.unlink()

    def state_dict(self) -> dict[str, Any]:
        return {"kept": self.kept, "judged_at": self.judged_at, "ending": self._ending}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.kept, self.judged_at = in_the_folder(state_dict["kept"]), state_dict["judged_at"]
        self._ending = state_dict.get("ending", False)  # missing in older checkpoints


def recorders(trainer: L.Trainer) -> list[Any]:
    """The runs of those of the trainer's loggers that also record checkpoints and artifacts."""
    return [logger.run for logger in trainer.loggers if hasattr(logger, "run")]


def in_the_folder(kept: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The kept checkpoints whose names lead nowhere else: the one that lists them may be somebody else's."""
    return [one for one in kept if re.fullmatch(r"frames-\d+\.ckpt", str(one.get("name")))]
