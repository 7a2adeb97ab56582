"""Rules for the config keys that torch and Lightning take.

They are checked here because these libraries take seconds to import and give less helpful errors. Keys without a rule
are left to the libraries.
"""

import re
from dataclasses import dataclass
from typing import Any

from drc_lab.errors import ConfigError
from drc_lab.rules import at_least, one_of

ACCELERATORS = ("auto", "cpu", "gpu", "cuda", "mps", "tpu", "hpu")
PRECISIONS = (
    "32-true", "bf16-mixed", "bf16-true", "16-mixed", "16-true", "64-true", "32", "64", "16", "bf16",
    "transformer-engine", "transformer-engine-float16",
)  # fmt: skip


@dataclass(frozen=True)
class AdamSpec:
    """Arguments of torch.optim.Adam and AdamW."""

    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        for key in ("lr", "eps", "weight_decay"):
            if not getattr(self, key) >= 0:
                raise ConfigError(key, getattr(self, key), "0 or more")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ConfigError("betas", list(self.betas), "two numbers, each 0 or more and less than 1")


@dataclass(frozen=True)
class LinearLRSpec:
    """Arguments of torch.optim.lr_scheduler.LinearLR; ``total_iters`` is checked by `schedule_lengths`."""

    start_factor: float = 1 / 3
    end_factor: float = 1.0
    total_iters: int = 5

    def __post_init__(self) -> None:
        if not 0 < self.start_factor <= 1:
            raise ConfigError("start_factor", self.start_factor, "more than 0, at most 1")
        if not 0 <= self.end_factor <= 1:
            raise ConfigError("end_factor", self.end_factor, "0 to 1")


@dataclass(frozen=True)
class TrainerSpec:
    """Those arguments of lightning.Trainer for which the config has plain values."""

    accelerator: str = "auto"
    devices: int | str | list[int] = "auto"
    num_nodes: int = 1
    strategy: Any = "auto"
    precision: int | str | None = None
    gradient_clip_val: float | None = None
    gradient_clip_algorithm: str | None = None
    accumulate_grad_batches: int = 1
    deterministic: bool | str | None = None
    max_time: Any = None

    def __post_init__(self) -> None:
        one_of("accelerator", self.accelerator, ACCELERATORS)
        if self.devices == [] or (isinstance(self.devices, int) and (self.devices == 0 or self.devices < -1)):
            raise ConfigError("devices", self.devices, "a number of devices, their numbers, -1 or auto for all")
        if isinstance(self.devices, str) and not re.fullmatch(r"auto|-1|\d+(,\s*\d+)*,?", self.devices):
            raise ConfigError("devices", self.devices, "a number of devices, their numbers, -1 or auto for all")
        at_least("num_nodes", [self.num_nodes], 1)
        if isinstance(self.strategy, str) and not re.fullmatch(r"auto|single_device|(?!.*(spawn|fork|notebook))ddp.*",
                                                               self.strategy):  # fmt: skip
            raise ConfigError("strategy", self.strategy, "auto | ddp")
        if self.precision is not None:
            one_of("precision", str(self.precision), PRECISIONS)
        if self.gradient_clip_algorithm is not None:
            one_of("gradient_clip_algorithm", self.gradient_clip_algorithm, ("norm", "value"))
        if self.accumulate_grad_batches != 1:
            raise ConfigError("accumulate_grad_batches", self.accumulate_grad_batches, "1")
        if isinstance(self.max_time, int | float | list) or (
            isinstance(self.max_time, str) and not re.fullmatch(r"\d+:\d\d:\d\d:\d\d", self.max_time.strip())
        ):
            raise ConfigError("max_time", self.max_time, "DD:HH:MM:SS, or null")

    @property
    def ranks(self) -> int | None:
        """Number of ranks of the training; None if it depends on the machine."""
        devices = self.devices
        if isinstance(devices, str) and devices.isdigit():
            devices = int(devices)
        if isinstance(devices, list):
            devices = len(devices)
        return devices * self.num_nodes if isinstance(devices, int) and devices > 0 else None
