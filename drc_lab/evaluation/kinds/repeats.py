"""Another number of ticks at every step."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from drc_lab.evaluation.kinds.kind import Kind, Words
from drc_lab.evaluation.play.thinking import Thinking

if TYPE_CHECKING:
    from drc_lab.evaluation.play.played import Played
    from drc_lab.models.policy import Policy

MOST_BY_DEFAULT = 4  # times the policy's own number


@dataclass(frozen=True)
class Repeats(Kind):
    """Amounts are numbers of ticks; None is 1 to MOST_BY_DEFAULT times the policy's own number."""

    amounts: list[int] | None = None

    words = Words("ticks", "ticks at every step", "{} ticks at every step", "1 tick at every step")
    least = 1

    def thinking(self, amount: float, baseline: "Played | None" = None) -> Thinking:
        return Thinking(repeats=int(amount))

    def own_amount(self, policy: "Policy") -> float | None:
        return policy.repeats_per_step

    def played_amounts(self, policy: "Policy") -> Sequence[float]:
        if self.amounts is None:
            return range(1, MOST_BY_DEFAULT * policy.repeats_per_step + 1)
        return sorted(set(self.amounts))
