"""The checkpoints that a training keeps: the last, the best ones, and what is written when."""

import time
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO

from drc_lab.checkpoint_names import LAST
from drc_lab.evaluation.measures.measure import RETURN, SOLVE_RATE
from drc_lab.files import link, remove_unfinished, written
from drc_lab.learning.agent import Agent
from drc_lab.learning.rollout import Rollout
from drc_lab.learning.specs import CheckpointSpec
from drc_lab.learning.stop import GracefulStop
from drc_lab.learning.validation import HeldOutEvaluation, rank

BEST = "best.ckpt"


class AtomicCheckpointIO(TorchCheckpointIO):
    """A checkpoint appears when all of it is on the disk; until then the one of that name before it stays.

    Raises:
        UserError: it cannot be written (a full disk, say).
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        with written(Path(path)) as part, part.open("wb") as file:
            torch.save(checkpoint, file)


class Checkpoints(Checkpoint):
    """Writes checkpoints, always of the end of a rollout: only there is a run's state small and whole.

    ``last.ckpt`` is written after each evaluation, every so many rollouts and minutes, and when training ends.
    A training that goes on begins where that file was written: what was still to do at the end of that rollout (an
    evaluation that was cut short, the end of the training) is done before the first rollout, in `on_train_start`.
    The best have their frames in their names, and ``best.ckpt`` is a second name of the first of them; of equals the
    earlier one is kept. All of them resume exactly. Lightning calls a `Checkpoint` after all other callbacks, so that
    what they count is in the file.

    Args:
        folder: for the files; other checkpoints of a training in there are removed.
        spec: how many and how often.
        every_rollouts: rollouts between two writings of the last one.
        evaluation: its solve rate where the env says success, then its return, say what is best.
        stop: tells of signals.

    Attributes:
        kept: the best, best first: name, frames, return, and solve_rate where the env says success.
        finished: whether the training came to its end; is in the checkpoint.
        stopped: whether a signal ended it.
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
        self.judged_at, self.finished, self.stopped = 0, False, False
        self._ending, self._saved_at = False, time.monotonic()
        self._source: Path | None = None  # the file of the last rollout's end
        self._position: dict[str, Any] = {}  # Lightning's counters in there

    @property
    def last(self) -> Path:
        return self.folder / LAST

    @property
    def best(self) -> Path:
        """The best so far; the last where none was evaluated."""
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
        # A checkpoint that was moved names files that are not beside it any more. Ranks may name folders differently.
        self.kept = trainer.strategy.broadcast([one for one in self.kept if (self.folder / one["name"]).is_file()])
        if trainer.is_global_zero:
            self._link_best()

    def _bring_along(self, source: Path) -> None:
        """What was best in the folder that the training goes on from, if it is another one."""
        for one in self.kept:
            if not (self.folder / one["name"]).exists() and (source / one["name"]).exists():
                link(source / one["name"], self.folder / one["name"])

    def on_train_start(self, trainer: L.Trainer, agent: L.LightningModule) -> None:
        # Whoever wanted to end the training where `last.ckpt` was written; other checkpoints are there to go on from.
        self._ending &= self._source is not None and self._source.name == LAST
        self._ending |= trainer.should_stop
        trainer.should_stop = self.stop.requested(trainer) or self._ending
        if self._keep_best(trainer, agent):
            self._save_last(trainer)

    def on_train_batch_end(
        self, trainer: L.Trainer, agent: L.LightningModule, outputs: Any, batch: Rollout, batch_idx: int
    ) -> None:
        assert isinstance(agent, Agent)
        self._ending = self._ending or trainer.should_stop
        trainer.should_stop = False  # whoever wants to end a training waits for the end of a rollout
        if not batch.last:
            return
        trainer.should_stop = self.stop.requested(trainer) or self._ending
        ends = trainer.should_stop or agent.rollouts == agent.spec.rollouts
        due = self._minutes_are_over(trainer) or agent.rollouts % self.every_rollouts == 0 or ends
        if self._keep_best(trainer, agent) or due:
            self._save_last(trainer)

    def on_train_end(self, trainer: L.Trainer, agent: L.LightningModule) -> None:
        assert isinstance(agent, Agent)
        self.stopped = self.stop.requested(trainer)
        if self.stopped and agent.frames == 0:  # the next start begins anew
            return
        self._position = self._counted()
        new = self._keep_best(trainer, agent)
        self.finished = not self.stopped
        if new or self.finished:
            self._save_last(trainer)

    def on_save_checkpoint(self, trainer: L.Trainer, agent: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        checkpoint |= {"finished": self.finished, **self._position}

    def _counted(self) -> dict[str, Any]:
        """Lightning's counters at the end of the last rollout. After it they move on, and differently in a process
        that begins there."""
        if self._source is None:  # not on this rank, which writes nothing
            return {}
        state = torch.load(self._source, map_location="cpu", weights_only=True)
        return {name: state[name] for name in ("epoch", "global_step", "loops")}

    def _minutes_are_over(self, trainer: L.Trainer) -> bool:
        minutes = (time.monotonic() - self._saved_at) / 60
        over = self.spec.every_minutes is not None and minutes >= self.spec.every_minutes
        return trainer.strategy.reduce_boolean_decision(over, all=False)

    def _keep_best(self, trainer: L.Trainer, agent: L.LightningModule) -> bool:
        """Whether there was a new evaluation; its weights are kept if they are among the best."""
        assert isinstance(agent, Agent)
        if self.judged_at == agent.frames or self.evaluation.evaluated_at != agent.frames:
            return False
        self.judged_at = agent.frames
        result = self.evaluation.result
        worth = {key: result[key] for key in (SOLVE_RATE, RETURN) if key in result}
        new: dict[str, Any] = {"name": f"frames-{agent.frames:012}.ckpt", "frames": agent.frames, **worth}
        ranked = sorted([*self.kept, new], key=lambda one: rank(one, result), reverse=True)
        self.kept = ranked[: self.spec.keep_best]
        if new in self.kept:
            path: Path = self.folder / new["name"]
            trainer.save_checkpoint(path)
            if trainer.is_global_zero:
                self._link_best()
                for run in recorders(trainer):
                    run.log_checkpoint(path, {f"valid/{key}": value for key, value in worth.items()}, agent.frames)
        return True

    def _link_best(self) -> None:
        if self.kept:
            link(self.folder / self.kept[0]["name"], self.folder / BEST)

    def _save_last(self, trainer: L.Trainer) -> None:
        for run in recorders(trainer):  # what was logged is on the disk before the state that goes on from there
            run.sync()
        self._saved_at = time.monotonic()
        trainer.save_checkpoint(self.last)
        if trainer.is_global_zero:
            self._source = self.last
            self._remove_others(trainer)

    def _remove_others(self, trainer: L.Trainer) -> None:
        """Those that are not among the best any more, or come from what this training does not go on with."""
        names = {one["name"] for one in self.kept}
        for path in self.folder.glob("frames-*.ckpt"):
            if path.name not in names:
                for run in recorders(trainer):
                    run.drop_checkpoint(path.name)
                path.unlink()

    def state_dict(self) -> dict[str, Any]:
        return {"kept": self.kept, "judged_at": self.judged_at, "ending": self._ending}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.kept, self.judged_at = state_dict["kept"], state_dict["judged_at"]
        self._ending = state_dict.get("ending", False)  # older checkpoints do not say


def recorders(trainer: L.Trainer) -> list[Any]:
    """Of the loggers, those that keep checkpoints."""
    return [logger.run for logger in trainer.loggers if hasattr(logger, "run")]
