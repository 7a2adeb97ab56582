"""Same seed, same machine: the same training, bit for bit."""

import pytest
import torch
from commands import TINY, curve, start, start_fresh

METRICS = ("loss/total", "loss/grad_norm", "train/return", "valid/solve_rate", "valid_sampled/solve_rate")


@pytest.mark.slow
def test_the_same_seed_gives_the_same_training_twice_and_another_seed_another_one(tmp_path):
    """Three processes at a time, which is also what other work on the machine looks like; one has hashes of its own."""
    overrides = [
        *TINY,
        "algo.rollouts.min_repeats=1",
        "algo.rollouts.max_repeats=3",
        "algo.rollouts.minibatches=2",
        "deterministic=true",
    ]
    runs = {"first": (start, "seed=3"), "again": (start_fresh, "seed=3"), "other": (start, "seed=4")}
    started = [
        begin(tmp_path, *overrides, seed, f"root={name}", f"folder={name}/run") for name, (begin, seed) in runs.items()
    ]
    for process in started:
        _, errors = process.communicate(timeout=200)
        assert process.returncode == 0, errors
    first, again, other = (
        torch.load(tmp_path / name / "run/checkpoints/last.ckpt", weights_only=True)["state_dict"] for name in runs
    )
    assert all(torch.equal(weight, again[name]) for name, weight in first.items())
    assert not all(torch.equal(weight, other[name]) for name, weight in first.items())
    for metric in METRICS:
        assert curve(tmp_path / "first", metric) == curve(tmp_path / "again", metric), metric
    assert curve(tmp_path / "first", "loss/total") != curve(tmp_path / "other", "loss/total")
