"""The rollout stream: it steps the envs with the policy as it is now, and yields what the loss learns from.

It is a sized iterable. An unsized one would be prefetched by Lightning, and every rollout collected with the weights
of one update earlier. Its whole state (env, carry, random numbers, counters) can be saved between rollouts.
"""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from drc_lab.envs.interface import BatchEnv
from drc_lab.errors import Diverged
from drc_lab.learning.finite import first_not_finite, weights
from drc_lab.learning.losses import Transitions
from drc_lab.learning.rollout import Context, EndedEpisodes, Progressive, Rollout, select
from drc_lab.learning.rollout_spec import RolloutSpec
from drc_lab.models.policy import Policy, PolicyValue
from drc_lab.process import random_states, seed_everywhere, set_random_states


class RolloutStream:
    """Yields the minibatches of one rollout after the other.

    Args:
        spec: sizes, of all ranks together.
        env: this rank's batch env with same-step autoreset.
        policy: acts; it is read anew for every rollout.
        seed: of levels, actions, ticks and minibatches.
        rank: of this process in a distributed training: ranks see other levels and draw other actions, but run the
            same numbers of ticks.
        values: whether the loss asks for the values that the policy had while acting.
        acting: context that the policy acts in, as it learns in the trainer's (autocast of a mixed precision).
    """

    def __init__(
        self,
        spec: RolloutSpec,
        env: BatchEnv,
        policy: Policy,
        seed: int,
        rank: int = 0,
        values: bool = False,
        acting: Callable[[], AbstractContextManager] = nullcontext,
    ):
        self.spec, self.env, self.policy, self.values, self.acting = spec, env, policy, values, acting
        self.rollouts_done = 0
        self._random: dict[str, Any] | None = None  # the states that the next rollout begins with, if not the present
        own = seed if rank == 0 else int(np.random.SeedSequence([seed, rank]).generate_state(1)[0])
        self._own_seed = own
        self.generator = torch.Generator().manual_seed(own)
        self.repeats_rng = np.random.default_rng([seed, 1])
        device = next(policy.parameters()).device
        obs, _ = env.reset(seed=own)
        self.obs = torch.from_numpy(obs.copy())  # [B, ...], what the policy sees next
        self.resets = torch.ones(len(obs), dtype=torch.bool)
        self.carry = policy.init_state(len(obs), device=device, dtype=next(policy.parameters()).dtype)
        self.next_repeats = self._draw_repeats(1)
        self.past: deque[tuple[Tensor, Any, Tensor, int]] = deque(maxlen=spec.context)  # obs, carry, resets, repeats

    @property
    def frames(self) -> int:
        """Of all ranks."""
        return self.rollouts_done * self.spec.frames_per_rollout

    def __len__(self) -> int:
        """Minibatches of the whole training, those already yielded included."""
        return self.spec.optimizer_steps

    def __iter__(self) -> Iterator[Rollout]:
        # Only now: what a start draws depends on what is there already (a run in MLflow, say).
        if self._random is None:
            seed_everywhere(self._own_seed)
        else:
            set_random_states(self._random)
            self._random = None
        while self.rollouts_done < self.spec.rollouts:
            rollout = self.collect()
            parts = self.spec.minibatches
            for number in range(self.spec.passes):
                order = torch.arange(len(self.obs))
                if parts > 1:
                    order = torch.randperm(len(self.obs), generator=self.generator)
                for i, envs in enumerate(order.chunk(parts)):
                    last = number == self.spec.passes - 1 and i == parts - 1
                    yield (select(rollout, envs) if parts > 1 else rollout)._replace(last=last)

    @torch.no_grad()
    def collect(self) -> Rollout:
        """Steps all envs T times with the present weights; the carry goes on from the last rollout."""
        with self.policy.frozen(), self.acting():
            return self._collect()

    def _collect(self) -> Rollout:
        T = self.spec.num_steps
        if self.spec.draw_repeats == "rollout":
            repeats = self.next_repeats * T + self._draw_repeats(1)
        else:
            repeats = self.next_repeats + self._draw_repeats(T)
        self.next_repeats = repeats[-1:]  # of the step to bootstrap from, which the next rollout begins with
        context, carry = self._context(), self.carry
        carries, observations, resets, actions, logits, values, rewards, truncations = ([] for _ in range(8))
        ended: list[EndedEpisodes] = []
        for t in range(T):
            self.past.append((self.obs, self.carry, self.resets, repeats[t]))
            carries.append(self.carry if self.spec.progressive_weight else None)
            observations.append(self.obs)
            resets.append(self.resets)
            out, self.carry = self._act(repeats[t])
            step_logits = out.policy_logits[0].float().cpu()  # (B, A)
            action = self._sample(step_logits)
            obs, reward, terminated, truncated, info = self.env.step(action.numpy())
            done = terminated | truncated
            if done.any():
                final = info["final_info"]
                ended.append(EndedEpisodes(*(final[key][done] for key in ("return", "length", "solved"))))
            self.obs, self.resets = torch.from_numpy(obs.copy()), torch.from_numpy(done)
            actions.append(action)
            logits.append(step_logits)
            values.append(out.value[0, :, 0].float().cpu())
            rewards.append(torch.from_numpy(reward).float())
            truncations.append(torch.from_numpy(truncated.copy()))
        self.rollouts_done += 1
        if self.values:  # the carry stays: the next rollout takes this step again, with newer weights
            values.append(self._act(repeats[T])[0].value[0, :, 0].float().cpu())
        nothing = EndedEpisodes(np.zeros(0), np.zeros(0, np.int64), np.zeros(0, bool))
        episodes = EndedEpisodes(*(np.concatenate(x) for x in zip(nothing, *ended, strict=True)))
        transitions = Transitions(
            torch.stack(actions),
            torch.stack(rewards),
            torch.stack(logits),
            torch.stack([*resets, self.resets]),
            torch.stack(truncations),
            torch.stack(values) if self.values else None,
        )
        progressive = self._progressive([*carries, self.carry]) if self.spec.progressive_weight else None
        return Rollout(torch.stack([*observations, self.obs]), carry, repeats, transitions, episodes, self.frames,
                       False, context, progressive)  # fmt: skip

    def _act(self, repeats: int) -> tuple[PolicyValue, Any]:
        """One step of all envs: logits [1, B, A], values [1, B, 1], the carry after it."""
        device = next(self.policy.parameters()).device
        return self.policy.unroll(self.obs[None].to(device), self.carry, self.resets[None].to(device), (repeats,))

    def _sample(self, logits: Tensor) -> Tensor:
        """Actions [B] from logits [B, A].

        Raises:
            Diverged: the logits are no numbers; it names what was not before them.
        """
        try:
            return torch.multinomial(torch.softmax(logits, -1), 1, generator=self.generator)[:, 0]
        except RuntimeError:
            seen = [*weights(self.policy), ("observation", self.obs), ("carry", self.carry), ("logits", logits)]
            if (culprit := first_not_finite(seen)) is None:
                raise
            name, value = culprit
            raise Diverged(f"{name} is {value} while acting after {self.frames:,} frames") from None

    def _context(self) -> Context | None:
        """Of the rollout that begins now; shorter, or none, at the start of a training."""
        if not self.past:
            return None
        obs, carries, resets, repeats = zip(*self.past, strict=True)
        return Context(torch.stack(obs), carries[0], torch.stack(resets), repeats)

    def _progressive(self, carries: list[Any]) -> Progressive:
        most = self.spec.max_repeats or self.policy.repeats_per_step
        free = int(self.repeats_rng.integers(0, most))
        learned = int(self.repeats_rng.integers(1, most - free + 1))
        return Progressive(tree_map(lambda *steps: torch.stack(steps), *carries), free, learned)

    def _draw_repeats(self, steps: int) -> tuple[int, ...]:
        if self.spec.min_repeats is None or self.spec.max_repeats is None:
            return (self.policy.repeats_per_step,) * steps
        drawn = self.repeats_rng.integers(self.spec.min_repeats, self.spec.max_repeats + 1, steps)
        return tuple(int(r) for r in drawn)

    def get_state(self) -> dict[str, Any]:
        """Everything the coming rollouts depend on but the weights: tensors and plain types only."""
        return {
            "rollouts_done": self.rollouts_done,
            "random": self._random or random_states(),  # a policy may draw from the global generators
            "generator": self.generator.get_state(),
            "repeats_rng": self.repeats_rng.bit_generator.state,
            "next_repeats": list(self.next_repeats),
            "env": tree_map(lambda x: torch.from_numpy(x) if isinstance(x, np.ndarray) else x, self.env.get_state()),
            "obs": self.obs,
            "resets": self.resets,
            "carry": self.carry,
            "past": [list(step) for step in self.past],
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes on exactly where `get_state` was called."""
        self.rollouts_done = state["rollouts_done"]
        self._random = state["random"]
        self.generator.set_state(state["generator"])
        self.repeats_rng.bit_generator.state = state["repeats_rng"]
        self.next_repeats = tuple(state["next_repeats"])
        self.env.set_state(tree_map(lambda x: x.numpy() if isinstance(x, Tensor) else x, state["env"]))
        device = next(self.policy.parameters()).device
        self.obs, self.resets = state["obs"], state["resets"]
        self.carry = tree_map(lambda x: x.to(device), state["carry"])
        self.past.clear()
        for obs, carry, resets, repeats in state["past"]:
            self.past.append((obs, tree_map(lambda x: x.to(device), carry), resets, repeats))
