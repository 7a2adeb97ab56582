"""Where task=play takes place: a board that is shown in the terminal or a window, and recorded."""

import math
import time
from typing import Any

import numpy as np
from omegaconf import DictConfig

from drc_lab.app.checked import check_played_level
from drc_lab.app.held_out import held_out_env
from drc_lab.app.specs import PlaySpec
from drc_lab.app.start import console
from drc_lab.envs.described import check_own_game
from drc_lab.envs.levels import FixedLevels
from drc_lab.envs.render import Window
from drc_lab.envs.vector import LevelVectorEnv
from drc_lab.evaluation.pictures.episode_video import progress
from drc_lab.evaluation.pictures.video import caption

SCREEN_FPS = 60  # of a window where a person plays


class Stage:
    """One board with the held-out levels on it, shown and recorded move by move.

    Args:
        config: of the env and of the evaluation that numbers its levels.
        spec: what is shown and recorded.
        pace: whether each move stays to be seen, at ``spec.fps``; not where a person moves.
    """

    def __init__(self, config: DictConfig, spec: PlaySpec, pace: bool):
        self.spec, self.pace = spec, pace
        env = held_out_env(config, spec.split, "play.split", num_envs=1, autoreset=False)
        check_own_game(str(config.env.id))
        assert isinstance(env, LevelVectorEnv) and isinstance(env.levels, FixedLevels)
        self.env, self.num_levels = env, len(env.levels.levels)
        check_played_level(spec.level, self.num_levels)
        self.env.reset(seed=0)  # or the env would draw a seed of its own, and start the levels over with it
        self.window = Window(fps=spec.fps if pace else SCREEN_FPS) if spec.show == "window" else None
        self.frames: list[np.ndarray] = []
        self.results: list[str] = []
        self.info: dict[str, Any] = {}
        self.over = False

    @property
    def is_open(self) -> bool:
        """False once somebody has closed the window."""
        return self.window is None or self.window.is_open

    def start(self, level: int) -> np.ndarray:
        """Puts a level on the board; its first observation, uint8 [1, C, H, W]."""
        obs, self.info = self.env.reset(options={"first_level": level})
        self.over = False
        return obs

    def step(self, action: int) -> np.ndarray:
        """Takes an action; the next observation. At the end of an episode its result is noted."""
        obs, _, terminated, truncated, self.info = self.env.step(np.array([action]))
        self.over = bool(terminated[0] or truncated[0])
        if self.over:
            self.results.append(self.status)
        return obs

    @property
    def brief(self) -> str:
        """Where the episode is or how it ended, for the narrow line beneath a picture."""
        return progress(self.info, 0, self.env.limit[0], self.over)

    @property
    def status(self) -> str:
        """The same with the level and, once it is over, the length of an optimal solution."""
        level, optimal = (int(self.info[key][0]) for key in ("level", "optimal"))
        if not self.over:
            return f"level {level}, step {self.info['length'][0]} of {self.env.limit[0]}"
        return f"level {level}: {self.brief}" + (f" (optimal {optimal})" if optimal >= 0 else "")

    def show(self, lines: list[str], beneath: str) -> None:
        """Shows and records the board, with lines of text in the terminal and one beneath the picture."""
        if self.window is not None or self.spec.video is not None:
            picture = caption(self.env.batch.picture(0, self.spec.cell_size), beneath)
            if self.spec.video is not None:
                self.frames += [picture] * (math.ceil(self.spec.fps) if self.over else 1)  # the end stands for a second
            if self.window is not None:
                self.window.show(picture)
        if self.spec.show == "terminal":
            if console.is_terminal:
                console.clear()
            board = self.env.batch.text(0)
            console.print(board, *lines, "", sep="\n", markup=False, highlight=False, soft_wrap=True)
            if self.pace and console.is_terminal:
                time.sleep(1 / self.spec.fps)

    def close(self) -> None:
        """Takes the window off the screen, if there is one."""
        if self.window is not None:
            self.window.close()
