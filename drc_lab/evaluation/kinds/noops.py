"""No-ops at the start: steps in which the env does nothing while the policy keeps observing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from drc_lab.evaluation.kinds.kind import Kind, Words
from drc_lab.evaluation.play.thinking import Thinking

if TYPE_CHECKING:
    from drc_lab.evaluation.play.played import Played
    from drc_lab.models.policy import Policy

BY_DEFAULT = (1, 2, 4, 8)


@dataclass(frozen=True)
class Noops(Kind):
    """Amounts are numbers of steps; None is BY_DEFAULT where the env has a no-op, [] is no such setting."""

    amounts: list[int] | None = None

    words = Words("no-ops", "no-op steps at the start", "{} no-op steps at the start", "1 no-op step at the start")
    needs = ("noop",)
    required = True

    def thinking(self, amount: float, baseline: "Played | None" = None) -> Thinking:
        return Thinking(noops=int(amount))

    def own_amount(self, policy: "Policy") -> float | None:
        return 0

    def played_amounts(self, policy: "Policy") -> Sequence[float]:
        amounts = BY_DEFAULT if self.amounts is None else self.amounts
        return sorted({0, *amounts}) if amounts else []
