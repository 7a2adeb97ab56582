"""What can be exported, and the ``export`` group of the config, checked. Light to import."""

from dataclasses import dataclass, field
from pathlib import Path

from drc_lab.errors import ConfigError

FLOAT32, BF16, INT8_DYNAMIC, INT8_STATIC = "float32", "bf16", "int8_dynamic", "int8_static"


@dataclass(frozen=True)
class Format:
    """suffix: of its files, none for a folder. variants: name to what runs them and in which precision."""

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
class ExportSpec:
    """What is exported, and how it is compared with the policy it came from.

    Args:
        format: onnx | torch_export | state_dict | flax.
        file: to write; variants but float32 have their name before the suffix. None is one in the run's folder.
        variants: None is all that the format has.
        repeats: ticks of the exported step; None is the policy's own number.
        compare: whether size, latency and solve rate of each variant are measured.
        batches: of the latencies.
        timings: of each latency; the median counts.
    """

    format: str
    file: str | None = None
    variants: list[str] | None = None
    repeats: int | None = None
    compare: bool = True
    batches: list[int] = field(default_factory=lambda: [1, 64])
    timings: int = 50

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise ConfigError("format", self.format, " | ".join(FORMATS))
        possible = FORMATS[self.format].variants
        for variant in self.chosen:
            if variant not in possible:
                raise ConfigError("variants", variant, f"{' | '.join(possible)} as {self.format}")
        if not self.chosen:
            raise ConfigError("variants", self.variants, f"at least one of {' | '.join(possible)}, or null for all")
        suffix = FORMATS[self.format].suffix
        if self.file is not None and Path(self.file).suffix != suffix and suffix:
            raise ConfigError("file", self.file, f"a name that ends in {suffix}, as {self.format} is")
        if self.repeats is not None and self.repeats < 1:
            raise ConfigError("repeats", self.repeats, "at least 1, or null for the policy's own")
        if self.timings < 1:
            raise ConfigError("timings", self.timings, "at least 1")
        if any(batch < 1 for batch in self.batches):
            raise ConfigError("batches", self.batches, "numbers of at least 1")

    @property
    def chosen(self) -> list[str]:
        """The variants, each once."""
        every = FORMATS[self.format].variants
        return list(every) if self.variants is None else list(dict.fromkeys(self.variants))

    def path(self, folder: Path) -> Path:
        """The file of float32, after which the others are named; ``folder`` is the run's."""
        return folder / f"policy{FORMATS[self.format].suffix}" if self.file is None else Path(self.file)

    def paths(self, folder: Path) -> dict[str, Path]:
        """The file of each chosen variant."""
        path = self.path(folder)
        return {v: path if v == FLOAT32 else path.with_name(f"{path.stem}.{v}{path.suffix}") for v in self.chosen}
