"""Agents learn: the two milestones, with the DRC and the shipped recipe."""

import pytest
import torch
from mlflow.tracking import MlflowClient
from test_command_line import run

from drc_lab.evaluation.evaluator import evaluate
from drc_lab.learning.checkpoints import load_policy
from drc_lab.tasks.train import held_out_env


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize(("env", "bar"), [("ricochet_v0", 0.9), ("ricochet_v1", 0.8)])
def test_the_milestone_is_learned(tmp_path, env, bar):
    """Greedy success on every board of the layout, from the checkpoint alone."""
    sizes = ["policy.hidden_channels=16", "policy.num_layers=2", "policy.repeats_per_step=2"]
    result = run(tmp_path, f"env={env}", *sizes, "algo.rollouts.frames=40_000", "evaluation.every_frames=20_000")
    assert result.returncode == 0, result.stderr
    (checkpoint,) = tmp_path.glob("outputs/runs/*/*/checkpoints/last.ckpt")
    policy, config = load_policy(checkpoint)
    episodes = evaluate(policy, held_out_env(config, "valid"))
    assert episodes.solve_rate >= bar
    client = MlflowClient(f"sqlite:///{tmp_path}/outputs/mlflow.db")
    (one,) = client.search_runs([e.experiment_id for e in client.search_experiments()])
    assert one.data.metrics["valid/solve_rate"] == pytest.approx(episodes.solve_rate)
    assert torch.load(checkpoint, weights_only=True)["frames"] == 40_320
