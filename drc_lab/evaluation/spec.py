"""The ``evaluation`` group of the config, checked."""

from dataclasses import dataclass
from typing import Any

from drc_lab.envs.specs.levels import split_index
from drc_lab.errors import ConfigError


@dataclass(frozen=True)
class EvaluationSpec:
    """Which held-out levels are played, and when.

    Args:
        split: of the levels played during training; the best checkpoint is chosen on them.
        report_split: of the levels that evaluations and thinking sweeps report on.
        num_levels, level_seed: number of levels, and the seed that selects them.
        board: size of the levels if not that of training, N for N x N or [H, W]; only for generated levels.
        env: settings of the env that replace those of training, for example {"difficulty": "medium"}.
        every_frames: frames between two evaluations during training, rounded to whole rollouts.
        live_first_passes: numbers of extra first passes tried during training, in addition to none.
        live_every: sampled actions and ``live_first_passes`` are only evaluated at every ``live_every``-th evaluation,
            and at the last.
        confidence: of all intervals.
    """

    split: str
    report_split: str
    num_levels: int
    level_seed: int
    board: int | list[int] | None
    env: dict[str, Any]
    every_frames: int
    live_first_passes: list[int]
    live_every: int
    confidence: float

    def __post_init__(self) -> None:
        split_index(self.split)
        split_index(self.report_split, "report_split")
        for key in ("split", "num_levels", "level_seed", "order"):
            if key in self.env:
                raise ConfigError(f"env.{key}", self.env[key], f"no such key: evaluation.{key} is for that")
        if isinstance(self.board, list) and len(self.board) != 2:
            raise ConfigError("board", self.board, "N for N x N, or [height, width]")
        for key in ("height", "width"):
            if key in self.env and self.board is not None:
                raise ConfigError(f"env.{key}", self.env[key], "no such key with evaluation.board, which sets both")
        for key, least in (("num_levels", 1), ("level_seed", 0), ("every_frames", 1), ("live_every", 1)):
            if getattr(self, key) < least:
                raise ConfigError(key, getattr(self, key), f"at least {least}")
        for passes in self.live_first_passes:
            if passes < 1:
                raise ConfigError("live_first_passes", passes, "at least 1; none is what they are compared with")
        if not 0 < self.confidence < 1:
            raise ConfigError("confidence", self.confidence, "between 0 and 1")

    @property
    def board_size(self) -> tuple[int, int] | None:
        """``board`` as (height, width)."""
        if self.board is None:
            return None
        height, width = self.board if isinstance(self.board, list) else [self.board] * 2
        return height, width
