"""Controls: players that a policy is compared with, such as ones that do not plan or that cannot remember."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from drc_lab.evaluation.kinds.kind import Kind, Words
from drc_lab.evaluation.play.thinking import Thinking

if TYPE_CHECKING:
    from drc_lab.envs.interface import BatchEnv
    from drc_lab.evaluation.play.choices import Choose
    from drc_lab.evaluation.play.played import Played
    from drc_lab.models.policy import Policy


@dataclass(frozen=True)
class Control(Kind):
    """A player that is played once, without extra thinking."""

    adds_thinking = False
    is_control = True
    beside: ClassVar[str] = ""
    """The control that it comes with, if it cannot be chosen by itself."""

    @abstractmethod
    def player(self, policy: "Policy", env: "BatchEnv", seed: int) -> "tuple[Policy, Choose | None]":
        """Who plays in place of a policy in an env, and how it chooses actions; None for the most probable ones.

        ``seed`` is that of everything random.
        """

    @property
    def control(self) -> "Control":
        return self

    def played_amounts(self, policy: "Policy") -> Sequence[float]:
        return [0]

    def thinking(self, amount: float, baseline: "Played | None" = None) -> Thinking:
        return Thinking()


@dataclass(frozen=True)
class Random(Control):
    """Samples uniformly from the policy's actions, without the action "think"."""

    words = Words("random policy", "", "a random policy")

    def player(self, policy: "Policy", env: "BatchEnv", seed: int) -> "tuple[Policy, Choose | None]":
        from drc_lab.evaluation.play import choices, players  # these import torch

        return players.random_policy(policy, env), choices.never(env.think_action, choices.sampled(seed))


@dataclass(frozen=True)
class Sampled(Control):
    """The policy with sampled actions, as in training."""

    words = Words("sampled", "", "its own actions, sampled")

    def player(self, policy: "Policy", env: "BatchEnv", seed: int) -> "tuple[Policy, Choose | None]":
        from drc_lab.evaluation.play.choices import sampled

        return policy, sampled(seed)


@dataclass(frozen=True)
class NoMemory(Control):
    """The policy with its carry zeroed before every step."""

    words = Words("no memory", "", "the policy with its memory wiped before every step")

    def player(self, policy: "Policy", env: "BatchEnv", seed: int) -> "tuple[Policy, Choose | None]":
        from drc_lab.evaluation.play.players import WithoutMemory

        return WithoutMemory(policy), None


@dataclass(frozen=True)
class Distance(Control):
    """Looks one step ahead and takes the action after which its estimate of the distance to the goal is smallest."""

    words = Words("distance", "", "the move that brings it nearest, one step ahead")
    needs = ("estimate",)

    def player(self, policy: "Policy", env: "BatchEnv", seed: int) -> "tuple[Policy, Choose | None]":
        from drc_lab.envs.vector import game_of
        from drc_lab.evaluation.play import players

        game = game_of(env)
        assert game is not None
        return players.random_policy(policy, env), players.nearest(game, env.noop_action, seed)


@dataclass(frozen=True)
class NeverThinks(Control):
    """The policy without its action "think": where that is the most probable one, it takes the next most probable."""

    words = Words("never thinks", "", "the policy without its choice to think")
    needs = ("think",)

    def player(self, policy: "Policy", env: "BatchEnv", seed: int) -> "tuple[Policy, Choose | None]":
        from drc_lab.evaluation.play.choices import most_probable, never

        return policy, never(env.think_action, most_probable)


@dataclass(frozen=True)
class NoMemoryPasses(NoMemory):
    """A check of the measurement: without a carry, extra first passes must not change any result.

    Only the largest of the amounts is played.
    """

    amounts: list[int] = field(default_factory=list)

    words = Words("no memory, passes", "", "the same after {} extra passes at the start")
    beside = "no_memory"

    @property
    def control(self) -> Control:
        return NoMemory()

    def played_amounts(self, policy: "Policy") -> Sequence[float]:
        return [most] if (most := max([0, *self.amounts])) else []

    def thinking(self, amount: float, baseline: "Played | None" = None) -> Thinking:
        return Thinking(first_passes=int(amount))
