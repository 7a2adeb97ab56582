"""Checks of the process-wide settings. Light to import."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Lt

from drc_lab.arguments import Spec
from drc_lab.rules import NUMBER, Threads

Precision = Literal["highest", "high", "medium"]  # of float32 matrix products, see `drc_lab.process.start_process`


@dataclass(frozen=True)
class ProcessSpec(Spec):
    """Arguments of `drc_lab.process.start_process`; they are keys at the top level of the config."""

    seed: Annotated[int, NUMBER, Ge(0), Lt(2**32), "0 to 2^32 - 1"] = 0
    threads: Annotated[Threads | None, "at least 1, or null for all cores of this process"] = None
    matmul_precision: Precision = "highest"
    deterministic: bool = False
