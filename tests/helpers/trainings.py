"""What trainings leave, and whether two have left the same."""

import torch
from mlflow.tracking import MlflowClient


def left(folder):
    """What a training leaves: its checkpoints, and all that MLflow has but for times and names."""
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    (one,) = client.search_runs([e.experiment_id for e in client.search_experiments()])
    names = [name for name in one.data.metrics if not name.startswith("system/")]  # of the machine, by the clock
    history = {name: client.get_metric_history(one.info.run_id, name) for name in names}
    files = sorted(p.name for p in (folder / "run").rglob("*") if p.is_file())
    artifacts = {f.path for part in ("", "checkpoints", "videos") for f in client.list_artifacts(one.info.run_id, part)}
    checkpoints = (folder / "run/checkpoints").glob("*.ckpt")
    return {
        "status": one.info.status,
        "params": one.data.params,
        "metrics": {name: sorted((m.step, m.value) for m in points) for name, points in history.items()},
        "files": files,
        "artifacts": sorted(artifacts),
        "checkpoints": {path.name: torch.load(path, weights_only=True) for path in checkpoints},
    }


def same(found, wanted, where):
    """Equal in all bits, NaN being NaN."""
    assert type(found) is type(wanted), where
    if isinstance(wanted, dict):
        assert list(found) == list(wanted) or sorted(map(str, found)) == sorted(map(str, wanted)), where
        for key in wanted:
            same(found[key], wanted[key], f"{where}.{key}")
    elif isinstance(wanted, list | tuple):
        assert len(found) == len(wanted), (where, found, wanted)
        for i, (one, other) in enumerate(zip(found, wanted, strict=True)):
            same(one, other, f"{where}[{i}]")
    elif isinstance(wanted, torch.Tensor):
        assert found.dtype == wanted.dtype and torch.equal(found, wanted), where
    else:
        assert found == wanted or (found != found and wanted != wanted), (where, found, wanted)
