"""What results depend on, described so that the description changes whenever a setting or the code of a class does."""

import hashlib
import inspect
import sys
import uuid
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import OmegaConf
from torch import nn

from drc_lab.envs.interface import BatchEnv
from drc_lab.models.policy import Policy

PLAIN = (bool, int, float, str, type(None))
VERSIONED = {"drc_lab", "torch", "numpy", "gymnasium", *sys.stdlib_module_names}  # their sources are not read


def identity(thing: Any) -> Any:
    """Describes a thing by plain types: class, source and settings, and those of everything in it.

    Settings are the fields of a dataclass and the attributes of other objects. What cannot be described gets a
    description that no other has, so that results that depend on it are never taken for those of something else.
    """
    if isinstance(thing, PLAIN):
        return thing
    if OmegaConf.is_config(thing):
        thing = OmegaConf.to_container(thing, resolve=True)
    if isinstance(thing, torch.Tensor):
        thing = thing.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    if isinstance(thing, np.ndarray):
        return [str(thing.dtype), list(thing.shape), hashlib.sha256(np.ascontiguousarray(thing).tobytes()).hexdigest()]
    if isinstance(thing, Path):
        return str(thing)
    if isinstance(thing, Mapping):
        return {str(key): identity(value) for key, value in thing.items()}
    if isinstance(thing, list | tuple | range):
        return [identity(each) for each in thing]
    if isinstance(thing, type):
        return sources(thing)
    if is_dataclass(thing):
        return [sources(type(thing)), {field.name: identity(getattr(thing, field.name)) for field in fields(thing)}]
    if hasattr(thing, "__dict__") and not callable(thing):
        return [sources(type(thing)), identity(vars(thing))]
    return unique()


def sources(kind: type) -> dict[str, str]:
    """The classes that a class is made of, each with a digest of its module's source if it is from outside.

    Other modules that such a module imports are not part of it.
    """
    return {f"{each.__module__}.{each.__qualname__}": _source(each) for each in kind.__mro__ if each is not object}


def _source(kind: type) -> str:
    if kind.__module__.split(".")[0] in VERSIONED - {"__main__"}:
        return ""
    file = getattr(sys.modules.get(kind.__module__), "__file__", None)
    try:
        text = Path(file).read_bytes() if file else inspect.getsource(kind).encode()
    except (OSError, TypeError):  # typed into an interpreter, for example
        return unique()
    return hashlib.sha256(text).hexdigest()


def unique() -> str:
    """A description that no other thing has."""
    return uuid.uuid4().hex


def identity_of_policy(policy: Policy) -> Any:
    """Describes a policy by its weights, the plain settings of its modules, and the source of those from outside."""

    def described(module: nn.Module) -> Any:
        settings = {name: value for name, value in vars(module).items() if isinstance(value, PLAIN)}
        return [sources(type(module)), {name: value for name, value in settings.items() if name != "training"}]

    weights = {name: identity(weight) for name, weight in policy.state_dict().items()}
    return [weights, {name: described(module) for name, module in policy.named_modules()}]


def identity_of_env(env: BatchEnv) -> Any:
    """Describes an env by the arguments that it was made from, and the source of its classes from outside."""
    copies = getattr(env, "envs", None)  # of another package's env
    classes = [type(env), type(getattr(env, "batch", None)), *([type(copies[0].unwrapped)] if copies else [])]
    return [[sources(each) for each in classes], identity(getattr(env, "arguments", unique()))]


def identity_of_levels(env: BatchEnv, levels: range, seed: int) -> Any:
    """Describes levels by how their episodes begin; resets the env."""
    obs, info = env.reset(seed=seed, options={"first_level": levels.start} if levels.start else None)
    n = len(levels)
    return [identity(levels), identity(obs[:n]), identity(info["level"][:n]), identity(info["optimal"][:n])]
