"""Worlds: held-out levels that differ from training's, with larger boards, more walls or boxes, or from collections."""

from collections.abc import Iterator
from contextlib import contextmanager

from omegaconf import DictConfig, OmegaConf

from drc_lab.app.checked import evaluation_spec
from drc_lab.arguments import plain
from drc_lab.errors import ConfigError

BASE = "base"  # the levels that the evaluation group describes


def worlds(config: DictConfig) -> dict[str, DictConfig]:
    """Returns the config of each world by name: BASE, then those of ``thinking.worlds``, which override keys of
    ``evaluation``.

    Raises:
        ConfigError: a world has BASE's name, or anything but valid values for keys of ``evaluation``.
    """
    found = {BASE: config}
    for name, values in plain(config.thinking.worlds).items():
        key = f"thinking.worlds.{name}"
        if name == BASE:
            raise ConfigError(key, values, "another name: that is the world of the evaluation group")
        if not isinstance(values, dict) or not set(values) <= set(config.evaluation):
            raise ConfigError(key, values, f"keys of evaluation, {', '.join(config.evaluation)}")
        other = config.copy()
        if not isinstance(env := values.get("env", {}), dict):
            raise ConfigError(f"{key}.env", env, "keys of env and their values")
        changed = plain(config.evaluation) | values | {"env": plain(config.evaluation.env) | env}
        other.evaluation = OmegaConf.create(changed)
        with errors_name_world(name):
            evaluation_spec(other)
        found[name] = other
    return found


@contextmanager
def errors_name_world(world: str) -> Iterator[None]:
    """Makes errors about the levels within this context name the world that the levels are of."""
    try:
        yield
    except ConfigError as error:
        if world == BASE:
            raise
        key = error.key.removeprefix("evaluation.")
        raise ConfigError(f"thinking.worlds.{world}.{key}", error.found, error.allowed) from None
