"""The rollout stream: it steps the envs with the policy as it is now, and yields what the loss learns from.

It is a sized iterable. An unsized one would be prefetched by Lightning, and every rollout collected with the weights
of one update earlier. Its whole state (env, carry, random numbers, counters) can be saved between rollouts.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from drc_lab.envs.interface import BatchEnv
from drc_lab.errors import ConfigError
from drc_lab.learning.losses import Transitions
from drc_lab.models.policy import Policy


class EndedEpisodes(NamedTuple):
    """Episodes that ended in a rollout, one entry each: return (undiscounted), length in steps, solved."""

    returns: np.ndarray
    lengths: np.ndarray
    solved: np.ndarray


class Rollout(NamedTuple):
    """T steps of B envs, or the minibatch of some of those envs.

    obs [T + 1, B, ...] as the env gave it, the last is the one to bootstrap from; carry before the first step;
    repeats: ticks of each of the T + 1 steps; frames: env steps taken since the start of training, this rollout
    included; last: whether this is the last minibatch of its rollout.
    """

    obs: Tensor
    carry: Any
    repeats: tuple[int, ...]
    transitions: Transitions
    episodes: EndedEpisodes
    frames: int
    last: bool


@dataclass(frozen=True)
class RolloutSpec:
    """How experience is collected.

    Args:
        num_envs: B.
        num_steps: T.
        minibatches: parts that a rollout is split into, over envs; each is one optimizer step.
        passes: times that every rollout is gone through.
        frames: env steps of the whole training, rounded up to whole rollouts.
        min_repeats, max_repeats: ticks per env step are drawn from this range, anew for each step and alike for all
            envs; null is the policy's own number at every step.
    """

    num_envs: int = 64
    num_steps: int = 10
    minibatches: int = 1
    passes: int = 1
    frames: int = 1_000_000
    min_repeats: int | None = None
    max_repeats: int | None = None

    def __post_init__(self) -> None:
        for key in ("num_envs", "num_steps", "minibatches", "passes", "frames"):
            if getattr(self, key) < 1:
                raise ConfigError(key, getattr(self, key), "at least 1")
        if self.num_envs % self.minibatches:
            raise ConfigError("minibatches", self.minibatches, f"a divisor of num_envs = {self.num_envs}")
        if (self.min_repeats is None) != (self.max_repeats is None):
            raise ConfigError("min_repeats", self.min_repeats, "both min_repeats and max_repeats, or neither")
        if self.min_repeats is not None and not 1 <= self.min_repeats <= (self.max_repeats or 0):
            raise ConfigError("min_repeats", self.min_repeats, f"1 to max_repeats = {self.max_repeats}")

    @property
    def frames_per_rollout(self) -> int:
        return self.num_envs * self.num_steps

    @property
    def rollouts(self) -> int:
        return -(-self.frames // self.frames_per_rollout)

    @property
    def optimizer_steps_per_rollout(self) -> int:
        return self.minibatches * self.passes

    @property
    def optimizer_steps(self) -> int:
        """Of the whole training."""
        return self.rollouts * self.optimizer_steps_per_rollout


class RolloutStream:
    """Yields the minibatches of one rollout after the other.

    Args:
        spec: sizes.
        env: a batch env with same-step autoreset.
        policy: acts; it is read anew for every rollout.
        seed: of levels, actions, ticks and minibatches.
    """

    def __init__(self, spec: RolloutSpec, env: BatchEnv, policy: Policy, seed: int):
        self.spec, self.env, self.policy = spec, env, policy
        self.rollouts_done = 0
        self.generator = torch.Generator().manual_seed(seed)
        self.repeats_rng = np.random.default_rng([seed, 1])
        device = next(policy.parameters()).device
        obs, _ = env.reset(seed=seed)
        self.obs = torch.from_numpy(obs.copy())  # [B, ...], what the policy sees next
        self.resets = torch.ones(spec.num_envs, dtype=torch.bool)
        self.carry = policy.init_state(spec.num_envs, device=device, dtype=next(policy.parameters()).dtype)
        self.next_repeats = self._draw_repeats(1)

    @property
    def frames(self) -> int:
        return self.rollouts_done * self.spec.frames_per_rollout

    def __len__(self) -> int:
        """Minibatches of the whole training, those already yielded included."""
        return self.spec.optimizer_steps

    def __iter__(self) -> Iterator[Rollout]:
        while self.rollouts_done < self.spec.rollouts:
            rollout = self.collect()
            parts = self.spec.minibatches
            for number in range(self.spec.passes):
                order = torch.arange(self.spec.num_envs)
                if parts > 1:
                    order = torch.randperm(self.spec.num_envs, generator=self.generator)
                for i, envs in enumerate(order.chunk(parts)):
                    last = number == self.spec.passes - 1 and i == parts - 1
                    yield (_select(rollout, envs) if parts > 1 else rollout)._replace(last=last)

    @torch.no_grad()
    def collect(self) -> Rollout:
        """Steps all envs T times with the present weights; the carry goes on from the last rollout."""
        with self.policy.frozen():
            return self._collect()

    def _collect(self) -> Rollout:
        T, device = self.spec.num_steps, next(self.policy.parameters()).device
        repeats = self.next_repeats + self._draw_repeats(T)
        self.next_repeats = repeats[-1:]
        carry = self.carry
        observations, resets, actions, logits, rewards, truncations = ([] for _ in range(6))
        ended: list[EndedEpisodes] = []
        for t in range(T):
            observations.append(self.obs)
            resets.append(self.resets)
            out, self.carry = self.policy.unroll(self.obs[None].to(device), self.carry, self.resets[None].to(device),
                                                 repeats[t : t + 1])  # fmt: skip
            step_logits = out.policy_logits[0].float().cpu()  # (B, A)
            action = torch.multinomial(torch.softmax(step_logits, -1), 1, generator=self.generator)[:, 0]
            obs, reward, terminated, truncated, info = self.env.step(action.numpy())
            done = terminated | truncated
            if done.any():
                final = info["final_info"]
                ended.append(EndedEpisodes(*(final[key][done] for key in ("return", "length", "solved"))))
            self.obs, self.resets = torch.from_numpy(obs.copy()), torch.from_numpy(done)
            actions.append(action)
            logits.append(step_logits)
            rewards.append(torch.from_numpy(reward).float())
            truncations.append(torch.from_numpy(truncated.copy()))
        self.rollouts_done += 1
        stacked = [torch.stack(x) for x in (actions, rewards, logits, [*resets, self.resets], truncations)]
        nothing = EndedEpisodes(np.zeros(0), np.zeros(0, np.int64), np.zeros(0, bool))
        episodes = EndedEpisodes(*(np.concatenate(x) for x in zip(nothing, *ended, strict=True)))
        return Rollout(torch.stack([*observations, self.obs]), carry, repeats, Transitions(*stacked), episodes,
                       self.frames, False)  # fmt: skip

    def _draw_repeats(self, steps: int) -> tuple[int, ...]:
        if self.spec.min_repeats is None or self.spec.max_repeats is None:
            return (self.policy.repeats_per_step,) * steps
        drawn = self.repeats_rng.integers(self.spec.min_repeats, self.spec.max_repeats + 1, steps)
        return tuple(int(r) for r in drawn)

    def get_state(self) -> dict[str, Any]:
        """Everything the coming rollouts depend on but the weights: tensors and plain types only."""
        return {
            "rollouts_done": self.rollouts_done,
            "generator": self.generator.get_state(),
            "repeats_rng": self.repeats_rng.bit_generator.state,
            "next_repeats": list(self.next_repeats),
            "env": tree_map(lambda x: torch.from_numpy(x) if isinstance(x, np.ndarray) else x, self.env.get_state()),
            "obs": self.obs,
            "resets": self.resets,
            "carry": self.carry,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes on exactly where `get_state` was called."""
        self.rollouts_done = state["rollouts_done"]
        self.generator.set_state(state["generator"])
        self.repeats_rng.bit_generator.state = state["repeats_rng"]
        self.next_repeats = tuple(state["next_repeats"])
        self.env.set_state(tree_map(lambda x: x.numpy() if isinstance(x, Tensor) else x, state["env"]))
        device = next(self.policy.parameters()).device
        self.obs, self.resets = state["obs"], state["resets"]
        self.carry = tree_map(lambda x: x.to(device), state["carry"])


def _select(rollout: Rollout, envs: Tensor) -> Rollout:
    """The same rollout for some of the envs. The carry has envs first, everything else time first."""
    moves = rollout.transitions
    return rollout._replace(
        obs=rollout.obs[:, envs],
        carry=tree_map(lambda x: x[envs], rollout.carry),
        transitions=Transitions(*(x[:, envs] for x in moves)),
    )
