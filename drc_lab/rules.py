"""Types of settings with their limits, and the words in which messages say what is allowed. Light to import.

Limits are part of annotations: ``Annotated[Positive, Le(255)]``, ``Literal["a", "b"]``, or one of the types below.
Text in an annotation replaces the words that `rule_of` makes of the limits, as in
``Annotated[Positive | None, "at least 1, or null for all"]``.
"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, Predicate
from pydantic import BeforeValidator
from pydantic_core import PydanticKnownError

from drc_lab.errors import ConfigError


def _no_bool(value: Any) -> Any:
    if isinstance(value, bool):  # pydantic would take true for 1
        raise PydanticKnownError("float_type")
    return value


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        raise PydanticKnownError("finite_number")
    return _no_bool(value)


INFINITE, NUMBER = BeforeValidator(_no_bool), BeforeValidator(_finite)  # with and without infinities

LARGEST = 2**63 - 1  # of an int64
FAR = 1000  # upper limits from here on are told only to those who exceed them

Whole = Annotated[int, NUMBER]
Positive = Annotated[int, NUMBER, Ge(1), Le(LARGEST)]
NotNegative = Annotated[int, NUMBER, Ge(0), Le(LARGEST)]
Threads = Annotated[int, NUMBER, Ge(1), Le(4096)]
Odd = Annotated[int, NUMBER, Ge(1), Predicate(lambda number: number % 2 == 1), "odd numbers"]
Real = Annotated[float, NUMBER]
PositiveReal = Annotated[float, NUMBER, Gt(0)]
NotNegativeReal = Annotated[float, NUMBER, Ge(0)]
Share = Annotated[float, NUMBER, Ge(0), Le(1)]
Confidence = Annotated[float, NUMBER, Gt(0), Lt(1)]

LISTS = (list, Sequence, Collection, Iterable)
LIMITS = ("ge", "gt", "le", "lt", "min_length")  # attributes of the annotations that limit a value
WORDS = {
    ("ge",): "at least {ge}",
    ("ge", "le"): "{ge} to {le}",
    ("ge", "lt"): "{ge} or more and less than {lt}",
    ("gt",): "more than {gt}",
    ("gt", "le"): "more than {gt}, at most {le}",
    ("gt", "lt"): "between {gt} and {lt}",
    ("min_length",): "at least one",
}


def type_of(hint: Any) -> str:
    """The type that an annotation asks for, as configs write it: ``int``, ``list[float]``, ``a | b``, ``null``."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return type_of(inner[0])
    if origin is Literal:
        return " | ".join(map(str, inner))
    if origin in (Union, UnionType):
        return " | ".join(type_of(one) for one in sorted(inner, key=lambda one: one is NoneType))
    if origin is tuple and inner[-1:] != (...,):
        return f"[{', '.join(map(type_of, inner))}]"
    if origin is tuple or origin in LISTS:
        return f"list[{type_of(inner[0])}]"
    if origin in (dict, Mapping):
        return f"dict[{', '.join(map(type_of, inner))}]"
    return "null" if hint in (None, NoneType) else str(getattr(hint, "__name__", hint))


def rule_of(hint: Any) -> str:
    """The limits that an annotation sets, in words: ``at least 1, or null``; "" if it sets none."""
    origin, inner = get_origin(hint), get_args(hint)
    if text := text_of(hint):
        return text
    if origin is Annotated:
        limits = {name: getattr(one, name) for name in LIMITS for one in inner[1:] if hasattr(one, name)}
        limits = {name: limit for name, limit in limits.items() if name != "le" or limit < FAR}
        return WORDS[tuple(limits)].format(**limits) if limits else rule_of(inner[0])
    if origin is Literal:
        return type_of(hint)
    if origin in (Union, UnionType):
        rules = [rule_of(one) for one in inner if one is not NoneType]
        joint = " | " if " | " in rules[0] else ", or "
        return f"{rules[0]}{joint}null" if len(inner) == 2 and NoneType in inner and rules[0] else ""
    if origin is tuple or origin in LISTS:
        return f"each {rule}" if (rule := rule_of(inner[0])) else ""
    return ""


def far_limit(hint: Any) -> int | None:
    """The upper limit that `rule_of` leaves out; None without one."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return next((limit for one in inner if (limit := far_limit(one)) is not None), None)
    if origin is not Annotated:
        return None
    limits = [one.le for one in inner[1:] if isinstance(one, Le) and one.le >= FAR]  # type: ignore[operator]
    return min(limits) if limits else far_limit(inner[0])  # type: ignore[type-var, return-value]


def text_of(hint: Any) -> str:
    """The text in an annotation that says what is allowed; "" without one."""
    inner = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
    return next((one for one in reversed(inner) if isinstance(one, str)), "")


def part_of(hint: Any, place: Any) -> Any:
    """The annotation of an element of a list, tuple or dict, given that of the whole."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return part_of(inner[0], place)
    if origin in (Union, UnionType):
        return part_of(next(one for one in inner if one is not NoneType), place)
    if origin in (dict, Mapping):
        return inner[1]
    return inner[place] if origin is tuple and inner[-1:] != (...,) else inner[0]


def at_least(key: str, numbers: Iterable[float], least: float) -> None:
    """Raises a ConfigError about the first number below ``least``."""
    for number in numbers:
        if number < least:
            raise ConfigError(key, number, f"at least {least}")


def one_of(key: str, found: Any, allowed: Collection[str]) -> None:
    """Raises a ConfigError if ``found`` is not one of the ``allowed`` values."""
    if found not in allowed:
        raise ConfigError(key, found, " | ".join(allowed))
