"""Learning from the exact solver: the loss by hand, and labels that are those of the boards in every rollout."""

from itertools import islice
from math import exp, log

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch.utils._pytree import tree_leaves, tree_map

import drc_lab  # noqa: F401 - registers the envs
from drc_lab.envs.judge import Judge
from drc_lab.envs.vector import game_of
from drc_lab.errors import ConfigError
from drc_lab.learning.losses import A2CLoss, ImitationLoss, Transitions
from drc_lab.learning.losses.check import check_loss
from drc_lab.learning.rollouts import RolloutSpec, RolloutStream
from drc_lab.models.drc import DRCPolicy

T, B, A = 3, 2, 4


def batch_of(optimal, **more):
    """Zero rewards; optimal[t][b] names the optimal actions, every action taken is 1."""
    labels = torch.zeros(T, B, A, dtype=torch.bool)
    for t, row in enumerate(optimal):
        for b, actions in enumerate(row):
            labels[t, b, actions] = True
    fields = {"truncated": torch.zeros(T, B, dtype=torch.bool)} | more
    return Transitions(
        torch.ones(T, B, dtype=torch.int64),
        torch.zeros(T, B),
        torch.zeros(T, B, A),
        torch.zeros(T + 1, B, dtype=torch.bool),
        optimal_actions=labels,
        **fields,
    )


def outputs():
    torch.manual_seed(0)
    return torch.randn(T + 1, B, A).requires_grad_(), torch.randn(T + 1, B).requires_grad_()


def test_the_cross_entropy_by_hand():
    """Minus the log of all that the policy gives to the set, over the steps that have one."""
    logits, values = outputs()
    with torch.no_grad():
        logits[0, 0] = torch.tensor([1.0, 0.0, -1.0, 0.5])
        logits[2, 1] = torch.tensor([0.0, 0.0, 0.0, log(5)])
    batch = batch_of([[[1, 3], []], [[], []], [[], [2]]])
    _, parts = ImitationLoss()(logits, values, batch)
    share = (exp(0) + exp(0.5)) / (exp(1) + exp(0) + exp(-1) + exp(0.5))
    torch.testing.assert_close(parts["policy"], torch.tensor(-(log(share) + log(1 / 8)) / 2))
    assert parts["judged"] == pytest.approx(2 / 6) and parts["optimal"] == 0.5
    ImitationLoss(vf_coef=0.0)(logits, values, batch)[0].backward()
    probabilities = torch.softmax(logits.detach()[0, 0], -1)
    inside = torch.tensor([False, True, False, True])
    wanted = (probabilities - torch.where(inside, probabilities / share, 0)) / 2
    torch.testing.assert_close(logits.grad[0, 0], wanted)


def test_whether_to_think_is_not_taught():
    """The last of five actions is the think, which the labels do not know: neither its logit nor its being taken
    changes what the others learn."""
    logits, values = outputs()
    batch = batch_of([[[1, 3], [0]], [[], [2]], [[1], []]])
    plain, wanted = ImitationLoss(vf_coef=0.0)(logits, values, batch)
    plain.backward()
    more = torch.cat([logits.detach(), torch.randn(T + 1, B, 1)], -1).requires_grad_()
    thinks = batch._replace(behaviour_logits=torch.zeros(T, B, A + 1))
    loss, parts = ImitationLoss(vf_coef=0.0)(more, values, thinks)
    loss.backward()
    torch.testing.assert_close(parts["policy"], wanted["policy"])
    torch.testing.assert_close(more.grad[..., :A], logits.grad)
    torch.testing.assert_close(more.grad[..., A], torch.zeros(T + 1, B))
    taken = thinks._replace(actions=torch.full((T, B), A))
    assert ImitationLoss()(more, values, taken)[1]["optimal"] == 0


def test_a_set_of_all_actions_or_of_none_gives_no_gradient_and_a_step_without_verdict_exactly_none():
    logits, values = outputs()
    with torch.no_grad():
        logits[1, 0] = torch.tensor([100.0, -100.0, 0.0, 0.0])  # also where probabilities are 0
    batch = batch_of([[[1], []], [[], [2]], [[], [0, 1, 2, 3]]])
    with torch.autograd.set_detect_anomaly(True):  # no NaN on the way either
        ImitationLoss(vf_coef=0.0)(logits, values, batch)[0].backward()
    assert logits.grad[0, 1].abs().max() == logits.grad[1, 0].abs().max() == logits.grad[3].abs().max() == 0
    assert logits.grad[2, 1].abs().max() < 1e-6
    assert logits.grad[0, 0].abs().min() > 0 and logits.grad[1, 1].abs().min() > 0


