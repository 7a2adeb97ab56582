"""In envs that say no success and in those that do: what chooses, stops, is shown, compared, registered."""

import csv

import gymnasium as gym
import pandas as pd
import pytest
import torch
from commands import run, store
from no_success import SMALL, Four

pytestmark = pytest.mark.slow
FEW = ["evaluation.num_levels=6", "thinking.first_passes=[0,2]", "thinking.repeats=[1]", "thinking.trace_ticks=2"]


@pytest.fixture(autouse=True)
def _registered():
    for name in ("Silent", "Telling"):
        if f"{name}-v0" not in gym.registry:
            gym.register(f"{name}-v0", Four, kwargs={"tells": name == "Telling"}, reward_threshold=4)


def recorded(folder):
    """All metrics of all runs; and the history of a metric of the one training."""
    client, experiments = store(folder)
    runs = client.search_runs([e.experiment_id for e in experiments])
    (training,) = (one for one in runs if one.data.tags.get("task") == "train")
    names = {name for one in runs for name in one.data.metrics}
    return names, lambda metric: {m.step: m.value for m in client.get_metric_history(training.info.run_id, metric)}


def test_where_an_env_says_no_success_the_return_is_the_measure_everywhere(do, tmp_path):
    output = do("env.id=CartPole-v1", "folder=run", "algo.optimizer.lr=0.03", *SMALL)
    names, history = recorded(tmp_path)
    returns = history("valid/return")
    assert list(returns) == [320, 640, 960, 1280] and len(set(returns.values())) > 1
    best = torch.load("run/checkpoints/best.ckpt", weights_only=True)
    assert history("best/return")[1280] == max(returns.values()) == returns[best["frames"]]
    assert f"held-out {returns[1280]:.3g}" in output and "%" not in output
    for task in ("evaluate", "thinking"):
        output = do(f"task={task}", "checkpoint=run/checkpoints/best.ckpt", f"folder={task}", *FEW)
        assert (
            "The baseline policy reaches a return of" in output and "return [95%]" in output and "solve" not in output
        )
        assert "solved" not in pd.read_parquet(f"{task}/levels.parquet")
    assert "valid/return" in do("task=compare", "compare.study=train")
    do("task=register", "register.name=mine")
    client, _ = store(tmp_path)
    assert "valid/return" in client.get_model_version_by_alias("mine", "champion").description
    names, _ = recorded(tmp_path)
    assert not {name for name in names if "solve" in name or "optimality" in name}


def test_early_stop_waits_for_the_return_or_for_the_solve_rate(do):
    """The same target: no silent env's return is below it, and no policy so young solves all."""
    for name, frames in (("Silent", 320), ("Telling", 1280)):
        do(f"env.id={name}-v0", f"folder={name}", "tracking=[]", "callbacks.early_stop.target=1.01", *SMALL)
        assert torch.load(f"{name}/checkpoints/last.ckpt", weights_only=True)["frames"] == frames


def test_success_in_an_info_counts_as_solved(do, tmp_path):
    output = do("env.id=Telling-v0", "folder=run", *SMALL)
    names, history = recorded(tmp_path)
    assert {"train/solve_rate", "valid/solve_rate", "best/solve_rate", "final/solve_rate"} <= names
    assert f"held-out {history('valid/solve_rate')[1280]:.0%}" in output
    output = do("task=evaluate", "checkpoint=run/checkpoints/best.ckpt", "folder=evaluate", *FEW)
    played = pd.read_parquet("evaluate/levels.parquet")
    assert (played["solved"] == (played["return"] == 4)).all() and "The baseline policy solves" in output
    assert "valid/solve_rate" in do("task=compare", "compare.study=train")


def test_a_sweep_in_a_silent_env_is_about_the_return(tmp_path):
    result = run(tmp_path, "-m", "seed=0,1", "env.id=CartPole-v1", "folder=sweep", *SMALL)
    assert result.returncode == 0, result.stderr
    with (tmp_path / "sweep/sweep.csv").open() as file:
        values = [float(line["best/return"]) for line in csv.DictReader(file)]
    client, (experiment,) = store(tmp_path)
    (parent,) = client.search_runs([experiment.experiment_id], "tags.sweep != ''")
    assert len(values) == 2 and parent.data.metrics["best/return"] == max(values)
