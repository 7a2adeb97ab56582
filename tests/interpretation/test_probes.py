"""Probes beside scikit-learn's, and what they find where something is planted or nothing is."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import f1_score, r2_score

from drc_lab.evaluation.stats.resampling import OverLevels, draws_of
from drc_lab.interpretation.probes.linear import (
    cell_features,
    confusions,
    fit_classes,
    fit_number,
    macro_f1,
    moments,
    r_squared,
)

rng = np.random.default_rng(0)


def test_the_same_probe_as_scikit_learns():
    x = rng.normal(size=(600, 5)).astype(np.float32)
    x = (x - x.mean(0)) / x.std(0)
    y = (x @ rng.normal(size=(5, 3)) + 0.5 * rng.normal(size=(600, 3))).argmax(1)
    for l2 in (1.0, 50.0):
        own, theirs = fit_classes(x, y, 3, l2), LogisticRegression(C=1 / l2, tol=1e-8, max_iter=2000).fit(x, y)
        p = np.exp(own.scores(x)) / np.exp(own.scores(x)).sum(1, keepdims=True)
        np.testing.assert_allclose(p, theirs.predict_proba(x), atol=2e-3)


def test_scale_and_offset_of_a_feature_do_not_matter():
    x = rng.normal(size=(400, 3)).astype(np.float32)
    y = (x[:, 0] + 0.3 * rng.normal(size=400) > 0).astype(int)
    moved = (x * [1, 100, 0.01] + [0, 7, -3]).astype(np.float32)
    assert (fit_classes(x, y, 2).predict(x) == fit_classes(moved, y, 2).predict(moved)).mean() > 0.99


def test_a_number_is_regressed_as_by_scikit_learn():
    x = rng.normal(size=(300, 4)).astype(np.float32)
    x = (x - x.mean(0)) / x.std(0)
    y = x @ [1, -2, 0, 3] + 5 + 0.1 * rng.normal(size=300)
    theirs = Ridge(alpha=1.0).fit(x, y)
    np.testing.assert_allclose(fit_number(x, y).scores(x)[:, 0], theirs.predict(x), atol=1e-4)


def test_a_number_among_thousands_of_features_is_not_learned_by_heart():
    """One of 600 features says it, on 60 levels of 5 steps that are nearly alike: told the levels it shrinks more, and
    does better on others; where there are few features it shrinks no more than it was told."""
    rng = np.random.default_rng(0)
    level = np.repeat(np.arange(120), 5)
    x = (np.repeat(rng.normal(size=(120, 600)), 5, axis=0) + 0.05 * rng.normal(size=(600, 600))).astype(np.float32)
    y = x[:, 0] + 0.5 * rng.normal(size=600)
    train = level < 60
    errors = {}
    for name, levels in (("alone", None), ("by levels", level[train])):
        said = fit_number(x[train], y[train], 1.0, levels).scores(x[~train])[:, 0]
        errors[name] = np.square(said - y[~train]).mean()
    assert errors["by levels"] < 0.2 * errors["alone"] and errors["by levels"] < 1.3 * y.var()
    few = x[:, :3]
    np.testing.assert_allclose(fit_number(few, y, 1.0, level).weight, fit_number(few, y, 1.0).weight, rtol=0.2)


def test_a_class_that_is_missing_in_training_is_never_said():
    x = rng.normal(size=(100, 2)).astype(np.float32)
    assert set(fit_classes(x, np.where(x[:, 0] > 0, 2, 0), 4).predict(x)) == {0, 2}


def test_scores_are_scikit_learns():
    truth, said, level = rng.integers(0, 3, 500), rng.integers(0, 3, 500), rng.integers(0, 20, 500)
    sums = confusions(truth, said, level, 3)
    assert sums.shape == (20, 3, 3) and sums.sum() == 500
    assert macro_f1(sums.sum(0)) == pytest.approx(f1_score(truth, said, average="macro"))
    y = rng.normal(size=500)
    guess = y + rng.normal(size=500)
    assert r_squared(moments(y, guess, level).sum(0)) == pytest.approx(r2_score(y, guess))


def test_a_class_that_does_not_occur_does_not_count():
    assert macro_f1(np.diag([5, 3, 0])) == 1 and macro_f1(np.array([[5, 0, 0], [3, 0, 0], [0, 0, 0]])) == pytest.approx(
        5 / 13
    )


def test_three_by_three_features_are_the_neighbours():
    maps = rng.normal(size=(2, 3, 4, 5)).astype(np.float32)
    seen = cell_features(maps, 3).reshape(2, 4, 5, 3, 3, 3)
    np.testing.assert_array_equal(seen[1, 2, 3, 2], maps[1, 2, 1:4, 2:5])
    assert (seen[0, 0, 0, 0, 0] == 0).all() and (cell_features(maps, 1)[0, 1, 2] == maps[0, :, 1, 2]).all()


def test_intervals_are_wider_where_levels_hang_together():
    """The same answers, each level's alike against all at random: only the first differ from level to level."""
    level = np.repeat(np.arange(50), 20)
    truth = np.zeros(1000, int)
    together = np.repeat(rng.random(50) < 0.3, 20).astype(int)
    apart = rng.permutation(together)
    wide, narrow = (
        OverLevels(confusions(truth, said, level, 2), lambda c: c[..., 0, 0] / c.sum((-1, -2)), draws_of(50)).interval()
        for said in (together, apart)
    )
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)


def test_better_by_more_than_chance_and_not():
    level = np.repeat(np.arange(60), 5)
    truth = rng.integers(0, 2, 300)
    good, bad = np.where(rng.random(300) < 0.9, truth, 1 - truth), rng.integers(0, 2, 300)
    a, b = (OverLevels(confusions(truth, said, level, 2), macro_f1, draws_of(60)) for said in (good, bad))
    assert a.beats(b) < 1e-4 and b.beats(a) > 0.99 and a.beats(a) == 1
