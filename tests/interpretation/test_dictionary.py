"""Sparse autoencoders find the sparse features that made the data."""

import numpy as np
import pytest
import torch
from made_recordings import LABEL, made

from drc_lab.interpretation.dictionary import dictionary_finding, learn_dictionary
from drc_lab.interpretation.probes.targets import Split, Target


def sparse(rng, n, features=12, channels=16, k=2):
    """Vectors of k features each, and which ones."""
    directions = rng.normal(size=(features, channels))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    on = np.argsort(rng.random((n, features)), axis=1)[:, :k]
    x = sum(directions[on[:, i]] * rng.uniform(1, 2, (n, 1)) for i in range(k))
    return (x + 0.02 * rng.normal(size=x.shape)).astype(np.float32), on, directions


@pytest.mark.slow
def test_the_features_that_made_the_data_are_found():
    x, _, directions = sparse(np.random.default_rng(0), 20_000)
    learned = learn_dictionary(x[:15_000], features=24, k=2)
    test = torch.from_numpy(x[15_000:])
    restored = learned.restored(learned.features(test))
    assert 1 - (test - restored).square().sum() / (test - test.mean(0)).square().sum() > 0.85
    assert (learned.features(test) > 0).sum(1).max() <= 2
    found = np.abs(learned.decoder.numpy() @ directions.T).max(0)  # of each true one, the nearest that was learned
    assert (found > 0.9).mean() >= 0.8


@pytest.mark.slow
def test_a_feature_is_told_by_the_label_that_it_goes_with():
    rng = np.random.default_rng(1)
    x, on, _ = sparse(rng, 300 * 9)
    maps = x.reshape(300, 3, 3, 16).transpose(0, 3, 1, 2)
    truth = np.where((on == 4).any(1), 2, 0).reshape(300, 3, 3)  # class 2 where the fifth feature is on
    recording = made(rng, {"0.1.c": np.ascontiguousarray(maps)}, levels=60, steps=5)
    split = Split.of(recording, 0.7, 0)
    finding = dictionary_finding(recording, "0.1.c", [Target(LABEL, truth)], split, features=24, k=2)
    best = finding.table.sort_values("lift").iloc[-1]
    assert best["says"] == "direction=down" and best["share"] > 0.8 and best["lift"] > 4
    assert "explains" in finding.text and best["most_at"].startswith("level ")
    first = int(best["most_at"].split()[1])
    assert first in recording.index["level"][split.test].tolist()
