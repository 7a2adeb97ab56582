"""The games that are played in batches: each is registered once, those of this package like anybody else's.

Loads no compiled code: a game is built when its first env is made.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, ClassVar

import gymnasium as gym

from drc_lab.envs.specs.levels import RENDER_MODES, LevelEnvSpec
from drc_lab.errors import ConfigError
from drc_lab.own_code import described, own_frames

if TYPE_CHECKING:
    from drc_lab.envs.batch import Batch
    from drc_lab.envs.single import LevelEnv
    from drc_lab.envs.streams import LevelStream
    from drc_lab.envs.vector import LevelVectorEnv

    Build = Callable[[Any], tuple[Batch, LevelStream[Any]]]


@dataclass(frozen=True)
class Game:
    """A registered game; see `register_game` for the arguments."""

    id: str
    spec: type[LevelEnvSpec]
    build: "str | Build"
    config: str

    @property
    def shipped(self) -> bool:
        """Whether the game is part of this package, whose tests cover it."""
        return (self.build if isinstance(self.build, str) else self.build.__module__).startswith("drc_lab.")

    def make(self, spec: LevelEnvSpec) -> "LevelVectorEnv":
        """Makes a batch env.

        Raises:
            ConfigError: about ``id``: what builds the game returns something else.
        """
        from drc_lab.envs.batch import Batch
        from drc_lab.envs.streams import LevelStream
        from drc_lab.envs.vector import LevelVectorEnv

        build = resolve_name(self.build) if isinstance(self.build, str) else self.build
        built = build(spec)
        kinds = [type(each).__name__ for each in built] if isinstance(built, tuple) else type(built).__name__
        match built:
            case (Batch() as batch, LevelStream() as levels):
                return LevelVectorEnv(batch, levels, spec)
        raise ConfigError("id", self.id, f"a game that is built of a Batch and a LevelStream, not of {kinds}")

    def make_vec(self, **arguments: Any) -> "LevelVectorEnv":
        """What ``gymnasium.make_vec`` calls; it takes the arguments of the spec."""
        return self.make(self.spec(**arguments))


@dataclass(frozen=True)
class OneBoard:
    """What ``gymnasium.make`` calls; it takes the arguments of the spec."""

    game: Game
    metadata: ClassVar[dict[str, Any]] = {"render_modes": RENDER_MODES, "render_fps": 4}

    def __call__(self, **arguments: Any) -> "LevelEnv":
        from drc_lab.envs.single import LevelEnv

        return LevelEnv(self.game.make_vec(**arguments, num_envs=1, autoreset=False))


GAMES: dict[str, Game] = {}
# Packages that register their envs when they are imported, by the first word of their ids.
PACKAGES = {"ALE": "ale_py", "BabyAI": "minigrid", "MiniGrid": "minigrid"}


def register_game(
    id: str, spec: type[LevelEnvSpec], build: "str | None" = None, config: str = "game"
) -> "Callable[[Build], Build]":
    """Registers a game for configs (``env.id``) and with Gymnasium. It replaces a game of the same id.

    Decorates the function that builds the game, unless ``build`` names it.

    Args:
        id: of the game, in the form of Gymnasium's ids: ``Name-v0`` or ``namespace/Name-v0``.
        spec: class of the env's arguments, a dataclass; `drc_lab.envs.specs.game.GameSpec` is a base.
        build: ``module:name`` of a function that takes such arguments and returns B boards
            (`drc_lab.envs.batch.Batch`) and the stream of their levels (`drc_lab.envs.streams.LevelStream`).
        config: the option of the config group ``env`` that ``env.id`` implies on the command line.
    """

    def register(build: "str | Build") -> Any:
        game = GAMES[id] = Game(id, spec, build, config)
        gym.registry.pop(id, None)  # Gymnasium warns about an id that is registered again
        gym.register(id, entry_point=OneBoard(game), vector_entry_point=game.make_vec)
        return build

    return register if build is None else register(build)


def package_of(env_id: str) -> tuple[str | None, str]:
    """The package that has to be imported first (None if none has), and the name in Gymnasium's registry."""
    module, _, name = env_id.rpartition(":")
    return module or PACKAGES.get(re.split("[-/]", name)[0]), name


def import_package(env_id: str) -> None:
    """Imports the package that has to be imported before an id is known, if there is one.

    Raises:
        ConfigError: it is missing, or its import raises an error.
    """
    package, name = package_of(env_id)
    if package and name not in gym.registry:
        try:
            import_module(package)
        except Exception as error:  # whatever the module does when it is imported
            missing = isinstance(error, ImportError) and not own_frames(error)
            what = "an id whose package is installed" if missing else f"one that imports {package} without an error"
            raise ConfigError("id", env_id, f"{what} ({described(error)})") from error


def find_game(env_id: str) -> Game | None:
    """The registered game of an id, ``name`` or ``module:name``; None if it is no game but another package's env.

    A module that the id names is imported, as it may register the game.

    Raises:
        ConfigError: there is no such module, or its import raises an error.
    """
    if ":" in env_id:
        import_package(env_id)
    return GAMES.get(package_of(env_id)[1])
