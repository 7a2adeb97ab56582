"""The constructor arguments of all policies: names, types, defaults and checks, without importing torch.

The command line validates a config against these dataclasses before it imports modules that take seconds to load;
the policies' constructors take the same arguments.
"""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, fields
from typing import Annotated, Literal, get_args

from annotated_types import Le, MinLen

from drc_lab.arguments import Spec, fit
from drc_lab.errors import ConfigError
from drc_lab.models.wiring import (
    LARGEST_KERNEL,
    BoundaryRing,
    ConvInit,
    KernelSize,
    OutputGate,
    PoolProjection,
    PoolSource,
    Residual,
    Wiring,
)
from drc_lab.rules import Positive, Real, one_of

LinearInit = Literal["small", "lecun", "orthogonal", "torch"]
HeadKind = Literal["flatten", "mean", "pool", "cells"]
Activation = Literal["tanh", "relu"]
Precision = Literal["float32", "bfloat16"]
# Beyond these limits not even the number of weights could be computed; the memory that there is sets lower ones.
Width = Annotated[Positive, Le(2**20)]
Layers = Annotated[Positive, Le(1000)]
Kernel = Annotated[Positive, Le(LARGEST_KERNEL)]
Channels = Annotated[Sequence[Width], MinLen(1)]

Grid = Annotated[
    tuple[Positive, Positive, Positive], "(channels, height, width), each at least 1; for vectors: policy=mlp"
]  # (C_in, H, W)


def check_obs_shape(obs_shape: tuple[int, ...]) -> Grid:
    """Returns ``(C, H, W)`` as three ints.

    Raises:
        ConfigError: not three numbers, or one of them below 1.
    """
    return fit(Grid, tuple(obs_shape), "obs_shape")


def reads(obs_shape: Sequence[int], any_size: bool, shape: Sequence[int]) -> bool:
    """Whether a policy built for ``obs_shape`` accepts observations of ``shape``.

    With ``any_size`` only the number of axes and the channels have to match; otherwise the whole shape.
    """
    fixed = obs_shape[:1] if any_size else obs_shape  # C, or (C, H, W)
    return len(shape) == len(obs_shape) and tuple(shape[: len(fixed)]) == tuple(fixed)


@dataclass(frozen=True, kw_only=True)
class HeadSpec(Spec):
    """Arguments of a policy's head, and the initialisation of its weights.

    Args:
        proj_dim: width of the head's shared layer.
        head: "flatten" (one board size), "mean", "pool" or "cells" (any size), see `drc_lab.models.heads`.
        conv_init, proj_init, head_init: initialisation of the convolutions, of the head's shared layer and of the two
            outputs, see `drc_lab.models.init`.
    """

    proj_dim: Width = 128
    head: HeadKind = "mean"
    conv_init: ConvInit = "kaiming"
    proj_init: LinearInit = "orthogonal"
    head_init: LinearInit = "orthogonal"

    @property
    def any_size(self) -> bool:
        """Whether boards may differ in height and width from those the policy is built for."""
        return self.head != "flatten"


@dataclass(frozen=True)
class GridSpec(HeadSpec):
    """Arguments that all policies on boards share; those of `HeadSpec` are given by name.

    Args:
        obs_shape: (C_in, H, W).
        num_actions: |A|.
    """

    obs_shape: Grid
    num_actions: Positive


@dataclass(frozen=True)
class DRCSpec(GridSpec):
    """Arguments of `drc_lab.models.drc.DRCPolicy`; see also `GridSpec`.

    Args:
        hidden_channels: C, channels of the encoding, the hidden state and the cell state.
        num_layers: L.
        repeats_per_step: R, the default number of ticks for each observation.
        kernel_size: size of the gate convolutions' kernels; odd.
        pool_and_inject: whether each layer reads the mean and max of a map (pool-and-inject).
        use_boundary_channel: whether each layer reads a plane that marks the board's edge.
        encoding_to_head: whether the head reads the top hidden state alone ("none"), the sum of it and the encoding
            ("add", Taufeeque et al. 2024), or both concatenated ("concat", encoding first, Bush et al. 2025).
        encoder_layers, encoder_kernel_size, encoder_relu: see `drc_lab.models.encoders`.
        pool_source, pool_projection, boundary_ring, top_to_bottom, residual, output_gate, forget_bias, unused_gate:
            see `drc_lab.models.wiring`.
        recompute_steps: None stores the activations of every tick for the backward pass. A number n stores only the
            carry every n steps and recomputes the ticks between: less memory, more time (experiments/benchmarks).
        recurrent_precision: "float32", or "bfloat16" for the products of the gate convolutions; see
            `drc_lab.models.precision`.
    """

    hidden_channels: Width = 32
    num_layers: Layers = 3
    repeats_per_step: Positive = 3
    kernel_size: KernelSize = 3
    pool_and_inject: bool = True
    use_boundary_channel: bool = True
    encoding_to_head: Literal["none", "add", "concat"] = "none"
    encoder_layers: Layers = 2
    encoder_kernel_size: Kernel = 3
    encoder_relu: bool = False
    pool_source: PoolSource = "own"
    pool_projection: PoolProjection = "linear"
    boundary_ring: BoundaryRing = "edge"
    top_to_bottom: bool = False
    residual: Residual = "none"
    output_gate: OutputGate = "tanh"
    forget_bias: Real = 1.0
    unused_gate: bool = False
    recompute_steps: Positive | None = None
    recurrent_precision: Precision = "float32"
    _: KW_ONLY
    proj_dim: Width = 256
    head: HeadKind = "flatten"
    proj_init: LinearInit = "small"
    head_init: LinearInit = "small"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_precision(self.recurrent_precision, self.hidden_channels, self.wiring)

    @property
    def wiring(self) -> Wiring:
        """How the layers are connected; its constructor checks the switches."""
        return Wiring(**{field.name: getattr(self, field.name) for field in fields(Wiring)})


