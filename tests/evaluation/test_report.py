"""The report: what it says is what the rows say; the page stands alone, holds everything and escapes everything."""

import csv
import math
import re
from dataclasses import asdict, fields, replace
from html.parser import HTMLParser
from io import StringIO

import numpy as np
import pandas as pd
import pytest
from made_records import records, setting
from PIL import Image
from rich.console import Console

from drc_lab.evaluation.measures.failures import Failure, endings, failures, small_png
from drc_lab.evaluation.measures.finding import Finding
from drc_lab.evaluation.measures.table import Row, table
from drc_lab.evaluation.report import About, answer, finding_tables, summarise, terminal_tables, write_report
from drc_lab.evaluation.report.words import cell, described

HOSTILE = "<script>alert('x')</script> & [bold]\"{{ 1 + 1 }}\""
VOID = {"meta", "img", "link", "br", "input"}


FINDINGS = [
    Finding(
        "first",
        HOSTILE,
        HOSTILE,
        pd.DataFrame(
            {HOSTILE: [HOSTILE, "b"], "share": [0.123456789, math.nan], "p": [1.23456789e-9, 1.0], "count": [1234, 2]}
        ),
        lambda axis: axis.plot([0, 1], [0, 1]),
    ),
    Finding("quiet", "A quiet one", "Not in the terminal.", pd.DataFrame({"x": [1]}), in_terminal=False),
]


@pytest.fixture
def report(tmp_path):
    """Everything at once: hostile names everywhere, failures with pictures, a video."""
    video = tmp_path / "side.gif"
    Image.new("RGB", (4, 4)).save(video)
    png = small_png(np.zeros((8, 8, 3), np.uint8))
    found = [replace(f, first=png, last=png) for f in failures(records(), 3)]
    about = About(0.95, {HOSTILE: HOSTILE, "command": "drc-lab task=evaluate"}, found, 5, video)
    rows = table(records())
    paths = write_report(tmp_path / "out", HOSTILE, rows, FINDINGS, records(), about)
    return rows, {path.relative_to(tmp_path / "out").as_posix(): path for path in paths}


