"""One training's checkpoints: rows by frames, curves for MLflow, and what is clear at each of them."""

import pandas as pd
import pytest
from hand_records import records
from matplotlib.figure import Figure

from drc_lab.evaluation.measures.over_frames import metrics_at, over_frames_findings
from drc_lab.evaluation.measures.table import table


@pytest.fixture
def rows():
    def at(frames, more):
        settings = {
            ("first_passes", 0, True): [1] * 4 + [0] * 16,
            ("first_passes", 2, False): [1] * (4 + more) + [0] * (16 - more),
            ("adaptive", 0.01, False): [1] * 4 + [0] * 16,
            ("random", 0, False): [0] * 20,
        }
        return records(settings, [1] * 20, checkpoint=f"frames-{frames}", seed=0, frames=frames)

    return table(pd.concat([at(300, 8), at(100, 0), at(200, 2)]))


def test_the_gain_by_frames_and_where_it_is_clear(rows):
    short, whole = over_frames_findings(rows)
    assert short.table["frames"].tolist() == [100, 200, 300]
    assert short.table["gain_2"].tolist() == [0, 0.1, 0.4] and short.table["clear"].tolist() == ["", "", "+2"]
    line = whole.table[(whole.table["frames"] == 300) & (whole.table["amount"] == 2)].iloc[0]
    assert 0 < line["low"] < line["gain"] == 0.4 < line["high"] and line["p"] == pytest.approx(2 / 2**8)


def test_the_picture_has_a_line_over_frames_for_each_number_of_first_passes(rows):
    axis = Figure().subplots()
    over_frames_findings(rows)[1].draw(axis)
    line = axis.get_lines()[0]
    assert line.get_label() == "2" and list(line.get_xdata()) == [100, 200, 300]
    assert list(line.get_ydata()) == pytest.approx([0, 10, 40])


def test_mlflow_gets_the_gains_with_frames_as_the_step(rows):
    found = metrics_at(rows)
    assert sorted(found) == [100, 200, 300]
    assert found[300]["over_frames/first_passes_2_gain"] == 0.4 and found[200]["over_frames/solve_rate"] == 0.2
    assert found[100]["over_frames/adaptive_0.01_gain_low"] == 0 and found[100]["over_frames/random_solve_rate"] == 0
