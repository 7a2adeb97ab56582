"""The sweep's table: intervals against known values, pairing, groups, CSV, picture."""

import csv
import math
from dataclasses import fields
from io import StringIO

import gymnasium as gym
import numpy as np
import pytest
from rich.console import Console
from test_evaluator import Counting

import drc_lab  # noqa: F401 - registers the envs
from drc_lab.evaluation.evaluator import Episodes
from drc_lab.evaluation.intervals import paired_difference, rate_interval
from drc_lab.evaluation.report import plot, terminal_tables, write_csv
from drc_lab.evaluation.thinking import Row, Setting, groups, sweep, table


def episodes(solved, optimal):
    solved = np.array(solved, bool)
    n = len(solved)
    return Episodes(np.arange(n), solved, np.where(solved, 2, 20), np.where(solved, 0.98, -0.2), np.array(optimal))


def test_rate_interval_is_wilsons():
    k, n, z = 37, 50, 1.959963984540054
    centre, p = (k + z * z / 2) / (n + z * z), k / n
    half = z / (n + z * z) * math.sqrt(n * p * (1 - p) + z * z / 4)
    got = rate_interval(np.arange(n) < k)
    assert got == (pytest.approx(centre - half), pytest.approx(centre + half))


def test_paired_interval_is_narrow_where_levels_agree_and_as_wide_as_theory_says():
    rng = np.random.default_rng(0)
    base = rng.random(2000) < 0.5
    better = base | (rng.random(2000) < 0.04)
    gain = better.mean() - base.mean()
    low, high = paired_difference(better, base)
    width = 1.96 * math.sqrt(gain * (1 - gain) / 2000)
    assert low == pytest.approx(gain - width, abs=0.002) and high == pytest.approx(gain + width, abs=0.002)
    assert low > 0
    unpaired = 2 * 1.96 * math.sqrt(2 * 0.25 / 2000)
    assert high - low < unpaired / 3
    assert paired_difference(base, base) == (0, 0)


def test_groups_cover_every_level_once():
    optimal = np.array([1, 1, 3, 10, 14, -1])
    masks = groups(optimal)
    assert list(masks) == ["all", "1", "3", "10+", "unknown"]
    assert sum(mask.sum() for name, mask in masks.items() if name != "all") == len(optimal)


def settings_by_hand():
    base = episodes([1, 0, 0, 1], [1, 1, 2, 2])
    more = episodes([1, 1, 0, 1], [1, 1, 2, 2])
    return [
        Setting("first_passes", 0, True, base),
        Setting("first_passes", 4, False, more),
        Setting("repeats", 3, True, base),
        Setting("repeats", 6, False, episodes([0, 0, 0, 1], [1, 1, 2, 2])),
        Setting("random", 0, False, episodes([0, 0, 0, 0], [1, 1, 2, 2])),
    ]


def test_rows_by_hand():
    rows = {(r.kind, r.amount, r.optimal): r for r in table(settings_by_hand())}
    assert len(rows) == 5 * 3
    assert rows["first_passes", 4, "all"].solve_rate == 0.75 and rows["first_passes", 4, "all"].difference == 0.25
    assert rows["first_passes", 4, "1"].difference == 0.5 and rows["first_passes", 4, "2"].difference == 0
    assert rows["repeats", 6, "all"].difference == -0.25
    assert rows["first_passes", 0, "all"].mean_length == 11
    assert math.isnan(rows["random", 0, "all"].difference)


def test_csv_holds_the_rows_and_the_picture_and_tables_are_drawn(tmp_path):
    rows = table(settings_by_hand())
    write_csv(rows, tmp_path / "thinking.csv")
    with (tmp_path / "thinking.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert list(lines[0]) == [field.name for field in fields(Row)]
    for line, row in zip(lines, rows, strict=True):
        assert (line["kind"], int(line["amount"]), line["optimal"]) == (row.kind, row.amount, row.optimal)
        assert float(line["solve_rate"]) == row.solve_rate and float(line["low"]) == pytest.approx(row.low, abs=1e-6)
    plot(rows, tmp_path / "thinking.png")
    assert (tmp_path / "thinking.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    console = Console(width=80, record=True, file=StringIO())
    console.print(*terminal_tables(rows, 0.95))
    text = console.export_text()
    assert "75.0 [30.1, 95.4]" in text and "+25.0 [" in text and "random policy" in text


def test_the_sweep_knows_its_baselines_and_uses_the_same_levels():
    env = gym.make_vec("drc_lab/RicochetRobots-v0", num_envs=4, layout="v1", max_steps=2, order="sequential")
    settings = list(sweep(Counting(7), env, [0, 1, 2], [1, 3, 7], control=True))
    assert [(s.kind, s.amount, s.is_baseline) for s in settings] == [
        ("first_passes", 0, True), ("first_passes", 1, False), ("first_passes", 2, False),
        ("repeats", 1, False), ("repeats", 3, True), ("repeats", 7, False), ("random", 0, False),
    ]  # fmt: skip
    assert all(s.episodes.level.tolist() == [0, 1, 2, 3] for s in settings)
    # RIGHT needs 7 ticks: two steps of 3 are too few, one extra pass makes the second step right.
    assert [s.episodes.solved.tolist()[3] for s in settings[:6]] == [False, True, True, False, False, True]
