"""What no machine has the memory or the time for is refused in a line before it is begun, or said to take long."""

import numpy as np
import psutil
import pytest
import torch
from commands import run_here

from drc_lab.envs import streams
from drc_lab.envs.ricochet import RicochetVectorEnv
from drc_lab.envs.ricochet.generate import BoardGenerator
from drc_lab.envs.ricochet.identity import identities
from drc_lab.envs.streams import draw_distinct
from drc_lab.errors import ConfigError, note
from drc_lab.learning.memory import check_rollouts
from drc_lab.learning.rollout_spec import RolloutSpec
from drc_lab.models.drc import DRCPolicy

HUGE = 10**12


@pytest.mark.parametrize(
    ("words", "key"),
    [
        (["evaluation.num_levels=1000000000"], "evaluation.num_levels"),
        (["task=play", f"evaluation.num_levels={HUGE}"], "evaluation.num_levels"),
        ([f"+env.num_levels={HUGE}"], "env.num_levels"),
        (["env=sokoban", f"evaluation.num_levels={HUGE}"], "evaluation.num_levels"),
        ([f"algo.rollouts.num_envs={HUGE}"], "algo.rollouts.num_envs"),
        ([f"algo.rollouts.num_steps={HUGE}"], "algo.rollouts.num_steps"),
        (["algo.rollouts.min_repeats=1", f"algo.rollouts.max_repeats={HUGE}"], "algo.rollouts.max_repeats"),
        (["policy.hidden_channels=1000000"], "policy (number of weights)"),
        (["policy=mlp", "policy.hidden_sizes=[100000000,100000000]"], "policy (number of weights)"),
        (["task=env_speed", f"speed.num_envs={HUGE}"], "speed.num_envs"),
    ],
)
def test_it_is_refused_with_the_most_that_fits(tmp_path, monkeypatch, capsys, words, key):
    monkeypatch.chdir(tmp_path)
    code, _, errors = run_here(monkeypatch, capsys, *words)
    assert code == 2
    assert errors.startswith(f"drc_lab: {key}: found ")
    assert "allowed: up to " in errors
    assert "GiB are free" in errors
    assert errors.count("\n") == 1
    assert not list(tmp_path.rglob("*"))


def test_a_long_drawing_of_levels_says_how_long(monkeypatch, capsys):
    monkeypatch.setattr(streams, "LONG", -1.0)
    note.cache_clear()
    drawn = draw_distinct(BoardGenerator(5, 5, 2), 3000, 0, identities)
    assert len(drawn) == 3000
    assert "drawing 3,000 distinct levels takes about 0:00:0" in capsys.readouterr().err


def test_what_is_counted_for_a_tick_is_what_the_backward_pass_keeps():
    """Bytes that one more tick of every step makes the graph hold, measured by the allocator of this process."""
    policy = DRCPolicy((8, 10, 10), 4, hidden_channels=32, num_layers=2, proj_dim=8)
    obs, B, T = torch.zeros(4, 16, 8, 10, 10), 16, 4

    def kept(ticks):
        before = psutil.Process().memory_info().rss
        out, _ = policy.unroll(obs, policy.init_state(B), torch.zeros(T, B, dtype=torch.bool), ticks)
        return psutil.Process().memory_info().rss - before, out

    kept(1)
    few, many = kept(4)[0], kept(44)[0]
    measured = (many - few) / 40 / T / B
    assert policy.bytes_of_a_tick() == pytest.approx(measured, rel=0.3)


def test_rollouts_are_counted_with_all_their_steps_and_the_envs_of_one_machine():
    env = RicochetVectorEnv()
    policy = DRCPolicy(env.single_observation_space.shape, 8, hidden_channels=8, num_layers=1, proj_dim=8)
    of_an_env = 10 * (200 + 3 * policy.bytes_of_a_tick())
    most = int(psutil.virtual_memory().available / 2 / of_an_env)

    def check(envs, **more):
        check_rollouts(RolloutSpec(num_envs=envs, num_steps=10), env, policy, **more)

    check(int(0.9 * most))
    check(int(1.8 * most), machines=2)
    check(int(1.1 * most), kept=False)
    with pytest.raises(ConfigError, match="num_envs"):
        check(int(1.1 * most))


def test_distinct_levels_stay_distinct_in_any_number():
    ids = identities(draw_distinct(BoardGenerator(5, 5, 2), 2500, 1, identities))
    assert len(np.unique(ids)) == 2500
