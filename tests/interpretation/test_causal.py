"""Steering, ablation and patching on policies of which it is known what they do."""

from itertools import product

import numpy as np
import pytest
import torch
from torch import nn

from drc_lab.envs.sokoban import SokobanVectorEnv
from drc_lab.errors import ConfigError
from drc_lab.evaluation.evaluator import evaluate
from drc_lab.interpretation.ablation import METHODS, ablation, without
from drc_lab.interpretation.alternatives import alternatives, possible_moves
from drc_lab.interpretation.hooks import hooks
from drc_lab.interpretation.patching import changed_boards, patching
from drc_lab.interpretation.probes import Probe
from drc_lab.interpretation.steering import BOTH, EVERY_TICK, ONCE, ONE, Moves, steered, steering
from drc_lab.learning.checkpoints import load_policy
from drc_lab.models.policy import Policy, PolicyValue

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


def make_env(num_envs=60, **settings):
    return SokobanVectorEnv(
        num_envs=num_envs, height=7, width=7, num_boxes=1, max_steps=8, max_optimal=8, observation="planes",
        crop_border=True, autoreset=False, split="test", num_levels=num_envs, **settings,
    )  # fmt: skip


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


def test_alternatives_are_moves_that_can_be_made_and_are_not(policy, env):
    moves = alternatives(policy, env, "agent_approach_direction", (5, 5))
    assert 30 < len(moves) <= 60
    own = policy(moves.obs)[0].policy_logits.argmax(-1).numpy()
    assert (own != moves.action).all() and (moves.kind == moves.action + 1).all()
    planes = moves.obs.numpy().reshape(len(moves), 7, 25)
    rows = np.arange(len(moves))
    assert (planes[rows, 1, moves.cell] + planes[rows, 2, moves.cell] == 255).all()  # floor or target
    player = planes[:, 5:].sum(1).argmax(1)
    assert (moves.cell - player == np.array([-5, 5, -1, 1])[moves.action]).all()
    free = moves.own_cell >= 0  # where it goes itself, if it can
    assert free.any() and (moves.own_cell - player == np.array([-5, 5, -1, 1])[own])[free].all()


def test_a_probes_vector_moves_it_and_a_random_one_does_not(policy, env):
    moves = alternatives(policy, env, "agent_approach_direction", (5, 5))
    finding = steering(policy, moves, {0: reads_direction()}, [0.01, 30.0], "direction")
    table = finding.table.assign(alpha=finding.table["alpha"].round(2)).set_index(["cells", "when", "alpha"])
    for cells, when in product((ONE, BOTH), (ONCE, EVERY_TICK)):
        assert table.loc[(cells, when, 30.0), "steered"] == 1 and table.loc[(cells, when, 30.0), "clear"] == "yes"
        assert table.loc[(cells, when, 30.0), "random"] < 0.5 and table.loc[(cells, when, 0.01), "steered"] < 0.2
    assert table.loc[(ONE, EVERY_TICK, 0.01), "clear"] == ""


def test_only_the_cell_of_the_move_is_written_to(policy, env):
    moves = alternatives(policy, env, "agent_approach_direction", (5, 5))
    written = []
    for vectors in (np.zeros((len(moves), C), np.float32), np.ones((len(moves), C), np.float32)):
        policy.tapped = lambda what, c, layer=None: written.append(Policy.tapped(policy, what, c, layer)) or written[-1]
        steered(policy, moves, vectors, 0, ONCE)
        del policy.tapped
    first = [each for each in written if each.shape == (len(moves), C, 5, 5)]
    changed = (first[2] - first[0]).flatten(2).abs().sum(1)  # (N, P), of the first tick
    assert (changed.argmax(1).numpy() == moves.cell).all() and ((changed > 0).sum(1) == 1).all()


def test_the_policys_own_move_is_written_out_of_its_cell():
    policy, env = Planted().eval(), make_env()
    moves = alternatives(policy, env, "agent_approach_direction", (5, 5))
    seen = []
    tapped = policy.tapped
    policy.tapped = lambda what, c, layer=None: seen.append(tapped(what, c, layer)) or seen[-1]
    none, ones = np.zeros((len(moves), C), np.float32), np.ones(C, np.float32)
    for against in (None, ones):
        steered(policy, moves, none, 0, ONCE, against=against)
    first = [each for each in seen if len(each) == len(moves) and each.ndim == 4]
    changed = (first[2] - first[0]).flatten(2).abs().sum(1) > 0  # (N, P), of the first tick
    expected = torch.zeros_like(changed)
    has = np.flatnonzero(moves.own_cell >= 0)
    expected[has, moves.own_cell[has]] = True
    assert torch.equal(changed, expected)


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


def test_moves_know_how_many_they_are():
    assert len(Moves(torch.zeros(3, 1), *(np.zeros(3) for _ in range(4)))) == 3
