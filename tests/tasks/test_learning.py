"""Agents learn: the two milestones, by every algorithm, with and without memory."""

import pytest
from commands import run
from mlflow.tracking import MlflowClient

from drc_lab.app.held_out import held_out_env
from drc_lab.app.settings import Settings
from drc_lab.evaluation.play.evaluator import evaluate
from drc_lab.learning.checkpoints import load_policy

SIZES = {
    "drc": ["policy.hidden_channels=16", "policy.num_layers=2", "policy.repeats_per_step=2"],
    "small_cnn": ["policy=small_cnn"],
}
FRAMES = {
    ("drc", "ricochet_v0"): 20_000,
    ("drc", "ricochet_v1"): 30_000,
    ("small_cnn", "ricochet_v0"): 40_000,
    ("small_cnn", "ricochet_v1"): 100_000,
}


def solve_rate(folder, *overrides, split="valid"):
    """Greedy success of the last checkpoint on every board of the layout, from the checkpoint alone.

    A training that solves them all before its frames are used up has learned what it is to learn, and ends there.
    """
    enough = ["evaluation.every_frames=5_000", "callbacks.early_stop.target=1.0", "callbacks.videos=null"]
    result = run(folder, *overrides, "threads=1", *enough, timeout=280)
    assert result.returncode == 0, result.stderr
    (checkpoint,) = folder.glob("outputs/runs/*/*/checkpoints/last.ckpt")
    policy, config = load_policy(checkpoint)
    return evaluate(policy, held_out_env(Settings(config), split)).solve_rate


@pytest.mark.slow
@pytest.mark.parametrize(("env", "bar"), [("ricochet_v0", 0.9), ("ricochet_v1", 0.8)])
@pytest.mark.parametrize("policy", SIZES)
@pytest.mark.parametrize("algo", ["impala", "ppo", "a2c"])
def test_every_algorithm_learns_the_milestones_with_and_without_memory(tmp_path, algo, policy, env, bar):
    frames = FRAMES[policy, env] // (2 if algo == "ppo" else 1)  # four passes over each rollout
    overrides = [f"algo={algo}", f"env={env}", *SIZES[policy], f"algo.rollouts.frames={frames}"]
    assert solve_rate(tmp_path, *overrides) >= bar
    client = MlflowClient(f"sqlite:///{tmp_path}/outputs/mlflow.db")
    (one,) = client.search_runs([e.experiment_id for e in client.search_experiments()])
    assert one.data.metrics["valid/solve_rate"] >= bar and one.info.status == "FINISHED"


@pytest.mark.slow
def test_the_milestone_is_learned_with_every_option_of_going_through_rollouts(tmp_path):
    """Gradients beyond the rollout, burn-in, drawn ticks, the progressive loss, the KL stop and bfloat16."""
    ticks = ["min_repeats=1", "max_repeats=3", "progressive_weight=0.3"]
    options = [*ticks, "bptt_steps=12", "burn_in=4", "frames=15_000"]
    overrides = [f"algo.rollouts.{option}" for option in options]
    more = ["algo=ppo", "algo.loss.target_kl=0.05", "algo.head_l2_coef=1e-6", "trainer.precision=bf16-mixed"]
    assert solve_rate(tmp_path, "env=ricochet_v0", *SIZES["drc"], *more, *overrides) >= 0.9


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["convlstm", "transformer"])
def test_a_rival_learns_the_four_directions(tmp_path, policy):
    """Without pool-and-inject and a flatten head it takes a plain ConvLSTM more frames than a DRC."""
    sizes = ["policy.hidden_channels=16", "policy.num_layers=1", "policy.repeats_per_step=2"]
    overrides = ["env=ricochet_v1", f"policy={policy}", *sizes, "algo.rollouts.frames=100_000"]
    assert solve_rate(tmp_path, *overrides) >= 0.8


@pytest.mark.slow
def test_the_solver_teaches_more_of_sokoban_in_the_same_frames_than_rewards_do(tmp_path):
    """5x5 boards with one box, of which there are too few to hold enough of them out."""
    env = ["env.curriculum=null", "env.height=5", "env.width=5", "env.num_boxes=1", "env.max_optimal=6"]
    common = [
        "+experiment=sokoban_small",
        *env,
        "algo.rollouts.frames=20_000",
        "evaluation.num_levels=150",
        "evaluation.split=train",
    ]
    solved = {}
    for algo in ("a2c", "imitation"):
        (tmp_path / algo).mkdir()
        solved[algo] = solve_rate(tmp_path / algo, *common, f"algo={algo}", split="train")
    assert solved["imitation"] > solved["a2c"] + 0.2, solved
