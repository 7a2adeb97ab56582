"""What holds for every policy that ships: one test each, over all files of conf/policy."""

import inspect
import pydoc
import re
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from shipped import ACTIONS, OPTIONS, SHAPE, config_of, shipped
from torch.utils._pytree import tree_leaves, tree_map

from drc_lab.errors import ConfigError
from drc_lab.models.heads import HEADS
from drc_lab.paths import CONF

every_policy = pytest.mark.parametrize("option", OPTIONS)


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)  # tensors this small only wait for a second one


def counted(option) -> list[int]:
    """Parameters, C, H, W and actions, where the first line of the config says them."""
    first = (CONF / "policy" / f"{option}.yaml").read_text().splitlines()[0]
    said = re.search(r"([\d,]+) parameters on (\d+)x(\d+)x(\d+) with (\d+) actions", first)
    return [int(number.replace(",", "")) for number in said.groups()] if said else []


def sequence(policy, T=5, B=3, size=None):
    """obs [T, B, C, H, W], a carry in the middle of an episode, no resets [T, B]."""
    H, W = size or policy.obs_shape[1:]
    obs = torch.rand(T, B, policy.obs_shape[0], H, W)
    state = tree_map(lambda x: torch.rand_like(x) - 0.5, policy.init_state(B, H, W))
    return obs, state, torch.zeros(T, B, dtype=torch.bool)


def is_recurrent(policy):
    return bool(tree_leaves(policy.init_state(1)))


def assert_close(got, expected, **tolerance):
    torch.testing.assert_close(tree_leaves(got), tree_leaves(expected), **({"rtol": 1e-4, "atol": 1e-6} | tolerance))


def differs(a, b):
    return all((x - y).abs().max() > 1e-6 for x, y in zip(a, b, strict=True))


WEIGHED = """
import sys
import hydra
from drc_lab.config import check_size
from drc_lab.paths import CONF
with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
    for option in sys.argv[1:]:
        check_size(hydra.compose("config", overrides=[f"policy={option}"]).policy, (3, 5, 6), 4)
print("torch" in sys.modules, "torch._dynamo" in sys.modules)
"""


def test_a_policy_is_weighed_without_the_seconds_that_torchs_compiler_takes():
    """Before anything is allocated; a fresh process, as others have imported it here."""
    words = [sys.executable, "-c", WEIGHED, *OPTIONS]
    weighed = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert weighed.stdout.split() == ["True", "False"], weighed.stderr


@every_policy
def test_every_argument_is_a_key_of_its_config(option):
    config = config_of(option)
    arguments = set(inspect.signature(pydoc.locate(config._target_)).parameters)
    assert set(config) - {"_target_"} == arguments - {"obs_shape", "num_actions"}


@pytest.mark.parametrize("option", [option for option in OPTIONS if counted(option)])
def test_the_number_of_parameters_is_the_one_in_the_config(option):
    count, *shape, actions = counted(option)
    assert sum(p.numel() for p in shipped(option, tuple(shape), actions).parameters()) == count


def test_the_docs_name_the_parameters_of_the_default_sizes():
    text = (CONF.parent / "docs/policies.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \|.*\| ([\d,]+) \|$", text, re.MULTILINE)
    counts = {option: f"{sum(p.numel() for p in shipped(option, (3, 10, 10), 4).parameters()):,}" for option, _ in rows}
    assert dict(rows) == counts and {"small_cnn", "convlstm", "transformer"} <= set(counts)


@every_policy
def test_a_sequence_equals_its_single_steps_at_any_ticks(option):
    policy = shipped(option)
    for repeats in (None, [1, 3, 2, 1, 4]):
        obs, state, resets = sequence(policy)
        out, final = policy.unroll(obs, state, resets, repeats)
        assert out.policy_logits.shape == (5, 3, ACTIONS) and out.value.shape == (5, 3, 1)
        for t in range(5):
            one, state = policy(obs[t], state, None if repeats is None else repeats[t])
            assert_close(one, (out.policy_logits[t], out.value[t]))
        assert_close(state, final)


@every_policy
def test_a_reset_starts_a_fresh_episode_in_its_env_alone(option):
    policy = shipped(option)
    obs, state, resets = sequence(policy)
    free, _ = policy.unroll(obs, state, resets)
    resets[2, 1] = True
    out, final = policy.unroll(obs, state, resets)
    fresh, fresh_final = policy.unroll(obs[2:], policy.init_state(3), resets[2:] & False)
    assert_close([x[2:, 1] for x in out], [x[:, 1] for x in fresh])
    assert_close([x[1] for x in tree_leaves(final)], [x[1] for x in tree_leaves(fresh_final)])
    assert_close([x[:2] for x in out], [x[:2] for x in free])
    assert_close([x[:, [0, 2]] for x in out], [x[:, [0, 2]] for x in free])
    if is_recurrent(policy):
        assert differs([x[2:, 1] for x in out], [x[2:, 1] for x in free])


@every_policy
def test_no_gradient_flows_across_a_reset(option):
    policy = shipped(option)
    obs, state, resets = sequence(policy, T=2)
    resets[1, 0] = True
    obs.requires_grad_()
    out, _ = policy.unroll(obs, state, resets)
    out.value[1].sum().backward()
    assert obs.grad[0, 0].abs().max() == 0 and obs.grad[1].abs().max() > 0
    assert (obs.grad[0, 1].abs().max() > 0) == is_recurrent(policy)


