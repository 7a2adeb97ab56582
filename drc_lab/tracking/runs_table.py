"""Which runs of a study differ in what, and how well each group of them learned."""

from collections.abc import Sequence
from typing import NamedTuple

from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from mlflow.utils.time import get_current_time_millis

from drc_lab.errors import ConfigError, UserError
from drc_lab.evaluation.measures.measure import judged_by
from drc_lab.evaluation.stats.curves import Group, Points
from drc_lab.tracking.mlflow import in_one_line
from drc_lab.tracking.naming import SAY_NOTHING, shortest_end
from drc_lab.tracking.reading import curve, listed, runs_of, study_ids
from drc_lab.tracking.spec import CompareSpec

MISSING = "-"  # of a param that a run does not have


class ComparedRun(NamedTuple):
    """A run, the curve of the metric (empty if it has none), and whether a group's mean counts it."""

    run: Run
    curve: Points
    counted: bool

    @property
    def name(self) -> str:
        return self.run.info.run_name or self.run.info.run_id

    @property
    def seconds(self) -> float:
        """From its start to its end, or to now; pauses included."""
        info = self.run.info
        return ((info.end_time or get_current_time_millis()) - info.start_time) / 1000

    def values(self, keys: Sequence[str]) -> tuple[str, ...]:
        """Of params."""
        return _values(self.run, keys)


class Comparison(NamedTuple):
    """The metric, runs from the oldest to the newest, the params that set groups apart, and the groups."""

    metric: str
    runs: list[ComparedRun]
    keys: list[str]
    groups: list[Group]


def compare(client: MlflowClient, spec: CompareSpec) -> Comparison:
    """Reads the runs and their curves.

    Raises:
        ConfigError: a study, metric or param that is not there.
        UserError: a study without runs, or none of the filter's.
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
    return Comparison(metric, [ComparedRun(*each) for each in zip(runs, curves, counted, strict=True)], keys,
                      [groups[values] for values in sorted(groups)])  # fmt: skip


def group_keys(runs: Sequence[Run], wanted: list[str]) -> list[str]:
    """The params that set groups apart.

    Of those that differ only as many are taken as it needs: another policy has other params, but its class says enough.

    Raises:
        ConfigError: one of ``wanted`` is no param of any run.
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
    """Which runs count: two of the same group and seed are no independent samples, so that with most frames does.

    Of runs that got equally far the newest counts; a run without the metric never does.
    """
    best: dict[tuple[str, ...], int] = {}
    for number, (run, (frames, _)) in enumerate(zip(runs, curves, strict=True)):
        sample = _values(run, [*keys, "seed"])
        if len(frames) and (sample not in best or frames[-1] >= curves[best[sample]][0][-1]):
            best[sample] = number
    return [number in best.values() for number in range(len(runs))]


def label(keys: Sequence[str], values: Sequence[str]) -> str:
    """What a group is called: its keys as short as they can be told apart, and of import paths the last name."""
    return " ".join(
        short_value(key, value) if key.endswith("_target_") else f"{shortest_end(key, keys)}={value}"
        for key, value in zip(keys, values, strict=True)
    )


def short_value(key: str, value: str) -> str:
    """Of an import path the last name."""
    return value.split(".")[-1] if key.endswith("_target_") else value


def _values(run: Run, keys: Sequence[str]) -> tuple[str, ...]:
    return tuple(run.data.params.get(key, MISSING) for key in keys)


def _as_list(value: str | list[str] | None) -> list[str]:
    return [value] if isinstance(value, str) else list(value or [])
