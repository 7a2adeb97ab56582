"""Every table of every task at any width: nothing is cut, what is left out is said, and rows stay apart."""

import re
from io import StringIO

import numpy as np
import pandas as pd
import pytest
from mlflow.entities import Param, Run, RunData, RunInfo
from rich.console import Console

from drc_lab.deploy.agreement import Row as Exported
from drc_lab.deploy.agreement import terminal_table
from drc_lab.envs.ricochet.bank import Bank
from drc_lab.evaluation.measures.criterion import SOLVED
from drc_lab.evaluation.measures.finding import Finding
from drc_lab.evaluation.measures.table import Row
from drc_lab.evaluation.report import finding_tables, terminal_tables
from drc_lab.evaluation.stats.curves import Group
from drc_lab.speed.timing import report
from drc_lab.tables import Column, FittedTable, table_of
from drc_lab.tasks.compare import groups_table, runs_table
from drc_lab.tasks.env_speed import OURS, SpeedSpec, speed_table
from drc_lab.tasks.make_bank import bank_table
from drc_lab.tracking.runs_table import ComparedRun, CompareSpec, Comparison, group_keys, label

WIDTHS = (80, 100, 160)
KEYS = ["policy._target_", "env.id", "env.height", "env.wall_density", "policy.repeats_per_step",
        "policy.hidden_channels", "algo.optimizer.learning_rate", "algo.loss.entropy_coefficient",
        "algo.rollouts.num_steps", "evaluation.level_seed"]  # fmt: skip


def shown(table, width):
    """What a console of that width prints; no line is longer."""
    console = Console(width=width, file=StringIO())
    console.print(table)
    text = console.file.getvalue()
    assert max(map(len, text.splitlines())) <= width and "…" not in text
    return text


def has(text, *values):
    """Whether all words of the values are in a text, also those that were folded."""
    squeezed = re.sub(r"\s", "", text)
    return all(word in text or word in squeezed for value in values for word in value.split())


def compared(
    count=12, name="{} height=6 wall_density=0.25 hidden_channels=64 learning_rate=0.0004 num_steps=20 seed={}"
):
    """Runs that differ in ten keys and have long names."""
    runs = []
    for i in range(count):
        values = [
            f"drc_lab.models.some.Policy{i % 4}",
            "drc_lab/RicochetRobots-v0",
            *(str(i * 37 + k) for k in range(8)),
        ]
        params = [Param(key, value) for key, value in zip(KEYS, values, strict=True)] + [Param("seed", str(i))]
        info = RunInfo(
            f"{i:08x}{'0' * 24}", "1", "me", "FINISHED", 1000, 5_000_000, "active", run_name=name.format(i, i)
        )
        curve = (np.array([0, 2_400_000]), np.array([0.1, 0.8 + i / 1000]))
        runs.append(ComparedRun(Run(info, RunData(params=params)), curve, i != 3))
    keys = group_keys([run.run for run in runs], KEYS)
    groups = [Group(label(keys, run.values(keys)), [run.curve, run.curve]) for run in runs]
    return Comparison("valid/solve_rate", runs, keys, groups)


@pytest.mark.parametrize("width", WIDTHS)
def test_runs_with_long_names_and_many_differing_keys_are_told_apart_and_nothing_is_lost(width):
    found = compared()
    text = shown(runs_table(found, "valid/solve_rate"), width)
    for i, run in enumerate(found.runs):
        assert has(text, run.name, f"{0.8 + i / 1000:.3f}") and all(value in text for value in run.values(KEYS[2:]))
    assert "2,400,000" in text and "FINISHED" in text and "left out" not in text
    assert all(key.split(".")[-1] in text for key in KEYS[1:])
    text = shown(groups_table(found.groups, CompareSpec()), width)
    assert all(has(text, group.label) for group in found.groups) and "highest" in text


@pytest.mark.parametrize("width", WIDTHS)
def test_of_many_runs_the_settings_that_do_not_fit_are_said_and_are_in_the_file(width):
    text = shown(runs_table(compared(40), "valid/solve_rate"), width)
    left = re.search(r"(\d+) columns left out, in runs\.csv: ([\w, ]+)", " ".join(text.split()))
    assert left and int(left[1]) == len(left[2].split(", ")) and "level_seed" in left[2]
    names = re.findall(r"^(\d+) height", text, re.MULTILINE)
    assert sorted(map(int, names)) == list(range(40))
    assert "0.839" in text


@pytest.mark.parametrize("width", WIDTHS)
def test_runs_of_one_name_have_ids(width):
    found = compared(name="a name for all of them, and a long one at that")
    text = shown(runs_table(found, "valid/solve_rate"), width)
    assert all(run.run.info.run_id[:8] in text for run in found.runs)


