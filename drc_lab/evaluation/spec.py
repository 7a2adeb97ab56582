"""The ``evaluation`` group of the config, checked."""

from dataclasses import dataclass, field
from typing import Annotated, Any

from annotated_types import Ge

from drc_lab.arguments import Spec
from drc_lab.envs.specs.levels import Split
from drc_lab.errors import ConfigError
from drc_lab.rules import NUMBER, Confidence, NotNegative, Positive, Whole, text_of

Size = Annotated[Whole | list[Whole] | None, "N for N x N, or [height, width]"]
Passes = Annotated[int, NUMBER, Ge(1), "at least 1; none is what they are compared with"]


@dataclass(frozen=True)
class EvaluationSpec(Spec):
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

    split: Split = "valid"
    report_split: Split = "test"
    num_levels: Positive = 1000
    level_seed: NotNegative = 0
    board: Size = None
    env: dict[str, Any] = field(default_factory=dict)
    every_frames: Positive = 200_000
    live_first_passes: list[Passes] = field(default_factory=lambda: [4])
    live_every: Positive = 4
    confidence: Confidence = 0.95

    def __post_init__(self) -> None:
        super().__post_init__()
        for key in ("split", "num_levels", "level_seed", "order"):
            if key in self.env:
                raise ConfigError(f"env.{key}", self.env[key], f"no such key: evaluation.{key} is for that")
        if isinstance(self.board, list) and len(self.board) != 2:
            raise ConfigError("board", self.board, text_of(Size))
        for key in ("height", "width"):
            if key in self.env and self.board is not None:
                raise ConfigError(f"env.{key}", self.env[key], "no such key with evaluation.board, which sets both")

    @property
    def board_size(self) -> tuple[int, int] | None:
        """``board`` as (height, width)."""
        if self.board is None:
            return None
        height, width = self.board if isinstance(self.board, list) else [self.board] * 2
        return height, width
