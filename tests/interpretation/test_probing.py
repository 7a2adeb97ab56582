"""Probes and their controls on made-up recordings: what is planted is found, and nothing is found in noise."""

import numpy as np
import pytest
from made_recordings import CLASSES, LABEL, made
from scipy.stats import binom

from drc_lab.errors import ConfigError
from drc_lab.interpretation.labels import Label
from drc_lab.interpretation.probes.probing import probe_all, probe_findings
from drc_lab.interpretation.probes.targets import Split, Target
from drc_lab.interpretation.spec import ProbeSpec

NUMBER = Label("left", lambda episode: np.empty(0), (), False, "how far it is")


def directions(rng, rows, classes=5):
    """Each level's maps hang together: most cells are never entered, as in a game."""
    return np.where(rng.random((rows, 3, 3)) < 0.6, 0, rng.integers(1, classes, (rows, 3, 3)))


def test_what_is_planted_is_found_where_it_is_and_beats_all_controls():
    rng = np.random.default_rng(0)
    rows = 200
    truth = directions(rng, rows)
    obs, noise, untrained = (rng.normal(size=(rows, 8, 3, 3)).astype(np.float32) for _ in range(3))
    planted = rng.normal(size=(rows, 8, 3, 3)).astype(np.float32)
    planted += 6 * np.eye(8)[truth].transpose(0, 3, 1, 2).astype(np.float32)
    recording = made(rng, {"obs": obs, "0.0.c": noise, "0.1.c": planted})
    control = made(rng, {"0.0.c": untrained, "0.1.c": untrained})
    target = Target(LABEL, truth)
    probed = probe_all(recording, control, [target], ProbeSpec(kernels=(1, 3)))
    own = probed.table[probed.table["of"] == "policy"].set_index(["reads", "cells"])
    assert own.loc[("0.1.c", "1x1"), "score"] > 0.95 and own.loc[("0.1.c", "3x3"), "score"] > 0.95
    assert own.loc[("0.0.c", "1x1"), "score"] < 0.3
    assert own["clear"].tolist() == ["", "yes", "", "yes"]
    best, _ = probe_findings(probed, [target])
    assert best.table["reads"].tolist() == ["0.1.c", "0.1.c"] and (best.table["majority"] < 0.2).all()
    assert {("direction", "0.1.c", 1), ("direction", "0.1.c", 3)} < set(probed.probes)


def test_what_the_observation_says_as_well_is_not_clear():
    """A probe has to beat the same probe on what the policy sees."""
    rng = np.random.default_rng(1)
    truth = directions(rng, 200)
    planted = 6 * np.eye(5)[truth].transpose(0, 3, 1, 2).astype(np.float32)
    noise = rng.normal(size=(2, 200, 5, 3, 3)).astype(np.float32)
    recording = made(rng, {"obs": planted + noise[0], "0.0.c": planted + noise[1]})
    probed = probe_all(recording, made(rng, {"0.0.c": noise[1]}), [Target(LABEL, truth)], ProbeSpec(kernels=(1,)))
    own = probed.table[probed.table["of"] == "policy"]
    assert own["score"].item() > 0.95 and own["clear"].item() == ""


@pytest.mark.slow
def test_noise_beats_its_controls_no_more_often_than_it_may(monkeypatch):
    """200 runs: that something is clear in a run has a chance of at most 5%."""
    monkeypatch.setattr("gc.collect", lambda: 0)  # statsmodels collects garbage at each correction
    found = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        obs, noise, untrained = (rng.normal(size=(120, 2, 3, 3)).astype(np.float32) for _ in range(3))
        recording = made(rng, {"obs": obs, "0.0.c": noise}, levels=40, steps=3)
        control = made(rng, {"0.0.c": untrained}, levels=40, steps=3)
        truth = directions(rng, 120, classes=3)
        label = Label("direction", LABEL.of, CLASSES[:3], True, "")
        probed = probe_all(recording, control, [Target(label, truth)], ProbeSpec(kernels=(1,), seed=seed))
        found += (probed.table["clear"] == "yes").any()
    assert found <= binom.ppf(0.999, 200, 0.05)


def test_numbers_and_what_is_not_known():
    rng = np.random.default_rng(2)
    left = rng.random(200) * 10
    maps = rng.normal(size=(200, 3, 3, 3)).astype(np.float32)
    maps[:, 0, 1, 1] += left
    truth = np.where(rng.random(200) < 0.2, np.nan, left)
    recording = made(rng, {"obs": rng.normal(size=(200, 3, 3, 3)), "0.0.c": maps, "value": maps[:, :1, 0, 0]})
    control = made(rng, {"0.0.c": rng.normal(size=(200, 3, 3, 3)), "value": rng.normal(size=(200, 1))})
    probed = probe_all(recording, control, [Target(NUMBER, truth)], ProbeSpec())
    own = probed.table[probed.table["of"] == "policy"].set_index("reads")
    assert own.loc["0.0.c", "score"] > 0.8 > 0.1 > own.loc["value", "score"]
    assert own.loc["0.0.c", "clear"] == "yes" and own.loc["value", "clear"] == ""


def test_a_level_is_for_fitting_or_for_scores():
    rng = np.random.default_rng(3)
    recording = made(rng, {})
    split = Split.of(recording, 0.7, seed=0)
    levels = recording.index["level"]
    assert not set(levels[split.train]) & set(levels[split.test]) and levels[split.train].nunique() == 28


def test_where_nothing_is_known_of_the_test_levels_nothing_is_fitted():
    rng = np.random.default_rng(4)
    truth = np.full((200, 3, 3), -1)
    truth[Split.of(made(rng, {}), 0.7, 0).train] = directions(rng, 140)
    maps = {"obs": rng.normal(size=(200, 2, 3, 3)), "0.0.c": rng.normal(size=(200, 2, 3, 3))}
    probed = probe_all(made(rng, maps), made(rng, maps), [Target(LABEL, truth)], ProbeSpec())
    assert len(probed.table) == 0 and probe_findings(probed, [Target(LABEL, truth)])[0].draw is None


def test_maps_of_another_size_than_the_board_are_left_out():
    rng = np.random.default_rng(5)
    maps = {
        "obs": rng.normal(size=(200, 2, 3, 3)),
        "encoding": rng.normal(size=(200, 2, 2, 2)),
        "0.0.c": rng.normal(size=(200, 2, 3, 3)),
    }
    probed = probe_all(made(rng, maps), made(rng, maps), [Target(LABEL, directions(rng, 200))], ProbeSpec(kernels=[1]))
    assert set(probed.table["reads"]) == {"", "0.0.c"}


def test_no_features_need_no_number_of_active_ones():
    assert ProbeSpec(features=0).active == 4


@pytest.mark.parametrize(
    ("spec", "line"),
    [
        ({"kernels": [2]}, "kernels: found 2, allowed: odd numbers"),
        ({"levels": 3}, "levels: found 3, allowed: at least 20"),
        ({"dtype": "int8"}, r"dtype: found 'int8', allowed: float32 \| float16"),
        ({"train_share": 1.0}, "train_share: found 1.0"),
        ({"names": []}, r"names: found \[\], allowed: at least one"),
        ({"kernels": []}, r"kernels: found \[\], allowed: at least one"),
        ({"active": 65}, "active: found 65, allowed: 1 to 64"),
    ],
)
def test_wrong_settings_get_one_line(spec, line):
    with pytest.raises(ConfigError, match=line):
        ProbeSpec(**spec)
