"""Stable-Baselines3: our policies as feature extractors, and our batch envs for its algorithms (extra ``sb3``).

Recurrent policies serve as encoders without memory here: they run some ticks on each observation from a zero carry,
which is then dropped. To train a policy with memory, use ``python -m drc_lab``.
"""

from typing import Any

import gymnasium as gym
import numpy as np
from torch import Tensor, nn

from drc_lab.arguments import from_mapping
from drc_lab.envs.interface import BatchEnv
from drc_lab.errors import ConfigError, UserError
from drc_lab.models.cnn import SmallCNNPolicy
from drc_lab.models.heads import Head
from drc_lab.models.policy import Policy

try:
    from stable_baselines3.common.monitor import Monitor
    from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
    from stable_baselines3.common.vec_env import VecEnv
except ImportError as error:
    raise UserError("drc_lab.sb3: Stable-Baselines3 is missing: pip install 'drc-lab[sb3]'") from error


class PolicyFeatures(BaseFeaturesExtractor):
    """One of our policies, up to and including its head's shared layer, as an extractor of ``proj_dim`` features.

    Use it with ``policy_kwargs=dict(features_extractor_class=PolicyFeatures,
    features_extractor_kwargs=dict(policy=...), normalize_images=False, ortho_init=False)``. Without
    ``normalize_images=False`` SB3 would divide bytes by 255 a second time; without ``ortho_init=False`` its orthogonal
    initialisation would overwrite ours, including the bias of the forget gates.

    Args:
        observation_space: a Box of (C, H, W); uint8 is divided by 255.
        policy: a policy with a head, such as SmallCNNPolicy, ConvLSTMPolicy, LoopedTransformerPolicy or DRCPolicy.
        repeats: ticks for each observation, always from a zero carry; None is the policy's own number.
        arguments: arguments of the policy's constructor.

    Raises:
        ConfigError: an argument that is not allowed; its key starts with ``features_extractor_kwargs``.
    """

    def __init__(
        self,
        observation_space: gym.spaces.Box,
        policy: type[Policy] = SmallCNNPolicy,
        repeats: int | None = None,
        **arguments: Any,
    ):
        key, shape = "features_extractor_kwargs", observation_space.shape
        built = from_mapping(policy, arguments, key, obs_shape=shape, num_actions=1)
        head = getattr(built, "head", None)
        if not isinstance(head, Head):
            raise ConfigError(f"{key}.policy", policy.__name__, "a policy with a head, such as SmallCNNPolicy")
        super().__init__(observation_space, head.proj.out_features)
        head.add_module("policy", nn.Identity())  # so the head returns its shared layer's features
        head.add_module("value", nn.Identity())
        self.policy, self.repeats = built, repeats
        self.scale = 255 if observation_space.dtype == np.uint8 else 1

    def forward(self, observations: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, proj_dim]. SB3's preprocessing has already converted observations to floats."""
        return self.policy(observations / self.scale, repeats=self.repeats)[0].policy_logits


class BatchVecEnv(VecEnv):
    """A batch env as a vector env of SB3.

    Infos contain what SB3's Monitor would add, ``episode``, and ``is_success`` if the env reports whether a level was
    solved. Observations are float32, with bytes divided by 255, because SB3 takes bytes with three axes for images,
    and would transpose them on boards with fewer cells a side than planes.

    Args:
        env: a batch env with same-step autoreset, for example
            ``gymnasium.make_vec("drc_lab/Sokoban-v0", num_envs=16)``, or `drc_lab.envs.external.GymVectorEnv` around
            any Gymnasium env.

    Raises:
        ConfigError: the env does not have same-step autoreset.
    """

    def __init__(self, env: BatchEnv):
        mode = getattr(env, "metadata", {}).get("autoreset_mode")
        if mode != gym.vector.AutoresetMode.SAME_STEP:
            raise ConfigError("env", mode, "a batch env with same-step autoreset")
        self.env = env
        space = env.single_observation_space
        self.scale = 255 if space.dtype == np.uint8 else 1
        if self.scale != 1:
            space = gym.spaces.Box(0, 1, space.shape, np.float32)
        super().__init__(env.num_envs, space, env.single_action_space)

    def reset(self) -> np.ndarray:
        obs, _ = self.env.reset(seed=self._seeds[0])
        self._reset_seeds()
        return self._floats(obs)

    def step_async(self, actions: np.ndarray) -> None:
        self.actions = actions

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        obs, reward, terminated, truncated, info = self.env.step(self.actions)
        done = terminated | truncated
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for env in np.flatnonzero(done).tolist():
            final = info["final_info"]
            infos[env] = {
                "terminal_observation": self._floats(info["final_obs"][env]),
                "TimeLimit.truncated": bool(truncated[env]),
                "episode": {"r": float(final["return"][env]), "l": int(final["length"][env])},
            }
            if "solved" in final:
                infos[env]["is_success"] = bool(final["solved"][env])
        return self._floats(obs), reward.astype(np.float32), done, infos

    def close(self) -> None:
        self.env.close()  # type: ignore[attr-defined]

    def get_images(self) -> list[np.ndarray]:
        return list(self.env.render())  # type: ignore[attr-defined]

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Returns the batch env's attribute once for each env."""
        return [getattr(self.env, attr_name) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Sets the batch env's attribute, for all envs together.

        Raises:
            ConfigError: ``indices`` is not None, because all envs are one object.
        """
        if indices is not None:
            raise ConfigError("indices", indices, "None: all envs are one object")
        setattr(self.env, attr_name, value)

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        """Calls a method of the batch env, for example ``action_masks``, and returns its results by env."""
        results = getattr(self.env, method_name)(*args, **kwargs)
        return [results[env] for env in self._get_indices(indices)]

    def env_is_wrapped(self, wrapper_class: type, indices: Any = None) -> list[bool]:
        """True for SB3's Monitor, whose work is done here, so that SB3 adds none; False for any other wrapper."""
        return [wrapper_class is Monitor for _ in self._get_indices(indices)]

    def _floats(self, obs: np.ndarray) -> np.ndarray:
        return obs.astype(np.float32) / np.float32(self.scale)
