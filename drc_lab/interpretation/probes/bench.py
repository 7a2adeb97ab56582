"""Fitting and scoring probes for one target on one recording, all on the same training and test rows."""

from dataclasses import dataclass

import numpy as np

from drc_lab.evaluation.stats.resampling import OverLevels, draws_of
from drc_lab.interpretation.probes.linear import (
    Probe,
    cell_features,
    confusions,
    fit_classes,
    fit_number,
    macro_f1,
    moments,
    r_squared,
)
from drc_lab.interpretation.probes.targets import Split, Target
from drc_lab.interpretation.recording import Recording
from drc_lab.interpretation.spec import ProbeSpec


@dataclass(frozen=True)
class Fitted:
    """A probe (None for the majority baseline), its score on the test levels, and how many levels these are."""

    probe: Probe | None
    score: OverLevels
    levels: int


class Bench:
    """Fits probes for one target on one recording. All are fitted to the same rows and tested on the same other rows.

    Args:
        recording: of the policy.
        target: what the probes predict.
        split: of the rows into those of training levels and those of test levels.
        spec: settings of the fit.
    """

    def __init__(self, recording: Recording, target: Target, split: Split, spec: ProbeSpec):
        self.target, self.spec = target, spec
        rng = np.random.default_rng(spec.seed)
        known = target.known
        self.fit_at, self.test_at = (
            np.argwhere(known & part.reshape(-1, *[1] * (known.ndim - 1))) for part in (split.train, split.test)
        )
        if len(self.fit_at) > spec.max_rows:
            self.fit_at = self.fit_at[np.sort(rng.choice(len(self.fit_at), spec.max_rows, replace=False))]
        self.fit_y, self.test_y = (target.truth[tuple(at.T)] for at in (self.fit_at, self.test_at))
        self.shuffled_y = rng.permutation(self.fit_y)
        self.fit_level, self.level = (
            recording.index["level"].to_numpy()[at[:, 0]] for at in (self.fit_at, self.test_at)
        )
        self.draws = draws_of(max(len(np.unique(self.level)), 1), spec.seed)

    @property
    def possible(self) -> bool:
        """Whether a fit and its score mean something: two values or more to fit, and two test levels or more."""
        return len(np.unique(self.fit_y)) > 1 and len(np.unique(self.level)) > 1

    def reads(self, maps: np.ndarray) -> bool:
        """Whether a probe can read a tensor; labels of cells need a map of the board's size."""
        return not self.target.label.cells or (maps.ndim == 4 and maps.shape[2:] == self.target.truth.shape[1:])

    def fit(self, maps: np.ndarray, kernel: int, shuffled: bool = False) -> Fitted:
        """Fits and scores a probe.

        Args:
            maps: [rows, C, H, W], or [rows, F] of a tensor that is no map.
            kernel: side length of the cells that a probe of a cell label reads.
            shuffled: whether the training labels are permuted, as a control.
        """
        features = self.features(maps, kernel)
        y = self.shuffled_y if shuffled else self.fit_y
        x, seen = (features[tuple(at.T)] for at in (self.fit_at, self.test_at))
        if self.target.classes:
            probe = fit_classes(x, y, self.target.classes, self.spec.l2)
            return Fitted(probe, self.score(probe.predict(seen)), len(self.draws[0]))
        probe = fit_number(x, y, self.spec.l2, self.fit_level)
        return Fitted(probe, self.score(probe.scores(seen)[:, 0]), len(self.draws[0]))

    def features(self, maps: np.ndarray, kernel: int) -> np.ndarray:
        """Returns what probes read: [rows, H, W, F] for a label of cells, else the whole map flattened, [rows, F]."""
        if self.target.label.cells:
            return cell_features(maps, kernel)
        return np.asarray(maps, np.float32).reshape(len(maps), -1)

    def majority(self) -> Fitted:
        """Scores the constant prediction of the training rows' most frequent class, or of their mean."""
        if self.target.classes:
            said = np.full(len(self.test_y), np.bincount(self.fit_y).argmax())
        else:
            said = np.full(len(self.test_y), self.fit_y.mean())
        return Fitted(None, self.score(said), len(self.draws[0]))

    def score(self, said: np.ndarray) -> OverLevels:
        """Scores predictions for the test rows: macro-F1 for classes, R^2 (share of variance explained) for numbers."""
        if self.target.classes:
            return OverLevels(confusions(self.test_y, said, self.level, self.target.classes), macro_f1, self.draws)
        return OverLevels(moments(self.test_y, said, self.level), r_squared, self.draws)


def scaled(obs: np.ndarray) -> np.ndarray:
    return obs.astype(np.float32) / 255 if obs.dtype == np.uint8 else obs.astype(np.float32)
