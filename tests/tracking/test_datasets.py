"""Levels as datasets: the same levels have the same digest, others another one."""

import json

import pytest
from composed import compose

from drc_lab.config import make_env, make_held_out_env
from drc_lab.tracking.datasets import log_levels
from drc_lab.tracking.run import tracked_run
from drc_lab.tracking.spec import TrackingSpec

SMALL = ["env.height=4", "env.width=4"]


def described(*overrides, split=None, use="train", num_levels=20, level_seed=0):
    """What is recorded of an env's levels; of held-out ones with a split."""

    class Recorder:
        def log_dataset(self, dataset):
            self.dataset = dataset

    config, recorder = compose(*overrides), Recorder()
    if split is None:
        env = make_env(config.env, num_envs=1)
    else:
        env = make_held_out_env(config.env, split, num_levels, level_seed)
    log_levels(recorder, use, env, dict(config.env) | ({} if split is None else {"split": split}))
    return recorder.dataset


def digest(*overrides, **more):
    return described(*overrides, **more)["digest"]


def test_generated_levels_are_known_by_what_shapes_them_and_by_nothing_else():
    same = digest(*SMALL)
    for other in ("env.max_steps=7", "env.observation=symbolic", "env.goal_reward=2", "env.step_penalty=0.5"):
        assert digest(*SMALL, other) == same, other
    for other in ("env.wall_density=0.3", "env.max_optimal=3", "env.augment=true"):
        assert digest(*SMALL, other) != same, other


def test_held_out_levels_are_known_by_what_they_are():
    """Whatever the training levels are like."""
    same = digest(*SMALL, split="valid")
    assert digest(*SMALL, "env.augment=true", split="valid") == same
    for other in ({"split": "test"}, {"split": "valid", "level_seed": 1}, {"split": "valid", "num_levels": 19}):
        assert digest(*SMALL, **other) != same, other


def test_a_dataset_says_how_many_levels_and_how_hard(tmp_path):
    held_out = described(*SMALL, split="valid", use="valid")
    profile = json.loads(held_out["profile"])
    assert (held_out["name"], held_out["context"]) == ("drc_lab/RicochetRobots-v0 valid", "validation")
    assert profile["levels"] == profile["optimal"]["known"] == 20 and profile["observation"] == [8, 4, 4]
    assert 1 <= profile["optimal"]["min"] <= profile["optimal"]["mean"] <= profile["optimal"]["max"]
    assert json.loads(described(*SMALL)["profile"])["levels"] == "endless"


def test_levels_of_files_are_known_by_the_files(tmp_path):
    level = "######\n#@$ .#\n######\n"
    for folder, text in (("a", level), ("b", level), ("c", level + "\n" + level)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "one.txt").write_text(text)
    a, b, c = (described("env=sokoban", f"env.levels={tmp_path}/{folder}") for folder in "abc")
    assert a["digest"] == b["digest"] != c["digest"] and json.loads(c["profile"])["levels"] == 2


def test_levels_that_were_skipped_make_another_dataset_and_are_counted(tmp_path, capsys):
    """So does another alphabet. What was skipped is told once, however many envs deal from the file."""
    good, bad = "######\n#@$ .#\n######\n", "######\n#@$ @#\n######\n"
    (tmp_path / "one.xsb").write_text(f"{good}\n{bad}\n{good}")
    skip = ("env=sokoban", f"env.levels={tmp_path}/one.xsb", "env.invalid_levels=skip")
    some, same = described(*skip), described(*skip, split="valid", use="valid")
    profile = json.loads(some["profile"])
    assert (profile["levels"], profile["skipped"]) == (2, 1) and some["digest"] == same["digest"]
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "skipped 1 of 3 levels: " in told and "one.xsb:1, line 6: found 2 players" in told
    (tmp_path / "one.xsb").write_text(f"{bad}\n{good}\n{good}")
    other = digest(*skip)
    (tmp_path / "one.xsb").write_text(f"{good}\n{good}\n{good}")
    assert len({some["digest"], other, whole := digest(*skip)}) == 3 and whole == digest(*skip[:2])
    symbols = "env.symbols='$=. .=$'"
    assert digest(*skip, symbols) not in (whole, digest(*skip, "env.symbols='$=. .=$ X=#'"))


def test_levels_of_foreign_envs_are_known_by_env_and_seeds():
    pytest.importorskip("minigrid")
    one, same, larger = (
        described("env=gym", f"env.id=MiniGrid-Empty-{size}-v0", split="valid") for size in ("5x5", "5x5", "6x6")
    )
    assert one["digest"] == same["digest"] != larger["digest"]
    assert digest("env=gym", split="valid", level_seed=1) != one["digest"]


def test_a_run_has_each_dataset_once_however_often_it_goes_on(client, tmp_path):
    spec = TrackingSpec(client.tracking_uri, str(tmp_path / "artifacts"))
    for resume in (False, True):
        with tracked_run(spec, tmp_path, tmp_path.name, None, {}, resume) as run:
            run.log_dataset(described(*SMALL))
            run.log_dataset(described(*SMALL, split="valid", use="valid"))
    inputs = client.get_run(run.run_id).inputs.dataset_inputs
    assert sorted(one.tags[0].value for one in inputs) == ["training", "validation"]
