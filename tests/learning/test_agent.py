"""The agent goes through rollouts as the spec says: windows, fresh carries, KL stop, penalties, schedules."""

from functools import partial
from itertools import pairwise

import gymnasium as gym
import pytest
import torch
from torch.utils._pytree import tree_leaves, tree_map

import drc_lab  # noqa: F401 - registers the envs
from drc_lab.errors import ConfigError
from drc_lab.learning.agent import Agent
from drc_lab.learning.losses import A2CLoss, PPOLoss, VTraceLoss
from drc_lab.learning.rollout_spec import RolloutSpec
from drc_lab.learning.rollouts import RolloutStream
from drc_lab.learning.schedules import in_optimizer_steps, step_to
from drc_lab.models.drc import DRCPolicy

SGD = partial(torch.optim.SGD, lr=0.1)


def make(loss=None, agent=None, **spec):
    spec = RolloutSpec(**({"num_envs": 4, "num_steps": 6, "frames": 6000} | spec))
    env = gym.make_vec("drc_lab/RicochetRobots-v0", num_envs=spec.num_envs, max_steps=5, copy=False)
    policy = DRCPolicy(env.single_observation_space.shape, int(env.single_action_space.n), 4, 2, 2, proj_dim=8)
    loss = loss or A2CLoss()
    stream = RolloutStream(spec, [env], policy, 0, values=loss.uses_behaviour_values)
    return Agent(policy, loss, SGD, spec, **(agent or {})), stream


def change(policy, scale=0.05):
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter += scale * torch.randn_like(parameter)


def gradients(agent):
    found = [p.grad.clone() for p in agent.policy.parameters()]
    agent.zero_grad()
    return found


def test_a_window_as_long_as_the_rollout_is_the_rollout_as_a_whole():
    agent, stream = make(bptt_steps=6)
    rollout = stream.collect()
    agent.training_step(rollout, 0).backward()
    got = gradients(agent)
    out, _ = agent.policy.unroll(rollout.obs, rollout.carry, rollout.transitions.resets, rollout.repeats)
    agent.loss(out.policy_logits, out.value[..., 0], rollout.transitions)[0].backward()
    assert rollout.context is None
    torch.testing.assert_close(got, gradients(agent), rtol=0, atol=0)


def test_a_shorter_window_changes_no_output_and_cuts_the_gradient_where_it_ends():
    """Seen from the observations: the last step's logits depend on those of its own window alone."""
    agent, stream = make(bptt_steps=2)
    rollout = stream.collect()
    rollout.transitions.resets[1:] = False
    rollout = rollout._replace(obs=rollout.obs.float().requires_grad_())
    out = agent._replay(rollout)[0]
    whole, _ = agent.policy.unroll(rollout.obs, rollout.carry, rollout.transitions.resets, rollout.repeats)
    torch.testing.assert_close(out.policy_logits, whole.policy_logits, atol=1e-6, rtol=1e-5)
    for step, reached in ((1, [0, 1]), (3, [2, 3]), (5, [4, 5]), (6, [4, 5, 6])):
        (gradient,) = torch.autograd.grad(out.policy_logits[step].sum(), rollout.obs, retain_graph=True)
        assert gradient.abs().sum((1, 2, 3, 4)).nonzero().flatten().tolist() == reached


def test_a_longer_window_goes_back_into_earlier_rollouts_and_the_burn_in_beyond_has_no_gradient():
    agent, stream = make(bptt_steps=9, burn_in=5)
    first, second, third = stream.collect(), stream.collect(), stream.collect()
    assert first.context is None and len(second.context.obs) == 6 and len(third.context.obs) == 8
    assert torch.equal(third.context.obs, torch.cat([first.obs[4:6], second.obs[:6]]))
    obs = third.context.obs.float().requires_grad_()
    resets = torch.zeros_like(third.context.resets)
    third.transitions.resets[:] = False
    rollout = third._replace(context=third.context._replace(obs=obs, resets=resets), obs=third.obs.float())
    out = agent._replay(rollout)[0]
    (gradient,) = torch.autograd.grad(out.policy_logits[0].sum(), obs)
    assert gradient.abs().sum((1, 2, 3, 4)).nonzero().flatten().tolist() == [5, 6, 7]


def test_with_the_same_weights_the_burn_in_ends_in_the_carry_that_was_stored_and_with_new_ones_it_does_not():
    agent, stream = make(burn_in=6, min_repeats=1, max_repeats=3)
    stream.collect()
    rollout = stream.collect()
    replayed = agent._replay(rollout)[0].policy_logits
    torch.testing.assert_close(replayed[:-1], rollout.transitions.behaviour_logits, atol=1e-6, rtol=1e-5)
    change(agent.policy)
    stale = agent._replay(rollout._replace(context=None))[0].policy_logits
    assert (agent._replay(rollout)[0].policy_logits - stale).abs().max() > 1e-4


