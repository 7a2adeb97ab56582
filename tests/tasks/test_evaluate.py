"""task=evaluate and the reports of task=thinking, from a checkpoint to the files, MLflow and the terminal."""

import re

import numpy as np
import pandas as pd
import pytest
import torch
from checkpoints import checkpoint
from commands import run_here, store

SMALL = ["threads=1", "evaluation.num_levels=12", "env.max_steps=6", "folder=out"]
FILES = {"findings", "levels.parquet", "parts", "report.html", "thinking.csv", "thinking.png", "tracking.jsonl"}


@pytest.fixture
def run_task(tmp_path, monkeypatch, capsys):
    """Runs a task in this process: exit code, what it printed, its complaint."""
    monkeypatch.chdir(tmp_path)
    return lambda *words: run_here(monkeypatch, capsys, *words)


@pytest.mark.skipif(torch.cuda.is_available() or torch.backends.mps.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("task", ["train", "evaluate"])
def test_a_gpu_that_is_not_there_gets_a_line_that_says_what_to_do(run_task, tmp_path, task):
    more = [checkpoint(tmp_path / "a.ckpt")] if task == "evaluate" else []
    code, output, errors = run_task(f"task={task}", "trainer.accelerator=gpu", "folder=out", *more)
    assert (code, output, errors.count("\n")) == (2, "", 1)
    assert errors.startswith("drc_lab: trainer.accelerator: found 'gpu', allowed: cpu | auto, as torch ")
    assert "needs a torch build with CUDA and a visible GPU" in errors and not (tmp_path / "out").exists()


def test_an_evaluation_is_tagged_with_the_game_that_it_plays(run_task, tmp_path):
    code, _, errors = run_task(
        "task=evaluate",
        "checkpoint=agents:/sokoban-one-box",
        "threads=1",
        "evaluation.num_levels=2",
        "thinking.controls=[]",
        "report.video_levels=[]",
        "folder=out",
    )
    assert (code, errors) == (0, "")
    client, (study,) = store(tmp_path)
    (one,) = client.search_runs([study.experiment_id])
    assert one.data.tags["env"] == "drc_lab/Sokoban-v0" and not {"policy", "algo"} & set(one.data.tags)


@pytest.mark.slow
def test_an_evaluation_tells_how_good_it_is_and_how_it_fails(run_task, tmp_path):
    where = checkpoint(tmp_path / "a.ckpt", "env.max_optimal=1")
    code, output, errors = run_task("task=evaluate", where, *SMALL)
    assert (code, errors) == (0, "")
    out = tmp_path / "out"
    assert {path.name for path in out.iterdir()} == FILES
    records = pd.read_parquet(out / "levels.parquet")
    assert set(records["kind"]) >= {"first_passes", "random", "sampled", "no_memory"}
    plain = records[records["baseline"]]
    assert 0 < plain["solved"].mean() < 1  # or the test shows nothing
    assert f"solves {100 * plain['solved'].mean():.1f} [" in output and "baseline" in output
    page = (out / "report.html").read_text()
    shown = {int(level) for level in re.findall(r'id="level-(\d+)"', page)}
    assert shown == set(plain["level"][~plain["solved"]]) and page.count('alt="first board"') == len(shown)
    assert "task=evaluate" in page and "a.ckpt" in page and "12 of the test split" in page
    client, (experiment,) = store(tmp_path)
    assert experiment.name == "evaluate"
    (one,) = client.search_runs([experiment.experiment_id])
    metrics = one.data.metrics
    assert metrics["solve_rate"] == plain["solved"].mean() and metrics["return"] == pytest.approx(
        plain["return"].mean()
    )
    beyond = (plain["length"] - plain["optimal"])[plain["solved"]]
    assert metrics["optimality_gap"] == pytest.approx(beyond.mean())
    assert metrics["length_low"] < metrics["length"] == plain["length"].mean() < metrics["length_high"]
    assert metrics["solve_rate_low"] < metrics["solve_rate"] < metrics["solve_rate_high"]
    artifacts = {file.path for file in client.list_artifacts(one.info.run_id)}
    assert artifacts >= {"levels.parquet", "report.html", "thinking.csv", "thinking.png", "findings"}
    assert "findings/endings.csv" in {file.path for file in client.list_artifacts(one.info.run_id, "findings")}
    assert one.inputs.dataset_inputs[0].tags[0].value == "test"


@pytest.mark.slow
def test_a_sweep_is_reported_with_a_video_of_levels_side_by_side(run_task, tmp_path):
    where = checkpoint(tmp_path / "a.ckpt", "env.max_optimal=1")
    few = ["thinking.first_passes=[2]", "thinking.noops=[1]", "thinking.repeats=[2,3]", "thinking.controls=[random]"]
    chosen = [
        "report.video_levels=[7,0]",
        "report.video_passes=3",
        "report.failures=2",
        "report.cell_size=16",
        "tracking=[]",
    ]
    code, output, errors = run_task("task=thinking", where, *SMALL, *few, *chosen, "tracking=[]")
    assert (code, errors) == (0, "")
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES | {"side_by_side.gif"}
    page = (tmp_path / "out/report.html").read_text()
    assert "data:image/gif;base64," in page and len(re.findall(r'id="level-(\d+)"', page)) == 2
    for path in (tmp_path / "out/findings").glob("*.csv"):
        assert f'<h2 id="{path.stem}">' in page  # every finding
    assert "side_by_side.gif" in (tmp_path / "out/tracking.jsonl").read_text()  # what MLflow would have got
    assert re.search(r"^video +.*side_by_side.gif$", output, re.MULTILINE)


def test_a_foreign_env_is_evaluated_without_pictures(run_task, tmp_path):
    where = checkpoint(
        tmp_path / "a.ckpt",
        "env=gym",
        "env.id=CartPole-v1",
        "env.solved_return=475",
        "policy=mlp",
        "policy.hidden_sizes=[8]",
    )
    code, _, errors = run_task(
        "task=evaluate", where, "threads=1", "evaluation.num_levels=5", "folder=out", "tracking=[]"
    )
    assert (code, errors) == (0, "")
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    page = (tmp_path / "out/report.html").read_text()
    records = pd.read_parquet(tmp_path / "out/levels.parquet")
    assert page.count('<article class="failure"') == int((~records["solved"][records["baseline"]]).sum())
    assert 'id="lengths"' not in page and "first board" not in page and "optimal unknown" in page
    assert np.all(records["optimal"] == -1)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["report.video=side.avi"], r"report.video: found 'side.avi', allowed: a name that ends in .gif or .mp4"),
        (["report.failures=-1"], "report.failures: found -1, allowed: at least 0"),
        (["report.video_passes=0"], "report.video_passes: found 0, allowed: at least 1"),
        (["report.video_levels=[3,12]"], "report.video_levels: found 12, allowed: 0 to 11"),
        (["report.fps=0"], "report.fps: found 0, allowed: more than 0"),
        (["report.cell_size=1"], "report.cell_size: found 1, allowed: 8 to 128 pixels"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_what_cannot_be_shown_is_told_before_anything_is_played(run_task, tmp_path, words, line):
    where = checkpoint(tmp_path / "a.ckpt")
    code, _, errors = run_task("task=evaluate", where, *SMALL, *words)
    assert code == 2 and errors.count("\n") == 1 and line in errors
    assert [path.name for path in tmp_path.iterdir()] == ["a.ckpt"]
