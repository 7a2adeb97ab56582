"""Converts an env's observations to those that a policy takes: which entry, which order of axes, which scale.

These are inferred from a few steps of the env, and checked. A policy divides uint8 by 255 and does not scale floats
(`drc_lab.models.policy.as_floats`). So only true images stay uint8; grids of small codes, which that division would
bring close to 0, become floats of about -1 to 1.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Dict

from drc_lab.arguments import fit
from drc_lab.envs.specs.external import Layout, Scale
from drc_lab.errors import ConfigError

MAX_CHANNELS = 4  # an axis up to this long may be the channels, judged by its length alone
LARGEST_CODE, SMALLEST_IMAGE = 15, 64  # the largest value seen tells codes from images; in between the user must say
PROBE_EPISODES, PROBE_STEPS = 4, 50


@dataclass(frozen=True)
class Observations:
    """How an env's observations are read. Images stay uint8, because a policy divides them by 255 itself.

    Attributes:
        key: of the entry in a Dict, or None if the observation is no Dict.
        raw: that entry's space.
        layout: "vector" (F), "plane" (H, W), "hwc" or "chw".
        scale: what values are divided by.
    """

    key: str | None
    raw: Box
    layout: str
    scale: float

    @property
    def stays_uint8(self) -> bool:
        return self.raw.dtype == np.uint8 and self.scale == 255 and self.layout != "vector"

    @property
    def space(self) -> Box:
        """The space of one observation as a policy sees it: uint8 or float32, (F,) or (C, H, W)."""
        if self.stays_uint8:
            return Box(0, 255, self._move(self.raw.low[None])[0].shape, np.uint8)
        with np.errstate(over="ignore"):  # limits beyond float32 are infinite
            low, high = (
                (self._move(x[None])[0] / self.scale).astype(np.float32) for x in (self.raw.low, self.raw.high)
            )
        return Box(low, high, low.shape, np.float32)

    def pick(self, observation: Any) -> Any:
        """The entry of an env's observation that is used."""
        return observation if self.key is None else observation[self.key]

    def convert(self, batch: np.ndarray, out: np.ndarray) -> None:
        """Writes N entries as the env gave them, [N, ...], into ``out``, [N, F] or [N, C, H, W]."""
        if self.stays_uint8:
            np.copyto(out, self._move(batch))
        else:
            np.divide(self._move(batch), self.scale, out=out, casting="unsafe")

    def _move(self, batch: np.ndarray) -> np.ndarray:
        if self.layout == "hwc":
            return np.moveaxis(batch, -1, 1)
        return batch[:, None] if self.layout == "plane" else batch


def find_observations(env: gym.Env, name: str, key: str | None, layout: str, scale: float | str) -> Observations:
    """Finds out how to read an env's observations, by playing a few random steps.

    The seeds are fixed, so that the result is the same for every copy of an env.

    Args:
        env: with discrete actions.
        name: of the env, for messages.
        key, layout, scale: the user's settings, see `drc_lab.envs.specs.external.GymSpec`.

    Raises:
        ConfigError: observations that no policy can take, or that can be read in more than one way.
    """
    fit(Layout, layout, "layout")
    fit(Scale, scale, "scale")
    key, space = _find_entry(env.observation_space, name, key)
    seen = max(_largest(observation, space, name, key) for observation in _probe(env))
    divisor = _find_scale(space, seen) if isinstance(scale, str) else float(scale)
    return Observations(key, space, _find_layout(space.shape, layout), divisor)


def _usable(space: gym.Space[Any]) -> bool:
    numbers = isinstance(space, Box) and space.dtype is not None and space.dtype.kind in "biuf"
    return numbers and 1 <= len(space.shape or ()) <= 3 and min(space.shape or (0,)) > 0


