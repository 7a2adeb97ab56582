"""Rules for the config keys that torch and Lightning take.

They are checked here because these libraries take seconds to import and give less helpful errors. Keys without a rule
are left to the libraries.
"""

import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BeforeValidator

from drc_lab.arguments import Spec
from drc_lab.errors import ConfigError
from drc_lab.rules import NUMBER, NotNegativeReal, Positive, Share, Whole

Beta = Annotated[float, NUMBER, Ge(0), Lt(1)]
DEVICES = "a number of devices, their numbers, -1 or auto for all"
Precision = Literal[
    "32-true", "bf16-mixed", "bf16-true", "16-mixed", "16-true", "64-true", "32", "64", "16", "bf16",
    "transformer-engine", "transformer-engine-float16",
]  # fmt: skip


def _as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int) else value  # 32 is another name for "32"


@dataclass(frozen=True)
class AdamSpec(Spec):
    """Arguments of torch.optim.Adam and AdamW."""

    lr: NotNegativeReal = 1e-3
    betas: Annotated[tuple[Beta, Beta], "two numbers, each 0 or more and less than 1"] = (0.9, 0.999)
    eps: NotNegativeReal = 1e-8
    weight_decay: NotNegativeReal = 0.0


@dataclass(frozen=True)
class LinearLRSpec(Spec):
    """Arguments of torch.optim.lr_scheduler.LinearLR; ``total_iters`` is checked by `schedule_lengths`."""

    start_factor: Annotated[float, NUMBER, Gt(0), Le(1)] = 1 / 3
    end_factor: Share = 1.0
    total_iters: Whole = 5


@dataclass(frozen=True)
class TrainerSpec(Spec):
    """Those arguments of lightning.Trainer for which the config has plain values."""

    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps", "tpu", "hpu"] = "auto"
    devices: Annotated[Whole | str | list[Whole], DEVICES] = "auto"
    num_nodes: Positive = 1
    strategy: Any = "auto"
    precision: Annotated[Precision, BeforeValidator(_as_text)] | None = None
    gradient_clip_val: NotNegativeReal | None = None
    gradient_clip_algorithm: Literal["norm", "value"] | None = None
    accumulate_grad_batches: Literal[1] = 1
    deterministic: bool | str | None = None
    max_time: Any = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.devices == [] or (isinstance(self.devices, int) and (self.devices == 0 or self.devices < -1)):
            raise ConfigError("devices", self.devices, DEVICES)
        if isinstance(self.devices, str) and not re.fullmatch(r"auto|-1|\d+(,\s*\d+)*,?", self.devices):
            raise ConfigError("devices", self.devices, DEVICES)
        if isinstance(self.strategy, str) and not re.fullmatch(
            r"auto|single_device|(?!.*(spawn|fork|notebook))ddp.*", self.strategy
        ):
            raise ConfigError("strategy", self.strategy, "auto | ddp")
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
