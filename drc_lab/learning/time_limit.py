"""Completes the learning-rate schedule of a training that its time limit ends."""

from collections.abc import Callable
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Timer

from drc_lab.learning.agent import Agent
from drc_lab.learning.rollout import Rollout

SLACK = 0.05  # share of the training that frames may lag behind the clock: compilation makes the start slower


class ScheduleInTime(L.Callback):
    """Makes the schedule follow the clock if ``trainer.max_time`` will be reached before the last frame.

    Without this, such a training would end at a learning rate that was meant for its middle. Without a time limit, or
    as long as frames keep up with the clock, nothing changes, and the training does not depend on a clock.

    Args:
        say: called once, with a one-line message, when the schedule begins to follow the clock.
    """

    def __init__(self, say: Callable[[str], object]):
        self.say, self.said = say, False

    def on_train_batch_end(
        self, trainer: L.Trainer, agent: L.LightningModule, outputs: Any, batch: Rollout, batch_idx: int
    ) -> None:
        assert isinstance(agent, Agent)
        timer = next((one for one in trainer.callbacks if isinstance(one, Timer)), None)  # type: ignore[attr-defined]
        if timer is None or not batch.last or agent.make_schedule is None:
            return
        share = timer.time_elapsed() / (timer.time_elapsed() + (timer.time_remaining() or 0.0))
        share = min(1.0, trainer.strategy.broadcast(share))  # all ranks use the clock of rank 0
        if share - agent.rollouts / agent.spec.rollouts > SLACK:
            agent.schedule_share = share
            if not self.said:
                self.said = True
                self.say(
                    f"trainer.max_time will end this training before its {agent.spec.frames:,} frames; "
                    "the learning-rate schedule ends with the time"
                )
