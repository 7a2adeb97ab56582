"""A training that its time limit ends has come to the end of its learning-rate schedule."""

from collections.abc import Callable
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Timer

from drc_lab.learning.agent import Agent
from drc_lab.learning.rollout import Rollout

SLACK = 0.05  # share of the training that may be behind without a word: a start that compiles is slower than the rest


class ScheduleInTime(L.Callback):
    """Lets the schedule follow the clock where ``trainer.max_time`` will come before the last frame.

    Without it such a training ends at a learning rate that was meant for its middle. As long as frames keep up with
    the time, or without a limit, nothing changes, and the training depends on no clock.

    Args:
        say: is told once, in one line, when the clock takes over.
    """

    def __init__(self, say: Callable[[str], object]):
        self.say, self.told = say, False

    def on_train_batch_end(
        self, trainer: L.Trainer, agent: L.LightningModule, outputs: Any, batch: Rollout, batch_idx: int
    ) -> None:
        assert isinstance(agent, Agent)
        timer = next((one for one in trainer.callbacks if isinstance(one, Timer)), None)  # type: ignore[attr-defined]
        if timer is None or not batch.last or agent.make_schedule is None:
            return
        share = timer.time_elapsed() / (timer.time_elapsed() + (timer.time_remaining() or 0.0))
        share = min(1.0, trainer.strategy.broadcast(share))  # all ranks have the clock of the first
        if share - agent.rollouts / agent.spec.rollouts > SLACK:
            agent.schedule_share = share
            if not self.told:
                self.told = True
                self.say(f"trainer.max_time will end this training before its {agent.spec.frames:,} frames; "
                         "the learning-rate schedule ends with the time")  # fmt: skip
