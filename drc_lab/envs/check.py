"""Checks a user's own game against the interface of `Batch`, with a few steps of two boards before any training."""

from typing import Any

import gymnasium as gym
import numpy as np

from drc_lab.envs.batch import NOOP, SKIP, Batch
from drc_lab.envs.interface import BatchEnv
from drc_lab.envs.vector import game_of
from drc_lab.errors import ConfigError, UserError
from drc_lab.own_code import described

STEPS = 3  # that are played twice from the same state


def check_batch(env: BatchEnv, key: str, name: str) -> None:
    """Plays a few steps on two boards, and checks what the game writes.

    Args:
        env: a batch env that plays the game on two boards.
        key: config key that names the game.
        name: the game's id, as the config has it under that key.

    Raises:
        ConfigError: an array has the wrong shape or type or changes where it must not, or ``STATE`` does not hold
            everything that the next steps depend on.
        UserError: the game raised an error; the message says which, and where.
    """

    def demand(met: bool, wanted: str) -> None:
        if not met:
            raise ConfigError(key, name, f"a game {wanted}")

    game = game_of(env)
    assert game is not None
    try:
        check_declared(game, demand)
        env.reset(seed=0)
        check_arrays(game, demand)
        demand(not game.solved.any(), "whose levels are not solved when they are loaded")
        seen = game.observation.copy()
        game.observe(np.arange(2))
        demand(same(seen, game.observation), "whose observe writes the same observation as load and step")
        check_skips(game, demand)
        check_state(game, demand)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{key.rpartition('.')[0]}: {name} raises {described(error)}") from error


def check_declared(game: Batch, demand: Any) -> None:
    """Checks the attributes that do not change: the space of observations, and the names of actions and arrays."""
    space, names = game.observation_space, game.action_names
    demand(isinstance(space, gym.spaces.Box), "whose observation_space is a Box")
    demand(len(space.shape) in (1, 3), f"whose observations are (C, H, W) or (F,), not {space.shape}")
    demand(space.dtype in (np.uint8, np.float32), f"whose observations are uint8 or float32, not {space.dtype}")
    demand(len(names) > 0 and NOOP not in names[:-1], f"with action_names, of which {NOOP!r} can only be the last")
    for array in game.STATE:
        demand(
            len(getattr(game, array, ())) == 2, f"whose STATE names arrays with a row for each board; {array} is none"
        )


def check_arrays(game: Batch, demand: Any) -> None:
    """Checks the arrays that every game writes."""
    space = game.observation_space
    wanted = {
        "observation": (space.dtype, space.shape),
        "reward": (np.dtype(float), ()),
        "solved": (np.dtype(bool), ()),
        "optimal": (np.dtype(np.int64), ()),
    }
    for name, (dtype, shape) in wanted.items():
        array = getattr(game, name)
        fits = isinstance(array, np.ndarray) and (array.dtype, array.shape) == (dtype, (2, *shape))
        found = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
        demand(fits, f"whose {name} stays {dtype} {(2, *shape)} with two boards, not {found}")
    inside = (game.observation >= space.low).all() and (game.observation <= space.high).all()
    demand(bool(inside), "whose observations lie in its observation_space")


def check_skips(game: Batch, demand: Any) -> None:
    """Checks that a board that is skipped stays as it was, whatever happens on the other one."""
    before = game.get_state() | {"seen": game.observation.copy()}
    for action in range(len(game.action_names)):
        game.step(np.array([SKIP, action]))
        check_arrays(game, demand)
        unchanged = all(same(before[name][0], now[0]) for name, now in kept(game).items() if name in before)
        demand(unchanged and game.reward[0] == 0, "whose step leaves a board with the action SKIP as it is, unrewarded")


def check_state(game: Batch, demand: Any) -> None:
    """Checks that the same steps from the same state lead to the same boards."""
    state, ends = game.get_state(), []
    actions = np.random.default_rng(0).integers(len(game.action_names), size=(STEPS, 2))
    for _ in range(2):
        game.set_state(state)
        for action in actions:
            game.step(action)
        ends.append(kept(game))
    alike = all(same(first, second) for first, second in zip(*(end.values() for end in ends), strict=True))
    demand(alike, "whose STATE names all that the next steps depend on, from which observe makes the observation")


def kept(game: Batch) -> dict[str, np.ndarray]:
    """Copies of the state and of what is seen of it."""
    return game.get_state() | {"seen": game.observation.copy(), "reward": game.reward.copy()}


def same(one: np.ndarray, other: np.ndarray) -> bool:
    return np.array_equal(one, other)
