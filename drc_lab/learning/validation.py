"""Held-out evaluation during training: it ranks checkpoints and shows whether extra thinking begins to help."""

import math
from collections.abc import Mapping
from typing import Any

import lightning as L

from drc_lab.envs.interface import BatchEnv
from drc_lab.evaluation.kinds.first_passes import BASELINE, FirstPasses
from drc_lab.evaluation.kinds.kind import Setting
from drc_lab.evaluation.measures.criterion import SOLVE_RATE, judged_by
from drc_lab.evaluation.measures.table import table
from drc_lab.evaluation.play.evaluator import evaluate
from drc_lab.evaluation.play.played import Played, play
from drc_lab.evaluation.play.records import joined, records_of
from drc_lab.evaluation.play.sweep import Ended
from drc_lab.evaluation.spec import EvaluationSpec
from drc_lab.evaluation.watchers.watcher import Watcher
from drc_lab.learning.agent import Agent
from drc_lab.learning.rollout import Rollout
from drc_lab.learning.stop import GracefulStop
from drc_lab.process import random_states_kept
from drc_lab.progress import working


class CutShort(Exception):
    """Raised within an evaluation when a signal asks to stop."""


class UntilStopped(Watcher):
    """Interrupts an evaluation when a signal asks to stop.

    Args:
        stop: knows whether a signal was received.
    """

    def __init__(self, stop: GracefulStop):
        self.stop = stop

    def seen(self, envs: Any, obs: Any, info: Any) -> None:
        if self.stop.signal:
            raise CutShort


