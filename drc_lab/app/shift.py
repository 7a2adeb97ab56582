"""Distribution shift: held-out levels that differ from training's, with larger boards, more walls or boxes, or from
collections. The key ``thinking.worlds`` describes them. Light to import."""

from collections.abc import Iterator
from contextlib import contextmanager

from omegaconf import OmegaConf

from drc_lab.app.settings import Settings
from drc_lab.arguments import plain
from drc_lab.errors import ConfigError
from drc_lab.files import is_name

BASE = "base"  # the levels that the evaluation group describes


def shifted_settings(settings: Settings) -> dict[str, Settings]:
    """Returns the settings under each shift by name; a shift overrides keys of ``evaluation``.

    Raises:
        ConfigError: a shift has BASE's name, or anything but valid values for keys of ``evaluation``.
    """
    config, by_name = settings.config, {}
    for name, values in plain(config.thinking.worlds).items():
        key = f"thinking.worlds.{name}"
        if not is_name(str(name)):
            raise ConfigError("thinking.worlds", name, "a name that can be that of a folder")
        if name == BASE:
            raise ConfigError(key, values, "another name: that is the world of the evaluation group")
        if not isinstance(values, dict) or not set(values) <= set(config.evaluation):
            raise ConfigError(key, values, f"keys of evaluation, {', '.join(config.evaluation)}")
        shifted = config.copy()
        if not isinstance(env := values.get("env", {}), dict):
            raise ConfigError(f"{key}.env", env, "keys of env and their values")
        evaluation = plain(config.evaluation) | values | {"env": plain(config.evaluation.env) | env}
        shifted.evaluation = OmegaConf.create(evaluation)
        by_name[name] = Settings(shifted)
        with errors_name_shift(name):
            by_name[name].check("evaluation")
    return by_name


@contextmanager
def errors_name_shift(shift: str) -> Iterator[None]:
    """Makes errors about the levels within this context name the shift that the levels are of."""
    try:
        yield
    except ConfigError as error:
        key = error.key.removeprefix("evaluation.")
        raise ConfigError(f"thinking.worlds.{shift}.{key}", error.found, error.allowed) from None
