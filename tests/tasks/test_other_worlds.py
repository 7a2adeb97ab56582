"""Distribution shifts (``thinking.worlds``): what they change, and the line for one that cannot be."""

import pandas as pd
import pytest
from checkpoints import checkpoint
from commands import run_here
from composed import compose

from drc_lab.app.settings import Settings
from drc_lab.app.shift import errors_name_shift, shifted_settings
from drc_lab.errors import ConfigError


@pytest.fixture
def run_task(tmp_path, monkeypatch, capsys):
    """Runs a task in this process: exit code, what it printed, its complaint."""
    monkeypatch.chdir(tmp_path)
    return lambda *words: run_here(monkeypatch, capsys, *words)


def test_a_shift_changes_what_it_names_and_leaves_the_rest():
    config = compose(
        "+evaluation.env.max_steps=9",
        "evaluation.num_levels=50",
        "+thinking.worlds.larger={board: 7}",
        "+thinking.worlds.dense={num_levels: 20, env: {wall_density: 0.3}}",
    )
    base = Settings(config)
    found = shifted_settings(base)
    assert list(found) == ["larger", "dense"]
    larger, dense = found["larger"].evaluation, found["dense"].evaluation
    assert (larger.board, larger.num_levels, larger.env) == (7, 50, {"max_steps": 9})
    assert (dense.board, dense.num_levels, dense.env) == (None, 20, {"max_steps": 9, "wall_density": 0.3})
    assert found["larger"].config.env == config.env
    assert (base.evaluation.board, base.evaluation.num_levels, base.evaluation.env) == (None, 50, {"max_steps": 9})


@pytest.mark.parametrize(
    ("world", "line"),
    [
        ("larger=7", "thinking.worlds.larger: found 7, allowed: keys of evaluation, split, report_split"),
        ("larger={height: 7}", "thinking.worlds.larger: found {'height': 7}, allowed: keys of evaluation"),
        ("larger={env: 5}", "thinking.worlds.larger.env: found 5, allowed: keys of env and their values"),
        ("base={board: 7}", "thinking.worlds.base: .* another name"),
        ("larger={board: [1, 2, 3]}", r"thinking.worlds.larger.board: found \[1, 2, 3\], allowed: N for N x N"),
    ],
)
def test_a_shift_that_is_none_is_told_by_its_name(world, line):
    with pytest.raises(ConfigError, match=line):
        shifted_settings(Settings(compose(f"+thinking.worlds.{world}")))


def test_an_error_about_levels_says_which_shift_they_are_of():
    with (
        pytest.raises(ConfigError, match=r"^thinking\.worlds\.dense.env.wall_density: found 3"),
        errors_name_shift("dense"),
    ):
        raise ConfigError("evaluation.env.wall_density", 3, "0 to 1")


XSB = """
#####
#@$.#
#####

########
#      #
# @$ . #
#      #
########
"""


@pytest.mark.slow
def test_a_policy_of_any_size_is_played_and_compared_under_every_shift(tmp_path, run_task):
    where = checkpoint(
        tmp_path / "a.ckpt",
        "env=sokoban",
        "env.height=6",
        "env.width=6",
        "env.num_boxes=1",
        "policy.head=pool",
        "env.max_steps=6",
    )
    (tmp_path / "two.xsb").write_text(XSB)
    worlds_of = [
        "+thinking.worlds.larger={board: 8}",
        "+thinking.worlds.boxes={env: {num_boxes: 2}}",
        "+thinking.worlds.collection={env: {levels: two.xsb}}",
    ]
    few = ["evaluation.num_levels=10", "thinking.first_passes=[2]", "thinking.noops=[]", "thinking.repeats=[]",
           "thinking.adaptive=[]", "thinking.solver_levels=0", "thinking.trace_ticks=0", "report.video=null",
           "folder=out", "threads=1"]  # fmt: skip
    code, output, errors = run_task("task=thinking", where, *worlds_of, *few)
    assert (code, errors) == (0, "")
    assert "What is left of it in other worlds?" in output
    found = pd.read_csv(tmp_path / "out/findings/worlds.csv").set_index("world")
    assert found["levels"].to_dict() == {"base": 10, "larger": 10, "boxes": 10, "collection": 2}
    records = pd.read_parquet(tmp_path / "out/worlds.parquet")
    plain = records[records["baseline"]].groupby("world")
    assert plain["solved"].mean().to_dict() == found["solved"].drop("base").to_dict()
    sizes = plain[["height", "width"]].agg(lambda x: sorted(set(x)))
    assert sizes["height"].to_dict() == {"larger": [8], "boxes": [6], "collection": [3, 5]}
    assert sizes["width"]["collection"] == [5, 8]
    base = pd.read_parquet(tmp_path / "out/levels.parquet")
    assert base[base["baseline"]]["solved"].mean() == found["solved"]["base"] and len(base["level"].unique()) == 10


@pytest.mark.slow
def test_a_shift_that_the_policy_cannot_play_under_is_refused_before_anything_is_played(tmp_path, run_task):
    where = checkpoint(tmp_path / "a.ckpt")
    for world, line in (
        ("{board: 7}", "thinking.worlds.x.board: found 'observations (8, 7, 7)', allowed: (8, 5, 5), which the policy"),
        ("{env: {num_robots: 3}}", "thinking.worlds.x.env: found 'observations (9, 5, 5)', allowed: (8, 5, 5), which"),
        ("{env: {num_robot: 3}}", "thinking.worlds.x.env.num_robot: found 3, allowed: no such key, but num_robots"),
    ):
        for task in ("evaluate", "thinking"):
            code, _, errors = run_task(f"task={task}", where, f"+thinking.worlds.x={world}", "folder=out")
            assert code == 2 and errors.startswith(f"drc_lab: {line}") and errors.count("\n") == 1, errors
    assert not (tmp_path / "out").exists()
