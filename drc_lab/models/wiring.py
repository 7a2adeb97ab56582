"""The switches in which the published variants of the DRC differ, with checks."""

import math
from dataclasses import dataclass

from drc_lab.errors import ConfigError

CHOICES = {
    "pool_source": ("own", "below"),
    "pool_projection": ("linear", "full", "per_channel", "per_channel_bias", "overall", "max", "mean"),
    "boundary_ring": ("edge", "outside"),
    "residual": ("none", "layers", "layers_and_carry"),
    "output_gate": ("tanh", "sigmoid"),
}


@dataclass(frozen=True)
class Wiring:
    """How the layers of a DRC are connected in one tick. The defaults are the guide's.

    Args:
        kernel_size: size of the gate convolutions' kernels; odd.
        pool_and_inject: whether each layer reads the mean and max of a map at every cell.
        pool_source: which map is pooled: the layer's "own" previous hidden state, or the map "below" it (published
            names: horizontal, vertical).
        pool_projection: how mean and max become C features, see `drc_lab.models.pooling`.
        use_boundary_channel: whether each layer reads a plane of ones that marks the board's edge.
        boundary_ring: ones on the "edge" cells of the board, or on a ring "outside" it (published names: same, valid).
        top_to_bottom: whether the first layer reads the top layer's hidden state of the previous tick.
        residual: what a layer reads from the layers below. "none": the hidden state of the layer directly below;
            "layers": the sum of the hidden states of all layers below; "layers_and_carry": as "layers", and the sum
            over all layers replaces the top layer's hidden state.
        output_gate: "tanh" or "sigmoid".
        forget_bias: initial bias of the forget gate.
        unused_gate: whether there is a fifth set of gate outputs that nothing reads, as in the weights of Bush et al.
            (2025).
        conv_init: see `drc_lab.models.init`.

    Raises:
        ConfigError: naming the switch whose value is not allowed.
    """

    kernel_size: int = 3
    pool_and_inject: bool = True
    pool_source: str = "own"
    pool_projection: str = "linear"
    use_boundary_channel: bool = True
    boundary_ring: str = "edge"
    top_to_bottom: bool = False
    residual: str = "none"
    output_gate: str = "tanh"
    forget_bias: float = 1.0
    unused_gate: bool = False
    conv_init: str = "kaiming"

    def __post_init__(self) -> None:
        if self.kernel_size < 1 or self.kernel_size % 2 == 0:
            raise ConfigError("kernel_size", self.kernel_size, "an odd number, so that the board keeps its size")
        if not math.isfinite(self.forget_bias):
            raise ConfigError("forget_bias", self.forget_bias, "a finite number")
        for key, allowed in CHOICES.items():
            if getattr(self, key) not in allowed:
                raise ConfigError(key, getattr(self, key), " | ".join(allowed))
        if not self.top_to_bottom:  # the first layer has nothing below it
            for key, default in {"pool_source": "own", "residual": "none"}.items():
                if getattr(self, key) != default:
                    raise ConfigError(key, getattr(self, key), f"{default}, or top_to_bottom=true")

    @property
    def runs_fused(self) -> bool:
        """Whether `drc_lab.models.ticks` supports this wiring; other wirings run layer by layer, which is slower."""
        return self.residual == "none" and self.pool_source == "own"


GUIDE = Wiring()
