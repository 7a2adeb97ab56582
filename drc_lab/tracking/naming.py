"""Default names of runs: what differs from the default config."""

import math
import re
from collections.abc import Collection, Sequence

import numpy as np
from hydra.core.override_parser.overrides_parser import OverridesParser

LENGTH, VALUE = 100, 30  # most characters of a name, and of one value in it
# Keys and whole groups that say where and how a run is executed, not what it computes.
SAY_NOTHING = {"task", "study", "experiment", "name", "root", "folder", "resume", "threads", "tracking", "hydra",
               "checkpoints", "callbacks", "trainer.accelerator", "trainer.devices"}  # fmt: skip


def run_name(overrides: Sequence[str], groups: Collection[str], study: str, seed: int | str) -> str:
    """Names a run after its overrides, in their order, with keys as short as is unambiguous, and the seed last.

    ``policy=transformer env.height=6 seed=1`` becomes ``transformer height=6 seed=1``. If no override matters, the name
    consists of the study and the seed. Values that a sweep varies appear as on the command line.

    Args:
        overrides: the overrides, as passed to Hydra.
        groups: names of config groups; for these only the option appears in the name.
        study: the run's study.
        seed: the run's seed; it appears if it is overridden, or if no other override matters.
    """
    said: dict[str, str] = {}
    with_seed = False
    for override in OverridesParser.create().parse_overrides(list(overrides)):
        key = override.key_or_group
        varied = override.get_value_string() if override.is_sweep_override() else None
        if key == "seed":
            with_seed, seed = True, varied or seed
        elif not {key, key.split(".")[0]} & SAY_NOTHING:
            said.pop(key, None)  # if a key is given twice, the last one counts
            said[key] = "null" if override.is_delete() else _short(varied or override.value())
    if "env.id" in said:
        said.pop("env", None)  # the id implies the group
    options = {key for key in said if key in groups or key == "env.id"}
    classes = {key: value.split(".")[-1] for key, value in said.items() if key.endswith("_target_")}
    said |= classes  # the class name without its module
    options |= set(classes)
    words = [value if key in options else f"{shortest_end(key, said)}={value}" for key, value in said.items()]
    if with_seed or not words:
        words = [*(words or [study]), f"seed={seed}"]
    while len(" ".join(words)) > LENGTH:
        words = ["…", *words[2 if words[0] == "…" else 1 :]]  # the first ones are often shared by all runs of a sweep
    return " ".join(words)


def setting_names(settings: Sequence[tuple[str, float]]) -> list[str]:
    """Names for settings that sort in the order of their amounts.

    ``passes=002`` comes before ``passes=128``, and ``adaptive=0.1`` before ``adaptive=inf``.

    Args:
        settings: the settings of one study, each a kind and its amount, which is nan for kinds without amounts.
    """
    width = max((len(str(int(amount))) for _, amount in settings if math.isfinite(amount)), default=0)

    def name(kind: str, amount: float) -> str:
        if math.isnan(amount):
            return kind
        whole, dot, decimals = np.format_float_positional(amount, trim="-").partition(".")  # 0.00001, not 1e-05
        return f"{kind}={whole if math.isinf(amount) else whole.zfill(width)}{dot}{decimals}"

    return [name(*setting) for setting in settings]


def _short(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    text = {"None": "null", "True": "true", "False": "false"}.get(str(value), str(value))
    text = re.sub(r"[\s']", "", text)
    return text if len(text) <= VALUE else text[: VALUE - 1] + "…"


def shortest_end(key: str, keys: Collection[str]) -> str:
    """The shortest suffix of a dotted key, in whole parts, that is not a suffix of another key."""
    parts = key.split(".")
    for length in range(1, len(parts) + 1):
        end = ".".join(parts[-length:])
        if not any(other != key and f".{other}".endswith(f".{end}") for other in keys):
            return end
    return key
