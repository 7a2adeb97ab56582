"""Extra passes on the first observation, while the env stands still."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from drc_lab.evaluation.kinds.kind import Kind, Setting, Words
from drc_lab.evaluation.play.thinking import Thinking

if TYPE_CHECKING:
    from drc_lab.evaluation.play.played import Played
    from drc_lab.models.policy import Policy


@dataclass(frozen=True)
class FirstPasses(Kind):
    """Amounts are numbers of passes; 0 is always among them, so that each sweep has the baseline policy."""

    amounts: list[int] = field(default_factory=list)

    words = Words(
        "first passes",
        "extra passes on the first observation",
        "{} extra passes at the start",
        "1 extra pass at the start",
    )

    def thinking(self, amount: float, baseline: "Played | None" = None) -> Thinking:
        return Thinking(first_passes=int(amount))

    def own_amount(self, policy: "Policy") -> float | None:
        return 0

    def played_amounts(self, policy: "Policy") -> Sequence[float]:
        return sorted({0, *self.amounts})


FIRST_PASSES = FirstPasses().label
BASELINE = Setting(FirstPasses(), 0, is_baseline=True)
