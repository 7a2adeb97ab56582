"""Checks settings against the annotations of the functions and classes that take them as arguments."""

import difflib
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Concatenate, ParamSpec, TypeVar, get_type_hints

from omegaconf import DictConfig, OmegaConf
from pydantic import ConfigDict, TypeAdapter, ValidationError

from drc_lab.errors import ConfigError

P = ParamSpec("P")
S = TypeVar("S")
T = TypeVar("T")


def check_types(function: Callable[..., Any], values: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Converts values to the types that the function's annotations ask for (1e6 becomes an int, for example).

    Args:
        function: the function or class that takes the values.
        values: the values by name of argument.
        key: config key of the values, for messages.

    Raises:
        ConfigError: about the first value that does not fit, or that no argument takes.
    """
    target = function.__init__ if inspect.isclass(function) else function
    try:
        arguments = inspect.signature(function).parameters
    except ValueError:  # a builtin without a signature
        return dict(values)
    try:
        hints = get_type_hints(target)
    except Exception:  # the annotations use names that are imported only for type checkers
        hints = {}
    takes_any = any(p.kind is p.VAR_KEYWORD for p in arguments.values())
    fitting = dict(values)
    for name, value in values.items():
        if name not in arguments:
            if takes_any:
                continue
            close = difflib.get_close_matches(name, arguments, 3) or sorted(arguments)
            raise ConfigError(join(key, name), value, f"no such key, but {', '.join(close)}")
        if name in hints:
            try:
                wanted = TypeAdapter(hints[name], config=ConfigDict(arbitrary_types_allowed=True))
                fitting[name] = wanted.validate_python(value)
            except ValidationError:
                shown = hints[name].__name__ if inspect.isclass(hints[name]) else str(hints[name])
                raise ConfigError(join(key, name), value, shown.replace("None", "null")) from None
            except Exception:  # pydantic has no schema for this annotation: the constructor will check
                continue
    return fitting


def plain(node: DictConfig) -> dict[str, Any]:
    """A resolved config as dicts, lists and scalars."""
    container = OmegaConf.to_container(node, resolve=True)
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}


def join(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name


@contextmanager
def errors_under(key: str) -> Iterator[None]:
    """Turns a ConfigError about ``height`` into one about ``key.height`` within the context."""
    try:
        yield
    except ConfigError as error:
        raise error.under(key) from None


def from_mapping(function: Callable[..., T], values: Mapping[str, Any], key: str, **more: Any) -> T:
    """Calls a class or function with ``values``, which are checked, and with ``more`` arguments, which are not.

    Raises:
        ConfigError: about ``key.NAME``: a value does not fit or is missing, or the function refuses it.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(key, values, f"keys {', '.join(inspect.signature(function).parameters)}")
    fitting = check_types(function, values, key)
    for name, parameter in inspect.signature(function).parameters.items():
        needed = parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD
        if needed and name not in fitting and name not in more:
            raise ConfigError(join(key, name), None, "a value, there is no default")
    with errors_under(key):
        return function(**fitting, **more)


def takes(spec: Callable[P, S]) -> Callable[[Callable[[T, S], None]], Callable[Concatenate[T, P], None]]:
    """Decorates a constructor that takes a spec, so that it takes the spec's arguments instead.

    Their names, types, defaults and rules are then defined only in the spec, which the command line can check before it
    imports the modules that the constructor needs.
    """

    def decorate(build: Callable[[T, S], None]) -> Callable[Concatenate[T, P], None]:
        def __init__(self: T, /, *args: P.args, **kwargs: P.kwargs) -> None:
            build(self, spec(*args, **kwargs))

        own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        arguments = inspect.signature(spec).parameters.values()
        __init__.__signature__ = inspect.Signature([own, *arguments])  # type: ignore[attr-defined]
        __init__.__annotations__ = get_type_hints(spec.__init__)
        __init__.__qualname__, __init__.__module__ = build.__qualname__, build.__module__
        return __init__

    return decorate
