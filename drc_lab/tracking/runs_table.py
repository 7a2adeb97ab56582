"""Compares the runs of a study: in which params they differ, and how well each group of them learned."""

from collections.abc import Sequence
from typing import NamedTuple

from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from mlflow.utils.time import get_current_time_millis

from drc_lab.errors import ConfigError, UserError
from drc_lab.evaluation.measures.criterion import judged_by
from drc_lab.evaluation.stats.curves import Group, Points
from drc_lab.tracking.mlflow import in_one_line
from drc_lab.tracking.naming import SAY_NOTHING, shortest_end
from drc_lab.tracking.reading import curve, listed, runs_of, study_ids
from drc_lab.tracking.spec import CompareSpec

MISSING = "-"  # stands for a param that a run does not have


class ComparedRun(NamedTuple):
    """A run, its curve of the metric (empty if it has none), and whether it counts in its group's mean."""

    run: Run
    curve: Points
    counted: bool

    @property
    def name(self) -> str:
        return self.run.info.run_name or self.run.info.run_id

    @property
    def seconds(self) -> float:
        """Seconds from the run's start to its end, or until now; includes pauses."""
        info = self.run.info
        return ((info.end_time or get_current_time_millis()) - info.start_time) / 1000

    def values(self, keys: Sequence[str]) -> tuple[str, ...]:
        """The values of these params."""
        return _values(self.run, keys)


class Comparison(NamedTuple):
    """The metric, the runs from oldest to newest, the params that distinguish the groups, and the groups."""

    metric: str
    runs: list[ComparedRun]
    keys: list[str]
    groups: list[Group]


def compare(client: MlflowClient, spec: CompareSpec) -> Comparison:
    """Reads the runs and their curves.

    Raises:
        ConfigError: a study, metric or param does not exist, or MLflow rejects the filter.
        UserError: the study has no runs, or none that match the filter.
    """
    experiments = study_ids(client, spec.study, "study", all_if_none=False)
    try:
        runs = runs_of(client, experiments, spec.filter)
    except MlflowException as error:
        raise ConfigError("filter", spec.filter, f"a filter of MLflow's: {in_one_line(error)}") from error
    if not runs:
        there = f"that match filter={spec.filter!r}" if spec.filter else "yet"
        raise UserError(f"compare.study: found no runs {there} in {spec.study}")
    metrics = sorted({name for run in runs for name in run.data.metrics})
    metric = spec.metric or judged_by(metrics, "valid/")
    if metric not in metrics:
        raise ConfigError("metric", metric, listed(metrics) or "one that was logged: these runs have none")
    keys = group_keys(runs, _as_list(spec.group))
    curves = [curve(client, run.info.run_id, metric) for run in runs]
    counted = one_per_seed(runs, curves, keys)
    groups: dict[tuple[str, ...], Group] = {}
    for run, points, counts in zip(runs, curves, counted, strict=True):
        if counts:
            values = _values(run, keys)
            groups.setdefault(values, Group(label(keys, values) or metric)).curves.append(points)
    return Comparison(
        metric,
        [ComparedRun(*each) for each in zip(runs, curves, counted, strict=True)],
        keys,
        [groups[values] for values in sorted(groups)],
    )


def group_keys(runs: Sequence[Run], wanted: list[str]) -> list[str]:
    """The params that distinguish groups: those in ``wanted``, else a small subset of those that differ.

    A param is added to the subset only if it splits the groups further. Classes and env ids come first: different
    policies have different params, but the name of the class is enough to tell them apart.

    Raises:
        ConfigError: one of ``wanted`` is not a param of any run.
    """
    known = {key for run in runs for key in run.data.params}
    differing = [key for key in sorted(known) if len({run.data.params.get(key) for run in runs}) > 1]
    for key in wanted:
        if key not in known:
            raise ConfigError("group", key, f"params, such as those that differ: {listed(differing) or 'none do'}")
    if wanted:
        return wanted
    telling = [key for key in differing if key != "seed" and not {key, key.split(".")[0]} & SAY_NOTHING]
    keys: list[str] = []
    for key in sorted(telling, key=lambda key: not key.endswith(("_target_", "env.id"))):
        if len({_values(run, [*keys, key]) for run in runs}) > len({_values(run, keys) for run in runs}):
            keys.append(key)
    return keys


def one_per_seed(runs: Sequence[Run], curves: Sequence[Points], keys: Sequence[str]) -> list[bool]:
    """Which runs count in their groups: of those with the same group and seed only the one with the most frames.

    Two such runs are not independent samples. If they have equally many frames, the newest counts. A run without the
    metric never counts.
    """
    best: dict[tuple[str, ...], int] = {}
    for number, (run, (frames, _)) in enumerate(zip(runs, curves, strict=True)):
        sample = _values(run, [*keys, "seed"])
        if len(frames) and (sample not in best or frames[-1] >= curves[best[sample]][0][-1]):
            best[sample] = number
    return [number in best.values() for number in range(len(runs))]


def label(keys: Sequence[str], values: Sequence[str]) -> str:
    """The name of a group: its values, with keys as short as is unambiguous; see `short_value` for import paths."""
    return " ".join(
        short_value(key, value) if key.endswith("_target_") else f"{shortest_end(key, keys)}={value}"
        for key, value in zip(keys, values, strict=True)
    )


def short_value(key: str, value: str) -> str:
    """The value; for a ``_target_`` only the last part of the import path."""
    return value.split(".")[-1] if key.endswith("_target_") else value


def _values(run: Run, keys: Sequence[str]) -> tuple[str, ...]:
    return tuple(run.data.params.get(key, MISSING) for key in keys)


def _as_list(value: str | list[str] | None) -> list[str]:
    return [value] if isinstance(value, str) else list(value or [])
