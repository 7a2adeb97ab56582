"""Each held-out evaluation reaches the study once, one that was made up for after a restart included."""

from types import SimpleNamespace

import lightning as L
import optuna
import pytest

from drc_lab.learning.agent import Agent
from drc_lab.learning.pruning import JOB, TrialPruning
from drc_lab.learning.rollout import Rollout
from drc_lab.learning.validation import HeldOutEvaluation

LAST = Rollout(None, None, (), None, None, 0, last=True)  # a minibatch; the callback looks at nothing else of it


@pytest.fixture
def fit(tmp_path, monkeypatch):
    """Makes a callback of the only trial of a real study, and a trainer, and an agent as far as it looks at it."""
    monkeypatch.setattr("drc_lab.learning.pruning.job", lambda: "sweep/0")
    storage = f"sqlite:///{tmp_path}/optuna.db"
    study = optuna.create_study(storage=storage, study_name="mine", direction="maximize")
    study.ask().set_user_attr(JOB, "sweep/0")
    evaluation = HeldOutEvaluation.__new__(HeldOutEvaluation)
    evaluation.every_rollouts, evaluation.evaluated_at, evaluation.result = 2, 0, {}
    agent = Agent.__new__(Agent)
    vars(agent).update(spec=SimpleNamespace(frames_per_rollout=64, rollouts=10), frames=0)
    trainer = L.Trainer(
        callbacks=[evaluation],
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )

    def start():
        callback = TrialPruning(storage, "mine", optuna.pruners.ThresholdPruner(lower=0.5))
        callback.on_fit_start(trainer, agent)
        return callback

    return SimpleNamespace(start=start, trainer=trainer, agent=agent, evaluation=evaluation, study=study)


def evaluated(fit, frames, solve_rate):
    fit.agent.frames = fit.evaluation.evaluated_at = frames
    fit.evaluation.result = {"solve_rate": solve_rate}


def test_an_evaluation_that_was_made_up_for_is_reported_and_may_end_the_trial(fit):
    callback = fit.start()
    evaluated(fit, 128, 0.8)
    callback.on_train_batch_end(fit.trainer, fit.agent, None, LAST, 0)
    fit.agent.frames = 256  # here the evaluation is cut short, and the process ends
    callback.on_train_batch_end(fit.trainer, fit.agent, None, LAST, 0)
    state = callback.state_dict()
    (trial,) = fit.study.trials
    assert trial.intermediate_values == {1: 0.8} and not fit.trainer.should_stop
    again = fit.start()
    again.load_state_dict(state)
    evaluated(fit, 256, 0.1)
    again.on_train_start(fit.trainer, fit.agent)
    (trial,) = fit.study.trials
    assert trial.intermediate_values == {1: 0.8, 2: 0.1} and fit.trainer.should_stop


def test_a_restart_after_a_report_asks_for_no_second_judgement(fit):
    callback = fit.start()
    evaluated(fit, 128, 0.8)
    callback.on_train_batch_end(fit.trainer, fit.agent, None, LAST, 0)
    again = fit.start()
    again.load_state_dict(callback.state_dict())
    again.pruner = again.study.pruner = optuna.pruners.ThresholdPruner(lower=0.9)  # others have done better meanwhile
    again.on_train_start(fit.trainer, fit.agent)
    assert not fit.trainer.should_stop
