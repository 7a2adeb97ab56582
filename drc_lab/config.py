"""From a node of the config to an object, with the user's mistakes told by config key.

Configs mirror constructors one to one: ``_target_`` names what is built, every other key is one of its arguments.
"""

import difflib
import inspect
import pydoc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, get_type_hints

import gymnasium as gym
import hydra
from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf
from pydantic import ConfigDict, TypeAdapter, ValidationError

from drc_lab.errors import ConfigError, UserError


def check_types(function: Callable, values: dict[str, Any], key: str) -> None:
    """Every value fits the annotation of the argument it is for.

    Raises:
        ConfigError: naming the first that does not, or that is no argument at all.
    """
    target = function.__init__ if inspect.isclass(function) else function
    hints, arguments = get_type_hints(target), inspect.signature(function).parameters
    takes_any = any(p.kind is p.VAR_KEYWORD for p in arguments.values())
    for name, value in values.items():
        if name not in arguments:
            if takes_any:
                continue
            close = difflib.get_close_matches(name, arguments, 3) or sorted(arguments)
            raise ConfigError(f"{key}.{name}", value, f"no such key, but {', '.join(close)}")
        if name in hints:
            try:
                TypeAdapter(hints[name], config=ConfigDict(arbitrary_types_allowed=True)).validate_python(value)
            except ValidationError:
                shown = getattr(hints[name], "__name__", str(hints[name])).replace("NoneType", "null")
                raise ConfigError(f"{key}.{name}", value, shown) from None
            except Exception:  # pydantic has no schema for this annotation: the constructor will check
                continue


def build(node: DictConfig, key: str, **more: Any) -> Any:
    """Instantiates a config node.

    Args:
        node: with a ``_target_``.
        key: where the node is, for messages.
        more: arguments that the config does not hold.

    Raises:
        ConfigError: a value of the wrong type, or one that the constructor refuses.
    """
    values = OmegaConf.to_container(node, resolve=True)
    assert isinstance(values, dict)
    function = pydoc.locate(str(values.get("_target_")))
    if not callable(function):
        raise ConfigError(f"{key}._target_", values.get("_target_"), "the import path of a class or function")
    plain = {str(k): v for k, v in values.items() if not str(k).startswith("_")}
    check_types(function, plain, key)
    with user_errors_under(key):
        return hydra.utils.instantiate(node, **more)


@contextmanager
def user_errors_under(key: str) -> Iterator[None]:
    """Within this context a ConfigError about ``height`` becomes one about ``key.height``."""
    try:
        yield
    except ConfigError as error:
        raise error.under(key) from None
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, ConfigError):
            raise cause.under(key) from None
        if isinstance(cause, UserError):
            raise cause from None
        # A library's constructor refused what the config gave it.
        raise UserError(f"{key}: {' '.join(str(cause or error).split())}") from error


def make_env(node: DictConfig, num_envs: int, **more: Any) -> Any:
    """The batch env that a config's ``env`` describes: its ``id``, every other key an argument.

    Raises:
        ConfigError: an unknown id, or an argument that cannot work.
    """
    values = {**OmegaConf.to_container(node, resolve=True), **more}  # type: ignore[dict-item]
    env_id = values.pop("id")
    try:
        spec = gym.spec(env_id)
    except gym.error.Error:
        close = difflib.get_close_matches(str(env_id), gym.registry, 3, cutoff=0.3)
        raise ConfigError("env.id", env_id, f"an id that Gymnasium knows, such as {', '.join(close)}") from None
    if isinstance(spec.vector_entry_point, str):
        check_types(gym.envs.registration.load_env_creator(spec.vector_entry_point), values, "env")
    with user_errors_under("env"):
        return gym.make_vec(env_id, num_envs=num_envs, **values)


def build_policy(node: DictConfig, env: gym.vector.VectorEnv) -> Any:
    """The policy that a config's ``policy`` describes, for this env's observations and actions."""
    space, actions = env.single_observation_space, env.single_action_space
    if not isinstance(actions, gym.spaces.Discrete):
        raise UserError(f"env.id: its actions are {actions}, allowed: Discrete")
    return build(node, "policy", obs_shape=space.shape, num_actions=int(actions.n))
