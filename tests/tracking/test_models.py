"""Checkpoints in a real MLflow store: models with their metrics, sent and dropped, also twice."""

import pytest
from mlflow.entities import Metric

from drc_lab.tracking.models import drop_checkpoint, models_of, send_checkpoint


@pytest.fixture
def run(client, tmp_path):
    """(client, run id, experiment id), as the functions take them."""
    experiment = client.create_experiment(tmp_path.name, (tmp_path / "artifacts").as_uri())
    return client, client.create_run(experiment).info.run_id, experiment


def checkpoint(path, step, rate, time=5000):
    path.write_bytes(f"weights at {step}".encode())
    return {"path": str(path), "metrics": {"valid/solve_rate": rate}, "step": step, "time": time}


def kept(run):
    return {
        model.name: (model.tags["frames"], model.status.name, [(m.key, m.value, m.step) for m in model.metrics])
        for model in models_of(*run)
    }


def files(tmp_path):
    return sorted(path.read_text() for path in tmp_path.glob("artifacts/models/*/artifacts/*"))


def test_a_checkpoint_is_a_model_with_its_metrics_and_the_series_stays_as_it_is(run, tmp_path):
    client, run_id, _ = run
    client.log_batch(run_id, [Metric("valid/solve_rate", rate, 1000 + i, 640 * i) for i, rate in ((1, 0.5), (2, 0.7))])
    for _ in range(2):  # a crash may make it come again
        send_checkpoint(*run, checkpoint(tmp_path / "best.ckpt", 1280, 0.7))
    assert kept(run) == {"best": ("1280", "READY", [("valid/solve_rate", 0.7, 1280)])}
    history = client.get_metric_history(run_id, "valid/solve_rate")
    assert [(point.step, point.timestamp) for point in history] == [(640, 1001), (1280, 1002)]
    (output,) = client.get_run(run_id).outputs.model_outputs
    assert (output.step, output.model_id) == (1280, models_of(*run)[0].model_id)


def test_a_newer_checkpoint_of_the_same_name_replaces_the_model_and_its_file(run, tmp_path):
    for step, rate in ((640, 0.5), (1280, 0.7)):
        send_checkpoint(*run, checkpoint(tmp_path / "best.ckpt", step, rate))
    assert [model[0] for model in kept(run).values()] == ["1280"] and files(tmp_path) == ["weights at 1280"]


def test_an_upload_that_a_crash_cut_short_is_finished(run, tmp_path):
    client, run_id, experiment = run
    half = client.create_logged_model(experiment, "best", run_id, {"file": "best.ckpt", "frames": "640"})
    send_checkpoint(*run, checkpoint(tmp_path / "best.ckpt", 640, 0.5))
    assert [model.model_id for model in models_of(*run)] == [half.model_id] and kept(run)["best"][1] == "READY"
    assert files(tmp_path) == ["weights at 640"]


def test_a_dropped_checkpoint_is_gone_with_its_file_unless_it_is_registered(run, tmp_path):
    client, run_id, _ = run
    for name in ("a.ckpt", "b.ckpt"):
        send_checkpoint(*run, checkpoint(tmp_path / name, 640, 0.5))
    (b,) = models_of(*run, "b.ckpt")
    client.create_registered_model("kept")
    client.create_model_version("kept", b.artifact_location, run_id, model_id=b.model_id)
    for name in ("a.ckpt", "a.ckpt", "b.ckpt", "never.ckpt"):
        drop_checkpoint(*run, {"name": name})
    assert set(kept(run)) == {"b"} and len(files(tmp_path)) == 1


def test_the_last_checkpoint_is_an_artifact_of_the_run(run, tmp_path):
    client, run_id, _ = run
    send_checkpoint(*run, checkpoint(tmp_path / "last.ckpt", 640, 0.5))
    assert not kept(run) and [f.path for f in client.list_artifacts(run_id, "checkpoints")] == ["checkpoints/last.ckpt"]
