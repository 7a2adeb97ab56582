"""A run without a name is called by what differs from the defaults."""

import math

import pytest

from drc_lab.tracking.naming import LENGTH, run_name, setting_names

GROUPS = ("env", "policy", "algo", "tracking", "trainer")


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        (["policy=transformer", "env.height=6", "seed=1"], "transformer height=6 seed=1"),
        ([], "thinking_sweep seed=1"),
        (["seed=1"], "thinking_sweep seed=1"),
        (["+experiment=boxoban", "root=/elsewhere", "tracking.uri=http://box:5000", "threads=1"], "boxoban seed=1"),
        (["algo.optimizer.lr=0.000123456", "env.max_steps=[30, 120]"], "lr=0.0001235 max_steps=[30,120]"),
        (["env.height=6", "env.height=7"], "height=7"),
        (["env.id=CartPole-v1", "policy=mlp", "env=gym"], "CartPole-v1 mlp"),
        (["~env.curriculum", "env.augment=true", "env.bank=null"], "curriculum=null augment=true bank=null"),
        (["env.height=6", "policy.height=3"], "env.height=6 policy.height=3"),
        (["env.noop=true", "+evaluation.env.noop=false"], "env.noop=true evaluation.env.noop=false"),
        (["policy._target_=mine.TinyNet", "algo.loss._target_=mine.Loss", "+policy.width=8"], "TinyNet Loss width=8"),
        (["trainer.accelerator=gpu", "trainer.precision=bf16-mixed"], "precision=bf16-mixed"),
        (["policy=drc,transformer", "algo.optimizer.lr=1e-3, 1e-4"], "drc,transformer lr=1e-3,1e-4"),  # a sweep
        (["seed=range(0,11)"], "thinking_sweep seed=range(0,11)"),
    ],
)
def test_a_name_says_what_was_overridden(overrides, name):
    study = "boxoban" if "+experiment=boxoban" in overrides else "thinking_sweep"
    assert run_name(overrides, GROUPS, study, 1) == name


def test_names_stay_short_and_keep_what_comes_last():
    many = [f"env.key{i}={'x' * 80}" for i in range(40)]
    name = run_name([*many, "seed=7"], GROUPS, "train", 7)
    assert len(name) <= LENGTH and name.startswith("… key38=xxx") and name.endswith("x… seed=7")
    assert len(run_name(many[:1], GROUPS, "train", 0)) < 40


def test_names_of_settings_sort_as_the_amounts_do():
    amounts = [0, 1e-05, 0.5, 2, 2.5, 3, 10, 128, math.inf]
    names = setting_names([*(("passes_at_3", amount) for amount in amounts), ("random", math.nan), ("noops", 8)])
    assert names[:-2] == sorted(names[:-2]) and names[-2:] == ["random", "noops=008"]
    assert [name.split("=")[1] for name in names[:5]] == ["000", "000.00001", "000.5", "002", "002.5"]
    assert names[7:9] == ["passes_at_3=128", "passes_at_3=inf"]
    assert setting_names([("noops", 0), ("noops", 8)]) == ["noops=0", "noops=8"]
