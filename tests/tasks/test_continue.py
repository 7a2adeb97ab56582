"""An evaluation that a signal ended goes on by the printed command, and comes to what it would have come to."""

import re
import shlex
import signal

import pandas as pd
import pytest
from checkpoints import checkpoint
from commands import run, run_here, store

FEW = ["evaluation.num_levels=120", "thinking.levels_at_once=30", "thinking.first_passes=[0,300]", "thinking.noops=[1]",
       "thinking.repeats=[2,50]", "thinking.trace_ticks=0", "thinking.solver_levels=10", "report.video=null",
       "threads=1"]  # fmt: skip


@pytest.mark.slow
def test_what_was_played_in_another_world_is_played_again(tmp_path, monkeypatch, capsys):
    where = checkpoint(tmp_path / "a.ckpt")
    monkeypatch.chdir(tmp_path)
    few = ["evaluation.num_levels=20", "thinking.controls=[]", "threads=1", "folder=out"]
    for limit in (2, 6):
        words = ["task=evaluate", where, *few, f"+evaluation.env.max_steps={limit}"]
        code, _, errors = run_here(monkeypatch, capsys, *words)
        assert (code, errors) == (0, "")
        assert pd.read_parquet(tmp_path / "out/levels.parquet")["length"].max() == limit


@pytest.mark.slow
@pytest.mark.parametrize(("by", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 75)])
def test_a_stopped_evaluation_goes_on_by_the_printed_command_and_gives_the_same(tmp_path, by, code):
    where = checkpoint(tmp_path / "a.ckpt", "env.max_steps=8")
    interruption = ("drc_lab.evaluation.play.sweep:records_of", 5, by)
    process = run(tmp_path, "task=thinking", where, *FEW, "folder=stopped", interruption=interruption)
    errors, parts = process.stderr, tmp_path / "stopped/parts"
    assert process.returncode == code and errors.count("\n") == 1, errors
    assert not (tmp_path / "stopped/thinking.csv").exists()
    before = {path: path.stat().st_mtime_ns for path in parts.glob("*.parquet")}
    assert len(before) == 4
    words = shlex.split(re.search(r"Go on with:  (.*)", errors).group(1))
    assert words[1:3] == ["-m", "drc_lab"]
    resumed = run(tmp_path, *words[3:])
    assert (resumed.returncode, resumed.stderr) == (0, "")
    assert {path: path.stat().st_mtime_ns for path in before} == before
    whole = run(tmp_path, "task=thinking", where, *FEW, "folder=whole")
    assert (whole.returncode, whole.stderr) == (0, "")
    pd.testing.assert_frame_equal(*(pd.read_parquet(tmp_path / f / "levels.parquet") for f in ("stopped", "whole")))
    assert (tmp_path / "stopped/thinking.csv").read_text() == (tmp_path / "whole/thinking.csv").read_text()
    client, (experiment,) = store(tmp_path)
    runs = [r for r in client.search_runs([experiment.experiment_id]) if "mlflow.parentRunId" not in r.data.tags]
    assert [r.info.status for r in runs] == ["FINISHED"] * 2  # the stopped one went on
