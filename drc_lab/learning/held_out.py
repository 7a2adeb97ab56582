"""Held-out evaluation while training, which chooses the best checkpoint."""

import math
from pathlib import Path
from typing import Any

import lightning as L

from drc_lab.envs.interface import BatchEnv
from drc_lab.evaluation.evaluator import evaluate
from drc_lab.learning.agent import Agent
from drc_lab.learning.stop import GracefulStop


class HeldOutEvaluation(L.Callback):
    """Plays the held-out levels greedily every so many steps and when training ends, and keeps the best weights.

    Logs valid/solve_rate, valid/return, valid/length, valid/optimality_gap and best/solve_rate. Draws no random number
    that training uses.

    Args:
        env: a batch env with one held-out level for each env in the batch.
        every_steps: optimizer steps between two evaluations, a whole number of rollouts.
        best: where the checkpoint with the highest solve rate goes.
        stop: a training that is stopped is not evaluated at its end, it will go on.

    Attributes:
        running: whether an evaluation is going on.
    """

    def __init__(self, env: BatchEnv, every_steps: int, best: Path, stop: GracefulStop):
        self.env, self.every_steps, self.best, self.stop = env, every_steps, best, stop
        self.best_path, self.best_solve_rate, self.best_return, self.evaluated_at = "", -1.0, -math.inf, -1
        self.running = False

    def _evaluate(self, trainer: L.Trainer, agent: L.LightningModule) -> None:
        assert isinstance(agent, Agent)
        self.running = True
        result, self.evaluated_at = evaluate(agent.policy, self.env).summary(), trainer.global_step
        # Where nothing is solved yet, or everything, the return decides.
        better = (result["solve_rate"], result["return"]) > (self.best_solve_rate, self.best_return)
        if better:
            self.best_path = str(self.best)
            self.best_solve_rate, self.best_return = result["solve_rate"], result["return"]
        metrics = {f"valid/{name}": value for name, value in result.items()}
        agent.log_metrics(metrics | {"best/solve_rate": self.best_solve_rate})
        if better:
            trainer.save_checkpoint(self.best)
        self.running = False

    def on_train_batch_end(self, trainer: L.Trainer, agent: L.LightningModule, outputs, batch, batch_idx) -> None:
        if trainer.global_step % self.every_steps == 0:
            self._evaluate(trainer, agent)

    def on_train_end(self, trainer: L.Trainer, agent: L.LightningModule) -> None:
        if self.evaluated_at != trainer.global_step and not self.stop.saved:
            self._evaluate(trainer, agent)

    def state_dict(self) -> dict[str, Any]:
        names = ("best_path", "best_solve_rate", "best_return", "evaluated_at")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        vars(self).update(state_dict)
