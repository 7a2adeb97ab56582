"""Names that come with files are shown, and nothing in them is obeyed."""

import io

import pytest
from rich.console import Console

from drc_lab.app.start import say
from drc_lab.errors import UserError, complain, printable
from drc_lab.progress import console
from drc_lab.tables import Column, FittedTable

HOSTILE = {
    "\x1b[31mred\x1b[0m": r"\x1b[31mred\x1b[0m",
    "\x1b]0;title\x07": r"\x1b]0;title\x07",
    "two\nlines": r"two\nlines",
    "back\rwards": r"back\rwards",
    "a\u202etxt.exe": r"a\u202etxt.exe",
    "lone \udc80": r"lone \udc80",
    "[red]markup[/red] :smile:": "[red]markup[/red] :smile:",
    "Ärger über 漢字": "Ärger über 漢字",
}


@pytest.mark.parametrize(("text", "shown"), HOSTILE.items(), ids=range(len(HOSTILE)))
def test_a_name_is_shown_and_not_obeyed(text, shown, capsys):
    assert printable(text) == shown
    complain(UserError(f"{text}: no such file"))
    say(text)
    output, errors = capsys.readouterr()
    assert errors == f"drc_lab: {shown}: no such file\n"
    assert output == f"{shown}\n"
    table = FittedTable("runs", [Column("run", words=True, name=True)])
    table.add(text)
    page = Console(file=io.StringIO(), width=80)
    page.print(table)
    assert shown in page.file.getvalue() and "\x1b" not in page.file.getvalue()


def test_a_path_with_brackets_is_printed_whole(capsys):
    console.print("checkpoint runs/[red]/:smile:/best.ckpt", soft_wrap=True)
    assert capsys.readouterr().out == "checkpoint runs/[red]/:smile:/best.ckpt\n"
