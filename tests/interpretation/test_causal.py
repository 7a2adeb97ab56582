"""Steering, ablation and patching on policies of which it is known what they do."""

from itertools import product

import numpy as np
import pytest
import torch
from small_sokoban import make_env
from torch import nn

from drc_lab.envs.ricochet import RicochetVectorEnv
from drc_lab.errors import ConfigError
from drc_lab.evaluation.play.evaluator import evaluate
from drc_lab.interpretation.causal.ablation import METHODS, ablation, without
from drc_lab.interpretation.causal.alternatives import possible_moves, routes_of, symmetries_of, turn
from drc_lab.interpretation.causal.patching import changed_boards, patching
from drc_lab.interpretation.causal.steering import BOTH, EVERY_TICK, ONCE, ONE, followed, steering
from drc_lab.interpretation.hooks import hooks
from drc_lab.interpretation.probes.linear import Probe
from drc_lab.learning.checkpoints import load_policy
from drc_lab.models.policy import Policy, PolicyValue
from drc_lab.models.random import RandomPolicy

C = 16


class Planted(Policy):
    """Moves by what its cell state [B, C, H, W] says: the direction d with the largest span in channel d. Each tick
    adds to these four channels what it likes where the player stands; all others are noise that nothing reads."""

    def __init__(self, ticks=2):
        super().__init__()
        self.obs_shape, self.repeats_per_step = (7, 5, 5), ticks
        self.unused = nn.Parameter(torch.zeros(1))
        self.taste = torch.randn(4, 5, 5, generator=torch.Generator().manual_seed(0))

    def init_state(self, batch, H=None, W=None, device=None, dtype=None):
        return torch.zeros(batch, C, 5, 5)

    def unroll(self, obs, state, resets, repeats=None):
        assert len(obs) == 1
        seen, c = obs[0].float() / 255, state
        for tick in range(self.repeats_of(repeats, 1)[0]):
            if self.taps is not None:
                self.taps.tick = tick
            liked = 0.5 * self.taste * seen[:, 5:7].sum(1, keepdim=True)  # (B, 4, H, W)
            noise = torch.sin(37 * (seen * torch.arange(25.0).view(5, 5)).sum((1, 2, 3)))[:, None, None, None]
            c = torch.cat([c[:, :4] + liked, noise.expand(-1, C - 4, 5, 5)], dim=1)
            c = self.tapped("c", c, 0)
        logits = self.tapped("logits", c[:, :4].amax((-1, -2)) - c[:, :4].amin((-1, -2)))  # (B, 4)
        return PolicyValue(logits[None], logits.mean(-1, keepdim=True)[None]), c


@pytest.fixture(scope="module")
def env():
    return make_env()


@pytest.fixture
def policy():
    return Planted().eval()


def reads_direction():
    """The probe that says what is planted: class d + 1 is channel d."""
    weight = np.zeros((5, C), np.float32)
    weight[1:, :4] = np.eye(4)
    return Probe(weight, np.zeros(5, np.float32))


APPROACH, BOARD = "agent_approach_direction", (5, 5)
STRIDES = np.array([-5, 5, -1, 1])


def begun(env, symmetry=0):
    """The env on its first levels, turned."""
    env.reset(seed=0)
    turn(env.batch, symmetry)
    return env


@pytest.mark.parametrize("symmetry", [0, 3, 6])
def test_routes_are_moves_that_can_be_made_one_after_the_other_and_are_not(policy, env, symmetry):
    routes = routes_of(policy, begun(env, symmetry), APPROACH, BOARD, length=3)
    obs, there = env.batch.observation.copy(), routes.there
    assert 30 < there.sum() <= 60 and (routes.action[~there] == -1).all()
    own = policy(torch.from_numpy(obs))[0].policy_logits.argmax(-1).numpy()
    assert (own != routes.action[:, 0])[there].all() and (routes.kind == routes.action + 1)[there].all()
    planes = obs.reshape(len(obs), 7, 25)
    player = planes[:, 5:].sum(1).argmax(1)
    free = routes.own_cell >= 0  # where it goes itself, if it can
    assert free.any() and (routes.own_cell - player == STRIDES[own])[free].all()
    for board in np.flatnonzero(there):
        way = [player[board], *routes.cell[board]]
        assert len(set(way)) == 4  # comes to no cell again
        assert (np.diff(way) == STRIDES[routes.action[board]]).all()
        assert (planes[board, 1, way[1:]] + planes[board, 2, way[1:]] == 255).all()  # floor or target
    assert (env.batch.observation == obs).all()  # nothing has moved