def test_without_any_verdict_the_policy_learns_nothing_and_the_value_still_does():
    logits, values = outputs()
    loss, parts = ImitationLoss()(logits, values, batch_of([[[], []]] * T))
    loss.backward()
    assert parts["policy"] == parts["judged"] == parts["optimal"] == 0
    assert (logits.grad == 0).all() and values.grad[:-1].abs().min() > 0


def test_the_value_learns_as_with_a2c_and_a_truncated_step_keeps_its_verdict():
    truncated = torch.zeros(T, B, dtype=torch.bool)
    truncated[1, 0] = True
    batch = batch_of([[[0], []], [[0], [0]], [[0], [2]]], truncated=truncated)._replace(rewards=torch.rand(T, B))
    batch.resets[2, 0] = True
    found = []
    for loss in (ImitationLoss(), A2CLoss(ent_coef=0.0)):
        logits, values = outputs()
        total, parts = loss(logits, values, batch)
        total.backward()
        found.append((parts["value"], parts["explained_variance"], values.grad))
    torch.testing.assert_close(*found)
    logits, values = outputs()
    ImitationLoss()(logits, values, batch)[0].backward()
    assert values.grad[1, 0] == 0 and logits.grad[1, 0].abs().min() > 0


def test_passes_are_in_no_mean():
    logits, values = outputs()
    passes = torch.zeros(T, B, dtype=torch.bool)
    passes[0, 0] = passes[1, 1] = True
    batch = batch_of([[[], [1]], [[1], []], [[], [2]]], passes=passes)
    _, parts = ImitationLoss()(logits, values, batch)
    log_probs = torch.log_softmax(logits.detach(), -1)
    torch.testing.assert_close(parts["policy"], -(log_probs[0, 1, 1] + log_probs[1, 0, 1] + log_probs[2, 1, 2]) / 3)
    assert parts["judged"] == 0.75 and parts["optimal"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("max_positions", -1, "at least 0"),
        ("max_states", 0, "at least 1"),
        ("threads", 0, "at least 1"),
        ("normalize_advantages", True, "false, as the policy learns from no advantages"),
    ],
)
def test_settings_that_cannot_be(key, value, allowed):
    with pytest.raises(ConfigError, match=f"{key}: found {value}, allowed: {allowed}"):
        ImitationLoss(**{key: value})


def test_a_loss_of_the_users_own_that_asks_for_labels_has_to_say_who_judges():
    class Own(A2CLoss):
        uses_optimal_actions = True

    with pytest.raises(ConfigError, match=r"found 'mine.Own', allowed: a loss with a method judge, as it"):
        check_loss(Own(), "algo.loss._target_", "mine.Own")
    check_loss(ImitationLoss(), "algo.loss._target_", "ImitationLoss")


# --- labels in rollouts ---

CURRICULUM = {"stages": [{"max_optimal": 2}], "advance_at": 0.1, "window": 10}
ENVS = {
    "sokoban": (
        "drc_lab/Sokoban-v0",
        {"height": 6, "width": 6, "num_boxes": 1, "max_optimal": 6, "max_steps": 6, "curriculum": CURRICULUM},
    ),
    "ricochet": ("drc_lab/RicochetRobots-v0", {"max_steps": 4}),
}
NUM_ENVS = 8


def make(name, loss=None, **spec):
    spec = RolloutSpec(**({"num_envs": NUM_ENVS, "num_steps": 10, "frames": 2400} | spec))
    id, kwargs = ENVS[name]
    envs = [gym.make_vec(id, num_envs=size, copy=False, **kwargs) for size in spec.group_sizes(1, False)]
    torch.manual_seed(0)
    policy = DRCPolicy(envs[0].single_observation_space.shape, int(envs[0].single_action_space.n), 4, 1, 1, proj_dim=8)
    judges = [(loss or ImitationLoss()).judge(game_of(env)) for env in envs]
    return RolloutStream(spec, envs, policy, 0, judges=judges)


