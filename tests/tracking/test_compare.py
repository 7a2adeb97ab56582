"""Comparing runs in a real store: groups, seeds, long histories, many runs."""

from functools import partial

import pytest
from mlflow.entities import Metric, Param, RunTag

from drc_lab.errors import ConfigError, UserError
from drc_lab.tracking.reading import curve, open_store, pages
from drc_lab.tracking.runs_table import CompareSpec, compare

RATE = "valid/solve_rate"


@pytest.fixture
def study(client, tmp_path):
    """The name of a new experiment, and a function that makes runs in it."""
    experiment = client.create_experiment(tmp_path.name, (tmp_path / "artifacts").as_uri())

    def add(values=(), steps=None, parent=None, name=None, **params):
        run_id = client.create_run(experiment, run_name=name, start_time=add.runs).info.run_id
        add.runs += 1
        tags = [RunTag("mlflow.parentRunId", parent)] if parent else []
        tags += [RunTag("seed", str(params["seed"]))] if "seed" in params else []
        steps = steps or range(0, 100 * len(values), 100)
        metrics = [Metric(RATE, v, 1000 + i, s) for i, (s, v) in enumerate(zip(steps, values, strict=True))]
        for i in range(0, len(metrics), 1000):
            client.log_batch(run_id, metrics=metrics[i : i + 1000])
        params = [Param(key.replace("__", "."), str(value)) for key, value in params.items()]
        client.log_batch(run_id, params=params, tags=tags)
        client.set_terminated(run_id)
        return run_id

    add.runs, add.experiment = 0, experiment
    return tmp_path.name, add


def labels(comparison):
    return {group.label: len(group.curves) for group in comparison.groups}


def test_runs_are_grouped_by_what_differs_but_for_the_seed(client, study):
    """And nothing that only says where a run went; what an evaluation nests in a run is none of its own."""
    name, add = study
    for seed in (0, 1):
        for height in (5, 6):
            parent = add([0.1, 0.5], env__height=height, seed=seed, folder=f"{seed}{height}", tracking__uri=str(seed))
    add([0.9], parent=parent)
    found = compare(client, CompareSpec(name))
    assert found.keys == ["env.height"] and labels(found) == {"height=5": 2, "height=6": 2} and len(found.runs) == 4


def test_the_jobs_of_a_sweep_are_runs_and_the_run_above_them_is_none(client, study):
    name, add = study
    parent = add([0.9])
    for seed in (0, 1):
        add([0.5], parent=parent, seed=seed)
    assert labels(compare(client, CompareSpec(name))) == {RATE: 2}


def test_policies_with_other_params_are_told_apart_by_their_class_alone(client, study):
    name, add = study
    for seed in (0, 1):
        add([0.5], policy___target_="drc_lab.models.drc.DRCPolicy", policy__num_layers=3, seed=seed)
        add([0.5], policy___target_="drc_lab.models.mlp.MLPPolicy", policy__activation="tanh", seed=seed)
    assert labels(compare(client, CompareSpec(name))) == {"DRCPolicy": 2, "MLPPolicy": 2}


def test_a_named_param_pools_what_else_differs_but_no_two_runs_of_one_seed(client, study):
    """The run that got further counts."""
    name, add = study
    short, other = add([0.1, 0.2], env__height=5, algo__lr=1, seed=0), add([0.3], env__height=5, algo__lr=1, seed=1)
    long = add([0.1, 0.2, 0.3], env__height=5, algo__lr=2, seed=0)
    add(env__height=5, algo__lr=1, seed=2)  # without a point
    found = compare(client, CompareSpec(name, group="env.height"))
    assert labels(found) == {"height=5": 2}
    assert {run.run.info.run_id for run in found.runs if run.counted} == {long, other} and short != long
    assert labels(compare(client, CompareSpec(name))) == {"lr=1": 2, "lr=2": 1}


def test_alike_runs_are_one_group_named_after_the_metric(client, study):
    name, add = study
    add([0.1], seed=0), add([0.2], seed=1)
    assert labels(compare(client, CompareSpec(name))) == {RATE: 2}


def test_a_filter_chooses_runs(client, study):
    name, add = study
    add([0.1], env__height=5, seed=0), add([0.2], env__height=6, seed=0)
    assert len(compare(client, CompareSpec(name, filter="params.`env.height` = '6'")).runs) == 1
    with pytest.raises(UserError, match="no runs that match"):
        compare(client, CompareSpec(name, filter="params.`env.height` = '7'"))
    with pytest.raises(ConfigError, match="filter: found 'height='"):
        compare(client, CompareSpec(name, filter="height="))


def test_mistakes_name_what_there_is(client, study):
    name, add = study
    with pytest.raises(UserError, match=f"no runs yet in {name}"):
        compare(client, CompareSpec(name))
    add([0.1], env__height=5, seed=0), add([0.1], env__height=6, seed=1)
    for spec, key, allowed in (
        (CompareSpec(), "study", name),
        (CompareSpec([name, "nowhere"]), "study", name),
        (CompareSpec(name, metric="valid/solved"), "metric", RATE),
        (CompareSpec(name, group="height"), "group", "env.height"),
    ):
        with pytest.raises(ConfigError) as error:
            compare(client, spec)
        assert error.value.key == key and allowed in error.value.allowed
    with pytest.raises(ConfigError, match="confidence"):
        CompareSpec(name, confidence=1.0)


def test_points_written_twice_count_once_and_nan_not_at_all(client, study):
    _, add = study
    run_id = add([0.1, 0.2, float("nan"), 0.3, 0.4], steps=[0, 100, 150, 100, 200], seed=0)
    frames, values = curve(client, run_id, RATE)
    assert frames.tolist() == [0, 100, 200] and values.tolist() == [0.1, 0.3, 0.4]


def test_a_search_is_read_to_its_last_page(client, study):
    _, add = study
    ids = [add([0.1], seed=seed) for seed in range(5)]
    found = pages(partial(client.search_runs, max_results=2), [add.experiment])
    assert {run.info.run_id for run in found} == set(ids) and len(found) == 5


def test_a_store_that_is_not_there_is_not_made(tmp_path):
    with pytest.raises(UserError, match="found no runs"):
        open_store(f"sqlite:///{tmp_path}/none.db")
    assert not list(tmp_path.iterdir())
