"""The parent run of a sweep's jobs.

It is created before the jobs start, together with the database schema and the experiment that they all need: jobs that
created these at the same time would race.
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from mlflow.entities import Run as RecordedRun
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from drc_lab.evaluation.measures.criterion import judged_by
from drc_lab.evaluation.stats.intervals import mean_interval
from drc_lab.files import remove_empty, written
from drc_lab.tracking.journal import FILE
from drc_lab.tracking.mlflow import in_one_line
from drc_lab.tracking.reading import pages
from drc_lab.tracking.run import Run, Say, tracked_run
from drc_lab.tracking.spec import TrackingSpec
from drc_lab.tracking.sqlite import SQLITE

BEST = "best/"  # prefix of the metrics by which jobs are compared
CONFIDENCE = 0.95  # of the interval over seeds


@contextmanager
def sweep_run(
    spec: TrackingSpec,
    folder: Path,
    experiment: str,
    name: str | None,
    tags: Mapping[str, str],
    outlive: bool = False,
    say: Say = print,
) -> Iterator[str | None]:
    """Records the parent run of a sweep.

    At its end it gets ``sweep.csv``, which has a line for each job, and the metric of the best job. A sweep that fails
    before any job has a run leaves nothing behind: neither its own run nor a store that was created for it.

    Args:
        spec, folder, experiment, name, tags, say: see `tracked_run`.
        outlive: whether jobs keep running if the sweep ends early.

    Yields:
        the id of the run, None without MLflow.
    """
    store = Path((spec.uri or "").removeprefix(SQLITE))
    new = spec.uri is not None and spec.uri.startswith(SQLITE) and not store.exists()
    only_mlflow = replace(spec, csv=False, tensorboard=False)  # only the jobs have curves
    with ExitStack() as undo, tracked_run(only_mlflow, folder, experiment, name, tags, say=say) as run:
        if new:
            undo.callback(_remove, store)
        elif run.client is not None and run.run_id is not None:
            undo.callback(run.client.delete_run, run.run_id)
        undo.callback((folder / FILE).unlink)
        try:
            yield run.run_id
            undo.pop_all()
        finally:
            try:
                if jobs := find_jobs(run, outlive):
                    undo.pop_all()
                    log_summary(run, jobs, folder / "sweep.csv", say)
            except MlflowException as error:
                undo.pop_all()
                say(f"the sweep has no summary: {in_one_line(error)}")


def _remove(store: Path) -> None:
    for path in (store, *store.parent.glob(f"{store.name}-*")):  # with the files that SQLite keeps beside it
        path.unlink(missing_ok=True)
    remove_empty(store.parent)


def find_jobs(run: Run, outlive: bool) -> list[RecordedRun]:
    """The nested runs of a sweep's run.

    Those that still count as running are marked KILLED, unless jobs ``outlive`` the sweep: a launcher that kills its
    workers gives them no chance to record their end.
    """
    if run.client is None or run.experiment_id is None:
        return []
    of_this = f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{run.run_id}'"
    jobs: list[RecordedRun] = pages(run.client.search_runs, [run.experiment_id], of_this, order_by=["start_time"])
    for number, job in enumerate(jobs):
        if job.info.status == "RUNNING" and not outlive:
            run.client.set_terminated(job.info.run_id, "KILLED")
            jobs[number] = run.client.get_run(job.info.run_id)
    return jobs


def log_summary(run: Run, jobs: list[RecordedRun], path: Path, say: Say = print) -> None:
    """Records the summary of a sweep: a CSV artifact, the metric of the best job, and the means over seeds.

    The CSV file ``path`` has for each job its number, run, status, objective, and the overrides that not all jobs
    share. For the means see `say_means`.
    """
    jobs = sorted(jobs, key=lambda job: int(job.data.tags["sweep.job"]))
    overrides = [job.data.tags["sweep.overrides"].split() for job in jobs]
    shared = set.intersection(*map(set, overrides)) if len(jobs) > 1 else set()
    objective = judged_by({name for job in jobs for name in job.data.metrics}, BEST)
    with written(path) as part, part.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["job", "run", "status", objective, "overrides"])
        for job, words in zip(jobs, overrides, strict=True):
            changes = " ".join(word for word in words if word not in shared)
            value = job.data.metrics.get(objective, "")
            writer.writerow([job.data.tags["sweep.job"], job.info.run_id, job.info.status, value, changes])
    run.log_artifact(path)
    reached = [job.data.metrics[objective] for job in jobs if objective in job.data.metrics]
    if reached:
        run.log_metrics({objective: max(reached)})
        say_means(run, jobs, objective, shared, say)


def say_means(run: Run, jobs: Sequence[RecordedRun], objective: str, shared: set[str], say: Say) -> None:
    """Reports the mean objective over seeds, and its t interval, for each group of jobs that differ only in the seed.

    Only finished jobs count, and only groups with several seeds are reported: in one line each, and as metrics
    ``over_seeds/...`` whose step is the number of the group.
    """
    groups: dict[tuple[str, ...], dict[str, float]] = {}
    for job in jobs:
        words = job.data.tags["sweep.overrides"].split()
        seeds = [word.removeprefix("seed=") for word in words if word.startswith("seed=")]
        if seeds and job.info.status == "FINISHED" and objective in job.data.metrics:
            changes = tuple(word for word in words if not word.startswith("seed=") and word not in shared)
            groups.setdefault(changes, {})[seeds[-1]] = job.data.metrics[objective]
    name = objective.removeprefix(BEST)
    several = [(changes, by_seed) for changes, by_seed in groups.items() if len(by_seed) > 1]
    for number, (changes, by_seed) in enumerate(several):
        values = np.array(list(by_seed.values()))
        mean, (low, high) = float(values.mean()), mean_interval(values, CONFIDENCE)
        say(
            f"{' '.join([*changes, objective])}: mean over {len(by_seed)} seeds {mean:.4g}, "
            f"{CONFIDENCE:.0%} t interval {low:.4g} to {high:.4g}"
        )
        over_seeds = {name: mean, f"{name}_low": low, f"{name}_high": high, "seeds": len(by_seed)}
        run.log_metrics({f"over_seeds/{key}": value for key, value in over_seeds.items()}, number)
