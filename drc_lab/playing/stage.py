"""The stage of task=play: a board that is shown in the terminal or in a window, and recorded on video."""

import math
import time
from typing import Any

import numpy as np
from rich.text import Text

from drc_lab.app.held_out import held_out_env
from drc_lab.app.settings import Settings
from drc_lab.app.specs import PlaySpec
from drc_lab.app.start import console
from drc_lab.app.task_checks import check_played_level
from drc_lab.envs.from_config import check_game
from drc_lab.envs.render import Window
from drc_lab.envs.streams import FixedLevels
from drc_lab.envs.vector import LevelVectorEnv
from drc_lab.errors import ConfigError
from drc_lab.evaluation.pictures.episode_video import progress
from drc_lab.evaluation.pictures.video import caption

SCREEN_FPS = 60  # frame rate of the window when a person plays


class Stage:
    """One board on which held-out levels are played, shown and recorded move by move.

    Args:
        settings: of the run; their env and evaluation define the levels and their numbers.
        spec: what is shown and recorded.
        pace: whether moves are slowed down to ``spec.fps``, so that an agent's can be followed; False for a person.
    """

    def __init__(self, settings: Settings, spec: PlaySpec, pace: bool):
        self.spec, self.pace = spec, pace
        env = held_out_env(settings, spec.split, "play.split", num_envs=1, autoreset=False)
        check_game(str(settings.config.env.id))
        assert isinstance(env, LevelVectorEnv)
        if not isinstance(env.levels, FixedLevels):
            allowed = "a game whose levels can be a fixed set (num_levels), to be played"
            raise ConfigError("env.id", settings.config.env.id, allowed)
        self.env, self.num_levels = env, len(env.levels.levels)
        check_played_level(spec.level, self.num_levels)
        self.env.reset(seed=0)  # without a seed, the next reset would draw one and deal levels from the start
        self.window = Window(fps=spec.fps if pace else SCREEN_FPS) if spec.show == "window" else None
        self.frames: list[np.ndarray] = []
        self.results: list[str] = []
        self.info: dict[str, Any] = {}
        self.over = False

    @property
    def is_open(self) -> bool:
        """False once the user has closed the window."""
        return self.window is None or self.window.is_open

    def start(self, level: int) -> np.ndarray:
        """Starts a level; returns its first observation, uint8 [1, C, H, W]."""
        obs, self.info = self.env.reset(options={"first_level": level})
        self.over = False
        return obs

    def step(self, action: int) -> np.ndarray:
        """Takes an action; returns the next observation. At the end of an episode, adds its result to ``results``."""
        obs, _, terminated, truncated, self.info = self.env.step(np.array([action]))
        self.over = bool(terminated[0] or truncated[0])
        if self.over:
            self.results.append(self.status)
        return obs

    @property
    def brief(self) -> str:
        """How far the episode is or how it ended, short enough for the line beneath a picture."""
        return progress(self.info, 0, int(self.env.limit[0]), self.over)

    @property
    def status(self) -> str:
        """The level and how far the episode is; once it is over, how it ended and the optimal length if known."""
        level, optimal = (int(self.info[key][0]) for key in ("level", "optimal"))
        if not self.over:
            return f"level {level}, step {self.info['length'][0]} of {self.env.limit[0]}"
        return f"level {level}: {self.brief}" + (f" (optimal {optimal})" if optimal >= 0 else "")

    def show(self, lines: list[str], beneath: str) -> None:
        """Shows and records the board: ``lines`` of text follow it in the terminal, ``beneath`` is the line under the
        picture."""
        if self.window is not None or self.spec.video is not None:
            picture = caption(self.env.batch.picture(0, self.spec.cell_size), beneath)
            if self.spec.video is not None:
                self.frames += [picture] * (math.ceil(self.spec.fps) if self.over else 1)  # the end is shown for 1 s
            if self.window is not None:
                self.window.show(picture)
        if self.spec.show == "terminal":
            if console.is_terminal:
                console.clear()
            board = self.env.batch.text(0)
            console.print(Text.from_ansi(board), *lines, "", sep="\n", markup=False, highlight=False, soft_wrap=True)
            if self.pace and console.is_terminal:
                time.sleep(1 / self.spec.fps)

    def close(self) -> None:
        """Closes the window, if there is one."""
        if self.window is not None:
            self.window.close()
