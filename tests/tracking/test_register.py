"""Registering the best checkpoint of a run and finding it again, in a store of one's own and through a server."""

import pytest
from mlflow.entities import Metric
from servers import MLflowServer

from drc_lab.errors import ConfigError
from drc_lab.tracking.fetch import fetch_checkpoint
from drc_lab.tracking.models import drop_checkpoint, models_of, send_checkpoint
from drc_lab.tracking.reading import open_store
from drc_lab.tracking.register import RegisterSpec, register

RATE, RETURN = "valid/solve_rate", "valid/return"


@pytest.fixture(params=["sqlite", pytest.param("server", marks=pytest.mark.slow)])
def reached(request, tmp_path):
    """A client, and a new study in its store."""
    if request.param == "sqlite":
        client = request.getfixturevalue("client")
        yield client, client.create_experiment(tmp_path.name, (tmp_path / "artifacts").as_uri())
    else:
        server = MLflowServer(tmp_path).start()
        try:
            client = open_store(server.uri)
            yield client, client.create_experiment(tmp_path.name)
        finally:
            server.kill()


def trained(reached, tmp_path, name, checkpoints, env="drc_lab/Sokoban-v0"):
    """A run with checkpoints: (frames, solve rate, return) each."""
    client, study = reached
    run_id = client.create_run(study, run_name=name, tags={"seed": "0", "env": env}).info.run_id
    for frames, rate, total in checkpoints:
        path = tmp_path / f"frames-{frames}.ckpt"
        path.write_text(f"{name} at {frames}")
        metrics = {RATE: rate, RETURN: total}
        client.log_batch(run_id, [Metric(key, value, frames, frames) for key, value in metrics.items()])
        operation = {"path": str(path), "metrics": metrics, "step": frames, "time": 1}
        for _ in range(2):
            send_checkpoint(client, run_id, study, operation)
    return run_id


def test_the_best_checkpoint_is_registered_and_fetched_by_each_of_its_names(reached, tmp_path):
    """Of equal solve rates the higher return counts, then the earlier; one that was dropped is not there any more."""
    client, study = reached
    checkpoints = [(100, 0.5, 0.1), (200, 0.7, 0.2), (300, 0.7, 0.3), (400, 0.7, 0.3), (500, 0.9, 0.9)]
    run_id = trained(reached, tmp_path, "one", checkpoints)
    drop_checkpoint(client, run_id, study, {"name": "frames-500.ckpt"})
    assert len(models_of(client, run_id, study)) == 4
    name = f"drc-{tmp_path.name}"
    version = register(client, RegisterSpec(run=run_id, study=tmp_path.name, name=name))
    assert register(client, RegisterSpec(run="one", study=tmp_path.name, name=name)).version == version.version
    assert "frames-300.ckpt of one: valid/solve_rate 0.7 after 300 frames" in version.description
    path = tmp_path / "last.ckpt"
    path.write_text("last")
    send_checkpoint(client, run_id, study, {"path": str(path), "metrics": {}, "step": 500, "time": 1})
    for checkpoint, text in {
        f"models:/{name}@champion": "one at 300",
        f"models:/{name}/{version.version}": "one at 300",
        f"runs:/{run_id}/checkpoints/best.ckpt": "one at 300",
        f"runs:/{run_id}/checkpoints/frames-100.ckpt": "one at 100",
        f"runs:/{run_id}/checkpoints/last.ckpt": "last",
    }.items():
        assert fetch_checkpoint(client, checkpoint, tmp_path / "cache").read_text() == text, checkpoint
    for checkpoint in (f"models:/{name}@nobody", f"models:/{name}/99", f"runs:/{run_id}/checkpoints/frames-500.ckpt",
                       "models:/nothing", "runs:/nothing", f"runs:/{'0' * 32}/checkpoints/best.ckpt"):  # fmt: skip
        with pytest.raises(ConfigError, match="checkpoint: found"):
            fetch_checkpoint(client, checkpoint, tmp_path / "cache")
    assert len(list((tmp_path / "cache").rglob("*.ckpt"))) == 3  # nothing half-written, and each once


def test_a_last_checkpoint_is_fetched_anew(client, tmp_path):
    reached = client, client.create_experiment(tmp_path.name, (tmp_path / "artifacts").as_uri())
    run_id = trained(reached, tmp_path, "one", [])
    for text in ("early", "late"):
        (tmp_path / "last.ckpt").write_text(text)
        operation = {"path": str(tmp_path / "last.ckpt"), "metrics": {}, "step": 1, "time": 1}
        send_checkpoint(client, run_id, reached[1], operation)
        found = fetch_checkpoint(client, f"runs:/{run_id}/checkpoints/last.ckpt", tmp_path / "cache")
        assert found.read_text() == text


def test_the_alias_moves_and_the_default_name_is_the_envs(client, tmp_path):
    """latest is the newest run that has a checkpoint."""
    reached = client, client.create_experiment(tmp_path.name, (tmp_path / "artifacts").as_uri())
    env = f"a/{tmp_path.name} 1"
    versions = []
    for name in ("one", "two"):
        trained(reached, tmp_path, name, [(100, 0.5, 0.1)], env)
        trained(reached, tmp_path, f"{name} without", [])
        versions.append(register(client, RegisterSpec(study=tmp_path.name)))
    name = f"drc-{tmp_path.name}_1"
    assert [version.name for version in versions] == [name, name]
    assert client.get_model_version_by_alias(name, "champion").version == versions[1].version
    assert versions[1].description.startswith("frames-100.ckpt of two:")


def test_a_run_of_several_of_one_name_is_chosen_by_its_id(client, tmp_path):
    reached = client, client.create_experiment(tmp_path.name, (tmp_path / "artifacts").as_uri())
    ids = [trained(reached, tmp_path, "one", [(100, 0.5, 0.1)]) for _ in range(2)]
    with pytest.raises(ConfigError, match="the ID of one of the runs of that name, the newest first") as error:
        register(client, RegisterSpec(run="one", study=tmp_path.name))
    assert all(run_id in str(error.value) for run_id in ids)
    with pytest.raises(ConfigError, match=r"run: found .*, allowed: a run with a checkpoint: MLflow has none"):
        run_id = trained(reached, tmp_path, "none", [])
        register(client, RegisterSpec(run=run_id, study=tmp_path.name))
