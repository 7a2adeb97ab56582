"""The batch env that all games share: it adds levels, episodes and Gymnasium's interface to a `Batch`."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from drc_lab.envs.batch import NOOP, SKIP, Batch
from drc_lab.envs.episodes import begin_episodes, end_episodes, in_range, skip_thinks
from drc_lab.envs.render import Window
from drc_lab.envs.saved import check_array, saved_number
from drc_lab.envs.specs.levels import RENDER_MODES, THINK, LevelEnvSpec, step_limits
from drc_lab.envs.streams import LevelStream
from drc_lab.errors import ConfigError

EPISODE = ("level", "length", "limit", "total", "terminated", "truncated", "thinks")  # arrays of the current episodes


class LevelVectorEnv(VectorEnv):
    """B boards with levels from a stream.

    An episode is terminated when its level is solved and truncated after ``max_steps`` steps. With (same-step)
    autoreset the step that ends an episode returns the first observation of the next one; the last observation and
    the info of the ended episode are in ``info["final_obs"]`` and ``info["final_info"]``. Info has, per env: ``level``
    (id), ``optimal`` (-1 if unknown), ``solved``, ``length`` (steps so far), ``return`` (undiscounted) and, if asked
    for, ``action_mask`` (bool [B, A]).

    ``thinks`` adds a think action, the last one, with which a policy chooses an extra pass: the board does not change,
    the reward is 0, and the policy sees the same observation again. The game itself never gets this action. Info then
    has ``thinks``, how often it was chosen in the episode so far.

    Args:
        batch: the game.
        levels: where levels come from.
        spec: the settings that all games share:
            max_steps: step limit of an episode; if two numbers, each episode's limit is drawn from that range, both
                ends included.
            autoreset: whether a finished board gets its next level at once.
            copy: whether returned arrays are copies; if not, the next step overwrites them, and steps allocate arrays
                only for the final observations and infos of ended episodes.
            action_masks: whether info has ``action_mask``; the method `action_masks` works either way.
            render_mode: "ansi", "rgb_array" or, for one board, "human".
            cell_size: side of a cell in pictures, in pixels.
            thinks: None for no think action, or the number of free thinks in an episode. Each further think counts as a
                step (``length`` + 1), so that every episode ends.
    """

    says_success = True

    def __init__(self, batch: Batch, levels: LevelStream[Any], spec: LevelEnvSpec):
        self.batch, self.levels, self.num_envs = batch, levels, len(batch.observation)
        self.arguments = spec  # what an evaluation's results depend on
        self.autoreset, self.copy, self.masks_in_info = spec.autoreset, spec.copy, spec.action_masks
        self.max_steps = step_limits(spec.max_steps)
        self.render_mode, self.cell_size = spec.render_mode, spec.cell_size
        self._window: Window | None = None
        mode = AutoresetMode.SAME_STEP if spec.autoreset else AutoresetMode.DISABLED
        self.metadata = {"render_modes": RENDER_MODES, "render_fps": 4, "autoreset_mode": mode}
        # The game's own actions come first, its no-op last of them, and the think action after all of these.
        own = len(batch.action_names)
        self.noop_action = own - 1 if batch.action_names[-1] == NOOP else None
        self.free_thinks, self.think_action = spec.thinks, None if spec.thinks is None else own
        self.action_names = (*batch.action_names, *([] if spec.thinks is None else [THINK]))
        self.single_observation_space = batch.observation_space
        self.single_action_space: gym.spaces.Discrete = gym.spaces.Discrete(len(self.action_names))
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        # Of each board's episode: its level's id, steps so far, step limit, thinks so far, return, and how it ended.
        self.level, self.length, self.limit, self.thinks = (np.zeros(self.num_envs, np.int64) for _ in range(4))
        self.total = np.zeros(self.num_envs)
        self.terminated, self.truncated = (np.zeros(self.num_envs, bool) for _ in range(2))
        self.seed: int | None = None
        self.episodes = 0  # begun since the last reset with a seed
        self._all = np.ones(self.num_envs, bool)
        self._all.flags.writeable = False  # because returned infos share it

    def reset(
        self, *, seed: int | list[int] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Puts a new level on every board. With a seed the stream of levels (and a curriculum) starts over.

        ``options["reset_mask"]`` (bool [B]) restricts the reset to the boards where it is true;
        ``options["first_level"]`` is the position in the stream from which levels are taken.
        """
        super().reset(seed=seed if seed is None or isinstance(seed, int) else seed[0])
        mask = (options or {}).get("reset_mask", self._all)
        if seed is not None or self.seed is None:
            self.seed, self.episodes = int(self.np_random.integers(2**62)), 0
            self.levels.reseed(self.seed)
        elif not self.autoreset:
            ended = np.flatnonzero(mask & (self.terminated | self.truncated))
            self.levels.record(self.level[ended], self.batch.solved[ended])
        if (first := (options or {}).get("first_level")) is not None:
            self.levels.skip_to(first)
        self.terminated[mask] = self.truncated[mask] = False
        self._load(np.flatnonzero(mask))
        return self._give(self.batch.observation), self._info(self._all)

    def step(
        self, actions: np.ndarray, paused: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Steps all boards except those where ``paused`` (bool [B]) is true.

        A paused board does not change, gets no reward, and its step is not counted. Returns observations, rewards,
        terminations, truncations (bool [B]), info.
        """
        batch = self.batch
        actions = np.asarray(actions, dtype=np.int64)  # compiled code does not check its arguments
        if actions.shape != (self.num_envs,) or not in_range(actions, len(self.action_names)):
            count = len(self.action_names)
            raise ValueError(f"actions: found {actions!r}, allowed: {self.num_envs} of 0 to {count - 1}")
        if paused is not None:
            actions = np.where(paused, SKIP, actions)
        if self.free_thinks is not None:
            actions = actions.copy()  # the caller's array must not change
            skip_thinks(actions, self.think_action, self.free_thinks, self.thinks, self.length)
        batch.step(actions)
        ended = end_episodes(
            actions, batch.reward, batch.solved, self.limit, self.length, self.total, self.terminated, self.truncated
        )
        final = self._next_levels() if ended and self.autoreset else {}
        info = self._info(self._all)
        info.update(final)
        give = self._give
        return give(batch.observation), give(batch.reward), give(self.terminated), give(self.truncated), info

    def _next_levels(self) -> dict[str, Any]:
        """Deals new levels to the boards whose episode has ended. Returns the info entries of the ended episodes."""
        done = self.terminated | self.truncated
        envs = np.flatnonzero(done)
        final_obs, final_info = np.full(self.num_envs, None, dtype=object), self._info(done, copy=True)
        for env, obs in zip(envs, self.batch.observation[envs], strict=True):
            final_obs[env] = obs
        self.levels.record(self.level[envs], self.batch.solved[envs])
        self._load(envs)
        return {"final_obs": final_obs, "_final_obs": done, "final_info": final_info, "_final_info": done}

    def action_masks(self) -> np.ndarray:
        """bool [B, A]: false where an action would change nothing.

        The no-op and the think action, which change nothing on purpose, are always allowed.
        """
        masks = self.batch.action_masks()
        return masks if self.think_action is None else np.pad(masks, ((0, 0), (0, 1)), constant_values=True)

    def render(self) -> tuple[Any, ...] | None:
        """All boards: text ("ansi") or uint8 [rows, columns, 3] each ("rgb_array"); "human" shows a single board."""
        if self.render_mode is None:
            return None
        if self.render_mode == "ansi":
            return tuple(self.batch.text(env) for env in range(self.num_envs))
        pictures = tuple(self.batch.picture(env, self.cell_size) for env in range(self.num_envs))
        if self.render_mode == "rgb_array":
            return pictures
        if self.num_envs > 1:
            raise ConfigError("render_mode", "human", "ansi | rgb_array with more than one board")
        self._window = self._window or Window("drc_lab", self.metadata["render_fps"])
        self._window.show(pictures[0])
        return None

    def close_extras(self, **kwargs: Any) -> None:
        if self._window is not None:
            self._window.close()
            self._window = None

    def metrics(self) -> dict[str, float]:
        """Values to log about the stream of levels (the stage of a curriculum, say), by metric name."""
        return self.levels.metrics()

    def get_state(self) -> dict[str, Any]:
        """Everything the future of this env depends on, as arrays and plain types."""
        episodes = {name: getattr(self, name).copy() for name in EPISODE} | {"seed": self.seed, "begun": self.episodes}
        return {"batch": self.batch.get_state(), "levels": self.levels.get_state(), "episodes": episodes}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores a state that `get_state` returned after a reset.

        Raises:
            UserError: it cannot be one; it may come from somebody else's checkpoint.
        """
        self.batch.check_state(state["batch"])
        self.batch.set_state(state["batch"])
        self.levels.set_state(state["levels"])
        episodes = dict(state["episodes"])
        self.seed, self.episodes = saved_number(episodes, "seed"), saved_number(episodes, "begun")
        for name in set(episodes) & set(EPISODE):
            check_array(name, episodes[name], getattr(self, name))
            getattr(self, name)[:] = episodes[name]

    def _load(self, envs: np.ndarray) -> None:
        self.level[envs], levels, rows = self.levels.take(len(envs))
        self.batch.load(envs, levels, rows)
        low, high = self.max_steps
        begin_episodes(envs, self.episodes, self.seed, low, high, self.limit, self.length, self.total)
        self.thinks[envs] = 0
        self.episodes += len(envs)

    def _give(self, array: np.ndarray) -> np.ndarray:
        return array.copy() if self.copy else array

    def _info(self, mask: np.ndarray, copy: bool = False) -> dict[str, Any]:
        batch = self.batch
        info = {
            "level": self.level,
            "optimal": batch.optimal,
            "solved": batch.solved,
            "length": self.length,
            "return": self.total,
        }
        if self.think_action is not None:
            info["thinks"] = self.thinks
        if self.copy or copy:
            info = {name: array.copy() for name, array in info.items()}
        if self.masks_in_info:
            info["action_mask"] = self.action_masks()
        for name in tuple(info):
            info[f"_{name}"] = mask
        return info


def game_of(env: Any) -> Batch | None:
    """The game that a batch env plays; None for other packages' envs, which have only Gymnasium's interface."""
    return env.batch if isinstance(env, LevelVectorEnv) else None


def solver_of(env: Any) -> Batch | None:
    """`game_of`, if the game has an exact solver."""
    game = game_of(env)
    return game if game is not None and game.has_solver else None