def check_precision(precision: str, hidden_channels: int, wiring: Wiring) -> None:
    """Checks that a DRC with this wiring and number of channels can run in this precision.

    Raises:
        ConfigError: about ``recurrent_precision``.
    """
    one_of("recurrent_precision", precision, get_args(Precision))
    if precision == "bfloat16":
        if not wiring.runs_fused:
            raise ConfigError("recurrent_precision", precision, "float32 with this residual or pool_source")
        if hidden_channels % 2:  # bfloat16 inputs are multiplied in pairs
            raise ConfigError(
                "recurrent_precision", precision, f"float32 with {hidden_channels} channels, an odd number"
            )


@dataclass(frozen=True)
class ConvLSTMSpec(GridSpec):
    """Arguments of `drc_lab.models.convlstm.ConvLSTMPolicy`; see also `GridSpec`.

    Args:
        hidden_channels: C, channels of the encoding, the hidden state and the cell state.
        num_layers: L.
        repeats_per_step: R, the default number of ticks for each observation.
        forget_bias: initial bias of the forget gates.
    """

    hidden_channels: Width = 32
    num_layers: Layers = 3
    repeats_per_step: Positive = 3
    forget_bias: Real = 1.0


@dataclass(frozen=True)
class TransformerSpec(GridSpec):
    """Arguments of `drc_lab.models.transformer.LoopedTransformerPolicy`; see also `GridSpec`.

    Args:
        hidden_channels: D, width of each cell's token.
        num_layers: blocks per tick.
        repeats_per_step: R, the default number of ticks for each observation.
        num_heads: number of attention heads; a divisor of D.
        mlp_ratio: hidden width of the MLPs, as a multiple of D.
    """

    hidden_channels: Width = 96
    num_layers: Layers = 2
    repeats_per_step: Positive = 3
    num_heads: Positive = 4
    mlp_ratio: Width = 4
    _: KW_ONLY
    head: HeadKind = "cells"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.hidden_channels % self.num_heads:
            raise ConfigError("num_heads", self.num_heads, f"a divisor of hidden_channels = {self.hidden_channels}")


@dataclass(frozen=True)
class SmallCNNSpec(GridSpec):
    """Arguments of `drc_lab.models.cnn.SmallCNNPolicy`; see also `GridSpec`.

    Args:
        channels: output channels of each convolution.
        stride: stride of every convolution; 2 suits images, where objects are larger than a pixel.
    """

    channels: Channels = (32, 64, 64)
    stride: Positive = 1


@dataclass(frozen=True)
class ResNetSpec(GridSpec):
    """Arguments of `drc_lab.models.resnet.ResNetPolicy`; see also `GridSpec`.

    Args:
        channels: output channels of each stage.
        kernel_sizes: kernel size of each stage's convolutions.
    """

    channels: Channels = (32, 32, 64, 64, 64, 64, 64, 64, 64)
    kernel_sizes: Sequence[Kernel] = (4, 4, 4, 4, 4, 4, 4, 4, 4)
    _: KW_ONLY
    proj_dim: Width = 256
    head: HeadKind = "flatten"
    conv_init: ConvInit = "lecun"
    proj_init: LinearInit = "lecun"

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.kernel_sizes) != len(self.channels):
            raise ConfigError("kernel_sizes", list(self.kernel_sizes), f"{len(self.channels)} as channels")


@dataclass(frozen=True)
class MLPSpec(Spec):
    """Arguments of `drc_lab.models.mlp.MLPPolicy`.

    Args:
        obs_shape: shape of one observation, which the policy flattens.
        num_actions: |A|.
        hidden_sizes: widths of the hidden layers; empty for a linear policy.
        activation: "tanh" or "relu".
        hidden_init, head_init: initialisation of the weights, see `drc_lab.models.init`.
    """

    obs_shape: tuple[Positive, ...]
    num_actions: Positive
    hidden_sizes: Sequence[Annotated[Positive, Le(2**30)]] = (64, 64)
    activation: Activation = "tanh"
    hidden_init: LinearInit = "orthogonal"
    head_init: LinearInit = "small"

    any_size = False


@dataclass(frozen=True)
class AutoSpec(Spec):
    """Arguments of `drc_lab.models.auto.choose_policy`.

    Args:
        obs_shape: (F,) or (C, H, W).
        num_actions: |A|.
        smallest_board, largest_board: range of side lengths, in cells, for which a DRC is chosen.
    """

    obs_shape: tuple[Positive, ...]
    num_actions: Positive
    smallest_board: Positive = 5
    largest_board: Positive = 16

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.smallest_board > self.largest_board:
            raise ConfigError("smallest_board", self.smallest_board, f"1 to largest_board = {self.largest_board}")
