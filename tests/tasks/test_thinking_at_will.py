"""A policy that can choose to think: trained, evaluated and compared by the command line."""

import pandas as pd
import pytest
from commands import TINY, run, run_here
from mlflow.tracking import MlflowClient

SWEPT = [
    "thinking.noops=[1]",
    "thinking.repeats=[1]",
    "thinking.adaptive=[0.1]",
    "thinking.solver_levels=5",
    "thinking.trace_ticks=2",
]
PLAYED = ["play.episodes=3", "play.greedy=false", "play.video=null", "+evaluation.env.noop=true"]


def metrics_of(folder):
    client = MlflowClient(f"sqlite:///{folder}/outputs/mlflow.db")
    runs = client.search_runs([e.experiment_id for e in client.search_experiments()])
    return {name: value for one in runs for name, value in one.data.metrics.items()}


@pytest.mark.slow
def test_it_is_trained_evaluated_and_compared_as_its_config_says(tmp_path, monkeypatch, capsys):
    """In the evaluation the env has a no-op that the policy does not know, before the think that it knows."""
    trained = run(tmp_path, *TINY, "env.thinks=2", "algo.rollouts.think_price=0.001", "folder=out", "threads=1")
    assert trained.returncode == 0, trained.stderr
    checkpoint = f"checkpoint={tmp_path}/out/checkpoints/best.ckpt"
    assert {"train/thinks", "valid/thinks", "final/thinks"} <= set(metrics_of(tmp_path))
    result = run(tmp_path, "task=thinking", checkpoint, "thinking.first_passes=[0,2]", *SWEPT, "folder=swept")
    assert result.returncode == 0, result.stderr
    assert "Learned, fixed or drawn thinking, at equal mean compute?" in result.stdout
    records = pd.read_parquet(tmp_path / "swept/levels.parquet")
    assert {"fixed_passes", "drawn_passes", "never_thinks"} <= set(records["kind"])
    forbidden = records[records["kind"].isin(["fixed_passes", "drawn_passes", "never_thinks", "random", "distance"])]
    assert (forbidden["thinks"] == 0).all()
    assert (records["decisions"].str.count("t") == records["thinks"]).all()
    for name in ("learned_equal_compute", "thinks_by_optimal_length", "thinks_by_move"):
        assert len(pd.read_csv(tmp_path / f"swept/findings/{name}.csv"))
    result = run(tmp_path, "task=evaluate", checkpoint, "folder=evaluated", "evaluation.num_levels=10")
    assert result.returncode == 0, result.stderr
    result = run(tmp_path, "task=play", checkpoint, *PLAYED, "folder=played")
    assert result.returncode == 0 and "\nthink   value" in result.stdout, result.stderr
    monkeypatch.chdir(tmp_path)
    for task in ("evaluate", "play"):
        code, _, complaint = run_here(monkeypatch, capsys, f"task={task}", checkpoint, "env.thinks=null")
        assert (code, "env.thinks: found None, allowed: a number, as the policy can choose" in complaint) == (2, True)


@pytest.mark.slow
def test_a_price_is_learned_and_without_one_thinking_goes_on(tmp_path):
    """The board that one move solves: nothing is discounted, so that only the price speaks against thinking."""
    options = ["env=ricochet_v0", "+env.thinks=3", "policy=small_cnn", "algo.loss.gamma=1.0", "threads=1",
               "algo.rollouts.frames=8000", "algo.rollouts.num_envs=16", "evaluation.every_frames=8000",
               "callbacks.videos=null", "evaluation.num_levels=1"]  # fmt: skip
    thinks = {}
    for price in (0.0, 0.5):
        (tmp_path / str(price)).mkdir()
        result = run(tmp_path / str(price), *options, f"algo.rollouts.think_price={price}")
        assert result.returncode == 0, result.stderr
        thinks[price] = metrics_of(tmp_path / str(price))["train/thinks"]
    assert thinks[0.5] < 0.05 < 0.25 < thinks[0.0]
