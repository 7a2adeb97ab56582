"""A training with all kinds of state, what trainings leave, and whether two have left the same."""

import json

import torch
from commands import TINY
from mlflow.tracking import MlflowClient

# A curriculum, random ticks, two groups, two passes over two minibatches
STATEFUL = [
    *TINY, "algo.rollouts.minibatches=2", "algo.rollouts.epochs=2", "algo.rollouts.min_repeats=1",
    "algo.rollouts.max_repeats=2", "algo.rollouts.groups=2", "algo.rollouts.first_passes=[0,2]",
    "evaluation.every_frames=320",
    "env.curriculum={stages: [{max_optimal: 1}, {max_optimal: 2}], advance_at: 0.2, window: 20}",
    "checkpoints.keep_best=2", "threads=1", "folder=run", "root=.",
]  # fmt: skip
# Checkpoints all the time, and no store: what is left lies in the run's folder alone
ALL_STATE = [
    *STATEFUL, "algo.rollouts.frames=2560", "algo.log_every_rollouts=2", "evaluation.num_levels=10",
    "checkpoints.every_frames=128", "callbacks.videos=null", "tracking=[]",
]  # fmt: skip


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


def recorded(folder, here=False):
    """What a training leaves in its run's folder: its checkpoints, and all that its journal has but for times.

    Args:
        folder: of the run.
        here: leave out Python's own random numbers: where a training runs within a test's process, the checks of shapes
            draw from them.
    """
    lines = [json.loads(line) for line in (folder / "tracking.jsonl").read_bytes().splitlines()]
    metrics = [
        ((name, line["step"]), value)
        for line in lines
        if line["op"] == "metrics"
        for name, value in line["values"].items()
    ]
    assert len({point for point, _ in metrics}) == len(metrics), "a metric has two values at one step"
    kept = {(line["path"], line["step"]): line["metrics"] for line in lines if line["op"] == "checkpoint"}
    checkpoints = {path.name: torch.load(path, weights_only=True) for path in folder.glob("checkpoints/*.ckpt")}
    for stream in [stream for state in checkpoints.values() for stream in state["RolloutData"]["streams"]]:
        if here:
            del stream["random"]["python"]
    params = {}
    for line in lines:
        params |= line["values"] if line["op"] == "params" else {}
    return {
        "status": [line["status"] for line in lines if line["op"] == "status"][-1],
        "params": params,
        "metrics": dict(sorted(metrics)),
        "kept": {str(place): kept[place] for place in sorted(kept)},
        "files": sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()),
        "checkpoints": checkpoints,
    }
