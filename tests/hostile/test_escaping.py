"""Names that come with files are shown, and nothing in them is obeyed."""

import io

import pytest
from rich.console import Console
from rich.text import Text

from drc_lab.app.start import say
from drc_lab.errors import UserError, complain, printable
from drc_lab.progress import console
from drc_lab.tables import Column, FittedTable
from drc_lab.tracking.descriptions import in_markdown, of_setting

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


def test_the_console_obeys_nothing_in_what_it_prints(capsys):
    console.print("a \x1b]0;title\x07\u202eb", Text("\x1b[31mc"), soft_wrap=True)
    assert capsys.readouterr().out == r"a \x1b]0;title\u202eb \x1b[31mc" + "\n"


MARKDOWN = {
    "frames-300.ckpt": "frames-300.ckpt",
    "drc height=6 seed=1, thinking_sweep": "drc height=6 seed=1, thinking_sweep",
    "<script>alert(1)</script>": r"&lt;script&gt;alert\(1\)&lt;/script&gt;",
    "![x](http://a/b)": r"\!\[x\]\(http\://a/b\)",
    "`a`\n# title": r"\`a\`\\n\# title",
}


@pytest.mark.parametrize(("name", "shown"), MARKDOWN.items(), ids=MARKDOWN)
def test_a_name_in_a_note_of_mlflow_is_no_markdown(name, shown):
    assert in_markdown(name) == shown


def test_a_kind_of_thinking_is_code_in_a_note_of_mlflow():
    assert "`a'![x](b)<p>`, 2 of it," in of_setting("a`![x](b)<p>", 2, "solve_rate")
