"""The sizes of rollouts, and how training goes through them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Len

from drc_lab.arguments import Spec
from drc_lab.errors import ConfigError
from drc_lab.rules import NotNegative, NotNegativeReal, Positive, Share

RANGE = "[low, high] of at least 0, or null"
Range = Annotated[Annotated[Sequence[NotNegative], Len(2, 2)] | None, RANGE]


@dataclass(frozen=True)
class RolloutSpec(Spec):
    """How experience is collected, and how the learner goes through it.

    Args:
        num_envs: number of envs, summed over all ranks.
        num_steps: T, the steps of each env in a rollout.
        minibatches: number of parts that a rollout is split into along the envs; each is one optimizer step.
        epochs: number of times that the learner goes through every rollout.
        frames: env steps of the whole training, rounded up to whole rollouts.
        bptt_steps: the most steps back in time that gradients flow; None is ``num_steps``. If it is smaller, the
            rollout is cut into sequences; if it is larger, the steps before the rollout are replayed.
        burn_in: steps before all that gradients flow through, replayed without gradient so that the carry comes from
            the current weights.
        min_repeats, max_repeats: the ticks of each env step are drawn from this range, the same for all envs; None is
            the policy's own number at every step.
        draw_repeats: "step" draws the ticks for each step, "rollout" draws them once for all steps of a rollout.
        growing_frames: the upper end of the range grows from min_repeats to max_repeats over this many frames, so that
            training begins with few ticks. None uses the whole range from the start.
        first_passes: [low, high]: the number of extra passes on the first observation of each episode is drawn from
            this range; None is no such passes. In an extra pass the env stands still. It is one of the rollout's steps,
            and gradients flow through it, but it has no reward and counts neither for the step limit nor in the loss.
        later_passes: the same before later steps, each of which gets extra passes with probability ``later_chance``.
        later_chance: probability of extra passes before a step that is not the first of its episode.
        noops: [low, high]: the number of no-ops at the start of each episode, after ``first_passes``, is drawn from
            this range. In a no-op the env's action does nothing, while the policy continues to observe. It counts for
            the step limit, but not in the loss.
        think_price: subtracted from the reward for each tick of a step in which the policy chose to think
            (``env.thinks``). The loss treats such a step like any other, so the policy learns when to think.
        groups: number of groups that the envs of a rank are split into. Groups take turns: one steps on the CPU while a
            GPU runs the policy for another. None is 2 on a GPU if the rank's number of envs is even, else 1.
        cuda_graph: whether a GPU replays the policy's step and the learner's pass over a minibatch as CUDA graphs, see
            `drc_lab.learning.recording`.
        progressive_weight: weight of the progressive loss (Bansal et al. 2022, arXiv 2202.05826), which is computed on
            the outputs after a random number of ticks, of which a random number carry gradients. The ordinary loss has
            the remaining weight.
    """

    num_envs: Positive = 64
    num_steps: Positive = 10
    minibatches: Positive = 1
    epochs: Positive = 1
    frames: Positive = 1_000_000
    bptt_steps: Positive | None = None
    burn_in: NotNegative = 0
    min_repeats: Positive | None = None
    max_repeats: Positive | None = None
    draw_repeats: Literal["step", "rollout"] = "step"
    growing_frames: Positive | None = None
    first_passes: Range = None
    later_passes: Range = None
    later_chance: Share = 0.0
    noops: Range = None
    think_price: NotNegativeReal = 0.0
    progressive_weight: Share = 0.0
    groups: Positive | None = None
    cuda_graph: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_envs % self.minibatches:
            raise ConfigError("minibatches", self.minibatches, f"a divisor of num_envs = {self.num_envs}")
        if (self.min_repeats is None) != (self.max_repeats is None):
            raise ConfigError("min_repeats", self.min_repeats, "both min_repeats and max_repeats, or neither")
        if self.min_repeats is not None and self.min_repeats > (self.max_repeats or 0):
            raise ConfigError("min_repeats", self.min_repeats, f"1 to max_repeats = {self.max_repeats}")
        if self.growing_frames is not None and self.min_repeats is None:
            raise ConfigError("growing_frames", self.growing_frames, "null without min_repeats and max_repeats")
        for key in ("first_passes", "later_passes", "noops"):
            if (drawn := getattr(self, key)) is not None and drawn[0] > drawn[1]:
                raise ConfigError(key, list(drawn), RANGE)
        if (self.later_passes is None) != (self.later_chance == 0):
            raise ConfigError("later_chance", self.later_chance, "more than 0 with later_passes, 0 without")

    def check_possible(self, can_think: bool, can_wait: bool, limit: int | None = None) -> None:
        """Checks these settings against an env.

        Args:
            can_think: whether the env has an action that thinks, which ``think_price`` needs.
            can_wait: whether the env has a no-op action, which ``noops`` needs.
            limit: the lowest step limit of an episode, None if unknown; ``noops`` must leave steps to choose.

        Raises:
            ConfigError: about ``noops`` or ``think_price``.
        """
        if self.noops is not None and not can_wait:
            raise ConfigError("noops", list(self.noops), "null, as the env has no action that does nothing (env.noop)")
        if self.noops is not None and limit is not None and self.noops[1] >= limit:
            raise ConfigError("noops", list(self.noops), f"less than {limit}, as no step of an episode would be chosen")
        if self.think_price and not can_think:
            raise ConfigError("think_price", self.think_price, "0, as the env has no action that thinks (env.thinks)")

    def most_repeats(self, frames: int) -> int:
        """The upper end of the range that ticks are drawn from, after this many frames."""
        low, high = self.min_repeats or 1, self.max_repeats or 1
        return (
            high if self.growing_frames is None else min(high, low + (high - low + 1) * frames // self.growing_frames)
        )

    @property
    def draws_passes(self) -> bool:
        return self.first_passes is not None or self.later_passes is not None

    @property
    def draws_steps(self) -> bool:
        """Whether some steps are not chosen by the policy (extra passes or no-ops)."""
        return self.draws_passes or self.noops is not None

    @property
    def frames_per_rollout(self) -> int:
        return self.num_envs * self.num_steps

    def in_rollouts(self, frames: int) -> int:
        """This many frames rounded to whole rollouts, at least one."""
        return max(1, round(frames / self.frames_per_rollout))

    @property
    def rollouts(self) -> int:
        return -(-self.frames // self.frames_per_rollout)

    @property
    def optimizer_steps_per_rollout(self) -> int:
        return self.minibatches * self.epochs

    @property
    def optimizer_steps(self) -> int:
        """Optimizer steps of the whole training."""
        return self.rollouts * self.optimizer_steps_per_rollout

    @property
    def learned_context(self) -> int:
        """Number of steps before the rollout that gradients flow through."""
        return max(0, (self.bptt_steps or 0) - self.num_steps)

    @property
    def context(self) -> int:
        """Number of steps before the rollout that are replayed."""
        return self.burn_in + self.learned_context

    def share(self, ranks: int) -> int:
        """Number of envs on one rank.

        Raises:
            ConfigError: they cannot be divided evenly among ranks, minibatches or groups.
        """
        if self.num_envs % (ranks * self.minibatches):
            needed = f"a multiple of minibatches x ranks = {self.minibatches} x {ranks}"
            raise ConfigError("num_envs", self.num_envs, needed)
        share = self.num_envs // ranks
        if self.groups is not None and share % self.groups:
            raise ConfigError("groups", self.groups, f"a divisor of the {share} envs of a rank, or null")
        return share

    def group_sizes(self, ranks: int, on_gpu: bool) -> list[int]:
        """Number of envs in each group of one rank."""
        share = self.share(ranks)
        groups = self.groups or (2 if on_gpu and share % 2 == 0 else 1)
        return [share // groups] * groups
