"""While tests run, functions are checked against their annotations, shapes of tensors included."""

import re
from pathlib import Path

import jaxtyping

ROOT = Path(__file__).parents[2]
PACKAGES = ("models", "deploy", "learning", "evaluation")
COMPILED = re.compile(r"^ *@(jit|kernel|intrinsic|triton\.jit)\b", re.MULTILINE)  # of Numba or Triton, which read code
CONFIGS = re.compile(r"(.*_)?specs?|auto")  # pydantic checks them: tests hand over what a config may hold
BEARTYPE = "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"  # an int may stand for a float


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
