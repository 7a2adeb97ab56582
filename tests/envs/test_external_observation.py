"""What a foreign env shows reaches a policy in the right shape and scale, or is refused in one line."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, Text
from hand_made import codes, register, vector

from drc_lab.envs.external import GymVectorEnv
from drc_lab.errors import ConfigError
from drc_lab.models.policy import as_floats


def test_images_of_either_layout_become_the_same_uint8_channels_first():
    space, show = codes((5, 6, 3), 255)
    turned = Box(0, 255, (3, 5, 6), np.uint8), lambda rng, steps: np.moveaxis(show(rng, steps), -1, 0)
    hwc, chw = GymVectorEnv(register(space, show), 4), GymVectorEnv(register(*turned), 4)
    seen, again = hwc.reset(seed=3)[0], chw.reset(seed=3)[0]
    for _ in range(12):
        assert seen.dtype == np.uint8 and seen.shape == (4, 3, 5, 6) and seen.max() > 200
        np.testing.assert_array_equal(seen, again)
        seen, again = hwc.step(np.ones(4, int))[0], chw.step(np.ones(4, int))[0]
    single = gym.make(hwc.id)
    first = single.reset(seed=int(hwc.seed[2]))[0]
    for _ in range(int(hwc.length[2])):
        first = single.step(1)[0]
    np.testing.assert_array_equal(seen[2], first.transpose(2, 0, 1))


def limited(high, shape, dtype):
    """A space that declares its largest value, and observations that stay below half of it."""
    return Box(0, high, shape, dtype), lambda rng, steps: (rng.random(shape) * high / 2).astype(dtype)


@pytest.mark.parametrize(
    ("made", "shape", "scale"),
    [
        (codes((7, 7, 3), 10), (3, 7, 7), 10),  # as MiniGrid: uint8, 0 to 255 declared, codes shown
        (codes((7, 7, 2), 1), (2, 7, 7), 1),  # zeros and ones must not become 1/255
        (codes((6, 4), 5, np.int64), (1, 6, 4), 5),
        (limited(12, (6, 4), np.uint8), (1, 6, 4), 12),
        (limited(300, (3, 9, 9), np.int16), (3, 9, 9), 300),
        (limited(255.0, (9, 8, 3), np.float32), (3, 9, 8), 255),
        (limited(1.0, (9, 8, 3), np.float64), (3, 9, 8), 1),
        (limited(0.1, (9, 9, 1), np.float32), (1, 9, 9), 1),
        (codes((128,), 255), (128,), 255),
        (vector(), (3,), 1),
        (limited(400.0, (2,), np.float64), (2,), 1),
    ],
)
def test_grids_and_vectors_become_floats_of_about_one(made, shape, scale):
    space, show = made
    env = GymVectorEnv(register(space, show), num_envs=2)
    obs, _ = env.reset(seed=0)
    assert obs.shape == (2, *shape) and obs.dtype == np.float32 and env.observations.scale == scale
    raw = show(np.random.default_rng(int(env.seed[0])), 0)
    raw = raw.transpose(2, 0, 1) if raw.ndim == 3 and raw.shape != shape else raw.reshape(shape)
    np.testing.assert_allclose(as_floats(torch.from_numpy(obs), torch.float32)[0], raw / scale, rtol=1e-6)
    assert env.single_observation_space.shape == shape and env.single_observation_space.contains(obs[0])


def test_the_users_scale_is_taken_and_255_leaves_images_as_they_are():
    env_id = register(*codes((7, 7, 3), 20))
    assert GymVectorEnv(env_id, scale=20).reset(seed=0)[0].max() == 1
    assert GymVectorEnv(env_id, scale=255).reset(seed=0)[0].dtype == np.uint8


@pytest.mark.parametrize(
    ("shape", "found"),
    [((64, 48, 3), "hwc"), ((3, 64, 48), "chw"), ((4, 4, 3), "hwc"), ((10, 10, 20), "hwc"), ((20, 10, 10), "chw"),
     ((7, 7, 7), None), ((10, 12, 7), None), ((2, 9, 3), None), ((4, 4, 10), None)],
)  # fmt: skip
def test_the_layout_follows_from_the_shape_or_is_asked_for(shape, found):
    env_id = register(*codes(shape, 255))
    if found is None:
        with pytest.raises(ConfigError, match=r"^layout: found 'auto', allowed: hwc \| chw") as error:
            GymVectorEnv(env_id)
        assert "\n" not in str(error.value)
        assert GymVectorEnv(env_id, layout="hwc").single_observation_space.shape == (shape[2], *shape[:2])
        assert GymVectorEnv(env_id, layout="chw").single_observation_space.shape == shape
    else:
        assert GymVectorEnv(env_id).observations.layout == found


def mixed(*names):
    """A Dict observation of grids of these names, a number and a text."""
    grid, show = codes((5, 5, 3), 9)
    space = Dict(dict.fromkeys(names, grid) | {"age": Discrete(9), "mission": Text(5)})
    return space, lambda rng, steps: {name: show(rng, steps) for name in names} | {"age": steps, "mission": "go"}


def test_the_only_usable_entry_of_a_dict_is_found_and_others_can_be_named():
    assert GymVectorEnv(register(*mixed("view"))).observations.key == "view"
    assert GymVectorEnv(register(*mixed("view", "map")), observation="map").observations.key == "map"


def broken(value, declared=1.0, shape=(3,)):
    """A vector env whose observations become ``value`` after some steps."""
    space = Box(-declared, declared, (3,), np.float32)
    return space, lambda rng, steps: np.full(shape, value if steps > 3 else 0.5, np.float32)


ANY = (Box(0, 1, (3,), np.float32), lambda rng, steps: np.zeros(3, np.float32))


@pytest.mark.parametrize(
    ("made", "settings", "line"),
    [
        (mixed("view", "map"), {}, "observation: found None, allowed: map | view, of Dict(age: Discrete(9), map: Box"),
        (mixed("view"), {"observation": "age"}, "observation: found 'age', allowed: view, of Dict"),
        (
            mixed(),
            {},
            "allowed: an env that shows a Box of rank 1 to 3; this one has Dict(age: Discrete(9), mission: Te",
        ),
        (ANY, {"observation": "view"}, "observation: found 'view', allowed: null, because the observations of Hand"),
        ((Discrete(4), lambda rng, steps: 0), {}, "a Box of rank 1 to 3; this one has Discrete(4)"),
        (codes((2, 3, 4, 5), 9), {}, "a Box of rank 1 to 3; this one has Box(2, 3, 4, 5) of uint8"),
        ((*ANY, {"actions": Box(0, 1, (1,))}), {}, "an env with Discrete actions; this one has Box(1,) of float32"),
        (broken(np.nan), {}, "an env whose observations are finite; this one gives NaN or infinity"),
        (broken(2.0), {}, "an env that gives what it declares; this one gives 2 to 2 in Box(3,) of float32"),
        (broken(1.0, shape=(4,)), {}, "gives shape (4,) of float32 where it declares Box(3,) of float32"),
        (codes((7, 7, 3), 40), {}, "scale: found 'auto', allowed: 255 for an image, or the largest code of a grid"),
        (codes((7, 7, 3), 0), {}, "scale: found 'auto', allowed: 255 for an image, or the largest code of a grid"),
        (ANY, {"scale": "big"}, "scale: found 'big', allowed: auto, or a number above 0"),
        (ANY, {"scale": 0}, "scale: found 0, allowed: auto, or a number above 0"),
        (ANY, {"layout": "whc"}, "layout: found 'whc', allowed: auto | hwc | chw"),
    ],
)
def test_what_cannot_work_is_told_in_one_line(made, settings, line):
    space, show, *more = made
    env_id = register(space, show, **(more[0] if more else {}))
    with pytest.raises(ConfigError) as error:
        GymVectorEnv(env_id, **settings)
    assert line in str(error.value) and "\n" not in str(error.value)
    assert error.value.key in line or (error.value.key, error.value.found) == ("id", env_id)
