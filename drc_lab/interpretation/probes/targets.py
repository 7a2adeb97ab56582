"""Targets of probes: the values of labels in the rows of a recording, and the split into training and test levels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from drc_lab.errors import ConfigError
from drc_lab.interpretation.labels import Label
from drc_lab.interpretation.recording import Recording


@dataclass(frozen=True)
class Target:
    """The values of a label in the rows of a recording.

    Args:
        label: the label.
        truth: int or float [rows], or int [rows, H, W] in the size of the policy's maps; -1 or nan where unknown.
    """

    label: Label
    truth: np.ndarray

    @property
    def classes(self) -> int:
        return len(self.label.classes)

    @property
    def known(self) -> np.ndarray:
        """Where the truth is known, bool in the shape of ``truth``."""
        return self.truth >= 0 if self.classes else ~np.isnan(self.truth)


def targets(
    recording: Recording, labels: Sequence[Label], board: tuple[int, int], unsolved: bool = False
) -> list[Target]:
    """Evaluates labels on a recording. Labels with only one known value are left out.

    The truth is known in deciding rows only, and only in solved episodes unless ``unsolved``.

    Args:
        recording: of the policy.
        labels: to evaluate.
        board: height and width of the policy's maps: those of the game's boards, with or without their border.
        unsolved: whether labels are known in episodes that the step limit cut off.

    Raises:
        ConfigError: a label's cells do not fit the policy's maps.
    """
    learnable = []
    for label in labels:
        each = [label.of(episode) for episode in recording.episodes]
        truth = np.concatenate([_cropped(x, board) if label.cells else x for x in each])
        solved = np.repeat([episode.solved for episode in recording.episodes], [len(x) for x in each])
        nothing = -1 if label.classes else np.nan
        truth = truth.astype(np.int64 if label.classes else np.float64)
        truth[~solved & (not unsolved)] = nothing
        rows = np.full((len(recording.index), *truth.shape[1:]), nothing, truth.dtype)
        rows[recording.deciding] = truth
        target = Target(label, rows)
        if len(np.unique(rows[target.known])) > 1:
            learnable.append(target)
    return learnable


def _cropped(maps: np.ndarray, board: tuple[int, int]) -> np.ndarray:
    """Crops maps [T, H, W] to the cells that the policy sees, without the border."""
    border = [(size - seen) // 2 for size, seen in zip(maps.shape[1:], board, strict=True)]
    back = [size - 2 * ring for size, ring in zip(maps.shape[1:], border, strict=True)]
    if back != list(board) or min(border) < 0:
        raise ConfigError("probe.labels", f"cells {maps.shape[1:]}", f"as many as the policy's maps have, {board}")
    return maps[:, border[0] : maps.shape[1] - border[0], border[1] : maps.shape[2] - border[1]]


@dataclass(frozen=True)
class Split:
    """The rows of training levels and those of test levels, bool [rows] each. No level is in both."""

    train: np.ndarray
    test: np.ndarray

    @classmethod
    def of(cls, recording: Recording, share: float, seed: int) -> "Split":
        levels = np.unique(recording.index["level"])
        chosen = np.random.default_rng(seed).permutation(levels)[: round(share * len(levels))]
        train = np.isin(recording.index["level"], chosen)
        return cls(train, ~train)
