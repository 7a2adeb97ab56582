"""Many jobs, one store: nothing is lost, and MLflow shows one parent with its children."""

import csv
import os
import signal
import time

import optuna
import pytest
from commands import run_fresh, run_here, signal_at, store
from mlflow.tracking import MlflowClient
from optuna.trial import TrialState, create_trial
from trainings import recorded, same

JOBS, AT_ONCE = int(os.environ.get("JOBS", 8)), int(os.environ.get("AT_ONCE", 4))  # docs/reliability.md has more
TINY = [
    "algo.rollouts.frames=640", "algo.rollouts.num_envs=16", "algo.rollouts.num_steps=4", "algo.log_every_rollouts=1",
    "policy=mlp", "evaluation.num_levels=20", "evaluation.every_frames=320",
]  # fmt: skip


def family(folder):
    """The store's client, the run without a parent, and the runs under it, by number of their job."""
    client, (experiment,) = store(folder)
    runs = client.search_runs([experiment.experiment_id])
    (parent,) = [r for r in runs if "mlflow.parentRunId" not in r.data.tags]
    children = [r for r in runs if r.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert len(runs) == 1 + len(children)
    return client, parent, sorted(children, key=lambda child: int(child.data.tags["sweep.job"]))


def rows(folder):
    (table,) = folder.glob("outputs/runs/*/*/sweep.csv")
    return list(csv.DictReader(table.read_text().splitlines()))


@pytest.mark.slow
def test_parallel_jobs_on_one_sqlite_store_lose_nothing(tmp_path):
    parallel = ["hydra/launcher=joblib", f"hydra.launcher.n_jobs={AT_ONCE}"]
    seeds, began = [str(seed) for seed in range(JOBS)], time.monotonic()
    result = run_fresh(tmp_path, "-m", f"seed={','.join(seeds)}", *TINY, *parallel, timeout=560)
    assert result.returncode == 0, result.stderr
    seconds = time.monotonic() - began
    client, parent, children = family(tmp_path)
    assert {r.info.status for r in [parent, *children]} == {"FINISHED"}
    assert [r.data.params["seed"] for r in children] == seeds
    values = 0
    for child in children:
        names = [name for name in child.data.metrics if not name.startswith("system/")]  # of the machine, by the clock
        points = {
            name: [(m.step, m.value) for m in client.get_metric_history(child.info.run_id, name)] for name in names
        }
        steps = {name: [step for step, _ in points[name]] for name in ("loss/total", "valid/solve_rate")}
        assert steps == {"loss/total": list(range(64, 641, 64)), "valid/solve_rate": [320, 640]}
        (folder,) = tmp_path.glob(f"outputs/runs/*/*/{child.data.tags['sweep.job']}")
        of_journal = {name: [] for name in names}
        for (name, step), value in recorded(folder)["metrics"].items():
            if name in of_journal:
                of_journal[name].append((step, value))
        same(
            {name: sorted(of_journal[name]) for name in names},
            {name: sorted(points[name]) for name in names},
            folder.name,
        )
        values += sum(map(len, points.values()))
        files = {f.path for f in client.list_artifacts(child.info.run_id, "checkpoints")}
        assert files >= {"checkpoints/best.ckpt", "checkpoints/last.ckpt"}
    print(f"{JOBS} jobs, {AT_ONCE} at a time: {values:,} values, all there, in {seconds:.0f} seconds")
    assert [row["overrides"] for row in rows(tmp_path)] == [f"seed={seed}" for seed in seeds]
    best = max(child.data.metrics["best/solve_rate"] for child in children)
    assert parent.data.metrics["best/solve_rate"] == best == max(float(r["best/solve_rate"]) for r in rows(tmp_path))
    assert "sweep.csv" in {f.path for f in client.list_artifacts(parent.info.run_id)}


@pytest.mark.slow
def test_jobs_of_submitit_are_children_too_and_a_mistake_in_one_leaves_the_others(tmp_path):
    """Submitit's local executor stands in for Slurm: it starts each job as a process of its own, and here pre-empts
    one, which it puts back into its queue and which goes on where it was."""
    once = signal_at(tmp_path, signal.SIGUSR2, 400)
    result = run_fresh(tmp_path, "-m", "algo.rollouts.minibatches=1,3", *TINY, *once, "hydra/launcher=submitit_local")
    errors = result.stderr
    assert result.returncode == 2, errors
    assert errors.endswith("drc_lab: algo.rollouts.minibatches: found 3, allowed: a divisor of num_envs = 16\n")
    logs = tmp_path.glob("outputs/runs/train/*/.submitit/*/*_0_log.out")
    assert sum("Requeued job" in log.read_text() for log in logs) == 1
    client, parent, (child,) = family(tmp_path)
    assert (parent.info.status, child.info.status) == ("FAILED", "FINISHED")
    steps = [m.step for m in client.get_metric_history(child.info.run_id, "valid/solve_rate")]
    assert steps == [320, 640]


@pytest.mark.parametrize(
    "overrides",
    [["env.height=0"], ["tracking.uri=mlruns"], ["trainer.devices=2", "trainer.accelerator=cpu"]],
    ids=lambda overrides: overrides[0],
)
def test_a_mistake_in_all_jobs_gets_one_line_and_leaves_nothing(tmp_path, monkeypatch, capfd, overrides):
    monkeypatch.chdir(tmp_path)
    code, _, errors = run_here(monkeypatch, capfd, "-m", "seed=0,1", *TINY, *overrides)
    assert code == 2 and errors.count("\n") == 1 and errors.startswith(f"drc_lab: {overrides[0].split('=')[0]}"), errors
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_sweep_over_seeds_ends_with_the_mean_of_each_group_and_its_interval(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    few = [*TINY, "algo.rollouts.frames=320"]
    code, output, errors = run_here(monkeypatch, capfd, "-m", "seed=0,1", "policy.hidden_sizes=[8],[16]", *few)
    assert code == 0, errors
    lines = [line for line in output.splitlines() if "mean over 2 seeds" in line]
    assert [line.split()[0] for line in lines] == ["policy.hidden_sizes=[8]", "policy.hidden_sizes=[16]"]
    client, parent, children = family(tmp_path)
    for number, (line, size) in enumerate(zip(lines, ("[8]", "[16]"), strict=True)):
        own = [c for c in children if f"policy.hidden_sizes={size}" in c.data.tags["sweep.overrides"].split()]
        first, second = (child.data.metrics["best/solve_rate"] for child in own)
        mean, half = (first + second) / 2, 12.7062 * abs(first - second) / 2  # t of 1 degree of freedom
        logged = [
            client.get_metric_history(parent.info.run_id, f"over_seeds/solve_rate{end}")[number].value
            for end in ("", "_low", "_high")
        ]
        assert logged == pytest.approx([mean, mean - half, mean + half], abs=1e-5)
        assert f"{mean:.4g}, 95% t interval {logged[1]:.4g} to {logged[2]:.4g}" in line


@pytest.mark.slow
def test_a_mistake_in_a_sweep_leaves_a_store_as_it_was(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "outputs").mkdir()
    MlflowClient("sqlite:///outputs/mlflow.db").create_experiment("mine")
    code, _, _ = run_here(monkeypatch, capfd, "-m", "seed=0,1", *TINY, "env.height=0")
    client = MlflowClient("sqlite:///outputs/mlflow.db")
    experiments = client.search_experiments()
    assert code == 2 and "mine" in {e.name for e in experiments}
    assert client.search_runs([e.experiment_id for e in experiments]) == []
    assert {path.name for path in (tmp_path / "outputs").iterdir()} <= {"mlflow.db", "artifacts"}


@pytest.mark.slow
def test_optuna_searches_prunes_by_the_held_out_metric_and_shares_its_study(tmp_path):
    """The study has two trials from elsewhere that solved everything at once, so those of this sweep are pruned as
    soon as the warm-up allows."""
    (tmp_path / "outputs").mkdir()
    where = {"storage": f"sqlite:///{tmp_path}/outputs/optuna.db", "study_name": "hpo_small"}
    study = optuna.create_study(**where, direction="maximize")
    for _ in range(2):
        study.add_trial(create_trial(value=1.0, intermediate_values=dict.fromkeys(range(1, 11), 1.0)))
    sizes = [word for word in TINY if word != "policy=mlp"] + ["evaluation.every_frames=64", "policy.hidden_channels=4"]
    few = ["hydra.sweeper.n_trials=2", "callbacks.pruning.pruner.n_startup_trials=1"]
    result = run_fresh(tmp_path, "+experiment=hpo_small", *sizes, *few, timeout=280)
    assert result.returncode == 0, result.stderr
    trials = optuna.load_study(**where).trials[2:]
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 2
    _, parent, children = family(tmp_path)
    assert {r.info.status for r in [parent, *children]} == {"FINISHED"}
    for trial, child in zip(trials, children, strict=True):
        assert set(trial.params) == {"algo.optimizer.lr", "algo.loss.ent_coef", "algo.loss.lam"}
        assert float(child.data.params["algo.loss.lam"]) == trial.params["algo.loss.lam"]
        assert child.data.metrics["best/solve_rate"] == trial.value == max(trial.intermediate_values.values()) < 1
        assert set(trial.intermediate_values) == {1, 2} and child.data.tags["pruned"] == "128"
