"""Records the levels of a run as MLflow datasets: which levels, how many, and how hard they are."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Protocol

from drc_lab.envs.external import GymVectorEnv
from drc_lab.envs.interface import BatchEnv
from drc_lab.envs.levels import LevelSet
from drc_lab.envs.sokoban.files import LevelFiles
from drc_lab.envs.specs.level_files import translation
from drc_lab.envs.streams import AugmentedLevels, FixedLevels

CONTEXTS = {"train": "training", "valid": "validation", "test": "test"}  # MLflow's words
NOT_OF_LEVELS = ("max_steps", "observation", "noop", "crop_border")
DIGEST = 16  # hex digits; MLflow takes up to 36


class TakesDatasets(Protocol):
    """A run, as far as this module uses it."""

    def log_dataset(self, dataset: Mapping[str, str]) -> None: ...


def log_levels(run: TakesDatasets, use: str, env: BatchEnv, settings: Mapping[str, Any]) -> None:
    """Records an env's levels as an input of the run.

    Args:
        run: the run.
        use: train, valid or test.
        env: the env that plays the levels.
        settings: the arguments of that env, including its id.
    """
    levels = fixed_levels(env)
    of_levels = {
        k: v for k, v in settings.items() if k not in NOT_OF_LEVELS and not k.endswith(("_reward", "_penalty"))
    }
    profile: dict[str, Any] = {"levels": "endless" if levels is None else len(levels)}
    if skipped := len(getattr(levels, "skipped", ())):
        profile["skipped"] = skipped
    profile["observation"] = list(env.single_observation_space.shape or ())
    optimal = getattr(levels, "optimal", None)
    if optimal is not None and (known := optimal[optimal >= 0]).size:
        profile["optimal"] = {
            "known": len(known),
            "min": int(known.min()),
            "max": int(known.max()),
            "mean": round(float(known.mean()), 3),
        }
    run.log_dataset(
        {
            "name": f"{settings['id']} {settings.get('split', use)}",
            "digest": digest(env, of_levels),
            "context": CONTEXTS[use],
            "source": json.dumps(of_levels, sort_keys=True, default=str),
            "profile": json.dumps(profile),
        }
    )


def fixed_levels(env: BatchEnv) -> Any:
    """The fixed set of levels that an env plays; None if it generates levels endlessly."""
    stream = getattr(env, "levels", None)
    while isinstance(stream, AugmentedLevels):
        stream = stream.stream
    return stream.levels if isinstance(stream, FixedLevels) else None


def digest(env: BatchEnv, settings: Mapping[str, Any]) -> str:
    """A digest that is equal for equal levels.

    It is computed from the contents of a level set, from the names and sizes of level files, and otherwise from the
    env's settings. For files, the symbol alphabet and the skipped levels are part of it, as they change the levels.
    """
    levels, hashed = fixed_levels(env), hashlib.sha256()
    if isinstance(levels, LevelSet):
        for field in fields(levels):
            array = getattr(levels, field.name)
            hashed.update(f"{field.name} {array.dtype} {array.shape}".encode() + array.tobytes())
    elif isinstance(levels, LevelFiles):
        hashed.update(json.dumps([(path.name, path.stat().st_size) for path in levels.files]).encode())
        if levels.skipped:
            hashed.update(json.dumps([(each.file, each.number) for each in levels.skipped]).encode())
        if symbols := translation(levels.symbols):
            hashed.update(json.dumps(sorted(symbols.items())).encode())
    if not isinstance(levels, LevelSet | LevelFiles) or isinstance(env, GymVectorEnv):  # its levels are seeds
        hashed.update(json.dumps(settings, sort_keys=True, default=str).encode())
    return hashed.hexdigest()[:DIGEST]
