"""Learning curves over seeds: honest means and intervals."""

import numpy as np
import pytest
from matplotlib.image import imread
from scipy import stats

from drc_lab.evaluation.stats.curves import MOST_POINTS, Group, mean_curve, plot_groups


def points(frames, values):
    return np.array(frames), np.array(values, float)


def test_the_mean_and_its_t_interval_are_those_of_the_seeds():
    rng = np.random.default_rng(0)
    values = rng.random((4, 3))
    line = mean_curve([points([0, 10, 20], v) for v in values], 0.9)
    assert np.allclose(line.mean, values.mean(0))
    for i in range(3):
        low, high = stats.ttest_1samp(values[:, i], 0).confidence_interval(0.9)
        assert (line.low[i], line.high[i]) == (pytest.approx(low), pytest.approx(high))


def test_curves_are_interpolated_only_where_all_of_them_have_been():
    line = mean_curve([points([0, 100], [0, 1]), points([50, 150], [0, 1])], 0.95)
    assert line.frames.tolist() == [50, 100]
    assert line.mean.tolist() == pytest.approx([0.25, 0.75])
    assert not len(mean_curve([points([0, 10], [0, 1]), points([20, 30], [0, 1])], 0.95).frames)


def test_a_single_seed_has_no_interval():
    line = mean_curve([points([1, 2], [0.5, 0.6])], 0.95)
    assert line.mean.tolist() == [0.5, 0.6] and np.isnan(line.low).all() and np.isnan(line.high).all()


def test_a_long_curve_is_thinned_from_its_first_to_its_last_frame():
    frames = np.arange(0, 30_000, 10)
    line = mean_curve([(frames, frames.astype(float)), (frames + 5, frames + 5.0)], 0.95)
    assert len(line.frames) == MOST_POINTS and (line.frames[0], line.frames[-1]) == (5, 29_990)
    assert np.allclose(line.mean, line.frames)


def test_groups_of_any_shape_are_drawn(tmp_path):
    """Several seeds, one seed, no common frames, and more groups than colours."""
    groups = [
        Group("a", [points([0, 10], [0, 1]), points([0, 10], [1, 0])]),
        Group("b", [points([0, 10], [0, 1]), points([20, 30], [1, 0])]),
        *(Group(f"c{i}", [points([0], [0.5])]) for i in range(12)),
    ]
    plot_groups(groups, "valid/solve_rate", 0.95, tmp_path / "curves.png")
    assert imread(tmp_path / "curves.png").std() > 0.01
