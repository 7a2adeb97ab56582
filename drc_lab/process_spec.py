"""Checks of the process-wide settings. Light to import."""

from dataclasses import dataclass

from drc_lab.errors import ConfigError
from drc_lab.rules import one_of

MATMUL_PRECISIONS = ("highest", "high", "medium")


@dataclass(frozen=True)
class ProcessSpec:
    """Arguments of `drc_lab.process.start_process`; they are keys at the top level of the config."""

    seed: int
    threads: int | None
    matmul_precision: str = "highest"
    deterministic: bool = False

    def __post_init__(self) -> None:
        one_of("matmul_precision", self.matmul_precision, MATMUL_PRECISIONS)
        if not 0 <= self.seed < 2**32:
            raise ConfigError("seed", self.seed, "0 to 2^32 - 1")
        if self.threads is not None and self.threads < 1:
            raise ConfigError("threads", self.threads, "at least 1, or null for all cores of this process")
