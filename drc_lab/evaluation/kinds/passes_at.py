"""Extra passes before a later step."""

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from drc_lab.evaluation.kinds.kind import Kind, Words
from drc_lab.evaluation.play.thinking import Thinking
from drc_lab.rules import NotNegative

if TYPE_CHECKING:
    from drc_lab.evaluation.play.played import Played


@dataclass(frozen=True)
class PassesAt(Kind):
    """Amounts are numbers of passes before step ``step`` of the episode, 0 being the first. The label has the step."""

    amounts: list[int] = field(default_factory=list)
    step: NotNegative = 3

    least = 1

    @property
    def label(self) -> str:
        return f"{self.name_in_config}_{self.step}"

    @classmethod
    def labelled(cls, label: str) -> "Kind | None":
        match = re.fullmatch(r"passes_at_(\d+)", label)
        return cls(step=int(match[1])) if match else None

    @property
    def words(self) -> Words:
        step = self.step
        return Words(
            f"passes at {step}",
            f"extra passes before step {step}",
            f"{{}} extra passes before step {step}",
            f"1 extra pass before step {step}",
        )

    def thinking(self, amount: float, baseline: "Played | None" = None) -> Thinking:
        return Thinking(passes=int(amount), at=self.step)
