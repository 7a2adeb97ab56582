"""The result of an evaluation: one finished episode for each level."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Episodes:
    """One finished episode per level.

    Attributes:
        level: int64 [N], level numbers.
        solved: bool [N]; meaningless unless ``says_success``.
        length: int64 [N], steps that count towards the step limit, including no-ops.
        returns: float64 [N], undiscounted.
        optimal: int64 [N], optimal lengths in steps, -1 if unknown.
        passes: int64 [N], extra passes.
        ticks: int64 [N], ticks of all passes.
        says_success: whether the env reports which episodes are solved.
        thinks: int64 [N], how often the policy chose to think; None in an env without the action "think".
        moves: int64 [N], decisions other than thinks; None in an env without the action "think".
    """

    level: np.ndarray
    solved: np.ndarray
    length: np.ndarray
    returns: np.ndarray
    optimal: np.ndarray
    passes: np.ndarray
    ticks: np.ndarray
    says_success: bool = True
    thinks: np.ndarray | None = None
    moves: np.ndarray | None = None

    @property
    def solve_rate(self) -> float:
        return float(self.solved.mean())

    def summary(self) -> dict[str, float]:
        """Means over levels, by metric name.

        ``solve_rate`` and ``optimality_gap`` are included only if ``says_success``. The gap is the number of steps
        beyond the optimum, averaged over the solved levels whose optimum is known; nan if there are none.
        """
        means = {"return": float(self.returns.mean()), "length": float(self.length.mean())}
        if self.thinks is not None:
            means["thinks"] = float(self.thinks.mean())
        if not self.says_success:
            return means
        known = self.solved & (self.optimal >= 0)
        gap = float((self.length - self.optimal)[known].mean()) if known.any() else float("nan")
        return {"solve_rate": self.solve_rate, **means, "optimality_gap": gap}
