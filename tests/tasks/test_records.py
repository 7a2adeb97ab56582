"""What a training leaves in MLflow, and what is made of it: names, tags, levels, models, comparisons."""

import csv
import json
import re

import pytest
from commands import TINY, run, run_here, store
from matplotlib.image import imread

from drc_lab.tracking.models import models_of
from drc_lab.tracking.reading import runs_of

MODEL = "models:/drc-RicochetRobots-v0"
SILENT = ["play.show=none", "play.video=null", "play.episodes=1"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of two trainings with different envs, by one command."""
    folder = tmp_path_factory.mktemp("trained")
    settings = ["tracking.system_metrics_seconds=1", "evaluation.num_levels=10", "env.width=4,6", "seed=3"]
    done = run(folder, "-m", *TINY, *settings)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def runs(trained):
    client, (study,) = store(trained)
    return client, runs_of(client, [study.experiment_id])


@pytest.mark.slow
def test_a_run_is_named_tagged_and_knows_its_levels(runs):
    client, (first, second) = runs
    assert re.fullmatch("000 … .* width=4 seed=3", first.info.run_name)
    assert re.fullmatch("001 … .* width=6 seed=3", second.info.run_name)  # sorted, they are in order
    sweep = client.get_run(first.data.tags["mlflow.parentRunId"])
    assert sweep.info.run_name.endswith(" width=4,6 seed=3")
    tags = second.data.tags
    wanted = {"env": "drc_lab/RicochetRobots-v0", "policy": "drc", "algo": "impala", "seed": "3", "task": "train"}
    assert wanted.items() <= tags.items() and {"host", "torch", "drc_lab", "mlflow.source.git.commit"} <= set(tags)
    assert "env.width=6 seed=3" in tags["command"]
    levels = {}
    for one in second.inputs.dataset_inputs:
        levels[one.tags[0].value] = (one.dataset.name, json.loads(one.dataset.profile), json.loads(one.dataset.source))
    name, profile, source = levels["training"]
    assert (name, profile["levels"], source["width"]) == ("drc_lab/RicochetRobots-v0 train", "endless", 6)
    name, profile, source = levels["validation"]
    assert (name, profile["levels"]) == ("drc_lab/RicochetRobots-v0 valid", 10) and profile["optimal"]["known"] == 10
    assert (source["split"], source["level_seed"]) == ("valid", 0)


@pytest.mark.slow
def test_a_run_ends_with_final_metrics_and_what_the_machine_did(runs):
    client, (first, _) = runs
    metrics = first.data.metrics
    assert metrics["final/frames"] == 1920 and metrics["final/solve_rate"] == metrics["valid/solve_rate"]
    rates = {p.step: p.value for p in client.get_metric_history(first.info.run_id, "valid/solve_rate")}
    assert rates[metrics["best/frames"]] == max(rates.values()) == metrics["best/solve_rate"]
    assert 0 < metrics["system/system_memory_usage_percentage"] < 100
    points = client.get_metric_history(first.info.run_id, "system/cpu_utilization_percentage")
    assert points and all(p.timestamp <= first.info.end_time for p in points) and max(p.value for p in points) > 0


@pytest.mark.slow
def test_kept_checkpoints_are_models_with_their_held_out_metrics(runs):
    client, (first, _) = runs
    models = models_of(client, first.info.run_id, first.info.experiment_id)
    history = {p.step: p.value for p in client.get_metric_history(first.info.run_id, "valid/solve_rate")}
    assert len(history) == 3 and models
    for model in models:
        rates = {m.step: m.value for m in model.metrics if m.key == "valid/solve_rate"}
        frames = int(model.tags["frames"])
        assert rates == {frames: history[frames]}


@pytest.mark.slow
def test_a_registered_checkpoint_plays_by_its_names(trained, runs, monkeypatch, capsys):
    """Registered twice it is one version; of another run it is the next, and the alias moves."""
    client, (first, second) = runs
    monkeypatch.chdir(trained)
    for number, one in enumerate((first, first, second)):
        code, output, errors = run_here(monkeypatch, capsys, "task=register", f"register.run={one.info.run_id}")
        assert code == 0 and f"version {max(number, 1)}: " in output, errors
    name = MODEL.split("/")[1]
    version = client.get_model_version_by_alias(name, "champion")
    assert (int(version.version), version.run_id) == (2, second.info.run_id)
    assert version.tags["env"] == "drc_lab/RicochetRobots-v0"
    done = run(trained, "task=play", f"checkpoint={MODEL}@champion", *SILENT)
    assert (done.returncode, done.stderr) == (0, "") and "level 0: " in done.stdout
    (trained / "outputs/artifacts").rename(trained / "outputs/away")  # what was downloaded stays
    for checkpoint in (f"{MODEL}/2", f"runs:/{second.info.run_id}/checkpoints/best.ckpt"):
        code, output, errors = run_here(monkeypatch, capsys, "task=play", f"checkpoint={checkpoint}", *SILENT)
        assert code == 0 and "level 0: " in output, errors
    (trained / "outputs/away").rename(trained / "outputs/artifacts")


@pytest.mark.slow
def test_compare_leaves_its_tables_and_plot(trained, monkeypatch, capsys):
    monkeypatch.chdir(trained)
    code, output, errors = run_here(monkeypatch, capsys, "task=compare", "compare.study=train")
    assert code == 0, errors
    assert "000 … " in output and "001 … " in output and "width" in output, output
    (folder,) = (trained / "outputs/runs/compare").iterdir()
    runs = list(csv.DictReader((folder / "runs.csv").read_text().splitlines()))
    assert [(row["env.width"], row["seed"], row["frames"]) for row in runs] == [("4", "3", "1920"), ("6", "3", "1920")]
    curves = list(csv.DictReader((folder / "curves.csv").read_text().splitlines()))
    assert [row["status"] for row in runs] == ["FINISHED"] * 2
    assert [row["frames"] for row in curves] == ["640", "1280", "1920"] * 2 and curves[0]["low"] == ""
    assert imread(folder / "curves.png").std() > 0.01


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (["task=compare"], "compare.study: found None, allowed: train"),
        (["task=compare", "compare.study=nowhere"], "compare.study: found 'nowhere', allowed: train"),
        (["task=compare", "compare.study=train", "compare.metric=solved"], "compare.metric: found 'solved', allowed: "),
        (["task=compare", "compare.study=train", "compare.group=width"], "compare.group: found 'width', allowed: "),
        (["task=compare", "compare.confidence=95"], "compare.confidence: found 95, allowed: between 0 and 1"),
        (["task=register", "register.run=nobody"], "register.run: found 'nobody', allowed: 001 … "),
        (["task=register", "register.study=nowhere"], "register.study: found 'nowhere', allowed: train"),
        (["task=register", "register.metric=solved"], "register.metric: found 'solved', allowed: valid/return | "),
        (["task=register", "register.name=a/b"], "register.name: found 'a/b', allowed: letters, digits"),
        (["task=register", "register.alias=latest"], "register.alias: found 'latest', allowed: letters, digits"),
        (["task=play", "checkpoint=models:/nobody@champion"], "checkpoint: found 'models:/nobody@champion', allowed: "),
        (["task=play", "checkpoint=models:/nobody"], "allowed: a file, agents:/NAME, models:/NAME@ALIAS, models:/"),
        (["task=play", "checkpoint=runs:/0/checkpoints/best.ckpt"], "checkpoint: found 'runs:/0/checkpoints/best.ckp"),
        (["task=compare", "root=elsewhere"], "tracking.uri: found no runs, 'elsewhere/mlflow.db' is not there"),
        (["task=compare", "tracking=[]"], "tracking.uri: found None, allowed: MLflow's store"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_names_what_there_is(trained, monkeypatch, capsys, overrides, line):
    monkeypatch.chdir(trained)
    code, output, errors = run_here(monkeypatch, capsys, *overrides)
    assert (code, output, errors.count("\n")) == (2, "", 1) and line in errors, errors