class HeldOutEvaluation(L.Callback):
    """Plays the held-out levels every ``every_rollouts`` rollouts and when training ends.

    Each evaluation plays greedily (valid/*, best/*). Every ``spec.live_every``-th one and the last also play with
    sampled actions (valid_sampled/*) and with extra passes on the first observation (valid_thinking/*). Evaluations do
    not affect the random numbers of training. One that a signal interrupts is repeated when the training resumes.

    Args:
        env: a batch env with one held-out level for each env in the batch.
        spec: the amounts of thinking, and how often they are played.
        every_rollouts: rollouts between two evaluations.
        stop: knows whether a signal asked to stop.

    Attributes:
        evaluated_at: frames of training at the last evaluation.
        result: means over levels of the last greedy evaluation.
        running: whether an evaluation is in progress.
    """

    def __init__(self, env: BatchEnv, spec: EvaluationSpec, every_rollouts: int, stop: GracefulStop):
        self.env, self.spec, self.every_rollouts, self.stop = env, spec, every_rollouts, stop
        self.best_solve_rate, self.best_return, self.best_frames, self.evaluated_at = -1.0, -math.inf, 0, 0
        self.result: dict[str, float] = {}
        self.running = False

    @property
    def best(self) -> float:
        """The best solve rate so far, or return where the env reports no success; -1 or -inf before any evaluation."""
        return best_of(self.state_dict())

    def _evaluate(self, trainer: L.Trainer, agent: Agent, last: bool) -> None:
        """Rank 0 plays, and all ranks receive the result."""
        with trainer.profiler.profile("evaluation"):  # type: ignore[attr-defined] # Lightning's connector sets it
            played = self._play(agent, last) if trainer.is_global_zero else None
        played = trainer.strategy.broadcast(played)
        if played is None:
            return
        self.result, more = played
        self.evaluated_at = agent.frames
        if rank(self.result, self.result) > rank(
            {"solve_rate": self.best_solve_rate, "return": self.best_return}, self.result
        ):
            self.best_solve_rate, self.best_return = self.result.get("solve_rate", 0.0), self.result["return"]
            self.best_frames = agent.frames
        valid = {f"valid/{name}": value for name, value in self.result.items()}
        best = {"best/return": self.best_return, "best/frames": self.best_frames}
        if "solve_rate" in self.result:
            best["best/solve_rate"] = self.best_solve_rate
        agent.log_metrics(valid | best | more)

    def _play(self, agent: Agent, last: bool) -> tuple[dict[str, float], dict[str, float]] | None:
        """Plays the levels.

        Returns:
            the greedy means over levels, and the metrics of the other ways to play; None if a signal interrupted.
        """
        self.running = True
        live = last or agent.rollouts // self.every_rollouts % self.spec.live_every == 0
        ways = 2 + len(set(self.spec.live_first_passes)) if live else 1
        try:
            episodes = ways * self.env.num_envs
            with working("held-out evaluation", episodes, aside=True) as self.advance, random_states_kept():
                (baseline,) = self._at([BASELINE], agent)
                return baseline.episodes.summary(), self._live(agent, baseline) if live else {}
        except CutShort:
            return None
        finally:
            self.running = False

    def _live(self, agent: Agent, baseline: Played) -> dict[str, float]:
        sampled = evaluate(agent.policy, self.env, greedy=False, watchers=self._watchers()).summary()
        metrics = {f"valid_sampled/{name}": value for name, value in sampled.items()}
        kind = FirstPasses(self.spec.live_first_passes)
        more = self._at([Setting(kind, amount) for amount in sorted(set(kind.amounts))], agent)
        records = joined([records_of(played) for played in (baseline, *more)])
        for row in table(records, self.spec.confidence, by_length=False)[1:]:
            name = f"valid_thinking/{row.kind}_{row.amount:g}"
            metrics |= {
                f"{name}_{row.criterion.metric}": row.value,
                f"{name}_gain": row.difference,
                f"{name}_gain_low": row.difference_low,
                f"{name}_gain_high": row.difference_high,
            }
        return metrics

    def _at(self, settings: list[Setting], agent: Agent) -> list[Played]:
        return list(play(agent.policy, self.env, settings, watchers=lambda setting: self._watchers()))

    def _watchers(self) -> list[Watcher]:
        return [UntilStopped(self.stop), Ended(self.advance)]

    def _due(self, agent: Agent) -> bool:
        return agent.frames != self.evaluated_at and agent.rollouts % self.every_rollouts == 0

    def on_train_start(self, trainer: L.Trainer, agent: L.LightningModule) -> None:
        assert isinstance(agent, Agent)
        if self._due(agent) and not self.stop.requested(trainer):  # was interrupted when the training stopped
            self._evaluate(trainer, agent, last=False)

    def on_train_batch_end(
        self, trainer: L.Trainer, agent: L.LightningModule, outputs: Any, batch: Rollout, batch_idx: int
    ) -> None:
        assert isinstance(agent, Agent)
        last = agent.rollouts == agent.spec.rollouts
        if batch.last and (last or self._due(agent)):
            self._evaluate(trainer, agent, last)

    def on_train_end(self, trainer: L.Trainer, agent: L.LightningModule) -> None:
        assert isinstance(agent, Agent)
        if agent.frames != self.evaluated_at and not self.stop.requested(trainer):
            self._evaluate(trainer, agent, last=True)

    def state_dict(self) -> dict[str, Any]:
        names = ("best_solve_rate", "best_return", "best_frames", "evaluated_at", "result")
        return {name: getattr(self, name) for name in names} | {"says_success": self.env.says_success}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        attributes = dict(state_dict)
        self.env.says_success |= attributes.pop("says_success", False)
        vars(self).update(attributes)


def rank(means: Mapping[str, Any], present: Mapping[str, float]) -> tuple[float, float]:
    """The key by which evaluations are ranked: the solve rate, then the return.

    The return decides between equal solve rates, as when no level is solved yet, or all are. It decides alone if the
    ``present`` evaluation has no solve rate.

    Args:
        means: means over levels of the evaluation to rank; other entries may lie beside them.
        present: means of the current evaluation.
    """
    return (means.get("solve_rate", 0.0) if "solve_rate" in present else 0.0), means["return"]


def best_of(state: Mapping[str, Any]) -> float:
    """The best solve rate in a state of `HeldOutEvaluation`, or the best return where the env reports no success."""
    return state["best_solve_rate" if judged_by(state["result"]) == SOLVE_RATE else "best_return"]
