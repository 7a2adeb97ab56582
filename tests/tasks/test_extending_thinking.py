"""Kinds of thinking and measures from outside of the package, as docs/extending.md has them."""

import shlex

import pandas as pd
import pytest
from commands import run_here
from examples import COMMANDS, edit, examples_in, forget

from drc_lab.evaluation.kinds import registry

KIND, MEASURE = (next(shlex.split(c)[3:] for c in COMMANDS if f"mine.{name}" in c) for name in ("Steady", "HowCert"))
TINY = ["evaluation.num_levels=12", "thinking.noops=[]", "thinking.repeats=[]", "thinking.cycle_passes=[]",
        "thinking.cycle_noops=[]", "thinking.adaptive=[]", "thinking.controls=[random]", "thinking.solver_levels=0",
        "thinking.first_passes=[0,1]", "thinking.trace_ticks=0", "report.failures=0", "report.video=null",
        "tracking=csv", "folder=a"]  # fmt: skip


@pytest.fixture
def thinking(tmp_path, monkeypatch, capsys):
    """Runs the command in this process, in the folder with the page's files; the parts that it played."""
    played = []
    with examples_in(tmp_path, monkeypatch):
        monkeypatch.setattr(registry, "_known", {})

        def run(*words):
            forget(tmp_path)  # or a change of the file would not be seen
            parts = tmp_path / "a/parts"
            before = {path: path.stat().st_mtime_ns for path in parts.glob("*")} if parts.exists() else {}
            given = {word.split("=")[0] for word in words}
            tiny = [word for word in TINY if word.split("=")[0] not in given]
            code, output, errors = run_here(monkeypatch, capsys, *words, *tiny)
            assert (code, errors) == (0, ""), (output, errors)
            played[:] = [p.name.split(".")[0] for p in parts.glob("*") if p.stat().st_mtime_ns != before.get(p)]
            return output, set(played)

        run.folder = tmp_path
        yield run


def test_a_kind_of_ones_own_is_a_kind_like_any_other(thinking):
    output, played = thinking(*KIND)
    assert played == {"first_passes=0", "first_passes=1", "steady=1", "steady=2", "random"}
    rows = pd.read_csv(thinking.folder / "a/thinking.csv").query("optimal == 'all'").set_index(["kind", "amount"])
    assert not rows.loc[[("steady", 1), ("steady", 2)], "p_adjusted"].isna().any() and "steady passes" in output
    page = (thinking.folder / "a/report.html").read_text()
    assert "extra passes before every step" in page and "steady passes" in page
    assert thinking(*KIND)[1] == set()
    assert thinking(*KIND, "+thinking.kinds.steady.ticks=1")[1] == {"steady=1", "steady=2"}
    edit(thinking.folder, "passes=int(amount)", "passes=2 * int(amount)")
    assert thinking(*KIND, "+thinking.kinds.steady.ticks=1")[1] == {"steady=1", "steady=2"}


def test_a_measure_of_ones_own_watches_and_has_its_finding_in_the_report(thinking):
    everything = thinking(*MEASURE)[1]
    assert everything == {"first_passes=0", "first_passes=1", "random"}
    levels = pd.read_parquet(thinking.folder / "a/levels.parquet")
    assert levels["certainty"].between(0, 1).all()
    found = pd.read_csv(thinking.folder / "a/findings/certainty.csv")
    of_random = found.set_index("kind").loc["random", "certainty"]
    assert of_random == pytest.approx(0.25) and "How certain is it?" in (thinking.folder / "a/report.html").read_text()
    assert thinking(*MEASURE)[1] == set()
    assert thinking(*MEASURE[:-1], "+thinking.measures.certain.steps=1")[1] == everything


def test_one_of_ours_can_be_left_out(thinking):
    played = thinking(*MEASURE, "+thinking.kinds.random=null", "thinking.controls=null")[1]
    assert "random" not in played and "sampled" in played


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([*KIND[:-1], "+thinking.kinds.steady.amounts=many"], "thinking.kinds.steady.amounts: found 'many', allowed: "),
        (
            ["+thinking.kinds.steady._target_=mine.HowCertain"],
            "thinking.kinds.steady._target_: found 'mine.HowCertain'",
        ),
        (["+thinking.kinds.steady=3"], "thinking.kinds.steady: found 3, allowed: a node with _target_, or null"),
        (["+thinking.measures.certain._target_=mine.Nope"], "(mine.py) has no Nope"),
        (
            [*MEASURE, "+thinking.measures.certain.limit=1"],
            "thinking.measures.certain.limit: found 1, allowed: no such",
        ),
    ],
)
def test_a_mistake_gets_one_line_before_anything_is_played(tmp_path, monkeypatch, capsys, words, line):
    with examples_in(tmp_path, monkeypatch):
        code, output, errors = run_here(monkeypatch, capsys, *KIND[:2], *words, *TINY)
    assert code == 2 and output == "" and errors.count("\n") == 1 and line in errors, errors
    assert not (tmp_path / "a").exists()
