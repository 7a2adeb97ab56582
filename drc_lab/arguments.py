"""Checks settings against the annotations of the functions and classes that take them as arguments."""

import difflib
import inspect
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from functools import cache
from typing import Any, Concatenate, ParamSpec, TypeVar, get_type_hints

from omegaconf import DictConfig, OmegaConf
from pydantic import ConfigDict, TypeAdapter, ValidationError

from drc_lab.errors import ConfigError
from drc_lab.rules import far_limit, part_of, rule_of, text_of, type_of

P = ParamSpec("P")
S = TypeVar("S")
T = TypeVar("T")

# Pydantic's names of the errors about values of the right type that break a rule of the annotation.
BROKEN_RULES = {
    "greater_than", "greater_than_equal", "less_than", "less_than_equal", "literal_error", "predicate_failed",
    "too_short", "too_long", "string_too_short", "missing",
}  # fmt: skip
TOO_LARGE = {"less_than_equal", "int_parsing_size"}


class Spec:
    """Base of dataclasses whose fields are checked against their annotations, and converted, when they are created.

    A subclass with rules that join several fields has a ``__post_init__``, which first calls this class's.

    Raises:
        ConfigError: about the first field that does not fit.
    """

    def __post_init__(self) -> None:
        cls: Any = type(self)
        hints = hints_of(cls)
        for field in fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if (fitting := fit(hints.get(field.name, Any), value, field.name)) is not value:
                object.__setattr__(self, field.name, fitting)


@cache
def hints_of(target: Any) -> dict[str, Any]:
    """The annotations of a function's arguments or of a class's fields, limits included; {} if they cannot be read."""
    try:
        return get_type_hints(target, include_extras=True)
    except Exception:  # the annotations use names that are imported only for type checkers
        return {}


@cache
def _adapter(hint: Any) -> TypeAdapter[Any]:
    return TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True))


def fit(hint: Any, value: Any, key: str) -> Any:
    """Converts a value to the type that an annotation asks for (1e6 becomes an int, for example).

    Args:
        hint: the annotation; one that pydantic has no schema for allows anything.
        value: the value.
        key: config key of the value, for messages.

    Raises:
        ConfigError: the value does not fit, or is NaN.
    """
    if has_nan(value):
        raise ConfigError(key, value, _allowed(hint, "finite_number"))
    try:
        return _adapter(hint).validate_python(value)
    except ValidationError as error:
        raise _mistake(hint, value, key, error) from None
    except Exception:  # no schema, or an annotation that cannot be hashed
        return value


def has_nan(value: Any) -> bool:
    """Whether a value is NaN, or a list with one."""
    if isinstance(value, list | tuple):
        return any(map(has_nan, value))
    return isinstance(value, float) and math.isnan(value)


def _mistake(hint: Any, value: Any, key: str, error: ValidationError) -> ConfigError:
    first, *more = error.errors(include_url=False)
    if more:  # about each type of a union
        return ConfigError(key, value, text_of(hint) or type_of(hint))
    for place in first["loc"]:
        if text_of(hint) or place == "[key]":
            break
        hint, value = part_of(hint, place), value[place]
    return ConfigError(key, value, _allowed(hint, first["type"]))


def _allowed(hint: Any, error: str) -> str:
    """What an annotation allows, in words, given pydantic's name of the error."""
    if error in TOO_LARGE and (limit := far_limit(hint)) is not None:
        return f"at most {limit:,}"
    rule, wanted = rule_of(hint), type_of(hint)
    if error in BROKEN_RULES or rule == wanted or (text_of(hint) and wanted.startswith(("list", "["))):
        return rule or wanted
    if error == "finite_number":
        wanted = f"a finite number{' | null' * wanted.endswith('null')}"
    return f"{wanted.removesuffix(' | null')}, {rule}" if "null" in rule else ", ".join(filter(None, (wanted, rule)))


def check_types(function: Callable[..., Any], values: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Checks values by the annotations of a function's arguments, and converts them as `fit` does.

    Args:
        function: the function or class that takes the values.
        values: the values by name of argument.
        key: config key of the values, for messages.

    Raises:
        ConfigError: about the first value that does not fit, or that no argument takes.
    """
    try:
        arguments = inspect.signature(function).parameters
    except ValueError:  # a builtin without a signature
        return dict(values)
    hints = hints_of(function.__init__ if inspect.isclass(function) else function)
    takes_any = any(p.kind is p.VAR_KEYWORD for p in arguments.values())
    fitting = dict(values)
    for name, value in values.items():
        if name in arguments:
            fitting[name] = fit(hints.get(name, Any), value, join(key, name))
        elif not takes_any:
            close = difflib.get_close_matches(name, arguments, 3) or sorted(arguments)
            raise ConfigError(join(key, name), value, f"no such key, but {', '.join(close)}")
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
        raise (error.under(key) if key else error) from None


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
        __init__.__annotations__ = hints_of(spec.__init__)
        __init__.__qualname__, __init__.__module__ = build.__qualname__, build.__module__
        return __init__

    return decorate
