"""While tests run, functions are checked against their annotations, shapes of tensors included."""

import functools
import inspect
import re
from collections import Counter
from pathlib import Path

import jaxtyping

ROOT = Path(__file__).parents[2]
PACKAGES = ("models", "deploy", "learning", "evaluation")
COMPILED = re.compile(r"^ *@(jit|kernel|intrinsic|triton\.jit)\b", re.MULTILINE)  # of Numba or Triton, which read code
CONFIGS = re.compile(r"(.*_)?specs?|auto")  # pydantic checks them: tests hand over what a config may hold
BEARTYPE = "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"  # an int may stand for a float
CALLS = 20  # of each function in a test: a check can take longer than the function, and later calls differ seldom
checked_calls: Counter = Counter()  # of the test that runs, by the function's code


def checked_modules() -> list[str]:
    """Names of all modules of `PACKAGES`, without those that Numba or Triton compile and those of configs."""
    files = (file for package in PACKAGES for file in (ROOT / "drc_lab" / package).rglob("*.py"))
    return sorted(
        ".".join(file.relative_to(ROOT).with_suffix("").parts)
        for file in files
        if file.stem != "__init__" and not CONFIGS.fullmatch(file.stem) and not COMPILED.search(file.read_text())
    )


def check_shapes() -> None:
    """Has to run before the modules are imported."""
    jaxtyping.install_import_hook(checked_modules(), BEARTYPE)
    jaxtyping.jaxtyped = functools.partial(_first_calls, jaxtyping.jaxtyped)  # with which the hook decorates functions


def _first_calls(jaxtyped, fn=None, **settings):
    """`jaxtyping.jaxtyped`, for the first `CALLS` of a function in a test."""
    if fn is None:
        return functools.partial(_first_calls, jaxtyped, **settings)
    if not inspect.isfunction(fn):  # classes and properties
        return jaxtyped(fn, **settings)
    checked = None  # built at the first call: a function within a function is defined anew each time

    @functools.wraps(fn)
    def call(*args, **kwargs):
        nonlocal checked
        checked_calls[fn.__code__] += 1
        if checked_calls[fn.__code__] > CALLS:
            return fn(*args, **kwargs)
        checked = checked or jaxtyped(fn, **settings)
        return checked(*args, **kwargs)

    return call
