"""task=saliency, from a checkpoint to the files and the terminal."""

import pandas as pd
import pytest
from commands import run_here

SMALL = ["task=saliency", "checkpoint=agents:/sokoban-one-box", "threads=1", "folder=out", "saliency.levels=20",
         "saliency.methods=[gradient,occlusion]", "tracking=[]"]  # fmt: skip


@pytest.mark.slow
def test_what_it_looks_at_is_told_and_drawn(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code, output, errors = run_here(monkeypatch, capsys, *SMALL)
    assert (code, errors) == (0, "")
    out = tmp_path / "out"
    table = pd.read_csv(out / "findings/saliency.csv")
    assert set(table["cell"]) == {"player", "box", "target", "wall", "floor"} and set(table["of"]) == {
        "action",
        "value",
    }
    assert {path.name for path in (out / "findings").glob("*.png")} >= {"saliency.png", "saliency_occlusion.png"}
    assert "Most above its share of cells" in output and "Where does it look?" in (out / "report.html").read_text()


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["saliency.methods=[lime]"], "saliency.methods: found 'lime', allowed: gradient | integrated | occlusion"),
        (["saliency.levels=10_000_000_000"], "saliency.levels: found 10000000000, allowed: up to "),
        (["saliency.of=[]"], "saliency.of: found [], allowed: at least one of action | value"),
    ],
)
def test_a_mistake_gets_one_line(tmp_path, monkeypatch, capsys, words, line):
    monkeypatch.chdir(tmp_path)
    code, output, errors = run_here(monkeypatch, capsys, *SMALL, *words)
    assert (
        (code, output) == (2, "")
        and errors.startswith(f"drc_lab: {line}")
        and errors.count("\n") == 1
        and not (tmp_path / "out").exists()
    )
