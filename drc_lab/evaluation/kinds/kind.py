"""What a kind of thinking is: its words, the amounts at which it is played, and what the policy then does.

Light to import: kinds are made when a config is checked, before torch is imported.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from drc_lab.arguments import Spec
from drc_lab.errors import ConfigError
from drc_lab.evaluation.play.thinking import Thinking
from drc_lab.rules import at_least

if TYPE_CHECKING:
    from drc_lab.evaluation.kinds.controls import Control
    from drc_lab.evaluation.play.played import Played
    from drc_lab.models.policy import Policy

NEEDS = {  # what a kind may need of an env: why it cannot be played in one without it
    "noop": "has no action that does nothing",
    "think": "has no action that thinks",
    "estimate": "estimates no distances",
}


@dataclass(frozen=True)
class Words:
    """A kind in words.

    Args:
        short: for a narrow column.
        axis: what its amounts count, as the label of an axis; kinds with the same label share a picture.
        sentence: phrase for a sentence, with ``{}`` for the amount.
        one: the same for an amount of 1, if it reads differently.
    """

    short: str
    axis: str
    sentence: str
    one: str | None = None


@dataclass(frozen=True)
class Kind(Spec, ABC):
    """A kind of thinking. A subclass is a frozen dataclass, whose fields are its settings in the config.

    The class attributes below may be replaced in a subclass.

    Args:
        amounts: how much thinking is tried, in the kind's own unit; a subclass gives them their type and default.
        name: in the config; "" for the name of the class in snake_case.
    """

    amounts: Sequence[float] | None = ()
    name: str = field(default="", kw_only=True)

    needs: ClassVar[tuple[str, ...]] = ()
    """What the env must have, of NEEDS."""
    required: ClassVar[bool] = False
    """Whether amounts that the env cannot be played at are refused; otherwise they are left out there."""
    least: ClassVar[float] = 0
    """The smallest amount that is allowed."""
    adds_thinking: ClassVar[bool] = True
    """Whether it adds thinking to the policy's own, and may be called a gain; otherwise it is only compared with."""
    less_is_more: ClassVar[bool] = False
    """Whether a smaller amount means more thinking."""
    is_control: ClassVar[bool] = False
    """Whether it has no amounts, and is a player that policies are compared with."""
    follows_baseline: ClassVar[bool] = False
    """Whether `thinking` depends on how the baseline policy plays, which is played first."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least("amounts", self.amounts or (), self.least)

    @abstractmethod
    def thinking(self, amount: float, baseline: "Played | None") -> Thinking:
        """What the policy does at an amount.

        Args:
            amount: one of `played_amounts`.
            baseline: how the baseline policy played the same levels; None unless `follows_baseline`.
        """

    @property
    def name_in_config(self) -> str:
        return self.name or re.sub(r"(?<!^)(?=[A-Z])", "_", type(self).__name__).lower()

    @property
    def label(self) -> str:
        """Its name in tables, records and reports: that in the config, unless a setting has to be part of it."""
        return self.name_in_config

    @classmethod
    def labelled(cls, label: str) -> "Kind | None":
        """The kind of this class that has that label, as far as the label tells; None if there is none."""
        kind = cls()
        return kind if kind.label == label else None

    @property
    def words(self) -> Words:
        """A subclass may have the attribute ``words`` instead of these, which are made from the label."""
        return Words(self.label, self.label, f"{self.label}={{}}")

    @property
    def control(self) -> "Control | None":
        """Who plays in place of the policy; None for the policy itself."""
        return None

    def own_amount(self, policy: "Policy") -> float | None:
        """The amount at which nothing is added, so that it plays as the baseline policy does; None if there is none."""
        return None

    def played_amounts(self, policy: "Policy") -> Sequence[float]:
        """The amounts in the order in which they are played, the least thinking first."""
        return sorted(set(self.amounts or ()), reverse=self.less_is_more)

    def lacks(self, abilities: Collection[str]) -> str:
        """Why it cannot be played in an env with these abilities (of NEEDS), as in "the env ..."; "" if it can."""
        return next((why for need, why in NEEDS.items() if need in self.needs and need not in abilities), "")

    def check_possible(self, abilities: Collection[str]) -> None:
        """Checks that it can be played in an env with these abilities, if it is `required`.

        Raises:
            ConfigError: about ``amounts``.
        """
        if self.required and self.amounts and (why := self.lacks(abilities)):
            raise ConfigError("amounts", list(self.amounts), f"null or [], as the env {why}")

    def settings(self, policy: "Policy", abilities: Collection[str]) -> "list[Setting]":
        """All settings of this kind for a policy, in an env with these abilities; [] if it cannot be played there."""
        if self.lacks(abilities):
            return []
        baseline_amount = self.own_amount(policy)
        return [Setting(self, amount, is_baseline=amount == baseline_amount) for amount in self.played_amounts(policy)]


@dataclass(frozen=True)
class Setting:
    """One way to play: a kind of thinking and how much of it.

    Args:
        kind: the kind of thinking, or a control.
        amount: in the unit of the kind; 0 for a control.
        is_baseline: whether it adds nothing, so that it plays exactly as the baseline policy does.
    """

    kind: Kind
    amount: float = 0
    is_baseline: bool = False

    @property
    def name(self) -> str:
        return self.kind.label if self.kind.is_control else f"{self.kind.label}={self.amount:g}"
