"""Where an env does not say which levels are solved, everything is about the return, and nothing about solving."""

import math
import re

import numpy as np
import pandas as pd
import pytest
from made_records import records as solved_records
from no_thinking import thinking
from scipy import stats

from drc_lab.evaluation.measures.all_findings import statistics_of
from drc_lab.evaluation.measures.criterion import RETURNS, SOLVED, criterion_of, judged_by
from drc_lab.evaluation.measures.failures import endings, failures
from drc_lab.evaluation.measures.over_frames import metrics_at, over_frames_findings
from drc_lab.evaluation.measures.seeds import seed_findings
from drc_lab.evaluation.measures.shift import shift_findings
from drc_lab.evaluation.measures.shipped import findings, measures_of
from drc_lab.evaluation.measures.table import table
from drc_lab.evaluation.play.records import joined
from drc_lab.evaluation.report import About, answer, summarise, terminal_tables, write_report
from drc_lab.evaluation.stats.significance import paired_t_test
from drc_lab.learning.validation import best_of, rank


def records(better=3.0, **subject):
    """Of a silent env: returns of about 20 on eight levels, with 4 first passes higher by about ``better``."""
    own = solved_records().drop(columns="solved")
    rng = np.random.default_rng(0)
    plain = rng.normal(20, 5, 8)
    for (kind, amount), rows in own.groupby(["kind", "amount"]).groups.items():
        more = better + rng.normal(0, 1, 8) if (kind, amount) == ("first_passes", 4) else 0
        own.loc[rows, "return"] = plain + more
    return own.assign(optimal=-1, **subject)


def row(rows, kind, amount):
    return next(r for r in rows if (r.kind, r.amount, r.optimal) == (kind, amount, "all"))


def test_the_rows_are_of_returns_with_scipys_paired_t_test():
    own = records()
    plain, better = (own[(own["kind"] == "first_passes") & (own["amount"] == n)]["return"].to_numpy() for n in (0, 4))
    found = row(table(own), "first_passes", 4)
    assert math.isnan(found.solve_rate) and found.criterion is RETURNS
    assert found.value == found.mean_return == pytest.approx(better.mean())
    assert found.difference == pytest.approx((better - plain).mean())
    assert found.difference_low < found.difference < found.difference_high
    assert found.p_value == pytest.approx(stats.ttest_rel(better, plain).pvalue)
    assert (found.helped, found.hurt) == ((better > plain).sum(), (better < plain).sum())
    assert [found.low, found.high] == pytest.approx(stats.t.interval(0.95, 7, better.mean(), stats.sem(better)))


def test_a_difference_without_spread_is_tested_by_its_signs():
    level = np.arange(5.0)
    assert paired_t_test(level, level) == (0, 0, 1.0)
    assert paired_t_test(level + 1, level) == (5, 0, 2 * 0.5**5)
    assert paired_t_test(level - 1, level) == (0, 5, 2 * 0.5**5)


def test_the_answer_the_tables_and_the_page_speak_of_returns_alone(tmp_path):
    own = records()
    rows = table(own)
    found = [*statistics_of(own, rows), *findings(own, 0.95, measures_of(thinking()))]
    assert endings(own) is None and failures(own) == []
    write_report(tmp_path, "?", rows, found, own, About(0.95, {}))
    said = " ".join(answer(summarise(rows, 0.95)))
    assert f"reaches a return of {row(rows, 'first_passes', 0).value:.4g} [" in said and "of return" in said
    titles = [column.title for each in terminal_tables(rows, 0.95) for column in each.columns]
    assert "return [95%]" in titles
    page = re.sub(r'"data:[^"]*"', "", (tmp_path / "report.html").read_text())
    shown = [said, page, *titles, *(f"{one.name} {one.title} {one.text} {list(one.table)}" for one in found)]
    assert "the paired t test" in page
    for text in shown:
        text = text.replace("The env does not say which levels are solved.", "").replace("failures", "")
        for word in ("solve", "McNemar", "points", "nan"):
            assert word not in text, (word, text[:2000])


def test_over_seeds_frames_and_worlds_the_return_stands_for_the_solve_rate():
    several = pd.concat([records(i, checkpoint=f"{i}", seed=i, frames=100 * i) for i in (1, 2, 3)], ignore_index=True)
    overall = seed_findings(several)[0]
    assert overall.name == "seeds_return" and 19 < overall.table["mean"][0] < 22
    rows = table(several)
    assert set(metrics_at(rows)[100]) >= {"over_frames/return", "over_frames/random_return"}
    assert "return" in over_frames_findings(rows)[0].table
    (plain, thinking) = shift_findings({name: table(records(n)) for n, name in enumerate("ab")})
    assert "return" in plain.table and "solved" not in plain.table and len(thinking.table) == 2


def test_levels_before_an_env_first_said_success_were_not_solved():
    silent = records()
    telling = silent.assign(solved=True)
    both = joined([silent[silent["amount"] == 0], telling[telling["amount"] != 0]])
    assert both["solved"].dtype == bool and criterion_of(both) is SOLVED
    assert not both["solved"][both["amount"] == 0].any() and both["solved"][both["amount"] != 0].all()


def test_what_is_best_is_the_solve_rate_where_there_is_one():
    """Also after evaluations that knew of none, and beside those of before, that took a return for success."""
    assert judged_by({"valid/solve_rate", "valid/return"}, "valid/") == "valid/solve_rate"
    assert judged_by({"valid/return"}, "valid/") == judged_by(set(), "valid/") == "valid/return"
    silent, telling = {"return": 9.0}, {"solve_rate": 0.1, "return": 1.0}
    assert rank(telling, telling) > rank(silent, telling) and rank(silent, silent) > rank(telling, silent)
    state = {"best_solve_rate": 0.5, "best_return": 7.0}
    assert best_of(state | {"result": telling}) == 0.5 and best_of(state | {"result": silent}) == 7.0
