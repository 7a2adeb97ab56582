"""From an id to envs of other packages; ids and arguments that lead to none are told in one line."""

import difflib
import importlib.util
import re
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec

from drc_lab.errors import ConfigError
from drc_lab.targets import own_frames, told

# Packages that register their envs when they are imported, by the first word of their ids.
PACKAGES = {"ALE": "ale_py", "BabyAI": "minigrid", "MiniGrid": "minigrid"}


def our_ids() -> list[str]:
    """Of this project's own games."""
    return [env_id for env_id, spec in gym.registry.items() if spec.namespace == "drc_lab"]


def package_of(env_id: str) -> tuple[str | None, str]:
    """The package that has to be imported first, if one has, and the name in Gymnasium's registry."""
    module, _, name = env_id.rpartition(":")
    return module or PACKAGES.get(re.split("[-/]", name)[0]), name


def find_spec(env_id: str) -> EnvSpec:
    """What Gymnasium's registry holds for an id, after the import of the package that it needs.

    Args:
        env_id: ``name`` or, for a package that has to be imported first, ``package:name``.

    Raises:
        ConfigError: nothing is registered under this id, or its package is missing.
    """
    package, name = package_of(env_id)
    if package and name not in gym.registry:
        try:
            import_module(package)
        except Exception as error:  # whatever the module does when it is imported
            missing = isinstance(error, ImportError) and not own_frames(error)
            what = "an id whose package is installed" if missing else f"one that imports {package} without an error"
            raise ConfigError("id", env_id, f"{what} ({told(error)})") from error
    if name not in gym.registry:
        close = [key for key in difflib.get_close_matches(name, gym.registry, 3) if key not in our_ids()]
        others = f"; closest: {', '.join(close)}" if close else ""
        raise ConfigError("id", env_id, f"{' | '.join(our_ids())}, or with env=gym an id that Gymnasium knows, "
                          f"as package:id if a package has to be imported first{others}")  # fmt: skip
    return gym.registry[name]


def waits_for_import(env_id: str) -> bool:
    """Whether an installed package, which may take seconds to import, has to tell if there is such an env."""
    package, name = package_of(env_id)
    if not package or name in gym.registry or package in sys.modules:
        return False
    try:
        return importlib.util.find_spec(package) is not None
    except Exception:  # of a parent package, or no name of a package at all
        return False


def make_copies(env_id: str, kwargs: Mapping[str, Any], count: int) -> list[gym.Env]:
    """``count`` envs of their own.

    Raises:
        ConfigError: the id or the arguments cannot work.
    """
    from drc_lab.progress import working  # not for those who only look an id up

    find_spec(env_id)
    try:
        # By name, so that Gymnasium says what it has to say about the id; then by spec, so that it says so once.
        # Its checker of observations is off: ours looks at what matters here, once, and names config keys.
        first = gym.make(env_id, disable_env_checker=True, **kwargs)
        assert first.spec is not None
        copies = [first]
        with working(f"making {count:,} envs", count) as advance:
            for _ in range(count - 1):
                copies.append(gym.make(first.spec, disable_env_checker=True))
                advance(1)
        return copies
    except (ImportError, gym.error.Error) as error:
        raise ConfigError("id", env_id, f"an env that can be made here ({told(error)})") from error
    except (TypeError, ValueError, AssertionError) as error:
        raise ConfigError("kwargs", dict(kwargs), f"what {env_id} takes ({told(error)})") from error