def test_the_progressive_loss_has_the_logits_after_all_its_ticks_and_gradients_of_the_learned_ones():
    agent, stream = make(progressive_weight=0.5, max_repeats=4, min_repeats=1)
    stream.collect()
    rollout = stream.collect()
    free, learned = 2, 1
    progressive = rollout.progressive._replace(free=free, learned=learned)
    out = agent._progressive(rollout, progressive)
    for t, resets in enumerate(rollout.transitions.resets):
        carry = tree_map(lambda x, t=t: x[t], progressive.carries)
        with torch.no_grad():
            _, carry = agent.policy.unroll(rollout.obs[t : t + 1], carry, resets[None], free)
        alone, _ = agent.policy.unroll(rollout.obs[t : t + 1], carry, torch.zeros_like(resets[None]), learned)
        torch.testing.assert_close(out.policy_logits[t], alone.policy_logits[0], atol=1e-6, rtol=1e-5)
    agent.training_step(rollout._replace(progressive=progressive), 0).backward()
    both = gradients(agent)
    ordinary = agent.loss(*parts_of(agent._replay(rollout)[0]), rollout.transitions)[0]
    more = agent.loss(*parts_of(agent._progressive(rollout, progressive)), rollout.transitions)[0]
    ((ordinary + more) / 2).backward()
    torch.testing.assert_close(both, gradients(agent), atol=1e-6, rtol=1e-4)


def parts_of(out):
    return out.policy_logits, out.value[..., 0]


def test_ticks_of_the_progressive_loss_stay_within_the_most_that_a_step_may_have():
    _, stream = make(progressive_weight=0.5, max_repeats=4, min_repeats=1, num_steps=1)
    drawn = {(p.free, p.learned) for p in (stream.collect().progressive for _ in range(120))}
    assert drawn == {(free, learned) for free in range(4) for learned in range(1, 5 - free)}


def test_one_draw_of_ticks_may_hold_for_a_whole_rollout():
    agent, stream = make(min_repeats=1, max_repeats=5, draw_repeats="rollout")
    rollouts = [stream.collect() for _ in range(8)]
    assert all(len(set(r.repeats[:-1])) == 1 for r in rollouts) and len({r.repeats[0] for r in rollouts}) > 1
    assert all(a.repeats[-1] == b.repeats[0] for a, b in pairwise(rollouts))
    replayed = agent._replay(rollouts[-1])[0].policy_logits[:-1]
    torch.testing.assert_close(replayed, rollouts[-1].transitions.behaviour_logits, atol=1e-6, rtol=1e-5)


def test_behaviour_values_are_those_of_the_policy_that_acted_the_bootstrap_included():
    agent, stream = make(PPOLoss(), minibatches=2, epochs=2)
    whole = stream.collect()
    torch.testing.assert_close(agent._replay(whole)[0].value[..., 0], whole.transitions.behaviour_values)
    iterator = iter(stream)
    for _ in range(4):
        part = next(iterator)
        torch.testing.assert_close(agent._replay(part)[0].value[..., 0], part.transitions.behaviour_values)


def test_once_the_policy_has_moved_too_far_the_rest_of_the_rollout_makes_no_step_and_the_next_one_does():
    agent, stream = make(PPOLoss(target_kl=0.05), minibatches=2, epochs=2)
    steps = []
    for number, rollout in zip(range(8), stream, strict=False):
        if number == 1:
            change(agent.policy, 1.0)
        steps.append(agent.training_step(rollout, number) is not None)
        assert float(agent.parts["kl_stop"]) == (not steps[-1])
    assert steps == [True, False, False, False, True, True, True, True]


def test_the_head_penalty_is_the_sum_of_squares_of_both_output_layers():
    agent, stream = make(agent={"head_l2_coef": 0.1})
    rollout = stream.collect()
    change(agent.policy)
    agent.training_step(rollout, 0).backward()
    with_penalty = gradients(agent)
    agent.head_l2_coef = 0.0
    agent.training_step(rollout, 0).backward()
    extra = dict(zip((n for n, _ in agent.policy.named_parameters()), with_penalty, strict=True))
    for (name, parameter), plain in zip(agent.policy.named_parameters(), gradients(agent), strict=True):
        head = name.startswith(("head.policy", "head.value"))
        torch.testing.assert_close(extra[name] - plain, 0.2 * parameter * head, atol=1e-5, rtol=1e-4)


