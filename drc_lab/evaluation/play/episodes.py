"""The result of an evaluation: one finished episode for each level."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64


@dataclass(frozen=True)
class Episodes:
    """One finished episode per level.

    Attributes:
        level: level numbers.
        solved: meaningless unless ``says_success``.
        length: steps that count towards the step limit, including no-ops.
        returns: undiscounted.
        optimal: optimal lengths in steps, -1 if unknown.
        passes: extra passes.
        ticks: ticks of all passes.
        says_success: whether the env reports which episodes are solved.
        thinks: how often the policy chose to think; None in an env without the action "think".
        moves: decisions other than thinks; None in an env without the action "think".
    """

    level: Int64[np.ndarray, "N"]
    solved: Bool[np.ndarray, "N"]
    length: Int64[np.ndarray, "N"]
    returns: Float64[np.ndarray, "N"]
    optimal: Int64[np.ndarray, "N"]
    passes: Int64[np.ndarray, "N"]
    ticks: Int64[np.ndarray, "N"]
    says_success: bool = True
    thinks: Int64[np.ndarray, "N"] | None = None
    moves: Int64[np.ndarray, "N"] | None = None

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
