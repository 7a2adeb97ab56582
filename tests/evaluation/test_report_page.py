"""The report as a browser shows it: on small and large screens, light and dark."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from made_records import setting
from page_look import LOOK
from PIL import Image

from drc_lab.evaluation.measures.all_findings import statistics_of
from drc_lab.evaluation.measures.failures import endings, failures, small_png
from drc_lab.evaluation.measures.finding import Finding
from drc_lab.evaluation.measures.table import table
from drc_lab.evaluation.report import About, write_report

NARROW, WIDE = 360, 1200
LONG = "a_long_word_without_a_place_to_break_it_" * 5


@pytest.fixture
def page_file(tmp_path):
    """Of an evaluation with all kinds of thinking, long names, a long table and 60 failures."""
    levels = [setting("first_passes", 0, [1, 1, 0, 0, 0, 0, 0, 0], baseline=True), setting("random", 0, [1] + 7 * [0])]
    levels += [setting("first_passes", n, [1, 1, 1, 0, 0, 0, 0, 0]) for n in range(1, 17)]
    levels += [setting("adaptive", 10.0**-n, [1, 1, 1, 0, 0, 0, 0, 0]) for n in range(1, 4)]
    records = pd.concat(
        [each.assign(level=each["level"] + 8 * i) for each in levels for i in range(10)], ignore_index=True
    )
    rows = table(records)
    wide = Finding("wide", LONG, LONG, pd.DataFrame({f"column_{i}": [LONG] * 40 for i in range(9)}))
    png = small_png(np.zeros((150, 150, 3), np.uint8))
    found = [replace(failure, first=png, last=png) for failure in failures(records, 60)]
    Image.new("RGB", (640, 480)).save(tmp_path / "side.gif")
    about = About(0.95, {"command": LONG, LONG: "fact"}, found, 60, tmp_path / "side.gif")
    write_report(tmp_path, "?", rows, [*statistics_of(records, rows), endings(records), wide], records, about)
    return tmp_path / "report.html"


def test_the_page_fits_every_screen_is_short_and_legible_in_the_light_and_in_the_dark(page_file, browser):
    for scheme in ("light", "dark"):
        inks = set()
        for width in (NARROW, 400, WIDE):
            page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
            page.goto(page_file.as_uri())
            look = page.evaluate(LOOK)
            assert look["width"] <= width and look["right"] <= width
            assert look["height"] < (11_000 if width < WIDE else 8_000)
            assert len(look["drawn"]) >= 6 and min(look["drawn"]) > 150
            assert len(look["seen"]) > 100 and all(look["seen"])
            assert look["letters"] >= 8
            assert look["inks"] == [look["ink"]]
            inks.add(look["ink"])
            page.close()
        assert inks == {"rgb(30, 34, 43)" if scheme == "light" else "rgb(232, 234, 238)"}


def test_what_is_folded_opens_where_a_link_leads(page_file, browser):
    page = browser.new_page()
    page.goto(f"{page_file.as_uri()}#level-5")
    assert page.locator("#level-5").is_visible() and not page.locator("#wide + p + details table").is_visible()
    page.locator("#wide + p + details summary").click()
    assert page.locator("#wide + p + details table").is_visible()