class Page(HTMLParser):
    """Checks that elements are nested; notes ids, addresses, texts and scripts."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.addresses, self.texts, self.tags = [], [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        values = dict(attributes)
        assert not [name for name in values if name.startswith("on")]
        self.ids += [values["id"]] if "id" in values else []
        self.addresses += [values[name] for name in ("src", "href", "action", "data", "srcset") if name in values]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def test_the_page_stands_alone_and_holds_all_that_was_found(report):
    rows, paths = report
    text = paths["report.html"].read_text()
    page = Page(text)
    outside = [a for a in page.addresses if not a.startswith(("data:image/", "data:video/", "#"))]
    assert page.addresses and not outside
    links = {a[1:] for a in page.addresses if a.startswith("#")}
    assert links >= {"settings", "first", "quiet", "video", "failures"} and links <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    assert not re.search(r"https?://|url\((?!#)|@import|<link|<script", text)
    assert set(re.findall(r"url\(#([^)]*)\)", text)) <= set(page.ids)
    assert page.ids[-4:] == ["failures", "level-3", "level-7", "level-4"]
    assert {"settings", "lengths", "first", "quiet", "video"} <= set(page.ids)
    said = " ".join(" ".join(page.texts).split())
    for sentence in answer(summarise(rows, 0.95)):
        assert sentence in said
    assert "5 of 8 levels are not solved" in said and "Here are 3 of them" in said
    assert "drc-lab task=evaluate" in said and "A quiet one" in said
    assert "prefers-color-scheme: dark" in text and "@media print" in text


def test_whatever_is_given_is_text_and_never_markup(report):
    page = Page(report[1]["report.html"].read_text())
    assert "script" not in page.tags
    joined = "".join(page.texts)
    assert joined.count(HOSTILE) >= 7  # title twice, fact and its name, finding's title and link, text, column and cell
    assert "{{ 1 + 1 }}" in joined  # no template either
    console = Console(width=200, record=True, file=StringIO())
    console.print(*finding_tables(FINDINGS))
    printed = console.export_text()
    assert printed.count("[bold]") == 4 and "A quiet one" not in printed


def test_the_csvs_hold_the_rows_and_the_findings(report):
    rows, paths = report
    with paths["thinking.csv"].open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert list(lines[0]) == [field.name for field in fields(Row)] and len(lines) == len(rows)
    for line, row in zip(lines, rows, strict=True):
        for name, value in asdict(row).items():
            if isinstance(value, float):
                assert float(line[name]) == pytest.approx(value, rel=1e-5, nan_ok=True)
            else:
                assert line[name] == str(value)
    kept = pd.read_csv(paths["findings/first.csv"])
    assert kept["p"][0] == pytest.approx(1.23457e-9, rel=1e-9) and kept["share"][0] == 0.123457
    assert kept[HOSTILE][0] == HOSTILE and math.isnan(kept["share"][1])
    pd.testing.assert_frame_equal(pd.read_parquet(paths["levels.parquet"]), records())
    assert list(paths)[-1] == "thinking.csv"  # once it is there, all is
    assert {"findings/first.png", "findings/quiet.csv", "thinking.png"} <= set(paths)
    assert "findings/quiet.png" not in paths


def test_only_what_is_clear_after_the_correction_is_called_a_gain():
    rows = table(records())
    said = " ".join(answer(summarise(rows, 0.95)))
    assert "No change by thinking is clear" in said and "4 extra passes at the start, +25.0 [" in said
    best = replace(summarise(rows, 0.95)[0].best, p_adjusted=0.01)
    rows = [best if (row.kind, row.amount, row.optimal) == ("first_passes", 4, "all") else row for row in rows]
    said = " ".join(answer(summarise(rows, 0.95)))
    assert "More thinking helps, clearly so at 1 of" in said and "most of all with 4 extra passes at the start" in said
    assert "does harm" not in said and "a random policy: 25.0 [" in said


def test_fewer_ticks_are_not_called_more_thinking():
    less = setting("repeats", 1, [1] * 8).assign(ticks=3)
    (summary,) = summarise(table(pd.concat([records(), less], ignore_index=True)), 0.95)
    assert summary.best.kind == "first_passes" and ("repeats", 1) not in {(r.kind, r.amount) for r in summary.more}


def test_the_main_tables_fit_a_terminal_of_80_columns_uncut():
    console = Console(width=80, record=True, file=StringIO())
    everything = setting("sampled", 0, [1] * 8)
    console.print(*terminal_tables(table(pd.concat([records(), everything], ignore_index=True)), 0.95))
    text = console.export_text()
    assert "…" not in text and max(len(line) for line in text.splitlines()) <= 80
    for words in ("+25.0 [", "random policy", "passes at 3", "100.0 [67.6, 100.0]", "unknown", "10+"):
        assert words in text


@pytest.mark.parametrize("kinds", [None, ["random"], [], ["random", "repeats"]])
def test_any_kinds_of_thinking_are_drawn_and_shown(tmp_path, kinds):
    own = records()
    if kinds is not None:
        own = own[((own["kind"] == "first_passes") & own["baseline"]) | own["kind"].isin(kinds)]
    for optimal in (own["optimal"], -1):
        shown = own.assign(optimal=optimal).reset_index(drop=True)
        paths = write_report(tmp_path, "?", table(shown), [endings(shown)], shown, About(0.9, {}))
        Page((tmp_path / "report.html").read_text())
        assert np.asarray(Image.open(paths[-3])).std() > 1


def test_several_policies_share_a_page(tmp_path):
    both = pd.concat(
        [records().assign(checkpoint=name, seed=seed, frames=100) for seed, name in enumerate("ab")], ignore_index=True
    )
    rows = table(both)
    write_report(tmp_path, "?", rows, [], both, About(0.95, {}))
    page = Page((tmp_path / "report.html").read_text())
    assert page.tags.count("caption") == 4  # a table of settings and one by length for each
    assert "b (seed 1, 100 frames): 37.5 [" in "".join(page.texts)


def test_failures_are_exactly_the_unsolved_levels_the_shortest_first_and_say_what_solves_them():
    found = failures(records())
    assert [f.level for f in found] == [3, 7, 4, 5, 6]
    by_level = {f.level: f for f in found}
    assert by_level[3].solved_by == (("first_passes", 4.0), ("passes_at_3", 2.0))
    assert by_level[5].solved_by == (("cycle_noops", 1.0),)
    assert by_level[6].solved_by == () and by_level[6].optimal is None  # the random policy's luck is no thinking
    assert by_level[4] == Failure(4, 3, 20, 9, 18, (("first_passes", 4.0),))
    assert [f.level for f in failures(records(), 2)] == [3, 7]


def test_endings_add_up():
    shown = endings(records()).table
    assert shown.columns.tolist()[2:] == ["solved, longer way", "unsolved, in cycles"]
    assert np.allclose(shown.iloc[:, 2:].sum(axis=1), 1) and shown["levels"].tolist() == [8, 2, 3, 1, 1, 1]


def test_words():
    assert [cell(x) for x in (None, math.nan, True, 1234, 0.123456, 12345.6, 1e-9, "a", math.inf)] == [
        "", "", "yes", "1,234", "0.123", "12,346", "1e-09", "a", "inf"]  # fmt: skip
    assert described("first_passes", 1) == "1 extra pass at the start" and described("new", 2.5) == "new=2.5"
    assert described("passes_at_3", 8) == "8 extra passes before step 3"
