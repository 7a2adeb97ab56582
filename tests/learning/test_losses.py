"""The losses: the original code's numbers, an independent computation, and cases with an answer in closed form."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from drc_lab.errors import ConfigError
from drc_lab.learning.losses import A2CLoss, PPOLoss, Transitions, VTraceLoss
from drc_lab.learning.returns import gae, vtrace


@pytest.mark.parametrize("name", ["taufeeque2024", "vtrace_lambda1"])
def test_loss_and_gradients_agree_with_the_original_code(reference, name):
    data = {k: torch.from_numpy(np.asarray(v)) for k, v in np.load(reference / "vtrace" / f"{name}.npz").items()}
    cfg = {k.removeprefix("cfg_"): float(v) for k, v in data.items() if k.startswith("cfg_")}
    loss_of = VTraceLoss(lam=cfg.pop("vtrace_lambda"), **cfg)
    logits, values = data["logits"].requires_grad_(), data["values"].requires_grad_()
    batch = Transitions(
        data["actions"].long(), data["rewards"], data["behaviour_logits"], data["episode_starts"], data["truncated"]
    )
    loss, parts = loss_of(logits, values, batch)
    loss.backward()
    close = {"rtol": 1e-5, "atol": 1e-5}
    torch.testing.assert_close(loss.detach(), data["loss"], **close)
    for part, original, sign in (("policy", "pg_loss", 1), ("value", "v_loss", 1), ("entropy", "ent_loss", -1)):
        torch.testing.assert_close(parts[part], sign * data[original], **close)
    torch.testing.assert_close(logits.grad, data["grad_logits"], **close)
    torch.testing.assert_close(values.grad, data["grad_values"], **close)


@pytest.mark.parametrize("name", ["taufeeque2024", "vtrace_lambda1"])
def test_targets_agree_with_the_original_code(reference, name):
    data = {k: torch.from_numpy(np.asarray(v)) for k, v in np.load(reference / "vtrace" / f"{name}.npz").items()}
    rewards = torch.where(data["truncated"], data["values"][:-1], data["rewards"])
    discounts = float(data["cfg_gamma"]) * (~data["episode_starts"][1:]).float()
    got = vtrace(data["values"], rewards, discounts, data["rhos"], float(data["cfg_vtrace_lambda"]))
    for mine, original in zip(got, ("vtrace_errors", "pg_advantages", "q_estimates"), strict=True):
        torch.testing.assert_close(mine, data[original], rtol=1e-5, atol=1e-5)


def test_on_policy_it_is_the_n_step_return():
    gamma, T = 0.9, 4
    rewards, values = torch.tensor([[1.0], [0.0], [2.0], [0.5]]), torch.tensor([[0.3], [0.1], [-0.2], [0.7], [0.4]])
    got = vtrace(values, rewards, torch.full((T, 1), gamma), torch.ones(T, 1))
    expected = values[-1]
    for t in reversed(range(T)):
        expected = rewards[t] + gamma * expected
        torch.testing.assert_close(got.errors[t], expected - values[t])
        torch.testing.assert_close(got.pg_advantages[t], expected - values[t])


def test_generalised_advantages_are_the_decayed_sum_of_errors_and_on_policy_v_trace_has_them():
    gamma, lam = 0.9, 0.7
    values, rewards = torch.randn(6, 3), torch.randn(5, 3)
    deltas = rewards + gamma * values[1:] - values[:-1]
    expected = torch.stack([sum((gamma * lam) ** (k - t) * deltas[k] for k in range(t, 5)) for t in range(5)])
    discounts = torch.full((5, 3), gamma)
    torch.testing.assert_close(gae(values, rewards, discounts, lam), expected)
    torch.testing.assert_close(vtrace(values, rewards, discounts, torch.ones(5, 3), lam).errors, expected)


def test_a_constant_reward_has_the_advantage_of_a_geometric_series():
    """Value 0 everywhere, reward 1, lam 1: the advantage is the discounted number of steps left."""
    T, gamma = 7, 0.5
    got = gae(torch.zeros(T + 1, 1), torch.ones(T, 1), torch.full((T, 1), gamma), 1.0)[:, 0]
    torch.testing.assert_close(got, torch.tensor([(1 - gamma ** (T - t)) / (1 - gamma) for t in range(T)]))


def test_nothing_leaks_across_the_end_of_an_episode():
    values, rewards = torch.randn(5, 1), torch.randn(4, 1)
    discounts = torch.tensor([[0.9], [0.0], [0.9], [0.9]])
    first = vtrace(values, rewards, discounts, torch.ones(4, 1))
    rewards[2:], values[2:] = 100.0, -50.0
    second = vtrace(values, rewards, discounts, torch.ones(4, 1))
    torch.testing.assert_close(gae(values, rewards, discounts, 1.0)[:2], first.errors[:2])
    torch.testing.assert_close(first.errors[:2], second.errors[:2])
    torch.testing.assert_close(first.errors[1], rewards[1] - values[1])


def batch_of(T=4, B=3, A=5):
    logits, values = torch.randn(T + 1, B, A), torch.randn(T + 1, B)
    resets = torch.zeros(T + 1, B, dtype=torch.bool)
    moves = Transitions(
        torch.randint(0, A, (T, B)), torch.randn(T, B), logits[:-1].clone(), resets, torch.zeros(T, B, dtype=torch.bool)
    )
    return logits.requires_grad_(), values.requires_grad_(), moves


LOSSES = [VTraceLoss(), A2CLoss(), PPOLoss()]


def asked_for(loss, moves, T=4, B=3):
    """The same transitions with behaviour values, if the loss uses them."""
    return moves._replace(behaviour_values=torch.randn(T + 1, B)) if loss.uses_behaviour_values else moves


@pytest.mark.parametrize("loss_of", LOSSES, ids=lambda loss: type(loss).__name__)
def test_a_truncated_step_gives_no_gradient_of_its_own_and_a_terminated_one_does(loss_of):
    for truncated in (True, False):
        logits, values, moves = batch_of()
        moves.resets[3, 1] = True
        moves.truncated[2, 1] = truncated
        loss_of(logits, values, asked_for(loss_of, moves))[0].backward()
        assert (logits.grad[2, 1].abs().max() == 0) == truncated
        assert (values.grad[2, 1] == 0) == truncated


@pytest.mark.parametrize("loss_of", LOSSES, ids=lambda loss: type(loss).__name__)
def test_the_bootstrap_step_gets_no_gradient(loss_of):
    logits, values, moves = batch_of()
    loss_of(logits, values, asked_for(loss_of, moves))[0].backward()
    assert logits.grad[-1].abs().max() == 0 and values.grad[-1].abs().max() == 0


def test_the_entropy_bonus_flattens_and_the_advantage_raises_the_action_that_was_better():
    logits, values, moves = batch_of(T=1, B=1, A=2)
    with torch.no_grad():
        logits[:] = torch.tensor([2.0, -1.0])
        moves.behaviour_logits[:] = logits[0]
        values[:] = 0
        moves.actions[:] = 1
        moves.rewards[:] = 1
    VTraceLoss(ent_coef=0.0, gamma=0.5)(logits, values, moves)[0].backward()
    assert logits.grad[0, 0, 1] < 0 < logits.grad[0, 0, 0]
    logits.grad = None
    moves.rewards[:] = 0
    VTraceLoss(ent_coef=1.0, gamma=0.5)(logits, values, moves)[0].backward()
    assert logits.grad[0, 0, 0] > 0 > logits.grad[0, 0, 1]


def test_advantages_are_normalised_only_on_request():
    logits, values, moves = batch_of(T=8)
    plain = VTraceLoss(ent_coef=0, vf_coef=0)
    scaled = moves._replace(rewards=moves.rewards * 10)
    values = values * 0
    first, tenfold = (plain(logits, values, m)[0] for m in (moves, scaled))
    torch.testing.assert_close(tenfold, 10 * first)
    normal = replace(plain, normalize_advantages=True)
    torch.testing.assert_close(normal(logits, values, moves)[0], normal(logits, values, scaled)[0])


def plain_ppo(loss, logits, values, moves):
    """PPO by loops over plain floats, as the papers have it; the gradient by finite differences in the test."""
    T, B, _ = moves.behaviour_logits.shape
    old = moves.behaviour_values
    advantages, targets = np.zeros((T, B)), np.zeros((T, B))
    for b in range(B):
        following = 0.0
        for t in reversed(range(T)):
            reward = old[t, b] if moves.truncated[t, b] else moves.rewards[t, b]
            alive = 0.0 if moves.resets[t + 1, b] else 1.0
            error = reward + loss.gamma * alive * old[t + 1, b] - old[t, b]
            following = float(error) + loss.gamma * loss.lam * alive * following
            advantages[t, b], targets[t, b] = following, following + float(old[t, b])
    used = ~moves.truncated.numpy()
    advantages = (advantages - advantages[used].mean()) / advantages[used].std(ddof=1)
    total = 0.0
    for t in range(T):
        for b in range(B):
            if not used[t, b]:
                continue
            now = np.exp(logits[t, b].numpy()) / np.exp(logits[t, b].numpy()).sum()
            then = np.exp(moves.behaviour_logits[t, b].numpy()) / np.exp(moves.behaviour_logits[t, b].numpy()).sum()
            ratio = now[moves.actions[t, b]] / then[moves.actions[t, b]]
            clipped = min(max(ratio, 1 - loss.clip_ratio), 1 + loss.clip_ratio)
            total -= min(ratio * advantages[t, b], clipped * advantages[t, b])
            change = min(max(float(values[t, b] - old[t, b]), -loss.clip_value), loss.clip_value)
            worse = max((values[t, b] - targets[t, b]) ** 2, (old[t, b] + change - targets[t, b]) ** 2)
            total += loss.vf_coef * float(worse) + loss.ent_coef * float((now * np.log(now)).sum())
    return total / (T * B)


def test_ppo_agrees_with_an_independent_computation_in_value_and_gradient():
    torch.manual_seed(1)
    loss = PPOLoss(gamma=0.9, lam=0.8, clip_ratio=0.3, clip_value=0.4, vf_coef=0.5, ent_coef=0.02)
    T, B, A = 4, 3, 3
    logits, values = torch.randn(T + 1, B, A, dtype=torch.float64), torch.randn(T + 1, B, dtype=torch.float64)
    resets, truncated = torch.zeros(T + 1, B, dtype=torch.bool), torch.zeros(T, B, dtype=torch.bool)
    resets[2, 0] = resets[3, 1] = truncated[2, 1] = True
    moves = Transitions(
        torch.randint(0, A, (T, B)),
        torch.randn(T, B, dtype=torch.float64),
        logits[:-1] + 0.4 * torch.randn(T, B, A, dtype=torch.float64),
        resets,
        truncated,
        values + torch.randn_like(values),
    )
    logits.requires_grad_(), values.requires_grad_()
    got, parts = loss(logits, values, moves)
    got.backward()
    assert 0 < parts["clipped"] < 1 and parts["kl"] > 0
    at = (logits.detach(), values.detach())
    assert got.item() == pytest.approx(plain_ppo(loss, *at, moves), rel=1e-6)
    for tensor, gradient in zip(at, (logits.grad, values.grad), strict=True):
        flat = tensor.view(-1)
        for i in range(len(flat)):
            sides = []
            for step in (1e-5, -2e-5):
                flat[i] += step
                sides.append(plain_ppo(loss, *at, moves))
            flat[i] += 1e-5
            assert gradient.view(-1)[i].item() == pytest.approx((sides[0] - sides[1]) / 2e-5, rel=1e-4, abs=1e-6)


def test_on_fresh_data_with_open_clips_ppo_and_v_trace_have_the_gradient_of_a2c():
    """All ratios are 1, lam 1: the three algorithms are one."""
    coefs = {"gamma": 0.9, "lam": 1.0, "normalize_advantages": False}
    logits, values, moves = batch_of()
    gradients = []
    for loss_of in (A2CLoss(**coefs), VTraceLoss(**coefs), PPOLoss(**coefs)):
        given = moves._replace(behaviour_values=values.detach()) if loss_of.uses_behaviour_values else moves
        logits.grad = values.grad = None
        loss_of(logits, values, given)[0].backward()
        gradients.append((logits.grad, values.grad))
    for other in gradients[1:]:
        torch.testing.assert_close(other, gradients[0])


@pytest.mark.parametrize(
    ("loss", "key", "value", "allowed"),
    [
        (VTraceLoss, "gamma", 1.5, "0 to 1"),
        (VTraceLoss, "clip_rho", 0.0, "more than 0"),
        (A2CLoss, "ent_coef", -1.0, "at least 0"),
        (PPOLoss, "clip_value", 0.0, "more than 0, or null"),
        (PPOLoss, "target_kl", -0.1, "more than 0, or null"),
    ],
)
def test_impossible_coefficients_are_refused(loss, key, value, allowed):
    with pytest.raises(ConfigError, match=f"^{key}: found {value}, allowed: {allowed}$"):
        loss(**{key: value})
