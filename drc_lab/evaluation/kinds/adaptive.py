"""Extra passes until the policy agrees with itself."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from drc_lab.evaluation.kinds.kind import Kind, Words
from drc_lab.evaluation.play.thinking import Thinking
from drc_lab.rules import Positive

if TYPE_CHECKING:
    from drc_lab.evaluation.play.played import Played


@dataclass(frozen=True)
class Adaptive(Kind):
    """Passes of one tick until two successive ones agree. Amounts are thresholds of their KL divergence, in nats.

    Args:
        max_ticks: the most passes.
        every_step: whether it thinks before every step, and not only before the first.
    """

    amounts: list[float] = field(default_factory=list)
    max_ticks: Positive = 48
    every_step: bool = False

    words = Words("adaptive", "until ticks agree within (nats)", "thinking until ticks agree within {} nats")
    less_is_more = True

    def thinking(self, amount: float, baseline: "Played | None" = None) -> Thinking:
        return Thinking(passes=self.max_ticks, pass_ticks=1, agree=amount, every_step=self.every_step)


ADAPTIVE = Adaptive().label
