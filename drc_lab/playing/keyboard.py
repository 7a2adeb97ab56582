"""Keyboard control of any of the games by a person."""

import re
import sys
from collections.abc import Iterator, Sequence

import click

from drc_lab.envs.specs.levels import THINK

DIRECTIONS = ("up", "down", "left", "right")
LETTERS = dict(zip("wsad", DIRECTIONS, strict=True))
# What a terminal sends for a key: an arrow's sequence, that of another key without a character, or a character.
KEY = re.compile(r"\x1b[\[O](?P<arrow>[ABDC])|\x1b[\[O][\d;]*.?|(?P<character>.)", re.DOTALL)
DIGITS = "123456789"
NOOP = "no-op"
QUIT, RESTART, NEXT = "q", "r", "n"


def keys() -> Iterator[str]:
    """Yields keys of the terminal, or characters of a pipe, until the input ends; arrows as "up", "down", ..."""
    while text := _read():
        for key in KEY.finditer(text):
            if key["arrow"]:
                yield DIRECTIONS["ABDC".index(key["arrow"])]
            elif key["character"]:
                yield key["character"]


def _read() -> str:
    if not sys.stdin.isatty():
        text = sys.stdin.read(1)
        return text + sys.stdin.read(2) if text == "\x1b" else text
    try:
        return click.getchar()
    except EOFError:  # Ctrl-D
        return ""


class Keyboard:
    """Maps keys to actions. If actions belong to robots ("A up"), a letter or digit chooses the robot that arrows move.

    Args:
        action_names: names of the env's actions, in order.
    """

    def __init__(self, action_names: Sequence[str]):
        self.actions = {name: action for action, name in enumerate(action_names)}
        self.robots = list(dict.fromkeys(name.split()[0] for name in action_names if " " in name))
        self.robot = self.robots[0] if self.robots else ""

    @property
    def help(self) -> str:
        """A line that explains the keys."""
        digits = min(len(self.robots), len(DIGITS))
        words = [f"{self.robots[0]}-{self.robots[-1]} or 1-{digits} choose a robot" if digits > 1 else "",
                 f"arrows move {self.robot}" if self.robots else "arrows or wasd move",
                 "space waits" if NOOP in self.actions else "", "? thinks" if THINK in self.actions else "",
                 "r restarts", "n next level", "q quits"]  # fmt: skip
        return ", ".join(word for word in words if word)

    def press(self, key: str) -> int | None:
        """Returns the action of a key; None if it has no action, which includes choosing a robot."""
        direction = key if key in DIRECTIONS else "" if self.robots else LETTERS.get(key.lower(), "")
        if direction:
            return self.actions[f"{self.robot} {direction}".strip()]
        if key == " ":
            return self.actions.get(NOOP)
        if key == "?":
            return self.actions.get(THINK)
        if key in DIGITS and int(key) <= len(self.robots):
            self.robot = self.robots[int(key) - 1]
        elif key.upper() in self.robots:
            self.robot = key.upper()
        return None
