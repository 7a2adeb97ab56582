"""The constructor arguments of all policies: names, types, defaults and checks, without importing torch.

The command line validates a config against these dataclasses before it imports modules that take seconds to load;
the policies' constructors take the same arguments.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from drc_lab.errors import ConfigError
from drc_lab.models.wiring import Wiring
from drc_lab.rules import all_at_least, one_of

CONV_INITS = ("kaiming", "lecun", "torch")
LINEAR_INITS = ("small", "lecun", "orthogonal", "torch")
HEADS = ("flatten", "mean", "pool", "cells")
ENCODING_TO_HEAD = ("none", "add", "concat")
ACTIVATIONS = ("tanh", "relu")

Grid = tuple[int, int, int]  # (C_in, H, W)


def check_obs_shape(obs_shape: tuple[int, ...]) -> Grid:
    """Returns ``(C, H, W)`` as three ints.

    Raises:
        ConfigError: not three numbers, or one of them below 1.
    """
    if len(obs_shape) != 3 or min(obs_shape) < 1:
        raise ConfigError(
            "obs_shape", tuple(obs_shape), "(channels, height, width), each at least 1; for vectors: policy=mlp"
        )
    channels, height, width = (int(n) for n in obs_shape)
    return channels, height, width


def reads(obs_shape: Sequence[int], any_size: bool, shape: Sequence[int]) -> bool:
    """Whether a policy built for ``obs_shape`` accepts observations of ``shape``.

    With ``any_size`` only the number of axes and the channels have to match; otherwise the whole shape.
    """
    fixed = obs_shape[:1] if any_size else obs_shape  # C, or (C, H, W)
    return len(shape) == len(obs_shape) and tuple(shape[: len(fixed)]) == tuple(fixed)


@dataclass(frozen=True)
class GridSpec:
    """Arguments that all policies on boards share.

    Args:
        obs_shape: (C_in, H, W).
        num_actions: |A|.
    """

    obs_shape: Grid
    num_actions: int

    @property
    def any_size(self) -> bool:
        """Whether boards may differ in height and width from ``obs_shape``: true for every head but "flatten"."""
        return getattr(self, "head", None) != HEADS[0]

    def check(self, *sizes: str) -> None:
        """Checks the observation shape, head and inits, and that each attribute named in ``sizes`` is at least 1.

        Raises:
            ConfigError: about the first argument that is not allowed.
        """
        all_at_least(self, 1, "num_actions", *sizes)
        check_obs_shape(self.obs_shape)
        choices = {"head": HEADS, "conv_init": CONV_INITS, "proj_init": LINEAR_INITS, "head_init": LINEAR_INITS}
        for key, allowed in choices.items():
            one_of(key, getattr(self, key), allowed)


@dataclass(frozen=True)
class DRCSpec(GridSpec):
    """Arguments of `drc_lab.models.drc.DRCPolicy`.

    Args:
        hidden_channels: C, channels of the encoding, the hidden state and the cell state.
        num_layers: L.
        repeats_per_step: R, the default number of ticks for each observation.
        kernel_size: size of the gate convolutions' kernels; odd.
        pool_and_inject: whether each layer reads the mean and max of a map (pool-and-inject).
        use_boundary_channel: whether each layer reads a plane that marks the board's edge.
        proj_dim: width of the head's shared layer.
        head: "flatten" (one board size), "mean", "pool" or "cells" (any size), see `drc_lab.models.heads`.
        encoding_to_head: whether the head reads the top hidden state alone ("none"), the sum of it and the encoding
            ("add", Taufeeque et al. 2024), or both concatenated ("concat", encoding first, Bush et al. 2025).
        encoder_layers, encoder_kernel_size, encoder_relu: see `drc_lab.models.encoders`.
        pool_source, pool_projection, boundary_ring, top_to_bottom, residual, output_gate, forget_bias, unused_gate:
            see `drc_lab.models.wiring`.
        conv_init, proj_init, head_init: initialisation of the weights, see `drc_lab.models.init`.
        recompute_steps: None stores the activations of every tick for the backward pass. A number n stores only the
            carry every n steps and recomputes the ticks between: less memory, more time (experiments/benchmarks).
        recurrent_precision: "float32", or "bfloat16" for the products of the gate convolutions; see
            `drc_lab.models.precision`.
    """

    hidden_channels: int = 32
    num_layers: int = 3
    repeats_per_step: int = 3
    kernel_size: int = 3
    pool_and_inject: bool = True
    use_boundary_channel: bool = True
    proj_dim: int = 256
    head: str = "flatten"
    encoding_to_head: str = "none"
    encoder_layers: int = 2
    encoder_kernel_size: int = 3
    encoder_relu: bool = False
    pool_source: str = "own"
    pool_projection: str = "linear"
    boundary_ring: str = "edge"
    top_to_bottom: bool = False
    residual: str = "none"
    output_gate: str = "tanh"
    forget_bias: float = 1.0
    unused_gate: bool = False
    conv_init: str = "kaiming"
    proj_init: str = "small"
    head_init: str = "small"
    recompute_steps: int | None = None
    recurrent_precision: str = "float32"

    def __post_init__(self) -> None:
        self.check(
            "hidden_channels", "num_layers", "repeats_per_step", "proj_dim", "encoder_layers", "encoder_kernel_size",
            "recompute_steps",
        )  # fmt: skip
        one_of("encoding_to_head", self.encoding_to_head, ENCODING_TO_HEAD)
        check_precision(self.recurrent_precision, self.hidden_channels, self.wiring)

    @property
    def wiring(self) -> Wiring:
        """How the layers are connected; its constructor checks the switches."""
        return Wiring(
            self.kernel_size, self.pool_and_inject, self.pool_source, self.pool_projection, self.use_boundary_channel,
            self.boundary_ring, self.top_to_bottom, self.residual, self.output_gate, self.forget_bias,
            self.unused_gate, self.conv_init,
        )  # fmt: skip


def check_precision(precision: str, hidden_channels: int, wiring: Wiring) -> None:
    """Checks that a DRC with this wiring and number of channels can run in this precision.

    Raises:
        ConfigError: about ``recurrent_precision``.
    """
    one_of("recurrent_precision", precision, ("float32", "bfloat16"))
    if precision == "bfloat16":
        if not wiring.runs_fused:
            raise ConfigError("recurrent_precision", precision, "float32 with this residual or pool_source")
        if hidden_channels % 2:  # bfloat16 inputs are multiplied in pairs
            raise ConfigError(
                "recurrent_precision", precision, f"float32 with {hidden_channels} channels, an odd number"
            )


@dataclass(frozen=True)
class ConvLSTMSpec(GridSpec):
    """Arguments of `drc_lab.models.convlstm.ConvLSTMPolicy`.

    Args:
        hidden_channels: C, channels of the encoding, the hidden state and the cell state.
        num_layers: L.
        repeats_per_step: R, the default number of ticks for each observation.
        proj_dim: width of the head's shared layer.
        head: "mean" (global average pooling), "pool" or "cells", which take any board size, or "flatten", which takes
            one; see `drc_lab.models.heads`.
        forget_bias: initial bias of the forget gates.
        conv_init, proj_init, head_init: initialisation of the weights, see `drc_lab.models.init`.
    """

    hidden_channels: int = 32
    num_layers: int = 3
    repeats_per_step: int = 3
    proj_dim: int = 128
    head: str = "mean"
    forget_bias: float = 1.0
    conv_init: str = "kaiming"
    proj_init: str = "orthogonal"
    head_init: str = "orthogonal"

    def __post_init__(self) -> None:
        self.check("hidden_channels", "num_layers", "repeats_per_step", "proj_dim")


@dataclass(frozen=True)
class TransformerSpec(GridSpec):
    """Arguments of `drc_lab.models.transformer.LoopedTransformerPolicy`.

    Args:
        hidden_channels: D, width of each cell's token.
        num_layers: blocks per tick.
        repeats_per_step: R, the default number of ticks for each observation.
        num_heads: number of attention heads; a divisor of D.
        mlp_ratio: hidden width of the MLPs, as a multiple of D.
        proj_dim: width of the head's shared layer.
        head: "mean" (global average pooling), "pool" or "cells", which take any board size, or "flatten", which takes
            one; see `drc_lab.models.heads`.
        conv_init, proj_init, head_init: initialisation of encoder and head, see `drc_lab.models.init`.
    """

    hidden_channels: int = 96
    num_layers: int = 2
    repeats_per_step: int = 3
    num_heads: int = 4
    mlp_ratio: int = 4
    proj_dim: int = 128
    head: str = "cells"
    conv_init: str = "kaiming"
    proj_init: str = "orthogonal"
    head_init: str = "orthogonal"

    def __post_init__(self) -> None:
        self.check("hidden_channels", "num_layers", "repeats_per_step", "num_heads", "mlp_ratio", "proj_dim")
        if self.hidden_channels % self.num_heads:
            raise ConfigError("num_heads", self.num_heads, f"a divisor of hidden_channels = {self.hidden_channels}")


@dataclass(frozen=True)
class SmallCNNSpec(GridSpec):
    """Arguments of `drc_lab.models.cnn.SmallCNNPolicy`.

    Args:
        channels: output channels of each convolution.
        stride: stride of every convolution; 2 suits images, where objects are larger than a pixel.
        proj_dim: width of the head's shared layer.
        head: "mean" (global average pooling), "pool" or "cells", which take any board size, or "flatten", which takes
            one; see `drc_lab.models.heads`.
        conv_init, proj_init, head_init: initialisation of the weights, see `drc_lab.models.init`.
    """

    channels: Sequence[int] = (32, 64, 64)
    stride: int = 1
    proj_dim: int = 128
    head: str = "mean"
    conv_init: str = "kaiming"
    proj_init: str = "orthogonal"
    head_init: str = "orthogonal"

    def __post_init__(self) -> None:
        self.check("stride", "proj_dim")
        if not self.channels or min(self.channels) < 1:
            raise ConfigError("channels", list(self.channels), "at least one number, each at least 1")


@dataclass(frozen=True)
class ResNetSpec(GridSpec):
    """Arguments of `drc_lab.models.resnet.ResNetPolicy`.

    Args:
        channels: output channels of each stage.
        kernel_sizes: kernel size of each stage's convolutions.
        proj_dim: width of the head's shared layer.
        head: "flatten" (one board size), "mean", "pool" or "cells" (any size), see `drc_lab.models.heads`.
        conv_init, proj_init, head_init: initialisation of the weights, see `drc_lab.models.init`.
    """

    channels: Sequence[int] = (32, 32, 64, 64, 64, 64, 64, 64, 64)
    kernel_sizes: Sequence[int] = (4, 4, 4, 4, 4, 4, 4, 4, 4)
    proj_dim: int = 256
    head: str = "flatten"
    conv_init: str = "lecun"
    proj_init: str = "lecun"
    head_init: str = "orthogonal"

    def __post_init__(self) -> None:
        self.check("proj_dim")
        if not self.channels or min(self.channels) < 1:
            raise ConfigError("channels", list(self.channels), "one or more, each at least 1")
        if len(self.kernel_sizes) != len(self.channels) or min(self.kernel_sizes) < 1:
            allowed = f"{len(self.channels)} as channels, each at least 1"
            raise ConfigError("kernel_sizes", list(self.kernel_sizes), allowed)


@dataclass(frozen=True)
class MLPSpec:
    """Arguments of `drc_lab.models.mlp.MLPPolicy`.

    Args:
        obs_shape: shape of one observation, which the policy flattens.
        num_actions: |A|.
        hidden_sizes: widths of the hidden layers; empty for a linear policy.
        activation: "tanh" or "relu".
        hidden_init, head_init: initialisation of the weights, see `drc_lab.models.init`.
    """

    obs_shape: tuple[int, ...]
    num_actions: int
    hidden_sizes: Sequence[int] = (64, 64)
    activation: str = "tanh"
    hidden_init: str = "orthogonal"
    head_init: str = "small"

    any_size = False

    def __post_init__(self) -> None:
        all_at_least(self, 1, "num_actions")
        if any(size < 1 for size in self.hidden_sizes):
            raise ConfigError("hidden_sizes", list(self.hidden_sizes), "widths of at least 1")
        one_of("activation", self.activation, ACTIVATIONS)
        one_of("hidden_init", self.hidden_init, LINEAR_INITS)
        one_of("head_init", self.head_init, LINEAR_INITS)


@dataclass(frozen=True)
class AutoSpec:
    """Arguments of `drc_lab.models.auto.choose_policy`.

    Args:
        obs_shape: (F,) or (C, H, W).
        num_actions: |A|.
        smallest_board, largest_board: range of side lengths, in cells, for which a DRC is chosen.
    """

    obs_shape: tuple[int, ...]
    num_actions: int
    smallest_board: int = 5
    largest_board: int = 16

    def __post_init__(self) -> None:
        if not 1 <= self.smallest_board <= self.largest_board:
            raise ConfigError("smallest_board", self.smallest_board, f"1 to largest_board = {self.largest_board}")
