"""Linear probes: logistic and ridge regression on what a policy computes, and how well they do on other levels."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import minimize
from scipy.stats import norm

from drc_lab.evaluation.stats.intervals import Interval

RESAMPLES = 2000
MAX_ITERATIONS = 300
SHRINKAGES = (1, 10, 100, 1_000, 10_000)  # of a ridge regression: what its l2 may be multiplied by


@dataclass(frozen=True)
class Probe:
    """A linear map from features to classes or to a number.

    Args:
        weight: float32 [K, F]; K is 1 for a number.
        bias: float32 [K].
    """

    weight: np.ndarray
    bias: np.ndarray

    def scores(self, x: np.ndarray) -> np.ndarray:
        """float32 [N, K], logits or the number, from features [N, F]."""
        return x @ self.weight.T + self.bias

    def predict(self, x: np.ndarray) -> np.ndarray:
        """int64 [N], the most probable class."""
        return self.scores(x).argmax(1)


def cell_features(maps: np.ndarray, kernel: int) -> np.ndarray:
    """What a ``kernel`` x ``kernel`` probe reads at each cell: [N, C, H, W] -> float32 [N, H, W, C * k * k].

    Channel by channel, each with its k * k cells; zeros beyond the edge.
    """
    N, _, H, W = maps.shape
    if kernel == 1:
        return np.ascontiguousarray(maps.transpose(0, 2, 3, 1), np.float32)
    seen = F.unfold(torch.from_numpy(np.asarray(maps, np.float32)), kernel, padding=kernel // 2)  # (N, C*k*k, P)
    return seen.transpose(1, 2).reshape(N, H, W, -1).numpy()


def fit_classes(x: np.ndarray, y: np.ndarray, classes: int, l2: float = 1.0) -> Probe:
    """Multinomial logistic regression: least sum of cross-entropies plus l2 / 2 times the squared weights, of features
    scaled to mean 0 and variance 1; scikit-learn's with C = 1 / l2, in float32 and a few threads' time.

    Args:
        x: float32 [N, F].
        y: int [N], 0 to ``classes`` - 1.
    """
    mean, scale = _scale(x)
    seen, target = torch.from_numpy((x - mean) / scale), torch.from_numpy(y.astype(np.int64))
    N, features = seen.shape
    counts = np.bincount(y, minlength=classes)

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        w = torch.from_numpy(flat.astype(np.float32)).view(classes, features + 1)
        logits = torch.addmm(w[:, -1], seen, w[:, :-1].t())  # (N, K)
        log_p = torch.log_softmax(logits, 1)
        value = -log_p.gather(1, target[:, None]).sum(dtype=torch.float64) / N
        error = log_p.exp_()
        error.scatter_add_(1, target[:, None], torch.full((N, 1), -1.0))
        gradient = torch.cat([error.t() @ seen, error.sum(0)[:, None]], 1) / N
        gradient[:, :-1] += l2 / N * w[:, :-1]
        value += l2 / N / 2 * (w[:, :-1].double() ** 2).sum()
        return float(value), gradient.double().numpy().ravel()

    start = np.zeros((classes, features + 1))
    start[:, -1] = np.log(np.maximum(counts, 0.5) / N)
    found = minimize(loss, start.ravel(), jac=True, method="L-BFGS-B",
                     options={"maxiter": MAX_ITERATIONS, "ftol": 1e-9, "gtol": 1e-6})  # fmt: skip
    return _unscaled(found.x.reshape(classes, features + 1), mean, scale)


def fit_number(x: np.ndarray, y: np.ndarray, l2: float = 1.0, level: np.ndarray | None = None) -> Probe:
    """Ridge regression of a number, of features scaled likewise.

    Args:
        x, y: [N, F] and [N].
        l2: weight of the squared weights; the least of those that are tried where levels are given.
        level: int64 [N]. A whole board has thousands of features and one number: without more shrinkage such a probe
            learns its levels by heart. The weight is l2 times the one of `SHRINKAGES` that does best on each half
            of the levels, fitted to the other half.
    """
    if level is not None and l2 > 0 and len(levels := np.unique(level)) >= 8:
        errors = np.zeros(len(SHRINKAGES))
        for half in (levels[::2], levels[1::2]):
            tried = np.isin(level, half)
            mean, scale = _scale(x[~tried])
            seen, middle = ((x[~tried] - mean) / scale).astype(np.float64), float(y[~tried].mean())
            gram, moment, other = seen.T @ seen, seen.T @ (y[~tried] - middle), (x[tried] - mean) / scale
            said = np.stack([other @ _ridge(gram, moment, by * l2) + middle for by in SHRINKAGES])
            errors += np.square(said - y[tried]).sum(1)
        l2 *= SHRINKAGES[errors.argmin()]
    mean, scale = _scale(x)
    seen, middle = ((x - mean) / scale).astype(np.float64), float(y.mean())
    return _unscaled(np.append(_ridge(seen.T @ seen, seen.T @ (y - middle), l2), middle)[None], mean, scale)


def _ridge(gram: np.ndarray, moment: np.ndarray, l2: float) -> np.ndarray:
    return np.asarray(np.linalg.solve(gram + l2 * np.eye(len(gram)), moment))


def _scale(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scale = x.std(0)
    return x.mean(0), np.where(scale > 1e-6, scale, 1).astype(np.float32)


def _unscaled(w: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> Probe:
    weight = w[:, :-1] / scale
    return Probe(weight.astype(np.float32), (w[:, -1] - weight @ mean).astype(np.float32))


def confusions(truth: np.ndarray, said: np.ndarray, level: np.ndarray, classes: int) -> np.ndarray:
    """int64 [L, K, K]: of each level, how often what was true was said to be what. All given are [N]."""
    _, number = np.unique(level, return_inverse=True)
    flat = (number * classes + truth) * classes + said
    return np.bincount(flat, minlength=(number.max() + 1) * classes**2).reshape(-1, classes, classes)


def macro_f1(confusion: np.ndarray) -> np.ndarray:
    """Mean over the classes that occur, in truth or in what is said, of 2 hits / (true + said): [..., K, K] "
    "-> [...]."""
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)
    of = confusion.sum(-1) + confusion.sum(-2)
    occurs = of > 0
    return np.where(occurs, 2 * hits / np.maximum(of, 1), 0).sum(-1) / np.maximum(occurs.sum(-1), 1)


