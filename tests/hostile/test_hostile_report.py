"""A report with hostile names shows them: no script, no formula, no mark that turns the direction of writing."""

import pandas as pd
from made_records import setting

from drc_lab.evaluation.measures.finding import Finding
from drc_lab.evaluation.measures.table import table
from drc_lab.evaluation.report import About, write_report
from drc_lab.evaluation.report.tables import terminal_tables
from drc_lab.progress import console

NAME = "<script>alert(1)</script>$\\frac{$\x1b[31m\u202eevil[/red]\n#"


def test_names_with_scripts_formulas_and_escape_sequences_are_shown(tmp_path, capsys):
    levels = [setting("first_passes", 0, [1, 0] * 4, baseline=True), setting("first_passes", 2, [1, 1, 1, 0] * 2)]
    levels += [setting(NAME, 3, [1, 1, 1, 0] * 2)]
    records = pd.concat(levels, ignore_index=True).assign(checkpoint=NAME, seed=0, frames=1)
    rows = table(records)
    shown = pd.DataFrame({NAME: [NAME]})

    def draw(axis):
        axis.plot([0], [0], label=NAME)
        axis.set(title=NAME, xlabel=NAME, ylabel=NAME)
        axis.set_xticks([0], [NAME])

    finding = Finding("found", NAME, NAME, shown, draw)
    write_report(tmp_path, NAME, rows, [finding], records, About(0.95, {"checkpoint": NAME, NAME: "fact"}))
    page = (tmp_path / "report.html").read_text()
    assert "<script" not in page and "\x1b" not in page and "\u202e" not in page
    assert "&lt;script&gt;" in page and r"\u202eevil" in page
    assert (tmp_path / "thinking.png").stat().st_size and (tmp_path / "findings/found.png").stat().st_size
    for each in terminal_tables(rows, 0.95):
        console.print(each)
    output = capsys.readouterr().out
    assert "\x1b" not in output and "\u202e" not in output and "[/red]" in output
