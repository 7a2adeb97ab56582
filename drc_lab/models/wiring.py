"""The switches in which the published variants of the DRC differ, with checks."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Le

from drc_lab.arguments import Spec
from drc_lab.errors import ConfigError
from drc_lab.rules import Odd, Real

ConvInit = Literal["kaiming", "lecun", "torch"]
PoolSource = Literal["own", "below"]
PoolProjection = Literal["linear", "full", "per_channel", "per_channel_bias", "overall", "max", "mean"]
BoundaryRing = Literal["edge", "outside"]
Residual = Literal["none", "layers", "layers_and_carry"]
OutputGate = Literal["tanh", "sigmoid"]
LARGEST_KERNEL = 255  # cells, the side of the largest board
KERNELS = f"an odd number, so that the board keeps its size, up to {LARGEST_KERNEL}"
KernelSize = Annotated[Odd, Le(LARGEST_KERNEL), KERNELS]


@dataclass(frozen=True)
class Wiring(Spec):
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

    kernel_size: KernelSize = 3
    pool_and_inject: bool = True
    pool_source: PoolSource = "own"
    pool_projection: PoolProjection = "linear"
    use_boundary_channel: bool = True
    boundary_ring: BoundaryRing = "edge"
    top_to_bottom: bool = False
    residual: Residual = "none"
    output_gate: OutputGate = "tanh"
    forget_bias: Real = 1.0
    unused_gate: bool = False
    conv_init: ConvInit = "kaiming"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.top_to_bottom:  # the first layer has nothing below it
            for key, default in {"pool_source": "own", "residual": "none"}.items():
                if getattr(self, key) != default:
                    raise ConfigError(key, getattr(self, key), f"{default}, or top_to_bottom=true")

    @property
    def runs_fused(self) -> bool:
        """Whether `drc_lab.models.ticks` supports this wiring; other wirings run layer by layer, which is slower."""
        return self.residual == "none" and self.pool_source == "own"