def _find_entry(space: gym.Space[Any], name: str, key: str | None) -> tuple[str | None, Box]:
    wanted = "a Box of rank 1 to 3"
    if not isinstance(space, Dict):
        if key is not None:
            raise ConfigError("observation", key, f"null, because the observations of {name} are no Dict")
        if not _usable(space):
            raise ConfigError("id", name, f"an env whose observation is {wanted}; this one has {describe(space)}")
        assert isinstance(space, Box)
        return None, space
    usable = [entry for entry, inner in space.items() if _usable(inner)]
    if not usable:
        raise ConfigError("id", name, f"an env that shows {wanted}; this one has {describe(space)}")
    if key not in usable and (key is not None or len(usable) > 1):
        raise ConfigError("observation", key, f"{' | '.join(usable)}, of {describe(space)}")
    key = key or usable[0]
    entry = space[key]
    assert isinstance(entry, Box)
    return key, entry


def _probe(env: gym.Env) -> Iterator[Any]:
    rng, actions = np.random.default_rng(0), env.action_space
    assert isinstance(actions, gym.spaces.Discrete)
    for seed in range(PROBE_EPISODES):
        observation, _ = env.reset(seed=seed)
        yield observation
        for _ in range(PROBE_STEPS):
            observation, _, terminated, truncated, _ = env.step(int(actions.start + rng.integers(actions.n)))
            yield observation
            if terminated or truncated:
                break


def _largest(observation: Any, space: Box, name: str, key: str | None) -> float:
    """The largest absolute value of one observation, or a ConfigError if the observation does not fit its space."""
    try:
        values = np.asarray(observation if key is None else observation[key])
    except (KeyError, TypeError, IndexError):
        raise ConfigError("observation", key, f"a key that {name} really gives") from None
    if values.shape != space.shape or values.dtype.kind not in "biuf":
        found = f"this one gives shape {values.shape} of {values.dtype} where it declares {describe(space)}"
        raise ConfigError("id", name, f"an env that gives what it declares; {found}")
    if not np.isfinite(values).all():
        raise ConfigError("id", name, "an env whose observations are finite; this one gives NaN or infinity")
    cast = values.astype(space.dtype)  # a float64 that was rounded to the limit of a float32 space is inside
    if (cast < space.low).any() or (cast > space.high).any():
        found = f"this one gives {values.min():g} to {values.max():g} in {describe(space)}"
        raise ConfigError("id", name, f"an env that gives what it declares; {found}")
    return float(np.abs(values.astype(np.float64)).max())


def _find_layout(shape: tuple[int, ...], layout: str) -> str:
    """The layout of a shape. Of the first and the last axis, the one that looks more like the channels is chosen.

    It is a sign of channels that an axis is short, and that the other two axes form a square. A tie is a ConfigError.
    """
    if len(shape) < 3:
        return "vector" if len(shape) == 1 else "plane"
    if layout != "auto":
        return layout
    first = (shape[0] <= MAX_CHANNELS) + (shape[1] == shape[2])
    last = (shape[2] <= MAX_CHANNELS) + (shape[0] == shape[1])
    if first == last:
        raise ConfigError("layout", layout, f"hwc | chw, because observations of shape {shape} could be either")
    return "chw" if first > last else "hwc"


def _find_scale(space: Box, seen: float) -> float:
    """The divisor that brings values to about -1 to 1: the declared limit if there is one, else the largest value seen.

    For uint8, whose limit of 255 says little, the largest value seen tells codes from images.
    """
    dtype: Any = space.dtype
    if dtype.kind == "b" or (dtype.kind == "f" and len(space.shape) == 1):  # such vectors are in the env's own units
        return 1.0
    declared = float(np.abs(np.stack([space.low, space.high]).astype(np.float64)).max())
    if declared < (np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)).max:
        return max(declared, 1.0)
    if space.dtype != np.uint8:
        return max(seen, 1.0)
    if seen >= SMALLEST_IMAGE:
        return 255.0
    if not 1 <= seen <= LARGEST_CODE:
        raise ConfigError(
            "scale",
            "auto",
            f"255 for an image, or the largest code of a grid: {describe(space)} may be "
            f"either, the values of the first steps are at most {seen:g}",
        )
    return seen


def describe(space: gym.Space[Any]) -> str:
    """A space in a few words."""
    if isinstance(space, Box):
        return f"Box{space.shape} of {space.dtype}"
    if isinstance(space, Dict):
        return f"Dict({', '.join(f'{key}: {describe(inner)}' for key, inner in space.items())})"
    return type(space).__name__ + (f"({space.n})" if isinstance(space, gym.spaces.Discrete) else "")