def r_squared(moments: np.ndarray) -> np.ndarray:
    """1 - squared error / squared distance from the mean, from sums [..., 4] of 1, y, y^2 and squared error."""
    n, y, squares, error = np.moveaxis(moments, -1, 0)
    return 1 - error / np.maximum(squares - y**2 / np.maximum(n, 1), 1e-12)


def moments(truth: np.ndarray, said: np.ndarray, level: np.ndarray) -> np.ndarray:
    """float64 [L, 4], of each level the sums that `r_squared` needs."""
    _, number = np.unique(level, return_inverse=True)
    each = (np.ones(len(truth)), truth, truth**2, (truth - said) ** 2)
    return np.stack([np.bincount(number, weights=column) for column in each], 1)


class OverLevels:
    """Scores and their bootstrap over levels: what happens within a level hangs together.

    Args:
        sums: [L, ...], of each level what adds up over levels.
        score: sums over levels [..., ...] -> [...].
        draws: float64 [R, L], how often each level is drawn, alike for all that are compared.
    """

    def __init__(self, sums: np.ndarray, score: Callable[[np.ndarray], Any], draws: np.ndarray):
        self.value = float(score(sums.sum(0)))
        flat = sums.reshape(len(sums), -1).astype(np.float64)
        self.resampled = score((draws @ flat).reshape(len(draws), *sums.shape[1:]))  # (R,)

    def interval(self, confidence: float = 0.95) -> Interval:
        low, high = np.quantile(self.resampled, [(1 - confidence) / 2, (1 + confidence) / 2])
        return Interval(float(low), float(high))

    def beats(self, other: "OverLevels") -> float:
        """One-sided p-value of being no better than another, on the same levels: by the normal distribution with the
        bootstrap's standard deviation of the difference."""
        difference, spread = self.value - other.value, float((self.resampled - other.resampled).std())
        if spread == 0:
            return 1.0 if difference <= 0 else 0.0
        return float(norm.sf(difference / spread))


def draws_of(levels: int, seed: int = 0, resamples: int = RESAMPLES) -> np.ndarray:
    """float64 [R, L]: how often each of L levels is in each resample of L."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(levels, np.full(levels, 1 / levels), size=resamples).astype(np.float64)
