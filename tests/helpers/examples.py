"""The examples of docs/extending.md, as files in a folder of their own."""

import re
import sys
from contextlib import contextmanager
from pathlib import Path

import gymnasium as gym

from drc_lab.envs.games import GAMES

BLOCKS = re.findall(
    r"```(\w+)\n(.*?)```", (Path(__file__).parents[2] / "docs/extending.md").read_text(), flags=re.DOTALL
)
COMMANDS = [line for language, block in BLOCKS if language == "bash" for line in block.splitlines()]
TRAININGS = [command for command in COMMANDS if "task=" not in command]


def write_examples(folder):
    """The files of the page; sections of one file come one after the other."""
    for language, block in BLOCKS:
        if language != "bash":
            name, text = block.removeprefix("# ").split("\n", 1)
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            with (folder / name).open("a") as file:
                file.write(text)


@contextmanager
def examples_in(folder, monkeypatch):
    """The folder is the current one and has the page's files; modules in it are forgotten afterwards."""
    write_examples(folder)
    sys.modules.pop("mine", None)  # of another folder, if a test has left it
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield folder
    forget(folder)


def forget(folder):
    """Undoes the imports of modules in the folder, and what these have registered."""
    for name in [name for name, module in sys.modules.items() if str(folder) in str(getattr(module, "__file__", ""))]:
        del sys.modules[name]
    for name in ("Corridor-v0", "Lights-v0"):
        gym.registry.pop(name, None)
        GAMES.pop(name, None)


def edit(folder, old, new):
    text = (folder / "mine.py").read_text()
    assert old in text
    (folder / "mine.py").write_text(text.replace(old, new))
