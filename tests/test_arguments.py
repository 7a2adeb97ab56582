"""What annotations allow, and the one line that says so: from a config and from Python alike."""

import math
import pickle
import re
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import Annotated, Any, Literal

import numpy as np
import pytest
from annotated_types import Len, MinLen

import drc_lab.check  # imports all specs
from drc_lab.arguments import Spec, fit, from_mapping, hints_of
from drc_lab.envs.specs.ricochet import RicochetSpec
from drc_lab.errors import ConfigError
from drc_lab.learning.specs import VTraceSpec
from drc_lab.models.specs import ConvLSTMSpec, DRCSpec
from drc_lab.rules import NotNegative, Odd, Positive, PositiveReal, Real, Share, type_of

GRID = (3, 5, 5)


def subclasses(kind):
    return [each for one in kind.__subclasses__() for each in (one, *subclasses(one))]


def is_number(hint):
    return re.search(r"\b(int|float)\b", type_of(hint)) and not re.search(r"\b(bool|Any)\b", type_of(hint))


SPECS = [spec for spec in subclasses(Spec) if is_dataclass(spec) and spec.__module__.startswith("drc_lab.")]
NUMBERS = [(spec, field.name) for spec in SPECS for field in fields(spec) if is_number(hints_of(spec)[field.name])]


def refused(hint, value, key="key"):
    with pytest.raises(ConfigError) as error:
        fit(hint, value, key)
    return str(error.value)


def test_all_specs_have_readable_annotations():
    assert drc_lab.check and len(SPECS) > 35 and len(NUMBERS) > 150
    assert not [spec for spec in SPECS if not hints_of(spec) and fields(spec)]


@pytest.mark.parametrize("value", [True, math.nan, math.inf, -math.inf, 1.5j, "much"], ids=str)
def test_no_setting_takes_anything_else_for_a_number(value):
    for spec, name in NUMBERS:
        hint = hints_of(spec)[name]
        if (value == math.inf and name in ("clip_rho", "clip_pg_rho")) or (value == "much" and "str" in type_of(hint)):
            continue
        assert refused(hint, value, name).startswith(f"{name}: found {value!r}, allowed: "), (spec, name)


@pytest.mark.parametrize(
    ("hint", "value", "told"),
    [
        (Positive, 0, "found 0, allowed: at least 1"),
        (Positive, 1.5, "found 1.5, allowed: int, at least 1"),
        (Positive, "many", "found 'many', allowed: int, at least 1"),
        (Positive | None, 0, "found 0, allowed: at least 1, or null"),
        (Positive | None, [1], "found [1], allowed: int, at least 1, or null"),
        (int | None, "long", "found 'long', allowed: int | null"),
        (Annotated[Positive | None, "1 or more, null is all"], 0, "found 0, allowed: 1 or more, null is all"),
        (Share, 2, "found 2, allowed: 0 to 1"),
        (Share, math.nan, "found nan, allowed: a finite number, 0 to 1"),
        (Real | None, math.inf, "found inf, allowed: a finite number | null"),
        (PositiveReal, 0, "found 0, allowed: more than 0"),
        (Odd, 4, "found 4, allowed: odd numbers"),
        (Literal["a", "b"], "c", "found 'c', allowed: a | b"),
        (Literal["a", "b"] | None, 3, "found 3, allowed: a | b | null"),
        (Annotated[Literal["auto"] | Positive, "auto, or a number"], 0, "found 0, allowed: auto, or a number"),
        (Sequence[Positive], [1, 0], "found 0, allowed: at least 1"),
        (Sequence[Positive], 3, "found 3, allowed: list[int], each at least 1"),
        (Sequence[str], "ab", "found 'ab', allowed: list[str]"),
        (Annotated[Sequence[Positive], MinLen(1)], [], "found [], allowed: at least one"),
        (Annotated[Sequence[int], Len(2, 2), "[low, high]"], [1], "found [1], allowed: [low, high]"),
        (Annotated[tuple[int, int], "two numbers"], [1, "x"], "found [1, 'x'], allowed: two numbers"),
        (dict[str, list[NotNegative]], {"a": [-1]}, "found -1, allowed: at least 0"),
        (dict[str, Any] | None, "x", "found 'x', allowed: dict[str, Any] | null"),
        (bool, 2, "found 2, allowed: bool"),
    ],
)
def test_a_line_says_what_was_found_and_what_is_allowed(hint, value, told):
    assert refused(hint, value) == f"key: {told}"


def test_what_configs_and_python_write_for_a_number_fits():
    assert [fit(Positive, value, "") for value in (1e6, "64", np.int64(3), np.float32(2))] == [10**6, 64, 3, 2]
    assert fit(PositiveReal, 1, "") == 1.0 and fit(Positive | None, None, "") is None
    assert VTraceSpec(clip_rho=math.inf).clip_rho == math.inf


def test_python_is_told_the_same_as_a_config():
    with pytest.raises(ConfigError, match=r"^num_layers: found 0, allowed: at least 1$"):
        DRCSpec(GRID, 4, num_layers=0)
    with pytest.raises(ConfigError, match=r"^policy\.num_layers: found 0, allowed: at least 1$"):
        from_mapping(DRCSpec, {"obs_shape": GRID, "num_actions": 4, "num_layers": 0}, "policy")


def test_specs_are_plain_dataclasses_otherwise():
    spec = ConvLSTMSpec(list(GRID), 4, 16, 2, 1, proj_dim=8)
    assert (spec.obs_shape, spec.hidden_channels, spec.num_layers, spec.repeats_per_step) == (GRID, 16, 2, 1)
    assert pickle.loads(pickle.dumps(spec)) == spec and len({spec, ConvLSTMSpec(GRID, 4, 16, 2, 1, proj_dim=8)}) == 1
    assert from_mapping(RicochetSpec, {"max_steps": [5, 9]}, "env").max_steps == [5, 9]
