"""Collections of others' levels on the command line: another alphabet, invalid levels, and runs from before."""

import pytest
import torch
from commands import TINY, run_here, store
from composed import compose

from drc_lab.app.resume import check_same_training
from drc_lab.arguments import plain
from drc_lab.errors import ConfigError
from drc_lab.tracking.mlflow import flatten

DOS = """
Maze: 1

XXXXXX
X@* &X
XXXXXX

Maze: 2

XXXXXX
X@* *X
XXXXXX

Maze: 3

XXXXXX
X@*& X
XXXXXX
"""


@pytest.mark.slow
def test_a_foreign_collection_is_trained_on_without_its_invalid_levels_and_kept_apart(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dos.txt").write_text(DOS)
    words = [*TINY[1:4], "algo.rollouts.frames=128", "evaluation.every_frames=128", "policy=mlp", "env=sokoban",
             "env.levels=dos.txt", "env.observation=planes", "folder=run", "threads=1"]  # fmt: skip
    code, _, errors = run_here(monkeypatch, capsys, *words)
    assert code == 2 and "dos.txt: found no level, but rows with 'X' (" in errors and errors.count("\n") == 1
    words.append("env.symbols={X:'#',*:$}")
    code, _, errors = run_here(monkeypatch, capsys, *words, "env.invalid_levels=skip")
    assert code == 2 and "all 3 levels are invalid: dos.txt:0, line 5: found '&', allowed: # . * $" in errors
    words[-1] = "env.symbols='X=# *=$ &=.'"
    code, _, errors = run_here(monkeypatch, capsys, *words)
    assert (
        code == 2
        and "dos.txt:1, line 10: found 2 boxes and 0 targets" in errors
        and "env.invalid_levels=skip" in errors
    )
    assert not (tmp_path / "run").exists()
    code, _, errors = run_here(monkeypatch, capsys, *words, "env.invalid_levels=skip")
    assert code == 0 and errors.count("\n") == 1 and "dos.txt: skipped 1 of 3 levels: dos.txt:1, line 10: " in errors
    client, (experiment,) = store(tmp_path)
    (one,) = client.search_runs([experiment.experiment_id])
    assert one.data.params["env.symbols"] == "X=# *=$ &=." and one.data.params["env.invalid_levels"] == "skip"
    assert {'"skipped": 1' in each.dataset.profile for each in one.inputs.dataset_inputs} == {True}
    config = torch.load("run/checkpoints/last.ckpt", weights_only=True)["config"]
    assert config["env"]["symbols"] == "X=# *=$ &=."


def test_a_mapping_of_symbols_stays_one_param():
    config = compose("env=sokoban", "env.symbols={X:'#',*:$}")
    assert flatten(plain(config))["env.symbols"] == {"X": "#", "*": "$"}
    assert flatten({"a": {"b c": {"d/e.f": 1}}}) == {"a.b c.d/e.f": 1}


def test_a_run_that_began_before_a_setting_was_there_has_its_default():
    now = compose("env=sokoban")
    before = plain(now)
    del before["env"]["symbols"], before["env"]["invalid_levels"]
    del before["algo"]["rollouts"]["think_price"], before["algo"]["rollouts"]["noops"]
    check_same_training(before, now, "goes on")
    with pytest.raises(ConfigError, match=r"env.invalid_levels: found 'skip', allowed: 'error', as in the run that "):
        check_same_training(before, compose("env=sokoban", "env.invalid_levels=skip"), "goes on")
