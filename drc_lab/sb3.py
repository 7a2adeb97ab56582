"""Stable-Baselines3: our encoders in its policies, and our batch envs for its algorithms (extra ``sb3``).

Recurrent policies serve as encoders without memory here: they think for some ticks about each observation, from a zero
carry, and forget. Whoever needs the memory trains with ``python -m drc_lab``.
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
    """One of our policies up to its head's shared layer, as a features extractor of ``proj_dim`` features.

    Use it as ``policy_kwargs=dict(features_extractor_class=PolicyFeatures, features_extractor_kwargs=dict(policy=...),
    normalize_images=False, ortho_init=False)``: bytes are divided by 255 here, and would be a second time; and SB3's
    orthogonal weights would take the place of ours, the forget gates' bias included.

    Args:
        observation_space: a Box of (C, H, W); uint8 is divided by 255.
        policy: a policy that has a head, such as SmallCNNPolicy, ConvLSTMPolicy, LoopedTransformerPolicy or DRCPolicy.
        repeats: ticks for each observation, always from a zero carry; None is the policy's own number.
        arguments: of the policy.

    Raises:
        ConfigError: an argument that cannot work, under ``features_extractor_kwargs``.
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
        head.add_module("policy", nn.Identity())  # what goes into the outputs comes out
        head.add_module("value", nn.Identity())
        self.policy, self.repeats = built, repeats
        self.scale = 255 if observation_space.dtype == np.uint8 else 1

    def forward(self, observations: Tensor) -> Tensor:
        """[B, C, H, W], as floats whatever the space says (SB3's preprocessing) -> [B, proj_dim]."""
        return self.policy(observations / self.scale, repeats=self.repeats)[0].policy_logits


class BatchVecEnv(VecEnv):
    """A batch env as SB3's vector env, with what its Monitor would add: ``episode`` in infos, and ``is_success`` where
    the env says success.

    Observations are float32, bytes divided by 255. SB3 takes bytes of three axes for pictures and, on boards smaller
    than their number of planes, transposes them.

    Args:
        env: with same-step autoreset, for example ``gymnasium.make_vec("drc_lab/Sokoban-v0", num_envs=16)``, or
            `drc_lab.envs.external.GymVectorEnv` around any Gymnasium env.

    Raises:
        ConfigError: an env without same-step autoreset.
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
        """The batch env's attribute, once for each env."""
        return [getattr(self.env, attr_name) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Sets the batch env's attribute, and with it that of all envs."""
        if indices is not None:
            raise ConfigError("indices", indices, "None: all envs are one object")
        setattr(self.env, attr_name, value)

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        """What a method of the batch env (``action_masks``, say) returns for each env."""
        results = getattr(self.env, method_name)(*args, **kwargs)
        return [results[env] for env in self._get_indices(indices)]

    def env_is_wrapped(self, wrapper_class: type, indices: Any = None) -> list[bool]:
        """A Monitor would find nothing left to do."""
        return [wrapper_class is Monitor for _ in self._get_indices(indices)]

    def _floats(self, obs: np.ndarray) -> np.ndarray:
        return obs.astype(np.float32) / np.float32(self.scale)