def test_labels_are_of_the_games_own_actions_and_none_where_the_env_is_told_to_wait():
    """The action that thinks is no action of the game; the no-op is one, and never the best."""
    env = gym.make_vec("drc_lab/RicochetRobots-v0", num_envs=NUM_ENVS, max_steps=4, noop=True, thinks=2, copy=False)
    policy = DRCPolicy(env.single_observation_space.shape, 10, 4, 1, 1, proj_dim=8)
    spec = RolloutSpec(num_envs=NUM_ENVS, num_steps=10, noops=[1, 2])
    moves = RolloutStream(spec, [env], policy, 0, judges=[ImitationLoss().judge(game_of(env))]).collect().transitions
    assert moves.optimal_actions.shape == (10, NUM_ENVS, 9) and not moves.optimal_actions[..., 8].any()
    assert moves.passes.any() and not moves.optimal_actions[moves.passes].any()
    assert moves.optimal_actions[~(moves.passes | moves.truncated)].any(-1).float().mean() > 0.9


@pytest.mark.parametrize("settings", [{}, {"max_positions": 0}, {"max_positions": 80}], ids=str)
@pytest.mark.parametrize("name", ENVS)
def test_labels_are_those_of_the_boards_as_they_were_and_none_in_passes(name, settings):
    """A second env, told the same actions, is asked at every step by a judge that remembers nothing."""
    stream = make(name, ImitationLoss(**settings), first_passes=[0, 2], later_passes=[0, 1], later_chance=0.3)
    id, kwargs = ENVS[name]
    twin = gym.make_vec(id, num_envs=NUM_ENVS, **kwargs)
    twin.reset(seed=0)
    everywhere, labelled, ended = np.arange(NUM_ENVS), 0, 0
    for _ in range(6):
        moves = stream.collect().transitions
        assert moves.optimal_actions.dtype == torch.bool
        assert moves.optimal_actions.shape == (*moves.actions.shape, twin.single_action_space.n)
        for t in range(10):
            paused = moves.passes[t].numpy()
            wanted = (Judge(game_of(twin), 100_000).optimal_moves(everywhere) == 1) & ~paused[:, None]
            np.testing.assert_array_equal(moves.optimal_actions[t].numpy(), wanted)
            labelled += wanted.any(1).sum()
            _, _, terminated, truncated, _ = twin.step(moves.actions[t].numpy(), paused)
            ended += (terminated | truncated).sum()
        assert moves.passes.any()
    assert labelled > 100 and ended > 30


@pytest.mark.parametrize("max_positions", [0, 1_000_000])
def test_saved_and_loaded_it_goes_on_bit_for_bit(max_positions):
    loss = ImitationLoss(max_positions=max_positions, max_states=12)  # so few that some positions have no verdict
    options = {"first_passes": [0, 2], "minibatches": 2, "groups": 2}
    iterator = iter(stream := make("sokoban", loss, **options))
    list(islice(iterator, 6))
    state = tree_map(lambda x: x.clone() if isinstance(x, torch.Tensor) else x, stream.get_state())
    expected = list(islice(iterator, 8))
    other = make("sokoban", loss, **options)
    other.collect()  # what it learned of its own levels must be forgotten
    other.set_state(state)
    for rollout, again in zip(expected, other, strict=False):
        for a, b in zip(tree_leaves(rollout.transitions), tree_leaves(again.transitions), strict=True):
            assert a is b is None or torch.equal(a, b)
    judged = torch.cat([rollout.transitions.optimal_actions.any(-1).flatten() for rollout in expected])
    assert judged.any() and not judged.all()


def test_minibatches_take_the_labels_of_their_own_envs():
    stream = make("sokoban", minibatches=4)
    whole, collect = [], stream.collect
    stream.collect = lambda: whole.append(collect()) or whole[-1]
    parts = list(islice(stream, 4))
    boards = {obs.numpy().tobytes(): env for env, obs in enumerate(whole[0].obs.transpose(0, 1))}
    for part in parts:
        for column, obs in enumerate(part.obs.transpose(0, 1)):
            env = boards[obs.numpy().tobytes()]
            labels = part.transitions.optimal_actions[:, column]
            assert torch.equal(labels, whole[0].transitions.optimal_actions[:, env])


def test_only_a_loss_that_asks_for_them_has_labels():
    assert ImitationLoss.uses_optimal_actions and not A2CLoss.uses_optimal_actions
    stream = make("ricochet")
    plain = RolloutStream(stream.spec, stream.envs, stream.policy, 0)
    assert plain.collect().transitions.optimal_actions is None
