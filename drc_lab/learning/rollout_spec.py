"""The sizes of rollouts, and how they are gone through."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from drc_lab.errors import ConfigError


@dataclass(frozen=True)
class RolloutSpec:
    """How experience is collected, and how it is gone through.

    Args:
        num_envs: of all ranks together.
        num_steps: T.
        minibatches: parts that a rollout is split into, over envs; each is one optimizer step.
        passes: times that every rollout is gone through.
        frames: env steps of the whole training, rounded up to whole rollouts.
        bptt_steps: steps that a gradient reaches back through time at most; None is the rollout's. With fewer, the
            rollout is cut into sequences; with more, the steps before it are gone through again.
        burn_in: steps before those that are gone through without gradient, for a carry of the present weights.
        min_repeats, max_repeats: ticks per env step are drawn from this range, alike for all envs; null is the
            policy's own number at every step.
        draw_repeats: "step", anew for each step, or "rollout", the same for all steps of one.
        growing_frames: over so many frames the upper end grows from min_repeats to max_repeats: few ticks at first,
            more later. None has all of them from the start.
        first_passes: [low, high] of the passes on the first observation of each episode, drawn for each; None is none.
            In a pass the env stands still: the policy takes a step of its own, which gets no reward, counts for no
            step limit and no loss, and through which gradients flow. It is one of the rollout's steps.
        later_passes: the same before a later step, each of which it comes before with ``later_chance``.
        later_chance: of passes before a step that is not the first.
        noops: [low, high] of the steps that each episode begins with, after those passes, in which the env is told to
            do nothing while the policy goes on watching; drawn for each. They count for the step limit, but no loss.
        think_price: taken off the reward for each tick of a step in which the policy chose to think (``env.thinks``).
            Such a step is one as any other to the loss, which is how its use is learned.
        groups: that the envs of a rank are in, which take turns: one steps on the CPU while a GPU runs the policy for
            another. None is 2 on a GPU, if their number is even, and 1 on CPUs.
        cuda_graph: whether a GPU replays the policy's step and the learner's pass over a minibatch as CUDA graphs, see
            `drc_lab.learning.recording`.
        progressive_weight: share of the loss on what the net says after a random number of ticks, of which a random
            number carry gradients (Bansal et al. 2022, arXiv 2202.05826); the rest is the ordinary loss.
    """

    num_envs: int = 64
    num_steps: int = 10
    minibatches: int = 1
    passes: int = 1
    frames: int = 1_000_000
    bptt_steps: int | None = None
    burn_in: int = 0
    min_repeats: int | None = None
    max_repeats: int | None = None
    draw_repeats: str = "step"
    growing_frames: int | None = None
    first_passes: Sequence[int] | None = None
    later_passes: Sequence[int] | None = None
    later_chance: float = 0.0
    noops: Sequence[int] | None = None
    think_price: float = 0.0
    progressive_weight: float = 0.0
    groups: int | None = None
    cuda_graph: bool = True

    def __post_init__(self) -> None:
        for key in (
            "num_envs",
            "num_steps",
            "minibatches",
            "passes",
            "frames",
            "bptt_steps",
            "groups",
            "growing_frames",
        ):
            if (value := getattr(self, key)) is not None and value < 1:
                raise ConfigError(key, value, "at least 1")
        if self.num_envs % self.minibatches:
            raise ConfigError("minibatches", self.minibatches, f"a divisor of num_envs = {self.num_envs}")
        if self.burn_in < 0:
            raise ConfigError("burn_in", self.burn_in, "0 or more")
        if (self.min_repeats is None) != (self.max_repeats is None):
            raise ConfigError("min_repeats", self.min_repeats, "both min_repeats and max_repeats, or neither")
        if self.min_repeats is not None and not 1 <= self.min_repeats <= (self.max_repeats or 0):
            raise ConfigError("min_repeats", self.min_repeats, f"1 to max_repeats = {self.max_repeats}")
        if self.growing_frames is not None and self.min_repeats is None:
            raise ConfigError("growing_frames", self.growing_frames, "null without min_repeats and max_repeats")
        if self.draw_repeats not in ("step", "rollout"):
            raise ConfigError("draw_repeats", self.draw_repeats, "step | rollout")
        for key in ("progressive_weight", "later_chance"):
            if not 0 <= getattr(self, key) <= 1:
                raise ConfigError(key, getattr(self, key), "0 to 1")
        for key in ("first_passes", "later_passes", "noops"):
            drawn = getattr(self, key)
            if drawn is not None and not (len(drawn) == 2 and 0 <= drawn[0] <= drawn[1]):
                raise ConfigError(key, list(drawn), "[low, high] of at least 0, or null")
        if not 0 <= self.think_price < math.inf:
            raise ConfigError("think_price", self.think_price, "0 or more")
        if (self.later_passes is None) != (self.later_chance == 0):
            raise ConfigError("later_chance", self.later_chance, "more than 0 with later_passes, 0 without")

    def check_possible(self, can_think: bool, can_wait: bool, limit: int | None = None) -> None:
        """Whether an env has the actions that are asked for, one that thinks for a price and one that does nothing, and
        steps left after no-ops; ``limit``: the fewest of an episode, if it is known."""
        if self.noops is not None and not can_wait:
            raise ConfigError("noops", list(self.noops), "null, as the env has no action that does nothing (env.noop)")
        if self.noops is not None and limit is not None and self.noops[1] >= limit:
            raise ConfigError("noops", list(self.noops), f"less than {limit}, as no step of an episode would be chosen")
        if self.think_price and not can_think:
            raise ConfigError("think_price", self.think_price, "0, as the env has no action that thinks (env.thinks)")

    def most_repeats(self, frames: int) -> int:
        """The upper end of the range that ticks are drawn from after so many frames."""
        low, high = self.min_repeats or 1, self.max_repeats or 1
        return (
            high if self.growing_frames is None else min(high, low + (high - low + 1) * frames // self.growing_frames)
        )

    @property
    def draws_passes(self) -> bool:
        return self.first_passes is not None or self.later_passes is not None

    @property
    def draws_steps(self) -> bool:
        """Whether there are steps that the policy does not choose."""
        return self.draws_passes or self.noops is not None

    @property
    def frames_per_rollout(self) -> int:
        return self.num_envs * self.num_steps

    def in_rollouts(self, frames: int) -> int:
        """The number of rollouts that is closest to so many frames, at least one."""
        return max(1, round(frames / self.frames_per_rollout))

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

    @property
    def learned_context(self) -> int:
        """Steps before the rollout that gradients reach."""
        return max(0, (self.bptt_steps or 0) - self.num_steps)

    @property
    def context(self) -> int:
        """Steps before the rollout that are gone through again."""
        return self.burn_in + self.learned_context

    def share(self, ranks: int) -> int:
        """Envs of one rank.

        Raises:
            ConfigError: they cannot be shared out evenly.
        """
        if self.num_envs % (ranks * self.minibatches):
            needed = f"a multiple of minibatches x ranks = {self.minibatches} x {ranks}"
            raise ConfigError("num_envs", self.num_envs, needed)
        share = self.num_envs // ranks
        if self.groups is not None and share % self.groups:
            raise ConfigError("groups", self.groups, f"a divisor of the {share} envs of a rank, or null")
        return share

    def group_sizes(self, ranks: int, on_gpu: bool) -> list[int]:
        """Envs of each group of one rank."""
        share = self.share(ranks)
        groups = self.groups or (2 if on_gpu and share % 2 == 0 else 1)
        return [share // groups] * groups
