"""Finds other packages' envs by their ids; ids and arguments that do not work raise errors of one line."""

import difflib
import importlib.util
import sys
from collections.abc import Mapping
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec

from drc_lab.envs.games import GAMES, import_package, package_of
from drc_lab.errors import ConfigError
from drc_lab.own_code import described


def find_spec(env_id: str) -> EnvSpec:
    """The entry of an id in Gymnasium's registry, after the import of the package that it needs.

    Args:
        env_id: ``name`` or, for a package that has to be imported first, ``package:name``.

    Raises:
        ConfigError: nothing is registered under this id, or its package is missing.
    """
    import_package(env_id)
    name = package_of(env_id)[1]
    if name not in gym.registry:
        close = [key for key in difflib.get_close_matches(name, gym.registry, 3) if key not in GAMES]
        others = f"; closest: {', '.join(close)}" if close else ""
        raise ConfigError(
            "id",
            env_id,
            f"{' | '.join(GAMES)}, or with env=gym an id that Gymnasium knows, "
            f"as package:id if a package has to be imported first{others}",
        )
    return gym.registry[name]


def waits_for_import(env_id: str) -> bool:
    """Whether only the import of an installed package, which may take seconds, can tell if the env exists."""
    package, name = package_of(env_id)
    if not package or name in gym.registry or package in sys.modules:
        return False
    try:
        return importlib.util.find_spec(package) is not None
    except Exception:  # raised by a parent package, or for what is no package name
        return False


def make_copies(env_id: str, kwargs: Mapping[str, Any], count: int) -> list[gym.Env]:
    """``count`` independent copies of an env.

    Raises:
        ConfigError: the id or the arguments cannot work.
    """
    from drc_lab.progress import working  # here, because looking up an id does not need it

    find_spec(env_id)
    try:
        # The first by name, so that Gymnasium warns about the id if need be; the others by spec, so that it warns once.
        # Its checker of observations is off: `find_observations` checks once what matters here, and names config keys.
        first = gym.make(env_id, disable_env_checker=True, **kwargs)
        assert first.spec is not None
        copies = [first]
        with working(f"making {count:,} envs", count) as advance:
            for _ in range(count - 1):
                copies.append(gym.make(first.spec, disable_env_checker=True))
                advance(1)
        return copies
    except (ImportError, gym.error.Error) as error:
        raise ConfigError("id", env_id, f"an env that can be made here ({described(error)})") from error
    except (TypeError, ValueError, AssertionError) as error:
        raise ConfigError("kwargs", dict(kwargs), f"what {env_id} takes ({described(error)})") from error