def test_a_stream_with_a_past_goes_on_bit_for_bit():
    settings = {"bptt_steps": 8, "burn_in": 3, "progressive_weight": 0.3, "min_repeats": 1, "max_repeats": 3}
    _, stream = make(PPOLoss(), **settings)
    stream.collect(), stream.collect()
    state = stream.get_state()
    expected = [stream.collect() for _ in range(2)]
    torch.manual_seed(0)
    _, other = make(PPOLoss(), **settings)
    other.policy.load_state_dict(stream.policy.state_dict())
    other.set_state(state)
    for rollout in expected:
        again = other.collect()
        assert (rollout.repeats, rollout.progressive[1:]) == (again.repeats, again.progressive[1:])
        for a, b in zip(*(tree_leaves(tuple(r._replace(episodes=()))) for r in (rollout, again)), strict=True):
            assert not isinstance(a, torch.Tensor) or torch.equal(a, b)


def test_lengths_of_schedules_are_frames():
    spec = RolloutSpec(num_envs=8, num_steps=5, minibatches=2, epochs=3, frames=4000)
    linear = partial(torch.optim.lr_scheduler.LinearLR, start_factor=1.0, end_factor=0.5, total_iters=2000)
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = SGD([weight])
    schedule = in_optimizer_steps(linear, spec.frames_per_rollout / spec.optimizer_steps_per_rollout)(optimizer)
    rates = []
    for _ in range(spec.optimizer_steps):
        optimizer.step()
        schedule.step()
        rates.append(schedule.get_last_lr()[0])
    half = spec.optimizer_steps // 2
    assert rates[half - 1] == pytest.approx(0.05) and rates[half // 2 - 1] == pytest.approx(0.075)
    assert rates[-1] == pytest.approx(0.05)
    steps = in_optimizer_steps(partial(torch.optim.lr_scheduler.MultiStepLR, milestones=[400, 4000]), 40)
    assert steps.keywords["milestones"] == [10, 100]
    with pytest.raises(ConfigError, match=r"schedule.T_max: found 0, allowed: at least 1, in frames"):
        in_optimizer_steps(partial(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=0), 40)


def test_a_schedule_that_runs_ahead_of_the_frames_ends_at_its_end_and_no_further():
    """One that refuses steps beyond its last."""
    cycle = partial(torch.optim.lr_scheduler.OneCycleLR, max_lr=0.1, total_steps=2400, cycle_momentum=False)
    agent, _ = make(frames=2400, agent={"schedule": cycle})  # 100 optimizer steps
    optimizer = agent.make_optimizer(agent.policy.parameters())
    schedule, seen = agent.make_schedule(optimizer), []
    optimizer.step()
    for share in (0.0, 0.0, 0.5, 0.2, 0.999, 1.0, 1.0):
        agent.schedule_share = share
        agent.lr_scheduler_step(schedule, None)
        seen.append(schedule.last_epoch)
    assert seen == [1, 2, 50, 51, 100, 100, 100]


@pytest.mark.parametrize(
    "schedule",
    [
        partial(torch.optim.lr_scheduler.LinearLR, start_factor=1.0, end_factor=0.1, total_iters=100),
        partial(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=100),
        partial(torch.optim.lr_scheduler.LambdaLR, lr_lambda=lambda step: 1 / (1 + step)),
        partial(torch.optim.lr_scheduler.MultiplicativeLR, lr_lambda=lambda step: 0.9),
    ],
)
def test_a_jump_of_a_schedule_ends_where_its_single_steps_do(schedule):
    rates = []
    for jumps in (range(1, 81), [30, 31, 80]):
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
        made = schedule(optimizer)
        optimizer.step()
        for step in jumps:
            step_to(made, step)
        made.step()
        rates.append((made.last_epoch, made.get_last_lr()[0]))
    assert rates[0] == (81, pytest.approx(rates[1][1], rel=1e-9)) and rates[1][0] == 81


def test_a_jump_over_millions_of_steps_takes_no_time():
    """Step by step this would go on for hours after the time limit that made it necessary."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    linear = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=1.0, end_factor=0.0, total_iters=10**10)
    optimizer.step()
    step_to(linear, 9 * 10**9)
    assert linear.get_last_lr()[0] == pytest.approx(0.1)


def test_v_trace_on_a_fresh_rollout_has_ratios_of_one():
    agent, stream = make(VTraceLoss())
    agent.training_step(stream.collect(), 0)
    assert float(agent.parts["rho"]) == pytest.approx(1.0, abs=1e-5)
