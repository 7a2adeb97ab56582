"""The envs of a rank in groups: while the policy sees to one of them on a GPU, the others step on the CPU."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from drc_lab.envs.interface import BatchEnv
from drc_lab.envs.judge import Judge
from drc_lab.learning.actor import Actor
from drc_lab.learning.rollout import EndedEpisodes
from drc_lab.learning.rollout_spec import RolloutSpec
from drc_lab.models.policy import Policy


class Answer(NamedTuple):
    """What the policy says: logits [B, A] and values [B], float32 on the CPU once ``arrived`` has, and the carry."""

    logits: Tensor
    value: Tensor
    carry: Any
    arrived: torch.cuda.Event | None


class Group:
    """A batch env, what the policy knows of it, and what it is asked about it.

    What is sent to a GPU, and what comes back, lies in pinned memory: each time in another block, which torch's
    allocator takes back only when the copy is over, so nothing has to be kept from being overwritten.

    Args:
        env: with same-step autoreset.
        policy: acts.
        seed: of levels and actions.
        spec: which passes there are.
        judge: of the env's boards, if their optimal actions are asked for.

    Attributes:
        obs: [B, ...], on the CPU, what the policy sees next.
        resets: bool [B], on the CPU, where that is the first of an episode.
        carry: before it, on the policy's device.
        passes, noops: int64 [B], to come before each env's next step, and then before the first that is chosen.
    """

    def __init__(self, env: BatchEnv, policy: Policy, seed: int, spec: RolloutSpec, judge: Judge | None = None):
        self.env, self.spec, self.judge = env, spec, judge
        self.passes_rng = np.random.default_rng([seed, 2])
        self.passes, self.noops = (np.zeros(env.num_envs, np.int64) for _ in range(2))
        self.generator = torch.Generator().manual_seed(seed)
        weight = next(policy.parameters())
        self.on_gpu = weight.device.type == "cuda"
        self.obs = self._to_send(env.reset(seed=seed)[0])
        self.resets = self._to_send(np.ones(len(self.obs), bool))
        self.carry = policy.init_state(len(self.obs), device=weight.device, dtype=weight.dtype)
        self._asked: Answer | None = None
        self._draw(np.ones(env.num_envs, bool))

    def ask(self, actor: Actor, repeats: int) -> None:
        """Has the policy take a step; on a GPU without waiting for it."""
        with actor.profile("act"):
            out, carry = actor.act(self.obs, self.carry, self.resets, repeats)
        logits, value = (
            x.float().to("cpu", non_blocking=self.on_gpu) for x in (out.policy_logits[0], out.value[0, :, 0])
        )
        arrived = None
        if self.on_gpu:
            arrived = torch.cuda.Event()
            arrived.record()
        self._asked = Answer(logits, value, carry, arrived)

    def answer(self) -> Answer:
        """What the policy said, waited for."""
        assert self._asked is not None
        if self._asked.arrived is not None:
            self._asked.arrived.synchronize()
        return self._asked

    def optimal_actions(self) -> Tensor:
        """bool [B, K] of the game's own K actions, as the boards are now; none where nothing is known, or where the
        policy does not choose."""
        assert self.judge is not None
        chooses = np.flatnonzero((self.passes == 0) & (self.noops == 0))
        optimal = np.zeros((self.env.num_envs, len(self.judge.game.action_names)), bool)
        if len(chooses):
            optimal[chooses] = self.judge.optimal_moves(chooses) == 1
        return torch.from_numpy(optimal)

    def step(self, actions: Tensor, ticks: int) -> tuple[Tensor, Tensor, Tensor, EndedEpisodes]:
        """Takes the actions [B] that follow from the answer, but where there is a pass or a no-op. Returns rewards,
        truncations, and what was not chosen, all [B]; ``ticks`` are those of the answer, which a think is charged for.

        An episode that ends with a no-op counts as truncated by it, whatever the env says.
        """
        self.carry = self.answer().carry
        chosen, stands = actions.numpy(), self.passes > 0
        waits = ~stands & (self.noops > 0)
        if waits.any():
            assert self.env.noop_action is not None
            chosen = np.where(waits, self.env.noop_action, chosen)
        given = (stands,) if self.spec.draws_passes else ()
        obs, reward, terminated, truncated, info = self.env.step(chosen, *given)
        self.passes -= stands
        self.noops -= waits
        done, told = terminated | truncated, stands | waits
        self._draw(done, ~(done | told))
        ended = EndedEpisodes(np.zeros(0), np.zeros(0, np.int64), np.zeros(0, bool), np.zeros(0, np.int64))
        if done.any():
            self._forget(np.flatnonzero(done))
            final = info["final_info"]
            solved = final["solved"][done] if "solved" in final else ended.solved
            thinks = final["thinks"][done] if "thinks" in final else ended.thinks
            ended = EndedEpisodes(final["return"][done], final["length"][done], solved, thinks)
        rewards = torch.from_numpy(reward).float()
        if self.spec.think_price:
            thinks_on = torch.from_numpy((chosen == self.env.think_action) & ~stands)
            rewards -= self.spec.think_price * ticks * thinks_on
        self.obs, self.resets = self._to_send(obs), self._to_send(done)
        return rewards, torch.from_numpy(truncated | (done & waits)), torch.from_numpy(told & ~done), ended

    def _forget(self, envs: np.ndarray) -> None:
        if self.judge is not None:
            self.judge.forget(envs)

    def _draw(self, first: np.ndarray, later: np.ndarray | None = None) -> None:
        """Of envs (bool [B]) whose next step is the first of an episode, and of those that took one before it."""
        if self.spec.first_passes is not None:
            self.passes[first] = self._drawn(self.spec.first_passes, int(first.sum()))
        if self.spec.noops is not None:
            self.noops[first] = self._drawn(self.spec.noops, int(first.sum()))
        if later is not None and self.spec.later_passes is not None:
            later &= self.passes_rng.random(len(later)) < self.spec.later_chance
            self.passes[later] = self._drawn(self.spec.later_passes, int(later.sum()))

    def _drawn(self, between: Sequence[int], count: int) -> np.ndarray:
        low, high = between
        return self.passes_rng.integers(low, high + 1, count)

    def _to_send(self, array: np.ndarray) -> Tensor:
        """A copy, as the env writes over what it gave."""
        return torch.from_numpy(array).pin_memory() if self.on_gpu else torch.from_numpy(array.copy())

    def get_state(self) -> dict[str, Any]:
        """Of env and actions, as tensors and plain types."""
        env = tree_map(lambda x: torch.from_numpy(x) if isinstance(x, np.ndarray) else x, self.env.get_state())
        own = {"left": torch.from_numpy(self.passes.copy()), "noops": torch.from_numpy(self.noops.copy()),
               "rng": self.passes_rng.bit_generator.state}  # fmt: skip
        return {"env": env, "generator": self.generator.get_state(), "passes": own}

    def set_state(self, state: dict[str, Any], obs: Tensor, resets: Tensor, carry: Any) -> None:
        """Goes on where `get_state` was called, and where these were its own."""
        self.env.set_state(tree_map(lambda x: x.numpy() if isinstance(x, Tensor) else x, state["env"]))
        self._forget(np.arange(self.env.num_envs))
        self.generator.set_state(state["generator"])
        if "passes" in state:  # or of a training from before there were any
            self.passes = state["passes"]["left"].numpy().copy()
            self.passes_rng.bit_generator.state = state["passes"]["rng"]
            if "noops" in state["passes"]:  # the same
                self.noops = state["passes"]["noops"].numpy().copy()
        self.obs, self.resets, self.carry = self._to_send(obs.numpy()), self._to_send(resets.numpy()), carry


def group_seed(seed: int, rank: int, group: int) -> int:
    """Of a group's levels and actions: the training's for the first of all, others for all others."""
    if rank == group == 0:
        return seed
    place = [seed, rank, group] if group else [seed, rank]
    return int(np.random.SeedSequence(place).generate_state(1)[0])


def join(parts: Sequence[Any]) -> Any:
    """Trees of tensors [B of a group, ...] as one of [B, ...]."""
    return parts[0] if len(parts) == 1 else tree_map(lambda *each: torch.cat(each), *parts)


def split(whole: Any, parts: int) -> list[Any]:
    """The reverse of `join`, for groups of equal size."""
    return [tree_map(lambda x, part=part: x.chunk(parts)[part], whole) for part in range(parts)]