@every_policy
def test_more_ticks_change_the_answers_of_recurrent_policies_alone(option):
    policy = shipped(option)
    obs = torch.rand(2, *SHAPE)
    own, more = (policy(obs, repeats=n)[0] for n in (None, policy.repeats_per_step + 3))
    assert_close(policy(obs, repeats=policy.repeats_per_step)[0], own, rtol=0, atol=0)
    if is_recurrent(policy):
        assert differs(own, more)
    else:
        assert_close(own, more, rtol=0, atol=0)
    for repeats in (0, -1):
        with pytest.raises(ConfigError, match=r"^repeats"):
            policy(obs, repeats=repeats)


@every_policy
def test_bytes_are_the_same_floats_over_255(option):
    policy = shipped(option)
    pixels = torch.randint(0, 256, (2, *SHAPE), dtype=torch.uint8)
    assert_close(policy(pixels)[0], policy(pixels / 255)[0])
    assert differs(policy(pixels)[0], policy(pixels.float())[0])


@every_policy
def test_every_parameter_gets_a_gradient(option):
    policy = shipped(option)
    out, _ = policy.unroll(*sequence(policy))
    (out.policy_logits.square().sum() + out.value.square().sum()).backward()
    without = [name for name, p in policy.named_parameters() if p.grad is None or p.grad.abs().max() == 0]
    assert not without


@every_policy
def test_the_same_seed_gives_the_same_answers(option):
    obs = torch.rand(2, *SHAPE)
    first, second, other = (shipped(option, seed=seed)(obs)[0] for seed in (1, 1, 2))
    assert_close(first, second, rtol=0, atol=0)
    assert differs(first, other)


@every_policy
@pytest.mark.parametrize("size", [(9, 4), (1, 1)])
def test_another_board_size_works_or_is_refused_in_one_line(option, size):
    policy = shipped(option)
    obs, state, resets = sequence(policy, size=size)
    if policy.any_size:
        out, final = policy.unroll(obs, state, resets)
        assert out.policy_logits.shape == (5, 3, ACTIONS) and out.value.isfinite().all()
        assert [x.shape for x in tree_leaves(final)] == [x.shape for x in tree_leaves(state)]
    else:
        with pytest.raises(ConfigError) as error:
            policy.unroll(obs, state, resets)
        assert str(size)[1:-1] in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("option", [option for option in OPTIONS if "head" in config_of(option)])
def test_every_head_that_says_so_takes_any_board_size(option, head):
    policy = shipped(option, head=head)
    assert policy(torch.rand(2, *SHAPE))[0].value.shape == (2, 1)
    assert policy.any_size == (head != "flatten")
    other = torch.rand(2, 3, 7, 4)
    if policy.any_size:
        assert policy(other)[0].value.shape == (2, 1)
    else:
        with pytest.raises(ConfigError, match=r"^board size: found"):
            policy(other)


@every_policy
def test_another_number_of_planes_is_refused_in_one_line(option):
    policy = shipped(option)
    with pytest.raises(ConfigError, match=r"^obs: found \(2, 5, 6\), allowed: \(3, ") as error:
        policy(torch.rand(2, 2, 5, 6))
    assert "\n" not in str(error.value)


@every_policy
def test_mixed_precision_leaves_the_carry_in_its_own_precision(option):
    policy = shipped(option)
    obs, state, resets = sequence(policy)
    exact, _ = policy.unroll(obs, state, resets)
    with torch.autocast("cpu", torch.bfloat16):
        mixed, final = policy.unroll(obs, state, resets)
    assert {x.dtype for x in tree_leaves(final)} <= {torch.float32}
    assert_close([x.float() for x in mixed], exact, atol=0.02, rtol=0.1)


@every_policy
def test_it_learns_to_tell_where_the_marker_is(option):
    """Boards of 5 x 5, one marker: all 25 places have to be told apart by the argmax."""
    policy = shipped(option, (1, 5, 5), 25)
    obs, place = torch.eye(25).view(25, 1, 5, 5), torch.arange(25)
    assert learn(policy, lambda: policy(obs)[0].policy_logits, place) == 1


@every_policy
def test_recurrent_policies_alone_learn_to_remember_the_first_observation(option):
    """A marker in a corner at step 0, two empty boards, and then the question: which corner was it?"""
    policy = shipped(option, (1, 5, 5), 4)
    obs, corner = torch.zeros(3, 4, 1, 5, 5), torch.arange(4)
    for number, (y, x) in enumerate([(0, 0), (0, 4), (4, 0), (4, 4)]):
        obs[0, number, 0, y, x] = 1
    resets = torch.zeros(3, 4, dtype=torch.bool)
    resets[0] = True

    def logits():
        return policy.unroll(obs, policy.init_state(4), resets)[0].policy_logits[2]

    assert learn(policy, logits, corner, steps=150 if is_recurrent(policy) else 1) == (
        1 if is_recurrent(policy) else 0.25
    )


def learn(policy, logits, label, steps=200):
    """Fits the labels until all are met, at most for so many steps. Returns the share that is met."""
    optimizer = torch.optim.Adam(policy.parameters(), 3e-3)
    for _ in range(steps):
        answer = logits()
        if (answer.argmax(-1) == label).all():
            break
        optimizer.zero_grad()
        F.cross_entropy(answer, label).backward()
        torch.nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
        optimizer.step()
    return (logits().argmax(-1) == label).float().mean().item()