def test_turned_boards_are_the_same_levels(env):
    """As pictures of planes, under each symmetry another one."""
    plain, found = begun(env).batch.observation.copy(), []
    for symmetry in symmetries_of(5, 5):
        found.append(begun(env, symmetry).batch.observation.copy())
        back = [np.rot90(each, k, (2, 3)) for each in (found[-1], found[-1][:, :, ::-1]) for k in range(4)]
        assert sum(np.array_equal(each, plain) for each in back) == 1
    assert len({each.tobytes() for each in found}) == 8
    assert list(symmetries_of(5, 6)) == [0, 1, 2, 3]  # that keep it lying


def test_a_robots_routes_leave_each_cell_once(policy):
    env = RicochetVectorEnv(
        num_envs=20,
        height=5,
        width=5,
        num_robots=2,
        max_steps=8,
        max_optimal=4,
        autoreset=False,
        split="test",
        num_levels=20,
    )
    begun(env, 5)
    policy = RandomPolicy(env.single_observation_space.shape, 8).eval()
    routes = routes_of(policy, env, "departure_direction_B", BOARD, length=2)
    assert routes.there.sum() > 10
    for board in np.flatnonzero(routes.there):
        robot = env.batch.robots[board, 1]
        assert routes.cell[board, 0] == robot and routes.cell[board, 1] != robot
        assert (routes.action[board] // 4 == 1).all() and (routes.action[board] % 4 + 1 == routes.kind[board]).all()


@pytest.mark.slow
def test_a_probes_vector_moves_it_along_and_a_random_one_does_not(policy, env):
    turned = {
        length: [routes_of(policy, begun(env, symmetry), APPROACH, BOARD, length) for symmetry in (0, 4)]
        for length in (1, 3)
    }
    finding = steering(policy, env, turned, {0: reads_direction()}, [0.01, 30.0], "direction")
    table = finding.table.assign(alpha=finding.table["alpha"].round(2)).set_index(["moves", "cells", "when", "alpha"])
    assert len(table) == 8 + 4
    for cells, when in product((ONE, BOTH), (ONCE, EVERY_TICK)):
        strong, weak = (table.loc[(1, cells, when, alpha)] for alpha in (30.0, 0.01))
        assert strong["steered"] == strong["part"] == 1 and strong["clear"] == "yes"
        assert strong["random"] < 0.5 and weak["steered"] < 0.2
    assert table.loc[(1, ONE, EVERY_TICK, 0.01), "clear"] == ""


def test_moves_count_until_it_makes_another(policy, env):
    """Told the first move alone, and then the other way."""
    policy = Follows(env).eval()
    routes = routes_of(policy, begun(env), APPROACH, BOARD, length=3)
    for right, moves in enumerate(([1, 0, 0], [1, 1, 0], [1, 1, 1]), 1):
        policy.way = np.where(np.array(moves) == 1, routes.action, (routes.action + 1) % 4)
        policy.step = 0
        made = followed(policy, env, routes, np.zeros((60, 3, C), np.float32), 0)
        assert (made[routes.there] == right).all() and (made[~routes.there] == 0).all()


def written(policy, run):
    """What all hooks add to the cell state in the first tick of each run of a policy."""
    added, tapped = [], policy.tapped

    def tap(what, value, layer=None):
        new = tapped(what, value, layer)
        if what == "c" and len(value) > 1:  # not where it is asked what it names
            added.append(new - value)
        return new

    policy.tapped = tap
    run()
    del policy.tapped
    return added[:: policy.repeats_per_step]


def test_the_cells_of_the_moves_that_are_left_are_written_to_and_no_others(env):
    """At the first step those of both moves, at the second that of the last; and the cell of its own first move."""
    policy = Follows(env).eval()
    routes = routes_of(policy, begun(env), APPROACH, BOARD, length=2)
    policy.way = routes.action
    ones, rows = np.ones((60, 2, C), np.float32), np.flatnonzero(routes.there)
    for against in (None, np.ones(C, np.float32)):
        added = written(policy, lambda a=against: followed(policy, env, routes, ones, 0, ONCE, against=a))
        for step in range(2):
            expected = np.zeros((60, 25), bool)
            for k in range(step, 2):
                expected[rows, routes.cell[rows, k]] = True
            if against is not None:
                own = rows[routes.own_cell[rows] >= 0]
                expected[own, routes.own_cell[own]] = True
            assert (added[step].flatten(2).abs().sum(1).numpy() > 0)[rows].tolist() == expected[rows].tolist()


class Follows(Planted):
    """Makes the moves that it is told, whatever it sees; None: the one that it likes."""

    def __init__(self, env):
        super().__init__()
        self.way, self.step = None, 0

    def unroll(self, obs, state, resets, repeats=None):
        out, c = super().unroll(obs, state, resets, repeats)
        if self.way is None or obs.shape[1] != len(self.way):
            return out, c
        told = torch.from_numpy(self.way[:, self.step % self.way.shape[1]]).clamp(min=0)
        self.step += 1
        return PolicyValue(nn.functional.one_hot(told, 4)[None].float(), out.value), c


def test_patching_finds_where_the_difference_is_carried():
    """What it takes from the observation is in the cell state of both ticks; noise channels hold nothing of it."""
    torch.manual_seed(3)
    policy = Planted().eval()
    rng = np.random.default_rng(0)
    a, b = torch.zeros(2, 40, 7, 5, 5, dtype=torch.uint8)
    for boards in (a, b):
        for board in boards:
            board[5].view(-1)[rng.integers(25)] = 255
    finding = patching(policy, a, b, ["0.0.c", "0.1.c", "logits"])
    restored = finding.table.set_index("place")["restored"]
    assert restored["0.1.c"] == pytest.approx(1, abs=1e-4) and restored["logits"] == pytest.approx(1, abs=1e-4)
    assert 0.05 < restored["0.0.c"] < 0.95  # the second tick looks at the observation again


def test_taking_out_what_it_acts_by_changes_what_it_does_and_noise_does_not(policy, env):
    """Without its four channels it always goes up; without any of the others it plays as before."""
    means = np.zeros((C, 5, 5), np.float32)
    played = {}
    for name, channels in {"all": [], "read": range(4), "noise": range(4, C)}.items():
        for method in METHODS:
            actions: list[torch.Tensor] = []
            hook = without(list(channels), method, means, torch.Generator().manual_seed(0))

            def choose(logits, envs, actions=actions):
                actions.append(logits.argmax(-1))
                return actions[-1]

            with hooks(policy, {"0.*.c": hook}):
                evaluate(policy, env, chunk=env.num_envs, choose=choose)
            played[name, method] = torch.cat(actions)
    for method in METHODS:
        assert torch.equal(played["noise", method], played["all", method])
    assert (played["read", "zero"] == 0).all() and (played["read", "mean"] == 0).all()
    shorter = min(len(played["read", "resample"]), len(played["all", "resample"]))
    assert not torch.equal(played["read", "resample"][:shorter], played["all", "resample"][:shorter])


def test_resampled_channels_are_those_of_another_episode():
    """Of each board in a batch, also of a small one; of one alone the mean stands in."""
    hook = without([0, 1], "resample", np.full((2, 3, 3), 7, np.float32), torch.Generator().manual_seed(0))
    for boards in (2, 3, 5):
        value = torch.arange(float(boards)).view(-1, 1, 1, 1).expand(-1, 2, 3, 3)
        for _ in range(20):
            new = hook(value, None)
            assert (new != value).all() and sorted(new[:, 0, 0, 0].tolist()) == list(range(boards))
    assert (hook(torch.zeros(1, 2, 3, 3), None) == 7).all()


def test_an_ablation_says_how_many_levels_are_lost(env):
    """An agent that ships, without all of its channels and without two of them."""
    policy, _ = load_policy("agents:/sokoban-one-box")
    table = ablation(
        policy, env, {0: list(range(16))}, {0: np.zeros((16, 5, 5), np.float32)}, [2, 16], ["zero"], draws=2
    ).table
    table = table.set_index("channels")
    assert table.loc[16, "solve_rate"] < 0.5 and table.loc[16, "high"] < -0.2
    assert table.loc[16, "random"] == table.loc[16, "solve_rate"] and table.loc[16, "p_holm"] == 1
    assert table.loc[2, "solve_rate"] > table.loc[16, "solve_rate"]


def test_changed_levels_differ_in_the_goal_alone(env):
    clean, changed = changed_boards(env)
    differ = (clean != changed).any(1).reshape(len(clean), -1).sum(1)
    assert (differ[differ > 0] == 2).all() and (differ > 0).mean() > 0.9
    assert (clean[:, 5:] == changed[:, 5:]).all() and (clean[:, 0] == changed[:, 0]).all()


def test_labels_that_stand_for_no_move_get_one_line(env):
    with pytest.raises(ConfigError, match=r"steer\.label: found 'next_box', allowed: agent_approach_direction"):
        possible_moves(env.batch, "next_box")
