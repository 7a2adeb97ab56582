"""V-trace and the actor-critic loss: the original code's numbers, and cases with an answer in closed form."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from drc_lab.errors import ConfigError
from drc_lab.learning.losses import Transitions, VTraceLoss
from drc_lab.learning.returns import vtrace


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


def test_on_policy_with_lambda_it_is_generalised_advantage_estimation():
    gamma, lam = 0.9, 0.7
    values, rewards = torch.randn(6, 3), torch.randn(5, 3)
    deltas = rewards + gamma * values[1:] - values[:-1]
    expected = [sum((gamma * lam) ** (k - t) * deltas[k] for k in range(t, 5)) for t in range(5)]
    got = vtrace(values, rewards, torch.full((5, 3), gamma), torch.ones(5, 3), lam)
    torch.testing.assert_close(got.errors, torch.stack(expected))


def test_nothing_leaks_across_the_end_of_an_episode():
    values, rewards = torch.randn(5, 1), torch.randn(4, 1)
    discounts = torch.tensor([[0.9], [0.0], [0.9], [0.9]])
    first = vtrace(values, rewards, discounts, torch.ones(4, 1))
    rewards[2:], values[2:] = 100.0, -50.0
    second = vtrace(values, rewards, discounts, torch.ones(4, 1))
    torch.testing.assert_close(first.errors[:2], second.errors[:2])
    torch.testing.assert_close(first.errors[1], rewards[1] - values[1])


def batch_of(T=4, B=3, A=5):
    logits, values = torch.randn(T + 1, B, A), torch.randn(T + 1, B)
    resets = torch.zeros(T + 1, B, dtype=torch.bool)
    moves = Transitions(torch.randint(0, A, (T, B)), torch.randn(T, B), logits[:-1].clone(), resets,
                        torch.zeros(T, B, dtype=torch.bool))  # fmt: skip
    return logits.requires_grad_(), values.requires_grad_(), moves


def test_a_truncated_step_gives_no_gradient_of_its_own_and_a_terminated_one_does():
    for truncated in (True, False):
        logits, values, moves = batch_of()
        moves.resets[3, 1] = True
        moves.truncated[2, 1] = truncated
        loss, _ = VTraceLoss()(logits, values, moves)
        loss.backward()
        assert (logits.grad[2, 1].abs().max() == 0) == truncated
        assert (values.grad[2, 1] == 0) == truncated


def test_the_bootstrap_step_gets_no_gradient():
    logits, values, moves = batch_of()
    VTraceLoss()(logits, values, moves)[0].backward()
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


def test_impossible_discounts_are_refused():
    with pytest.raises(ConfigError, match=r"gamma: found 1.5, allowed: 0 to 1"):
        VTraceLoss(gamma=1.5)
