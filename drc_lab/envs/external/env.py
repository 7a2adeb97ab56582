"""A batch of any Gymnasium env, with levels, splits and an exact state."""

from typing import Any

import numpy as np
from gymnasium.spaces import Discrete
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from drc_lab.arguments import takes
from drc_lab.envs.external.observation import describe, find_observations
from drc_lab.envs.external.registry import make_copies
from drc_lab.envs.external.seeds import seed_stream
from drc_lab.envs.specs.external import GymSpec
from drc_lab.errors import ConfigError, UserError

SUCCESS = ("is_success", "success", "solved")  # keys of an env's info that may report success; the first present counts


class GymVectorEnv(VectorEnv):
    """B copies of ``gymnasium.make(id, **kwargs)``, stepped one after the other in this process.

    A level is a seed: every episode starts with ``reset(seed=...)``, and the seeds of the three splits are disjoint.
    Autoreset and info are those of `drc_lab.envs.vector.LevelVectorEnv`: ``level``, ``optimal`` (always -1),
    ``length`` and ``return``, and ``solved`` if the env reports success. Without autoreset an env whose episode has
    ended is not stepped until `reset`.

    An episode is solved if the env's info says so at its end (``is_success``, ``success`` or ``solved``). If the info
    has none of these keys, an episode is solved if its return is at least ``solved_return``. Without ``solved_return``
    no success is reported: it cannot be inferred from rewards, nor from the ``reward_threshold`` that the env is
    registered with, which is for the mean over many episodes.

    Observation: uint8 [C, H, W] for images, float32 [C, H, W] for grids, float32 [F] for vectors.
    Action: 0 to n - 1, even if the env's own actions start at another number.

    See `GymSpec` for the arguments.

    Attributes:
        says_success: whether the env is known to report which episodes are solved; true from its first such report on.

    Raises:
        ConfigError: an env that does not exist, or that cannot work here.
    """

    @takes(GymSpec)
    def __init__(self, spec: GymSpec):
        id, num_envs = spec.id, spec.num_envs
        self.arguments = spec  # what an evaluation's results depend on
        self.levels = seed_stream(spec.split, spec.num_levels, spec.level_seed, spec.order)
        rendering = {} if spec.render_mode is None else {"render_mode": spec.render_mode}
        self.envs = make_copies(id, {**(spec.kwargs or {}), **rendering}, num_envs)
        first = self.envs[0]
        if not isinstance(first.action_space, Discrete):
            actions = describe(first.action_space)
            raise ConfigError("id", id, f"an env with Discrete actions; this one has {actions}")
        self.observations = find_observations(first, id, spec.observation, spec.layout, spec.scale)
        self.id, self.num_envs, self.max_steps = id, num_envs, spec.max_steps or np.inf
        self.autoreset, self.copy, self.render_mode = spec.autoreset, spec.copy, spec.render_mode
        self.solved_return, self.says_success = spec.solved_return, spec.solved_return is not None
        mode = AutoresetMode.SAME_STEP if spec.autoreset else AutoresetMode.DISABLED
        self.metadata = {**first.metadata, "autoreset_mode": mode}
        self.first_action = int(first.action_space.start)
        self.single_observation_space = self.observations.space
        self.single_action_space: Discrete = Discrete(int(first.action_space.n))
        self.noop_action, self.think_action = spec.noop_action, None
        if self.noop_action is not None and self.noop_action >= self.single_action_space.n:
            raise ConfigError("noop_action", self.noop_action, f"0 to {self.single_action_space.n - 1}, or null")
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._seeded = False
        raw, space, B = self.observations.raw, self.single_observation_space, num_envs
        self.raw = np.zeros((B, *raw.shape), raw.dtype)  # as the envs gave them
        self.observation = np.zeros((B, *space.shape), space.dtype)
        self.seed, self.level, self.length = (np.zeros(B, np.int64) for _ in range(3))
        self.total, self.reward = np.zeros(B), np.zeros(B)
        self.solved, self.terminated, self.truncated = (np.zeros(B, bool) for _ in range(3))
        self.moves: list[list[int]] = [[] for _ in range(B)]  # actions so far in the current episodes

    def metrics(self) -> dict[str, float]:
        """Empty: there is nothing to log."""
        return {}

    def reset(
        self, *, seed: int | list[int] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Starts new episodes in all envs. With a seed the stream of levels starts over, without one it continues.

        ``options["first_level"]``, if given, is the position in the stream from which levels are taken.
        """
        super().reset(seed=seed if seed is None or isinstance(seed, int) else seed[0])
        if seed is not None or not self._seeded:
            self._seeded = True
            self.levels.reseed(int(self.np_random.integers(2**62)))
        if (first := (options or {}).get("first_level")) is not None:
            self.levels.skip_to(first)
        self._load(np.arange(self.num_envs))
        return self._observe(), self._info(np.ones(self.num_envs, bool))

    def step(
        self, actions: np.ndarray, paused: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Steps all envs except those where ``paused`` (bool [B]) is true, and those whose episode has ended.

        Returns observations, rewards, terminations, truncations (bool [B]), info.
        """
        actions, count = np.asarray(actions, dtype=np.int64), self.single_action_space.n
        if actions.shape != (self.num_envs,) or actions.min() < 0 or actions.max() >= count:
            raise ValueError(f"actions: found {actions!r}, allowed: {self.num_envs} of 0 to {count - 1}")
        self.reward[:] = 0
        resting = self.terminated | self.truncated | (False if paused is None else paused)
        for env in np.flatnonzero(~resting).tolist():
            self._advance(env, int(actions[env]))
        rewards, terminated, truncated = self.reward.copy(), self.terminated.copy(), self.truncated.copy()
        done, left = terminated | truncated, {}
        if self.autoreset and done.any():
            self.observations.convert(self.raw, self.observation)
            left = {
                "final_obs": self.observation.copy(),
                "_final_obs": done,
                "final_info": self._info(done),
                "_final_info": done,
            }
            self._load(np.flatnonzero(done))
        return self._observe(), rewards, terminated, truncated, self._info(np.ones(self.num_envs, bool)) | left

    def render(self) -> tuple[Any, ...] | None:
        """What each env's own ``render`` returns."""
        return None if self.render_mode is None else tuple(env.render() for env in self.envs)

    def close_extras(self, **kwargs: Any) -> None:
        for env in self.envs:
            env.close()

    def get_state(self) -> dict[str, Any]:
        """Everything the future of this env depends on: the seed of each episode, and the actions since then."""
        moves = np.full((self.num_envs, int(self.length.max())), -1)
        for env, done in enumerate(self.moves):
            moves[env, : len(done)] = done
        return {
            "levels": self.levels.get_state(),
            "level": self.level.copy(),
            "seed": self.seed.copy(),
            "length": self.length.copy(),
            "moves": moves,
            "raw": self.raw.copy(),
            "says_success": self.says_success,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores a state that `get_state` returned, by replaying the same actions from the same seeds.

        Raises:
            UserError: the env is not deterministic: the replay ends in another state.
        """
        self._seeded = True
        self.levels.set_state(state["levels"])
        self.level[:] = state["level"]
        self.says_success |= state.get("says_success", False)
        for env, seed in enumerate(state["seed"].tolist()):
            self._start(env, seed)
            for move in state["moves"][env, : int(state["length"][env])].tolist():
                if self.terminated[env] or self.truncated[env]:
                    break
                self._advance(env, move)
        if not np.array_equal(self.length, state["length"]) or not np.array_equal(self.raw, state["raw"]):
            raise UserError(
                f"env.id: {self.id} does not do the same when the same actions follow the same seed, so a "
                "run in it cannot go on from a checkpoint"
            )

    def _load(self, envs: np.ndarray) -> None:
        self.level[envs], levels, rows = self.levels.take(len(envs))
        for env, seed in zip(envs.tolist(), levels.seed[rows].tolist(), strict=True):
            self._start(env, seed)

    def _start(self, env: int, seed: int) -> None:
        observation, _ = self.envs[env].reset(seed=seed)
        self.raw[env] = self.observations.pick(observation)
        self.seed[env], self.moves[env] = seed, []
        self.length[env] = self.total[env] = 0
        self.solved[env] = self.terminated[env] = self.truncated[env] = False

    def _advance(self, env: int, action: int) -> None:
        observation, reward, terminated, truncated, info = self.envs[env].step(action + self.first_action)
        self.raw[env] = self.observations.pick(observation)
        self.moves[env].append(action)
        self.length[env] += 1
        self.total[env] += reward
        self.reward[env], self.terminated[env] = reward, terminated
        self.truncated[env] = not terminated and (truncated or self.length[env] >= self.max_steps)
        said = next((info[key] for key in SUCCESS if info.get(key) is not None), None)
        if said is not None:
            self.says_success, self.solved[env] = True, bool(said)
        elif self.solved_return is not None:
            over = terminated or self.truncated[env]
            self.solved[env] = over and self.total[env] >= self.solved_return
        else:
            self.solved[env] = False

    def _observe(self) -> np.ndarray:
        self.observations.convert(self.raw, self.observation)
        return self.observation.copy() if self.copy else self.observation

    def _info(self, mask: np.ndarray) -> dict[str, Any]:
        info = {
            "level": self.level.copy(),
            "optimal": np.full(self.num_envs, -1),
            "length": self.length.copy(),
            "return": self.total.copy(),
        }
        if self.says_success:
            info["solved"] = self.solved.copy()
        return info | {f"_{key}": mask for key in info}
