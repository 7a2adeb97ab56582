"""Registry of the labels that probes can predict: functions from an episode to numbers, by name and game."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from drc_lab.errors import ConfigError
from drc_lab.interpretation.episodes import Episode

ANY_GAME = ""


@dataclass(frozen=True)
class Label:
    """A fact about each step of an episode that a probe can predict.

    Args:
        name: in configs, tables and reports.
        of: returns the label's value before each of an episode's T steps: class numbers, int [T, H, W] if ``cells``,
            else [T]; or float [T] if there are no classes. -1 and nan mark values that are left out.
        classes: names of the classes; () for a number, which a probe regresses.
        cells: whether each cell has its own value.
        text: what it means, in a sentence.
        game: env id of the game that has it; ANY_GAME for all games.
    """

    name: str
    of: Callable[[Episode], np.ndarray]
    classes: tuple[str, ...]
    cells: bool
    text: str
    game: str = ANY_GAME


_LABELS: dict[str, list[Label]] = {}


def _name(game: str) -> str:
    """The id of a game without the module that registers it."""
    return game.rpartition(":")[2]


def register_label(
    name: str, *, classes: Sequence[str] = (), cells: bool = False, text: str = "", game: str = ANY_GAME
) -> Callable[[Callable[[Episode], np.ndarray]], Callable[[Episode], np.ndarray]]:
    """Decorator that registers a function as a label; `Label` explains the arguments. It replaces a label of the same
    name and game."""

    def register(of: Callable[[Episode], np.ndarray]) -> Callable[[Episode], np.ndarray]:
        others = [label for label in _LABELS.get(_name(game), []) if label.name != name]
        _LABELS[_name(game)] = [*others, Label(name, of, tuple(classes), cells, text, game)]
        return of

    return register


def labels_of(game: str) -> dict[str, Label]:
    """Returns all labels of a game by name, its own first, then those of any game."""
    return {label.name: label for label in [*_LABELS.get(_name(game), []), *_LABELS.get(ANY_GAME, [])]}


def find_labels(game: str, names: Sequence[str] | None, key: str = "probe.labels") -> list[Label]:
    """Looks up labels of a game by name; None is all of them.

    Raises:
        ConfigError: about ``key``: the game has no label of that name.
    """
    known = labels_of(game)
    for name in names or ():
        if name not in known:
            raise ConfigError(key, name, f"{' | '.join(known)}, which are those of {game}")
    return [known[name] for name in (known if names is None else names)]
