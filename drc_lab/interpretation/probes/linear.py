"""Linear probes: logistic and ridge regression on what a policy computes, and their scores on held-out levels."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import minimize

MAX_ITERATIONS = 300
SHRINKAGES = (1, 10, 100, 1_000, 10_000)  # factors of l2 that a ridge regression chooses from


@dataclass(frozen=True)
class Probe:
    """A linear map from features to the logits of K classes or to a number.

    Args:
        weight: float32 [K, F]; K is 1 for a number.
        bias: float32 [K].
    """

    weight: np.ndarray
    bias: np.ndarray

    @property
    def norms(self) -> np.ndarray:
        """How much the probe reads from each feature, float32 [F]: the norm of its weights over classes."""
        return np.asarray(np.linalg.norm(self.weight, axis=0))

    def scores(self, x: np.ndarray) -> np.ndarray:
        """Returns logits or the number, float32 [N, K], for features [N, F]."""
        return x @ self.weight.T + self.bias

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Returns the most probable class, int64 [N], for features [N, F]."""
        return self.scores(x).argmax(1)


def cell_features(maps: np.ndarray, kernel: int) -> np.ndarray:
    """Returns what a ``kernel`` x ``kernel`` probe reads at each cell: [N, C, H, W] -> float32 [N, H, W, C * k * k].

    Features are ordered by channel, then by the k * k cells around; cells beyond the edge are zeros.
    """
    N, _, H, W = maps.shape
    if kernel == 1:
        return np.ascontiguousarray(maps.transpose(0, 2, 3, 1), np.float32)
    seen = F.unfold(torch.from_numpy(np.asarray(maps, np.float32)), kernel, padding=kernel // 2)  # (N, C*k*k, P)
    return seen.transpose(1, 2).reshape(N, H, W, -1).numpy()


def fit_classes(x: np.ndarray, y: np.ndarray, classes: int, l2: float = 1.0) -> Probe:
    """Fits a multinomial logistic regression to features scaled to mean 0 and variance 1.

    It minimises the sum of cross-entropies plus l2 / 2 times the squared weights (biases not included), like
    scikit-learn's LogisticRegression with C = 1 / l2, but in float32 and on torch's threads.

    Args:
        x: float32 [N, F].
        y: int [N], 0 to ``classes`` - 1.
        classes: number of classes.
        l2: weight of the squared weights.
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
    found = minimize(
        loss,
        start.ravel(),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": MAX_ITERATIONS, "ftol": 1e-9, "gtol": 1e-6},
    )
    return _unscaled(found.x.reshape(classes, features + 1), mean, scale)


def fit_number(x: np.ndarray, y: np.ndarray, l2: float = 1.0, level: np.ndarray | None = None) -> Probe:
    """Fits a ridge regression of a number to features scaled as in `fit_classes`.

    Args:
        x, y: [N, F] and [N].
        l2: weight of the squared weights; with ``level``, the smallest weight that is tried.
        level: int64 [N], the level of each row. With it (and at least 8 levels) the weight is l2 times the one of
            `SHRINKAGES` that predicts best in two-fold cross-validation over levels. A whole board has thousands of
            features for one number, so that a probe with less shrinkage memorises its levels.
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
    """Returns each level's confusion matrix, int64 [L, K, K] (true class, predicted class). Arguments are int [N]."""
    _, number = np.unique(level, return_inverse=True)
    flat = (number * classes + truth) * classes + said
    return np.bincount(flat, minlength=(number.max() + 1) * classes**2).reshape(-1, classes, classes)


def macro_f1(confusion: np.ndarray) -> np.ndarray:
    """Returns macro-F1, [..., K, K] -> [...]: the mean of 2 hits / (true + predicted) over the classes that occur in
    truth or prediction."""
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)
    of = confusion.sum(-1) + confusion.sum(-2)
    occurs = of > 0
    return np.where(occurs, 2 * hits / np.maximum(of, 1), 0).sum(-1) / np.maximum(occurs.sum(-1), 1)


def r_squared(moments: np.ndarray) -> np.ndarray:
    """Returns R^2, [..., 4] -> [...], from the sums of 1, y, y^2 and the squared error of predictions."""
    n, y, squares, error = np.moveaxis(moments, -1, 0)
    return 1 - error / np.maximum(squares - y**2 / np.maximum(n, 1), 1e-12)


def moments(truth: np.ndarray, said: np.ndarray, level: np.ndarray) -> np.ndarray:
    """Returns each level's sums that `r_squared` needs, float64 [L, 4]. Arguments are [N]."""
    _, number = np.unique(level, return_inverse=True)
    each = (np.ones(len(truth)), truth, truth**2, (truth - said) ** 2)
    return np.stack([np.bincount(number, weights=column) for column in each], 1)
