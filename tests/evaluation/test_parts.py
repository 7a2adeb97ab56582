"""What is kept of a sweep is taken only for the same policy, env, settings and measures, and the same code of these."""

import importlib
import sys

import gymnasium as gym
import pytest
from counting import Counting

import drc_lab  # noqa: F401 - registers the envs
from drc_lab.evaluation.kinds.first_passes import FirstPasses
from drc_lab.evaluation.measures.shipped import OptimalMoves, Thinks
from drc_lab.evaluation.play.identity import identity
from drc_lab.evaluation.play.sweep import sweep

MODULE = """
from dataclasses import dataclass

from drc_lab.evaluation.kinds.kind import Kind
from drc_lab.evaluation.measures.measure import Measure
from drc_lab.evaluation.play.thinking import Thinking
from drc_lab.evaluation.watchers.sizes import Sizes


@dataclass(frozen=True)
class Late(Kind):
    amounts: list[int]
    step: int = 1

    def thinking(self, amount, baseline):
        return Thinking(passes=amount, at=self.step)


@dataclass(frozen=True)
class Watching(Measure):
    limit: int = 3

    def watchers(self, setting, env):
        return [Sizes(env)]
"""


def v1(**more):
    return gym.make_vec(
        "drc_lab/RicochetRobots-v0",
        num_envs=4,
        layout="v1",
        order="sequential",
        autoreset=False,
        **{"max_steps": 3} | more,
    )


@pytest.fixture
def outside(tmp_path, monkeypatch):
    """Writes and imports the module anew, with something replaced."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def write(old="", new=""):
        (tmp_path / "outside_kinds.py").write_text(MODULE.replace(old, new) if old else MODULE)
        sys.modules.pop("outside_kinds", None)
        importlib.invalidate_caches()
        return importlib.import_module("outside_kinds")

    yield write
    sys.modules.pop("outside_kinds", None)


def plays(folder, kind=None, measures=(), env=None, enough=7, seed=0):
    """Whether a sweep in the folder plays anything."""
    policy = Counting(enough)
    settings = (kind or FirstPasses([1])).settings(policy, set())
    sweep(policy, env or v1(), settings, 4, seed, folder, measures=measures)
    return bool(policy.seen)


def test_the_same_is_not_played_again_and_anything_else_is(tmp_path):
    assert plays(tmp_path) and not plays(tmp_path)
    for other in (
        {"enough": 1},
        {"seed": 1},
        {"env": v1(max_steps=2)},
        {"env": v1(step_penalty=0.5)},
        {"measures": [OptimalMoves(2, 1000)]},
    ):
        assert plays(tmp_path, **other) and not plays(tmp_path, **other), other
    assert plays(tmp_path)


def test_settings_and_source_of_a_kind_and_of_a_measure_from_outside_are_part_of_it(tmp_path, outside):
    module = outside()
    kind, measure = module.Late([2]), module.Watching()
    assert plays(tmp_path, kind, [measure]) and not plays(tmp_path, kind, [measure])
    assert plays(tmp_path, module.Late([2], step=2), [measure])
    assert plays(tmp_path, kind, [measure]) and plays(tmp_path, kind, [module.Watching(limit=4)])
    assert plays(tmp_path, kind, [measure])
    module = outside("passes=amount", "passes=2 * amount")
    assert plays(tmp_path, module.Late([2]), [module.Watching()])


def test_a_measure_that_does_not_watch_makes_nothing_play_again(tmp_path):
    assert plays(tmp_path) and not plays(tmp_path, measures=[Thinks()])  # there is no action that thinks


def test_what_cannot_be_described_equals_nothing(tmp_path):
    assert identity(lambda: 0) != identity(lambda: 0)
    typed = type("Typed", (FirstPasses,), {"__module__": "nowhere"})
    assert identity(typed([1])) != identity(typed([1])) and identity(FirstPasses([1])) == identity(FirstPasses([1]))
