"""The export formats and their variants, and the ``export`` group of the config with its checks. Quick to import."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from drc_lab.arguments import Spec
from drc_lab.errors import ConfigError
from drc_lab.rules import Positive, one_of

FLOAT32, BF16, INT8_DYNAMIC, INT8_STATIC = "float32", "bf16", "int8_dynamic", "int8_static"


@dataclass(frozen=True)
class Format:
    """An export format.

    Args:
        suffix: suffix of its files; "" for a folder.
        variants: name of each variant -> what runs it and in which precision.
    """

    suffix: str
    variants: dict[str, str]


FORMATS = {
    "onnx": Format(
        ".onnx",
        {
            FLOAT32: "onnxruntime, float32",
            BF16: "onnxruntime, float32 from bf16",
            INT8_DYNAMIC: "onnxruntime, int8",
            INT8_STATIC: "onnxruntime, int8",
        },
    ),
    "torch_export": Format(".pt2", {FLOAT32: "torch.export, float32", BF16: "torch.export, bf16"}),
    "state_dict": Format(".pt", {FLOAT32: "drc_lab, float32", BF16: "drc_lab, float32 from bf16"}),
    "flax": Format("", {FLOAT32: "drc_lab, read back"}),
}


@dataclass(frozen=True)
class ExportSpec(Spec):
    """What to export, and how to compare it with the original policy.

    Args:
        format: onnx | torch_export | state_dict | flax.
        file: file to write; variants other than float32 have their name before the suffix. None: a file in the run's
            folder.
        variants: names of the variants; None: all variants of the format.
        repeats: ticks of the exported step; None: the policy's own number.
        compare: whether to measure size, latency and solve rate of each variant.
        batches: batch sizes at which latency is measured.
        timings: number of measurements for each latency, of which the median is reported.

    Raises:
        ConfigError: naming the key whose value is not allowed.
    """

    format: str
    file: str | None = None
    variants: list[str] | None = None
    repeats: Annotated[Positive | None, "at least 1, or null for the policy's own"] = None
    compare: bool = True
    batches: list[Positive] = field(default_factory=lambda: [1, 64])
    timings: Positive = 50

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("format", self.format, FORMATS)
        possible = FORMATS[self.format].variants
        for variant in self.chosen:
            if variant not in possible:
                raise ConfigError("variants", variant, f"{' | '.join(possible)} as {self.format}")
        if not self.chosen:
            raise ConfigError("variants", self.variants, f"at least one of {' | '.join(possible)}, or null for all")
        suffix = FORMATS[self.format].suffix
        if self.file is not None and Path(self.file).suffix != suffix and suffix:
            raise ConfigError("file", self.file, f"a name that ends in {suffix}, as {self.format} is")

    @property
    def chosen(self) -> list[str]:
        """The variants to export, without duplicates."""
        every = FORMATS[self.format].variants
        return list(every) if self.variants is None else list(dict.fromkeys(self.variants))

    def path(self, folder: Path) -> Path:
        """The file of the float32 variant, from which the others' names are derived; ``folder`` is the run's."""
        return folder / f"policy{FORMATS[self.format].suffix}" if self.file is None else Path(self.file)

    def paths(self, folder: Path) -> dict[str, Path]:
        """The file of each chosen variant."""
        path = self.path(folder)
        return {v: path if v == FLOAT32 else path.with_name(f"{path.stem}.{v}{path.suffix}") for v in self.chosen}
