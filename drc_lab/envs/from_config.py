"""From the ``env`` group of a config to checked arguments of a batch env. Loads no compiled code."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from drc_lab.arguments import errors_under, from_mapping
from drc_lab.envs.external.registry import find_spec, waits_for_import
from drc_lab.envs.games import GAMES, Game, find_game
from drc_lab.envs.specs.external import GymSpec
from drc_lab.envs.specs.levels import LevelEnvSpec
from drc_lab.errors import ConfigError

EnvSpec = LevelEnvSpec | GymSpec


@dataclass(frozen=True)
class EnvArguments:
    """The arguments that a config gives a batch env. ``num_envs``, ``autoreset`` and ``copy`` are missing, because the
    task sets them.

    Args:
        spec_class: the class that checks the arguments.
        values: the arguments by name, not checked yet.
        game: the registered game; None for another package's env.
    """

    spec_class: type[LevelEnvSpec] | type[GymSpec]
    values: dict[str, Any]
    game: Game | None = None

    def held_out(
        self, split: str, num_levels: int, level_seed: int, board_size: tuple[int, int] | None = None
    ) -> "EnvArguments":
        """The arguments of an env that deals each held-out level once, in order.

        Args:
            split, num_levels, level_seed: of the held-out levels; a fixed set without splits is used as a whole
                instead.
            board_size: height and width of generated levels, if they differ from training's.

        Raises:
            ConfigError: about ``board``, if a size is asked for and the levels already have one.
        """
        values = self.values if board_size is None else self.spec_class.resized(self.values, *board_size)
        return replace(self, values=self.spec_class.held_out(values, split, num_levels, level_seed))

    def make_spec(self, **more: Any) -> EnvSpec:
        """Makes the spec, which checks the arguments; ``more`` are further ones.

        Raises:
            ConfigError: about ``env.KEY``.
        """
        spec_class: Callable[..., EnvSpec] = self.spec_class
        return from_mapping(spec_class, self.values, "env", **more)


def env_arguments(env: Mapping[str, Any]) -> EnvArguments:
    """The arguments that a config's ``env`` group gives; no env is created.

    Raises:
        ConfigError: an unknown id, or settings that belong to the task or to another env.
    """
    if not isinstance(env["id"], str):
        raise ConfigError("env.id", env["id"], f"{' | '.join(GAMES)}, or with env=gym an id that Gymnasium knows")
    env_id, values = env["id"], dict(env)
    for name in ("num_envs", "autoreset", "copy"):
        if name in values:
            raise ConfigError(f"env.{name}", values[name], "no such key: the task sets it")
    with errors_under("env"):
        game = find_game(env_id)
    if game is not None:
        del values["id"]
        return EnvArguments(game.spec, values, game)
    if not waits_for_import(env_id):
        with errors_under("env"):
            find_spec(env_id)
    if "kwargs" not in values and not set(values) <= set(inspect.signature(GymSpec).parameters):
        raise ConfigError("env.id", env_id, f"{' | '.join(GAMES)}; for this one: env=gym env.id={env_id}")
    return EnvArguments(GymSpec, values)


def check_game(env_id: str) -> None:
    """Raises a ConfigError for an env that a person cannot play: any but the registered games."""
    if find_game(env_id) is None:
        raise ConfigError("env.id", env_id, f"{' | '.join(GAMES)}, to be played")
