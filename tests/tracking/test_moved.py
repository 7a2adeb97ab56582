"""A folder of outputs that was moved goes on with its artifacts."""

from collections import OrderedDict

import pytest
from mlflow.tracking import MlflowClient
from mlflow.tracking._tracking_service import utils

from drc_lab.errors import UserError
from drc_lab.tasks.sync import send_rest
from drc_lab.tracking.fetch import fetch_checkpoint
from drc_lab.tracking.mlflow import Store
from drc_lab.tracking.register import RegisterSpec, register
from drc_lab.tracking.run import tracked_run
from drc_lab.tracking.spec import TrackingSpec


def spec_of(root):
    return TrackingSpec(f"sqlite:///{root}/mlflow.db", str(root / "artifacts"))


def record(root, name, experiment="study"):
    folder = root / "runs" / name
    folder.mkdir(parents=True)
    for file in ("best.ckpt", "last.ckpt"):
        (folder / file).write_text(f"{file} of {name}")
    with tracked_run(spec_of(root), folder, experiment, name, {"seed": "0", "env": "x"}) as run:
        run.log_checkpoint(folder / "best.ckpt", {"valid/solve_rate": 0.5}, 10)
        run.log_artifact(folder / "last.ckpt", "checkpoints")
    return run


def test_a_moved_folder_finds_its_artifacts_and_takes_new_ones(tmp_path, capfd):
    old, new = tmp_path / "an old place", tmp_path / "new"
    run = record(old, "first")
    version = register(Store(spec_of(old).uri).client, RegisterSpec())
    old.rename(new)
    capfd.readouterr()
    client = Store(spec_of(new).uri).client
    line = f"drc_lab: {new}/mlflow.db was moved with its artifacts: they are now looked for in {new}/artifacts\n"
    assert capfd.readouterr().err == line
    at_run = f"runs:/{run.run_id}/checkpoints"
    for number, name in enumerate((f"models:/{version.name}@champion", f"{at_run}/best.ckpt", f"{at_run}/last.ckpt")):
        found = fetch_checkpoint(client, name, tmp_path / f"cache{number}")
        assert found.read_text() == f"{found.name} of first"
    second = record(new, "second")
    assert client.get_run(second.run_id).info.artifact_uri.startswith((new / "artifacts").as_uri())
    assert not old.exists()
    Store(spec_of(new).uri).client  # noqa: B018 - connects
    assert capfd.readouterr().err == ""


def test_artifacts_that_are_away_but_not_beside_the_store_stay_where_they_are(tmp_path, capfd):
    """A disk that is not there now, and a copy of a folder that is."""
    run = record(tmp_path / "here", "first")
    (tmp_path / "here/artifacts").rename(tmp_path / "here/away")
    (tmp_path / "here/artifacts").mkdir()
    place = run.client.get_run(run.run_id).info.artifact_uri
    (tmp_path / "here").rename(tmp_path / "there")
    assert MlflowClient(spec_of(tmp_path / "there").uri).get_run(run.run_id).info.artifact_uri == place
    assert Store(spec_of(tmp_path / "there").uri).client.get_run(run.run_id).info.artifact_uri == place


def test_what_was_not_sent_goes_to_the_store_that_moved_with_the_run(tmp_path, monkeypatch):
    old, new = tmp_path / "old", tmp_path / "new"
    run, folder = record(old, "first"), old / "runs/first"
    (folder / "late.txt").write_text("late")
    with tracked_run(TrackingSpec(), folder, "study", "first", {}, resume=True) as without:
        without.log_artifact(folder / "late.txt")
    old.rename(new)
    monkeypatch.setattr(utils, "_artifact_repos_cache", OrderedDict())  # of places, by run; a new process has none
    send_rest(new / "runs/first")
    files = [file.path for file in Store(spec_of(new).uri).client.list_artifacts(run.run_id)]
    assert files == ["checkpoints", "late.txt"] and not old.exists()
    (new / "mlflow.db").rename(tmp_path / "hidden")
    with pytest.raises(UserError, match=r"^folder: the run in .*first' was recorded in .*, which is not there$"):
        send_rest(new / "runs/first")
    assert not old.exists()
