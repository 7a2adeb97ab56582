"""Many jobs, one store: nothing is lost, and MLflow shows one parent with its children."""

import csv

import pytest
from test_command_line import run, store

TINY = [
    "algo.rollouts.frames=640", "algo.rollouts.num_envs=16", "algo.rollouts.num_steps=4", "algo.log_every_rollouts=1",
    "policy=mlp", "evaluation.num_levels=20", "evaluation.every_frames=320",
]  # fmt: skip


def family(folder):
    """The store's client, the run without a parent, and the runs under it."""
    client, (experiment,) = store(folder)
    runs = client.search_runs([experiment.experiment_id])
    (parent,) = [r for r in runs if "mlflow.parentRunId" not in r.data.tags]
    children = [r for r in runs if r.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert len(runs) == 1 + len(children)
    return client, parent, children


@pytest.mark.slow
def test_eight_parallel_jobs_on_one_sqlite_store_lose_nothing(tmp_path):
    result = run(tmp_path, "-m", "seed=0,1,2,3,4,5,6,7", *TINY, "hydra/launcher=joblib", "hydra.launcher.n_jobs=4")
    assert result.returncode == 0, result.stderr
    client, parent, children = family(tmp_path)
    assert {r.info.status for r in [parent, *children]} == {"FINISHED"}
    assert {r.data.params["seed"] for r in children} == set("01234567") and len(children) == 8
    for child in children:
        steps = {name: [m.step for m in client.get_metric_history(child.info.run_id, name)] for name in
                 ("loss/total", "valid/solve_rate")}  # fmt: skip
        assert steps == {"loss/total": list(range(64, 641, 64)), "valid/solve_rate": [320, 640]}
        files = {f.path for f in client.list_artifacts(child.info.run_id, "checkpoints")}
        assert files >= {"checkpoints/best.ckpt", "checkpoints/last.ckpt"}
    (table,) = tmp_path.glob("outputs/runs/train/*/sweep.csv")
    rows = list(csv.DictReader(table.open()))
    assert [row["overrides"] for row in rows] == [f"seed={seed}" for seed in range(8)]
    best = max(child.data.metrics["best/solve_rate"] for child in children)
    assert parent.data.metrics["best/solve_rate"] == best == max(float(row["best/solve_rate"]) for row in rows)
    assert "sweep.csv" in {f.path for f in client.list_artifacts(parent.info.run_id)}
