"""Recordings of what a policy computes while it plays: tensors on disk as safetensors, with a Parquet index.

`drc_lab.interpretation.recorder` makes them.

A recording is a folder. Each batch of levels has a file ``NUMBER.safetensors`` with one row for each pass of the
policy, and a file ``NUMBER.parquet`` with the same rows, which describes them:

- ``level``, ``step`` (of the episode), ``thought`` (0, 1, ... for extra passes before the step; -1 for the deciding
  pass, which chooses the action), ``action`` and ``waits`` (of the deciding pass; -1 and false for extra passes);
- ``solved``, ``length``, ``optimal`` of the level's episode, the same in all its rows.

Tensors are named as in `drc_lab.interpretation.hooks`: ``0.1.h`` is [rows, C, H, W]. ``obs`` holds the observations.
``boards.NAME`` (the game's own arrays) and ``returns`` have T + 1 entries for each level instead: one before each of
its T steps and one at its end.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from drc_lab.errors import ConfigError, UserError
from drc_lab.interpretation.episodes import Episode
from drc_lab.interpretation.shards import ABOUT as ABOUT
from drc_lab.interpretation.shards import DECIDES as DECIDES
from drc_lab.interpretation.shards import described, of_boards, read_shard
from drc_lab.untrusted import read_json


@dataclass(frozen=True)
class Recording:
    """What was recorded of a policy's episodes.

    Args:
        index: one row for each pass of the policy, with the columns that the module docstring lists.
        tensors: by name.
        about: where the recording comes from: ``game``, ``height``, ``width``, ``weights`` (a digest), ``names`` and
            more.
    """

    index: pd.DataFrame
    tensors: Mapping[str, np.ndarray]
    about: Mapping[str, Any]

    @classmethod
    def read(cls, folder: Path) -> "Recording":
        """Reads a complete recording from its folder.

        Raises:
            UserError: the folder has no recording, or it cannot be read.
        """
        try:
            about = described(read_json(folder / ABOUT))
            shards = [read_shard(part) for part in sorted(folder.glob("*.parquet"))]
            index = pd.concat([index for index, _ in shards], ignore_index=True)
            tensors = {name: np.concatenate([each[name] for _, each in shards]) for name in shards[0][1]}
        except Exception as error:  # which exception a damaged file raises depends on the library and the damage
            raise UserError(f"{folder}: found no whole recording of drc_lab ({type(error).__name__})") from error
        return cls(index, tensors, about)

    def tensor(self, name: str) -> np.ndarray:
        """Returns a recorded tensor as float32 [rows, ...].

        Raises:
            ConfigError: no tensor of that name was recorded.
        """
        if name not in self.tensors:
            raise ConfigError("names", name, " | ".join(self.names))
        return np.asarray(self.tensors[name], np.float32)

    @property
    def board(self) -> tuple[int, int]:
        """Height and width of the policy's observations."""
        return self.tensors["obs"].shape[2], self.tensors["obs"].shape[3]

    @property
    def names(self) -> list[str]:
        """Names of the recorded tensors that the policy computed: all but observations, returns and boards."""
        computed = [name for name in self.tensors if name != "obs" and not of_boards(name)]
        return sorted(computed, key=_place)

    @cached_property
    def deciding(self) -> np.ndarray:
        """bool [rows]: which rows are deciding passes, each followed by a step."""
        return (self.index["thought"] == DECIDES).to_numpy()

    @cached_property
    def episodes(self) -> list[Episode]:
        """The recorded episodes, sorted by level like the rows."""
        episodes, at = [], 0
        boards = {
            name.removeprefix("boards."): each for name, each in self.tensors.items() if name.startswith("boards.")
        }
        steps = self.index[self.deciding]
        for level, rows in steps.groupby("level", sort=True):
            place = slice(at, at + len(rows) + 1)
            episodes.append(
                Episode(
                    int(str(level)),
                    {name: each[place] for name, each in boards.items()},
                    rows["action"].to_numpy(),
                    rows["waits"].to_numpy(),
                    self.tensors["returns"][place],
                    bool(rows["solved"].iloc[0]),
                    int(self.about["height"]),
                    int(self.about["width"]),
                )
            )
            at = place.stop
        return episodes


def _place(name: str) -> tuple[int, int, str]:
    """Sort key of a name: names outside the ticks come first, the others by tick, then layer."""
    layer, tick, what = name.split(".") if name.count(".") == 2 else ("-1", "-1", name)
    return int(tick), int(layer), what