@pytest.mark.parametrize("width", WIDTHS)
def test_findings_show_what_fits_and_say_where_the_rest_is(width):
    names = [f"a_world_with_a_long_name_{'of_its_own_' * 3}{i}" for i in range(3)]
    values = {f"measure_{i}": [i + 0.5] * 3 for i in range(20)}
    text = shown(
        *finding_tables([Finding("wide", "Wide", "How to read it.", pd.DataFrame({"world": names} | values))]), width
    )
    seen = len(re.findall(r"\d+\.5", text)) // 3
    assert has(text, f"{20 - seen} columns left out, in findings/wide.csv:", "measure_19")
    assert 3 < seen < 20 and "How to read it." in text
    assert all(f"_{i} " in text or f"_{i}\n" in text for i in range(3))  # ends of the names, folded


@pytest.mark.parametrize("width", WIDTHS)
def test_the_tables_of_an_evaluation_take_long_names_and_large_numbers(width):
    lengths = ["all", *map(str, range(1, 10)), "10+", "unknown"]
    numbers = [123_456_789, 1.0, 0.999, 1.0, -0.999, -1.0, -0.998, 9, 9, 1e-7, 1e-7, 120.0, 0.5, 99.0]
    rows = [
        Row(kind, amount, optimal, *numbers, checkpoint=f"outputs/{'a_long_name_' * 6}.ckpt")
        for kind, amount in (("first_passes", 0.0), ("passes_at_120", 128.0), ("a_user's_own_kind", 2.0))
        for optimal in lengths
    ]
    text = "".join(shown(table, width) for table in terminal_tables(rows, 0.95))
    assert has(text, "100.0 [99.9, 100.0]", "-99.9 [-100.0, -99.8]", "a_user's_own_kind", "passes at 120", "unknown")
    assert text.count("123,456,789") == 1 + 11


@pytest.mark.parametrize("width", WIDTHS)
def test_the_tables_of_measurements_fit(width, tmp_path, monkeypatch, capsys):
    """Those of exports, banks, and of everything that is timed."""
    row = Exported(
        "int8, dynamically quantised",
        "ONNX Runtime 1.99.0, CPUExecutionProvider",
        123.456,
        dict.fromkeys((1, 16, 64, 256, 1024), 1234.56),
        1000,
        SOLVED,
        1.0,
        0.9,
        1.0,
        1e-9,
    )
    text = shown(terminal_table([row], 0.95, "export.csv", "a processor's name"), width)
    assert has(text, row.variant, "100.0 [90.0, 100.0]", "1e-09", "1024")
    speeds = [(name, 9_876_543.0, 12.3) for name in OURS] + [("EnvPool Sokoban-v0, grid", 33_000.0, float("nan"))]
    text = shown(speed_table(SpeedSpec(), speeds), width)
    assert has(text, *OURS, "9,876,543", "299.29", "12.3 us") and "nan" not in text and "left out" not in text
    boards = np.arange(4000)
    bank = Bank(
        boards, np.zeros((4000, 26)), boards, boards, boards % 12 + 1, np.where(boards % 50, boards % 26 + 1, -1)
    )
    text = shown(bank_table(bank), width)
    assert has(text, "4,000 boards", "unknown", "26") and len(re.findall(r"\b(?:333|334)\b", text)) == 12
    monkeypatch.setenv("COLUMNS", str(width))
    names = [f"training_with_a_name_{'that_goes_on_' * 5}{i}" for i in range(3)]
    columns = ("training", "frames/s", *(f"share_of_part_{i}" for i in range(12)))
    report(
        "Wall time", columns, [(name, 1234.5, *[0.123] * 12) for name in names], tmp_path / "benchmark.csv", "caption"
    )
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= width and "…" not in text and "1234.5" in text
    assert has(text, "left out, in benchmark.csv:") or text.count("0.123") == 36


def test_importance_decides_what_is_left_out_and_a_block_has_all():
    columns = [Column("name", words=True, name=True), Column("little", rank=2), Column("more", rank=1), Column("all")]
    table = FittedTable("Title", columns, "x.csv", "caption")
    table.add("a [bold]b[/bold]", "1" * 12, "2" * 12, "3" * 12, dim=True)
    for width, seen in ((80, "123"), (48, "23"), (34, "3"), (20, "123"), (8, "123")):
        text = shown(table, width)
        assert [d for d in "123" if has(text, d * 12)] == list(seen), width
        assert has(text, "a [bold]b[/bold]", "Title", "caption")
        assert ("x.csv" in text) == (width in (48, 34))
    assert "1 column left out, in x.csv: little" in " ".join(shown(table, 48).split())


def test_as_many_columns_as_tell_rows_apart_are_never_left_out():
    rows = [["step", "1", "x" * 30, "y" * 30], ["step", "16", "x" * 30, "y" * 30]]
    text = shown(table_of("Title", ["what", "batch", "first", "second"], rows, "x.csv"), 50)
    assert "batch" in text and "16" in text and has(text, "x" * 30, "1 column left out, in x.csv: second")
