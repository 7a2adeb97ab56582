"""What a probe may be asked for, by name: functions from an episode to numbers, one set for each game."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from drc_lab.errors import ConfigError
from drc_lab.interpretation.episodes import Episode

ANY_GAME = ""


@dataclass(frozen=True)
class Label:
    """A concept.

    Args:
        name: in configs, tables and reports.
        of: Episode of T steps -> what holds before each step: int [T, H, W] (``cells``) or [T], classes by number;
            float [T] where there are no classes. -1 and nan are left out.
        classes: their names; () of a number, which a probe regresses.
        cells: whether each cell has one.
        text: what it is, in a sentence.
        game: of whose episodes, the id of its env; ANY_GAME of all.
    """

    name: str
    of: Callable[[Episode], np.ndarray]
    classes: tuple[str, ...]
    cells: bool
    text: str
    game: str = ANY_GAME


_LABELS: dict[str, list[Label]] = {}


def register_label(
    name: str, *, classes: Sequence[str] = (), cells: bool = False, text: str = "", game: str = ANY_GAME
) -> Callable[[Callable[[Episode], np.ndarray]], Callable[[Episode], np.ndarray]]:
    """Makes a function a label, see `Label` for the arguments; one of the same name and game takes its place."""

    def register(of: Callable[[Episode], np.ndarray]) -> Callable[[Episode], np.ndarray]:
        own = [label for label in _LABELS.get(game, []) if label.name != name]
        _LABELS[game] = [*own, Label(name, of, tuple(classes), cells, text, game)]
        return of

    return register


def labels_of(game: str) -> dict[str, Label]:
    """All labels of a game by name, those of any game last."""
    return {label.name: label for label in [*_LABELS.get(game, []), *_LABELS.get(ANY_GAME, [])]}


def find_labels(game: str, names: Sequence[str] | None, key: str = "probe.labels") -> list[Label]:
    """Those of that name; None is all.

    Raises:
        ConfigError: about ``key``: the game has none of that name.
    """
    known = labels_of(game)
    for name in names or ():
        if name not in known:
            raise ConfigError(key, name, f"{' | '.join(known)}, which are those of {game}")
    return [known[name] for name in (known if names is None else names)]
