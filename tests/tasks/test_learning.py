"""Agents learn: the two milestones, with the DRC and the shipped recipe."""

import pytest
import torch
from mlflow.tracking import MlflowClient
from test_command_line import run

from drc_lab.evaluation.evaluator import evaluate
from drc_lab.learning.checkpoints import load_policy
from drc_lab.tasks.held_out import held_out_env


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


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("policy", ["small_cnn", "convlstm", "transformer"])
def test_a_rival_learns_the_four_directions(tmp_path, policy):
    """Without pool-and-inject and a flatten head it takes a plain ConvLSTM more frames than a DRC."""
    sizes = ["policy.hidden_channels=16", "policy.num_layers=1", "policy.repeats_per_step=2"] * (policy != "small_cnn")
    overrides = ["env=ricochet_v1", f"policy={policy}", *sizes, "threads=1", "algo.rollouts.frames=100_000"]
    result = run(tmp_path, *overrides, timeout=230)
    assert result.returncode == 0, result.stderr
    (checkpoint,) = tmp_path.glob("outputs/runs/*/*/checkpoints/last.ckpt")
    agent, config = load_policy(checkpoint)
    assert evaluate(agent, held_out_env(config, "valid")).solve_rate >= 0.8
