"""The rollout stream: steps the envs with the current policy and yields the minibatches that the loss learns from.

It is an iterable with a length: Lightning prefetches from iterables without one, and every rollout would then be
collected with weights that are one update old. Its whole state (envs, carry, random generators, counters) can be saved
between rollouts.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Int64, Shaped
from torch import Tensor
from torch.utils._pytree import tree_map

from drc_lab.envs.interface import BatchEnv
from drc_lab.envs.judge import Judge
from drc_lab.errors import ConfigError, Diverged
from drc_lab.learning.actor import Actor
from drc_lab.learning.finite import first_not_finite, weights
from drc_lab.learning.groups import Answer, Group, Step, group_seed, join, split
from drc_lab.learning.losses import Transitions
from drc_lab.learning.rollout import Context, EndedEpisodes, Progressive, Rollout, select
from drc_lab.learning.rollout_spec import RolloutSpec
from drc_lab.models.policy import Policy
from drc_lab.process import random_states, seed_everywhere, set_random_states


class Seen(NamedTuple):
    """What the policy sees in one step.

    Attributes:
        carry: the carry before it; None if neither a context nor the progressive loss needs it.
        resets: where it is the first observation of an episode.
        repeats: ticks of the step.
    """

    obs: Shaped[Tensor, "B *obs"]
    carry: Any
    resets: Bool[Tensor, "B"]
    repeats: int


class RolloutStream:
    """Collects rollouts one after the other and yields their minibatches.

    Args:
        spec: sizes of the rollouts, summed over all ranks.
        envs: this rank's batch envs with same-step autoreset, all of the same size. If there are several, each steps on
            the CPU while a GPU runs the policy for another. Each has its own levels and sampled actions, as ranks do.
        policy: the policy that acts; every rollout uses its current weights.
        seed: seeds the levels, the sampled actions, the drawn ticks and the split into minibatches.
        rank: rank of this process in a distributed training. Ranks see different levels and sample different actions,
            but run the same numbers of ticks.
        values: whether the loss needs the values that the policy estimated while acting.
        acting: makes the context manager in which the policy acts, to match the one in which the trainer computes the
            loss (autocast for mixed precision).
        actor: runs the policy's steps; None runs them without CUDA graphs.
        judges: one for each env, if the loss needs the optimal actions.
    """

    def __init__(
        self,
        spec: RolloutSpec,
        envs: Sequence[BatchEnv],
        policy: Policy,
        seed: int,
        rank: int = 0,
        values: bool = False,
        acting: Callable[[], AbstractContextManager[Any]] = nullcontext,
        actor: Actor | None = None,
        judges: Sequence[Judge] | None = None,
    ):
        self.spec, self.envs, self.policy, self.values, self.acting = spec, envs, policy, values, acting
        self.actor = actor or Actor(policy)
        for env in envs:
            spec.check_possible(env.think_action is not None, env.noop_action is not None)
        self.rollouts_done = 0
        self._random: dict[str, Any] | None = None  # states to restore when iteration begins, None to seed generators
        self._own_seed = group_seed(seed, rank, 0)
        self.judged = judges is not None
        self.groups = [
            Group(env, policy, group_seed(seed, rank, number), spec, judges[number] if judges else None)
            for number, env in enumerate(envs)
        ]
        self.repeats_rng = np.random.default_rng([seed, 1])
        self.next_repeats = self._draw_repeats(1)
        self.past: deque[Seen] = deque(maxlen=spec.context)

    @property
    def frames(self) -> int:
        """Env steps collected so far, summed over all ranks."""
        return self.rollouts_done * self.spec.frames_per_rollout

    @property
    def obs(self) -> Shaped[Tensor, "B *obs"]:
        """The observations that the policy sees next."""
        return join([group.obs for group in self.groups])

    @property
    def resets(self) -> Bool[Tensor, "B"]:
        """True where the next observation is the first of its episode."""
        return join([group.resets for group in self.groups])

    @property
    def carry(self) -> Any:
        return join([group.carry for group in self.groups])

    def __len__(self) -> int:
        """Number of minibatches in the whole training, including those already yielded."""
        return self.spec.optimizer_steps

    def __iter__(self) -> Iterator[Rollout]:
        # Seed here and not in the constructor: setting up a training draws random numbers, and how many depends on what
        # already exists (an MLflow run, for example).
        if self._random is None:
            seed_everywhere(self._own_seed)
        else:
            set_random_states(self._random)
            self._random = None
        while self.rollouts_done < self.spec.rollouts:
            rollout = self.collect()
            parts = self.spec.minibatches
            for epoch in range(self.spec.epochs):
                order = torch.arange(rollout.obs.shape[1])
                if parts > 1:
                    order = torch.randperm(len(order), generator=self.groups[0].generator)
                for i, envs in enumerate(order.chunk(parts)):
                    last = epoch == self.spec.epochs - 1 and i == parts - 1
                    yield (select(rollout, envs) if parts > 1 else rollout)._replace(last=last)

    @torch.no_grad()
    def collect(self) -> Rollout:
        """Steps all envs T times with the current weights, starting from the carry at the end of the last rollout."""
        with self.actor.ready(), self.acting():
            return self._collect()

    def _collect(self) -> Rollout:
        """Asks the policy, steps the envs and asks again, group by group.

        The answer to the last observations is for the value of the bootstrap step alone. The carry is not advanced by
        it: the next rollout repeats that step with newer weights.
        """
        repeats, context, carry = self._repeats_of_a_rollout(), self._context(), self.carry
        seen: list[Seen] = []
        steps: list[Step] = []
        ended: list[EndedEpisodes] = []
        for group in self.groups:
            group.ask(self.actor, repeats[0])
        for t, ticks in enumerate(repeats[:-1]):
            seen.append(self._seen(ticks))
            if self.past.maxlen:  # 0 without a context
                self.past.append(seen[-1])
            asks_again = t + 1 < self.spec.num_steps or self.values
            taken = []
            for group in self.groups:  # one group's envs step on the CPU while a GPU runs the policy for the others
                step, ended_now = self._step(group, ticks)
                taken.append(step)
                ended.append(ended_now)
                if asks_again:
                    group.ask(self.actor, repeats[t + 1])
            steps.append(_columns(join, taken))
        self.rollouts_done += 1
        seen.append(self._seen(repeats[-1]))
        return Rollout(
            obs=torch.stack([each.obs for each in seen]),
            carry=carry,
            repeats=repeats,
            transitions=self._transitions(seen, _columns(torch.stack, steps)),
            episodes=EndedEpisodes(*(np.concatenate(x) for x in zip(*ended, strict=True))),
            frames=self.frames,
            last=False,
            context=context,
            progressive=self._progressive(seen) if self.spec.progressive_weight else None,
        )

    def _seen(self, ticks: int) -> Seen:
        keeps_carry = self.past.maxlen or self.spec.progressive_weight
        return Seen(self.obs, self.carry if keeps_carry else None, self.resets, ticks)

    def _step(self, group: Group, ticks: int) -> tuple[Step, EndedEpisodes]:
        optimal = group.optimal_actions() if self.judged else None  # while a GPU still computes the answer
        step, ended = group.step(self._sample(group, group.answer()), ticks)
        return step._replace(optimal_actions=optimal), ended

    def _transitions(self, seen: list[Seen], steps: Step) -> Transitions:
        """What the loss reads, from the steps [T, B, ..] and what the policy saw before each of them and at the end."""
        values = None
        if self.values:
            values = torch.cat([steps.values, join([group.answer().value for group in self.groups])[None]])
        return Transitions(
            actions=steps.actions,
            rewards=steps.rewards,
            behaviour_logits=steps.logits,
            resets=torch.stack([each.resets for each in seen]),
            truncated=steps.truncated,
            behaviour_values=values,
            passes=steps.passes if self.spec.draws_steps else None,
            optimal_actions=steps.optimal_actions,
        )

    def _sample(self, group: Group, answer: Answer) -> Int64[Tensor, "B"]:
        """Samples actions for a group.

        Raises:
            Diverged: the logits contain NaN or infinity. The error names the first tensor that does: a weight, the
                observation, the carry or the logits.
        """
        try:
            return torch.multinomial(torch.softmax(answer.logits, -1), 1, generator=group.generator)[:, 0]
        except RuntimeError:
            seen = [
                *weights(self.policy),
                ("observation", group.obs),
                ("carry", answer.carry),
                ("logits", answer.logits),
            ]
            if (culprit := first_not_finite(seen)) is None:
                raise
            name, value = culprit
            raise Diverged(f"{name} is {value} while acting after {self.frames:,} frames") from None

    def _context(self) -> Context | None:
        """The steps before the rollout that begins now: fewer at the start of a training, None if there are none."""
        if not self.past:
            return None
        obs, carries, resets, repeats = zip(*self.past, strict=True)
        return Context(torch.stack(obs), carries[0], torch.stack(resets), repeats)

    def _progressive(self, seen: list[Seen]) -> Progressive:
        most = self.spec.max_repeats or self.policy.repeats_per_step
        free = int(self.repeats_rng.integers(0, most))
        learned = int(self.repeats_rng.integers(1, most - free + 1))
        return Progressive(tree_map(lambda *steps: torch.stack(steps), *(each.carry for each in seen)), free, learned)

    def _repeats_of_a_rollout(self) -> tuple[int, ...]:
        """Ticks of the T + 1 steps; the last one, the bootstrap step, is also the first step of the next rollout."""
        T = self.spec.num_steps
        if self.spec.draw_repeats == "rollout":
            repeats = self.next_repeats * T + self._draw_repeats(1)
        else:
            repeats = self.next_repeats + self._draw_repeats(T)
        self.next_repeats = repeats[-1:]
        return repeats

    def _draw_repeats(self, steps: int) -> tuple[int, ...]:
        if self.spec.min_repeats is None or self.spec.max_repeats is None:
            return (self.policy.repeats_per_step,) * steps
        drawn = self.repeats_rng.integers(self.spec.min_repeats, self.spec.most_repeats(self.frames) + 1, steps)
        return tuple(int(r) for r in drawn)

    def get_state(self) -> dict[str, Any]:
        """Everything that future rollouts depend on except the weights, as tensors and plain types."""
        return {
            "rollouts_done": self.rollouts_done,
            "random": self._random or random_states(),  # because a policy may draw from the global generators
            "repeats_rng": self.repeats_rng.bit_generator.state,
            "next_repeats": list(self.next_repeats),
            "groups": [group.get_state() for group in self.groups],
            "obs": self.obs,
            "resets": self.resets,
            "carry": self.carry,
            "past": [list(step) for step in self.past],
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores a state from `get_state`, so that the stream continues exactly from there.

        Raises:
            ConfigError: the state was saved with a different number of groups.
        """
        states = state.get("groups", [state])  # older checkpoints have no groups, only the state of a single one
        if len(states) != len(self.groups):
            raise ConfigError("algo.rollouts.groups", len(self.groups), f"{len(states)}, as in the run that goes on")
        self.rollouts_done = state["rollouts_done"]
        self._random = state["random"]
        self.repeats_rng.bit_generator.state = state["repeats_rng"]
        self.next_repeats = tuple(state["next_repeats"])
        device = next(self.policy.parameters()).device
        to_split = (state["obs"], state["resets"], tree_map(lambda x: x.to(device), state["carry"]))
        for group, saved, parts in zip(self.groups, states, split(to_split, len(states)), strict=True):
            group.set_state(saved, *parts)
        self.past.clear()
        for obs, carry, resets, repeats in state["past"]:
            self.past.append(Seen(obs, tree_map(lambda x: x.to(device), carry), resets, repeats))


def _columns(merge: Callable[[list[Tensor]], Tensor], steps: Sequence[Step]) -> Step:
    """One step whose tensors are those of several, merged."""
    columns = (None if column[0] is None else merge(list(column)) for column in zip(*steps, strict=True))
    return Step(*columns)  # type: ignore[arg-type]  # only the last one may be None
