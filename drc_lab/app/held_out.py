"""The held-out levels that a config describes. Light to import."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from drc_lab.app.fits import check_thinks
from drc_lab.app.settings import Settings
from drc_lab.arguments import plain
from drc_lab.envs.from_config import EnvSpec, env_arguments
from drc_lab.errors import ConfigError

if TYPE_CHECKING:
    from drc_lab.envs.interface import BatchEnv


def held_out_env(settings: Settings, split: str, key: str = "evaluation.split", **more: Any) -> "BatchEnv":
    """Makes an env with the held-out levels of a split; ``evaluation.env`` overrides the training env's settings.

    Args:
        settings: of the run.
        split: of the levels.
        key: config key that the split comes from, for errors.
        **more: further arguments of `make_held_out_env`.

    Raises:
        ConfigError: about the key that an invalid setting comes from.
    """
    from drc_lab.config import make_held_out_env  # imports torch

    e, node = settings.evaluation, OmegaConf.create(held_out_group(settings))
    with errors_name_origin(settings, key):
        return make_held_out_env(node, split, e.num_levels, e.level_seed, board_size=e.board_size, **more)


def check_held_out(settings: Settings, split: str, split_key: str = "evaluation.split") -> EnvSpec:
    """Checks that held-out levels of a split can be made; returns the arguments of their env.

    Raises:
        ConfigError: about the key that the setting comes from.
    """
    e = settings.evaluation
    with errors_name_origin(settings, split_key):
        arguments = env_arguments(held_out_group(settings))
        return arguments.held_out(split, e.num_levels, e.level_seed, e.board_size).make_spec()


def held_out_group(settings: Settings) -> dict[str, Any]:
    """Returns the ``env`` group, overridden by ``evaluation.env``.

    Raises:
        ConfigError: only one of the two has the action "think", so that a policy of one cannot play in the other.
    """
    trained, changed = plain(settings.config.env), settings.evaluation.env
    check_thinks(trained, trained | changed, "evaluation.env.thinks")
    return trained | changed


@contextmanager
def errors_name_origin(settings: Settings, split_key: str = "evaluation.split") -> Iterator[None]:
    """Makes errors about held-out levels within this context name the config key that the setting comes from."""
    e = settings.evaluation
    origin = {"env.split": split_key} | {f"env.{name}": f"evaluation.{name}" for name in ("num_levels", "level_seed")}
    origin |= {f"env.{name}": f"evaluation.env.{name}" for name in e.env}
    if e.board is not None:
        origin |= dict.fromkeys(("board", "env.height", "env.width"), "evaluation.board")
    try:
        yield
    except ConfigError as error:
        at = origin.get(error.key, error.key)
        raise ConfigError(at, e.board if at == "evaluation.board" else error.found, error.allowed) from None


def size_key(settings: Settings, otherwise: str = "evaluation.env") -> str:
    """Returns the key that sets the board size in an evaluation: ``evaluation.board`` if it is set, else
    ``otherwise``."""
    return otherwise if settings.evaluation.board is None else "evaluation.board"
