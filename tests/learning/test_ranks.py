"""Two ranks with half the envs each learn what one rank with all of them does."""

import datetime
from functools import partial

import gymnasium as gym
import pytest
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

import drc_lab  # noqa: F401 - registers the envs
from drc_lab.learning.agent import Agent
from drc_lab.learning.losses import A2CLoss, ImitationLoss, PPOLoss, VTraceLoss
from drc_lab.learning.metrics import _mean, _over_ranks
from drc_lab.learning.ranks import Ranks
from drc_lab.learning.rollout import select
from drc_lab.learning.rollout_spec import RolloutSpec
from drc_lab.learning.rollouts import RolloutStream
from drc_lab.models.drc import DRCPolicy

ENVS = 8
COMMON = {"logit_l2_coef": 1e-3}
LOSSES = {
    "vtrace": VTraceLoss(**COMMON),
    "vtrace_normalized": VTraceLoss(normalize_advantages=True, **COMMON),
    "a2c_normalized": A2CLoss(normalize_advantages=True, **COMMON),
    "ppo": PPOLoss(**COMMON),
    "imitation": ImitationLoss(**COMMON),
}


class Learner(torch.nn.Module):
    """What Lightning gives to DDP: the loss in forward."""

    def __init__(self, agent):
        super().__init__()
        self.agent = agent

    def forward(self, rollout):
        return self.agent.training_step(rollout, 0)


def make(loss, rank=0, seed=0):
    torch.manual_seed(seed)
    spec = RolloutSpec(num_envs=ENVS, num_steps=6, frames=600, first_passes=[0, 3])
    env = gym.make_vec("drc_lab/RicochetRobots-v0", num_envs=ENVS, max_steps=4, copy=False)
    policy = DRCPolicy(env.single_observation_space.shape, int(env.single_action_space.n), 4, 2, 2, proj_dim=8)
    agent = Agent(policy, loss, partial(torch.optim.SGD, lr=0.1), spec, head_l2_coef=1e-3)
    judges = [loss.judge(env.batch)] if loss.uses_optimal_actions else None
    return agent, RolloutStream(spec, [env], policy, seed, rank, values=loss.uses_behaviour_values, judges=judges)


def gradients(loss, envs):
    """Of a fixed rollout, of those of its envs; and the loss's parts. Weights have moved since it was collected."""
    agent, stream = make(loss)
    stream.collect()
    rollout = stream.collect()._replace(last=True)
    with torch.no_grad():
        for parameter in agent.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    learner = Learner(agent)
    learner = DistributedDataParallel(learner) if Ranks().size > 1 else learner
    learner(select(rollout, envs)).backward()
    return {name: p.grad for name, p in agent.policy.named_parameters()}, agent.parts


def work(rank, folder):
    torch.set_num_threads(1)
    store = f"file://{folder}/rendezvous"
    dist.init_process_group("gloo", store, datetime.timedelta(seconds=60), world_size=2, rank=rank)
    mine = torch.arange(ENVS).chunk(2)[rank]
    results = {name: gradients(loss, mine) for name, loss in LOSSES.items()}
    results["metrics"] = (
        _over_ranks({"loss/total": [1.0 + rank, 2.0], "train/return": [10.0 * rank, rank]}, torch.device("cpu")),
        _mean(Ranks().gather({"curriculum/stage": rank} | ({"curriculum/solve_rate": 0.5} if rank else {}))),
    )
    torch.save(results, folder / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def both_ranks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    torch.multiprocessing.spawn(work, (folder,), nprocs=2)
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


@pytest.mark.slow
@pytest.mark.parametrize("name", LOSSES)
def test_two_ranks_with_half_the_envs_each_have_the_gradients_of_one_with_all(both_ranks, name):
    """Real processes on gloo, averaged by DDP; sums, normalised advantages and the share of passes are over all."""
    whole, parts = gradients(LOSSES[name], torch.arange(ENVS))
    first, second = (rank[name] for rank in both_ranks)
    assert max(g.abs().max() for g in whole.values()) > 1e-3
    torch.testing.assert_close(first[0], whole, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(second[0], first[0], rtol=0, atol=0)
    for part in ("policy", "value", "entropy", "total"):
        mean = (first[1][part] + second[1][part]) / 2
        torch.testing.assert_close(mean, parts[part], rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_metrics_are_sums_over_ranks_and_those_of_envs_means_over_the_ranks_that_have_them(both_ranks):
    sums = {"loss/total": [3.0, 4.0], "train/return": [10.0, 1.0]}
    assert [rank["metrics"] for rank in both_ranks] == [
        (sums, {"curriculum/stage": 0.5, "curriculum/solve_rate": 0.5})
    ] * 2


def test_no_two_envs_of_a_training_see_the_same_levels_and_ranks_draw_other_actions():
    streams = [make(A2CLoss(), rank)[1] for rank in range(4)] + [make(A2CLoss(), 0, seed=1)[1]]
    rollouts = [stream.collect() for stream in streams]
    seen = torch.cat([rollout.obs[0].flatten(1) for rollout in rollouts])  # the first board of each env
    assert len(seen.unique(dim=0)) == len(seen) == 5 * ENVS
    moves = {tuple(rollout.transitions.actions.flatten().tolist()) for rollout in rollouts}
    assert len(moves) == len(streams)


def test_the_same_seed_gives_the_same_rollout_again():
    first, again = (make(A2CLoss(), 1)[1].collect() for _ in range(2))
    torch.testing.assert_close(first.obs, again.obs, rtol=0, atol=0)
    torch.testing.assert_close(first.transitions[:5], again.transitions[:5], rtol=0, atol=0)
