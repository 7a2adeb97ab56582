"""Comparisons for a policy that chooses when to think: the same policy with a given amount of thinking instead."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from drc_lab.evaluation.kinds.controls import Control, NeverThinks
from drc_lab.evaluation.kinds.first_passes import FirstPasses
from drc_lab.evaluation.kinds.kind import Kind, Words
from drc_lab.evaluation.play.thinking import Thinking

if TYPE_CHECKING:
    from drc_lab.evaluation.play.episodes import Episodes
    from drc_lab.evaluation.play.played import Played
    from drc_lab.models.policy import Policy


@dataclass(frozen=True)
class FixedPasses(FirstPasses):
    """As `FirstPasses`, for a policy whose own action "think" is forbidden."""

    words = Words(
        "fixed passes",
        "extra passes on the first observation, never thinking by itself",
        "told to think {} passes at the start, and never by itself",
        "told to think 1 pass at the start, and never by itself",
    )
    needs = ("think",)
    adds_thinking = False

    @property
    def control(self) -> Control:
        return NeverThinks()

    def own_amount(self, policy: "Policy") -> float | None:
        return None


@dataclass(frozen=True)
class DrawnPasses(Kind):
    """A random number of passes before each step, for such a policy.

    Amounts are multiples of the baseline policy's thinks for each of its moves, which are the mean of that number.
    """

    amounts: list[float] = field(default_factory=lambda: [1])

    words = Words(
        "drawn passes",
        "passes drawn before every step, × the policy's own",
        "told to think by lot before every step, {} times as often as by itself",
        "told to think by lot before every step, as often as by itself",
    )
    needs = ("think",)
    adds_thinking = False
    follows_baseline = True

    @property
    def control(self) -> Control:
        return NeverThinks()

    def thinking(self, amount: float, baseline: "Played | None") -> Thinking:
        assert baseline is not None
        return Thinking(drawn=amount * thinks_a_move(baseline.episodes))


def thinks_a_move(episodes: "Episodes") -> float:
    """Mean number of thinks for each move; for each episode, if there are fewer moves than episodes.

    Otherwise a policy that only thinks would give a number without bound.
    """
    assert episodes.thinks is not None and episodes.moves is not None
    return float(episodes.thinks.sum() / max(len(episodes.moves), episodes.moves.sum()))


FIXED_PASSES, DRAWN_PASSES = FixedPasses().label, DrawnPasses().label
