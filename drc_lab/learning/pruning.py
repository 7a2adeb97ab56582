"""Ends trials of an Optuna study that do worse than other trials did at the same point.

Hydra's sweeper asks Optuna for trials and reports their values, but does not tell a job which trial it runs. So
`name_trial` labels each trial with the name of its job when it is created, and `TrialPruning` finds it by that name.
"""

import os
from typing import Any

import lightning as L
from omegaconf import DictConfig

from drc_lab.errors import ConfigError
from drc_lab.evaluation.measures.criterion import judged_by
from drc_lab.launch import SWEEP, job
from drc_lab.learning.agent import Agent
from drc_lab.learning.checkpointing import recorders
from drc_lab.learning.rollout import Rollout
from drc_lab.learning.validation import HeldOutEvaluation

JOB = "job"  # the trial's user attribute


def name_trial(config: DictConfig, trial: Any) -> None:
    """Labels a trial with its job's name.

    To be used as ``hydra.sweeper.custom_search_space``, which Hydra calls with every trial. It adds nothing to the
    search space.
    """
    sweep = os.environ[SWEEP]
    before = [t for t in trial.study.get_trials(deepcopy=False) if t.user_attrs.get(JOB, "").startswith(f"{sweep}/")]
    trial.set_user_attr(JOB, f"{sweep}/{len(before)}")


class TrialPruning(L.Callback):
    """Reports each held-out solve rate to the study, and ends the training if the pruner says so.

    Where the env reports no success, it reports the return instead. Optuna counts a pruned trial as complete, with the
    best value that it reached. Outside of a sweep this callback does nothing.

    Args:
        storage: URL of the database that has the study.
        study: name of the study.
        pruner: compares trials after the same number of evaluations.
    """

    def __init__(self, storage: str, study: str, pruner: Any):
        import optuna

        if not isinstance(pruner, optuna.pruners.BasePruner):
            raise ConfigError("pruner", pruner, "a pruner of optuna.pruners")
        self.storage, self.study_name, self.pruner = storage, study, pruner
        self.reported_at = 0

    def on_fit_start(self, trainer: L.Trainer, agent: L.LightningModule) -> None:
        self.job = job()
        if self.job is None or not trainer.is_global_zero:
            return
        import optuna

        # Several jobs may write to one SQLite file, so each waits for the lock. Other databases have no such setting.
        wait = {"connect_args": {"timeout": 60}} if self.storage.startswith("sqlite") else None
        self.rdb = optuna.storages.RDBStorage(self.storage, engine_kwargs=wait)
        self.study = optuna.load_study(study_name=self.study_name, storage=self.rdb, pruner=self.pruner)
        (self.trial,) = (
            t._trial_id for t in self.study.get_trials(deepcopy=False) if t.user_attrs.get(JOB) == self.job
        )

    def on_train_start(self, trainer: L.Trainer, agent: L.LightningModule) -> None:
        self._after_evaluation(trainer, agent)  # an evaluation that a stop had interrupted may just have been repeated

    def on_train_batch_end(
        self, trainer: L.Trainer, agent: L.LightningModule, outputs: Any, batch: Rollout, batch_idx: int
    ) -> None:
        if batch.last:
            self._after_evaluation(trainer, agent)

    def _after_evaluation(self, trainer: L.Trainer, agent: L.LightningModule) -> None:
        """Reports the evaluation of the current weights, once, and asks the trainer to stop if the trial is pruned."""
        assert isinstance(agent, Agent)
        (evaluation,) = (one for one in trainer.callbacks if isinstance(one, HeldOutEvaluation))  # type: ignore[attr-defined]
        if self.job is None or evaluation.evaluated_at != agent.frames or self.reported_at == agent.frames:
            return
        self.reported_at = agent.frames
        number = agent.rollouts // evaluation.every_rollouts
        pruned = trainer.is_global_zero and self._report(number, evaluation.result[judged_by(evaluation.result)])
        if agent.rollouts < agent.spec.rollouts and trainer.strategy.broadcast(pruned):
            trainer.should_stop = True
            for run in recorders(trainer):
                run.log_tags({"pruned": agent.frames})

    def state_dict(self) -> dict[str, Any]:
        return {"reported_at": self.reported_at}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.reported_at = state_dict["reported_at"]

    def _report(self, number: int, value: float) -> bool:
        """Reports the value of evaluation ``number``; whether the trial should end now."""
        self.rdb.set_trial_intermediate_value(self.trial, number, value)
        return self.study.pruner.prune(self.study, self.rdb.get_trial(self.trial))
