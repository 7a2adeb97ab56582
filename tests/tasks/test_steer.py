"""task=steer, from a checkpoint to the files, MLflow and the terminal."""

import pandas as pd
import pytest
from commands import run_here, store

AGENT = "checkpoint=agents:/sokoban-one-box"
SMALL = [AGENT, "threads=1", "folder=out", "probe.levels=60", "steer.levels=60", "steer.steered=20",
         "steer.moves=[1,2]", "steer.alphas=[1,4]", "steer.channels=[1,16]", "steer.methods=[zero]",
         "steer.draws=1"]  # fmt: skip


@pytest.fixture
def steer(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    return lambda *words: run_here(monkeypatch, capsys, "task=steer", *words)


@pytest.mark.slow
def test_an_agent_is_steered_ablated_and_patched(steer, tmp_path):
    code, output, errors = steer(*SMALL)
    assert (code, errors) == (0, "")
    out = tmp_path / "out"
    assert {path.name for path in out.iterdir()} == {"findings", "recordings", "report.html", "tracking.jsonl"}
    steering, ablation, patching = (
        pd.read_csv(out / f"findings/{name}.csv") for name in ("steering", "ablation", "patching")
    )
    assert steering["when"].tolist() == ["first tick"] * 4 + ["every tick"] * 8
    assert steering["moves"].tolist() == [1] * 8 + [2] * 4
    assert steering["steered"].between(0, 1).all() and (steering["random"] < 0.5).all()
    assert ablation.set_index("channels").loc[16, "difference"] < -0.3
    restored = patching.set_index("place")["restored"]
    assert restored["encoding"] == pytest.approx(1, abs=1e-4) and restored["head_input"] == pytest.approx(1, abs=1e-4)
    assert restored["0.0.h"] < restored["0.1.h"] < 1  # the later, the more of it
    assert "Does it act on its plan?" in (
        out / "report.html"
    ).read_text() and "Steered along 2 moves" in output.replace("\n", " ")
    client, (experiment,) = store(tmp_path)
    (run,) = client.search_runs([experiment.experiment_id])
    assert {"steer/first_tick", "steer/every_tick_random"} <= set(run.data.metrics)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ["steer.label=departure_direction_AB"],
            "steer.label: found 'departure_direction_AB', allowed: agent_approach",
        ),
        (["steer.label=next_box"], "steer.label: found 'next_box', allowed: agent_approach_direction"),
        (["steer.alphas=[0]"], "steer.alphas: found 0, allowed: more than 0"),
        (["steer.patch=[2.0.h]"], "steer.patch: found '2.0.h', allowed: encoding | "),
        (["steer.methods=[forget]"], "steer.methods: found 'forget', allowed: zero | mean | resample"),
        (["steer.moves=[2,3]"], "steer.moves: found [2, 3], allowed: different numbers, 1 among them"),
        (["steer.steered=1"], "steer.steered: found 1, allowed: at least 20"),
        (["steer.levels=1"], "steer.levels: found 1, allowed: at least 20"),
    ],
)
def test_a_mistake_gets_one_line_before_anything_is_written(steer, tmp_path, words, line):
    code, output, errors = steer(*SMALL, "tracking=[]", *words)
    assert (code, output, errors.count("\n")) == (2, "", 1), errors
    assert errors.startswith("drc_lab: ") and line in errors
    assert not (tmp_path / "out").exists()


def test_more_channels_than_a_layer_has_are_refused(steer, tmp_path):
    code, _, errors = steer(*SMALL, "tracking=[]", "steer.channels=[17]")
    assert (code, errors) == (2, "drc_lab: steer.channels: found 17, allowed: 1 to 16, the channels of a layer\n")
    assert not (tmp_path / "out").exists()


LEVEL = "#######\n#     #\n# @$. #\n#     #\n#     #\n#     #\n#######\n\n"


def test_probes_are_not_fitted_to_the_levels_that_are_steered(steer, tmp_path):
    """A file of levels has no splits."""
    (tmp_path / "levels.txt").write_text(3 * LEVEL)
    code, _, errors = steer(*SMALL, "tracking=[]", "+evaluation.env.levels=levels.txt")
    assert code == 2 and errors.startswith("drc_lab: env.levels: found 'levels.txt', allowed: levels with splits"), (
        errors
    )
    assert errors.count("\n") == 1 and not (tmp_path / "out").exists()
