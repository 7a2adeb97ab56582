"""The part of train-learned-planner's ``cfg.json`` that defines the network, with the original defaults.

The keys are those of the dataclasses in its cleanba/network.py and cleanba/convlstm.py. Keys that do not affect what
the network computes, such as initialisations, are not read.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, FiniteFloat, ValidationError

from drc_lab.errors import UserError
from drc_lab.untrusted import read_json

Count = Annotated[int, Field(ge=1, le=2**20)]


def _side(size: Any) -> Any:
    """Converts a square kernel size [k, k] to k."""
    if not isinstance(size, list) or len(size) != 2 or size[0] != size[1]:
        raise ValueError("two equal numbers")
    return size[0]


class ConvConfig(BaseModel):
    features: Count
    kernel_size: Annotated[Count, BeforeValidator(_side)]
    strides: tuple[Literal[1], Literal[1]] = (1, 1)
    padding: Literal["SAME"] = "SAME"
    use_bias: bool = True


class ConvLSTMCellConfig(BaseModel):
    conv: ConvConfig
    pool_and_inject: Literal["horizontal", "vertical", "no"] = "horizontal"
    pool_projection: Literal["full", "per-channel", "overall", "max", "mean"] = "full"
    output_activation: Literal["sigmoid", "tanh"] = "sigmoid"
    forget_bias: FiniteFloat = 0.0
    fence_pad: Literal["same", "valid", "no"] = "same"


class IdentityNorm(BaseModel):
    type: Literal["cleanba.network:IdentityNorm"] = Field(
        default="cleanba.network:IdentityNorm", validation_alias="_type_"
    )


class PolicySpec(BaseModel):
    """Keys that all networks have."""

    yang_init: bool = False
    norm: IdentityNorm = IdentityNorm()
    normalize_input: Literal[False] = False
    head_scale: FiniteFloat = 1.0
    mlp_hiddens: tuple[Count] = (256,)


class ConvLSTMConfig(PolicySpec):
    n_recurrent: Count = 1
    repeats_per_step: Count = 1
    skip_final: bool = True
    residual: bool = False
    embed: Annotated[tuple[ConvConfig, ...], Field(min_length=1)]
    recurrent: ConvLSTMCellConfig = ConvLSTMCellConfig.model_validate({"conv": {"features": 32, "kernel_size": [3, 3]}})
    use_relu: bool = True


class GuezResNetConfig(PolicySpec):
    channels: Annotated[tuple[Count, ...], Field(min_length=1)] = (32, 32, 64, 64, 64, 64, 64, 64, 64)
    strides: tuple[Literal[1], ...] = (1, 1, 1, 1, 1, 1, 1, 1, 1)
    kernel_sizes: tuple[Count, ...] = (4, 4, 4, 4, 4, 4, 4, 4, 4)


NETS: dict[str, type[PolicySpec]] = {
    "cleanba.convlstm:ConvLSTMConfig": ConvLSTMConfig,
    "cleanba.network:GuezResNetConfig": GuezResNetConfig,
}


def read_config(path: Path) -> tuple[PolicySpec, tuple[int, int] | None]:
    """Reads a ``cfg.json``.

    Returns:
        The network that it describes, and the (H, W) of the training env's board, or None if it does not say.

    Raises:
        UserError: naming the key whose value this project's networks do not support, or what is wrong with the file.
    """
    config = read_json(path)
    args = _node(config, "cfg") or config  # older files hold the arguments at the top level
    net = _node(args, "net")
    if net is None:
        raise UserError(f"{path}: found no net in it, allowed: the cfg.json of a cp_* folder")
    kind = net.get("_type_")
    if not isinstance(kind, str) or kind not in NETS:
        raise UserError(f"{path}: net._type_: found {kind!r:.80}, allowed: {' | '.join(NETS)}")
    try:
        return NETS[kind].model_validate(net), _board(_node(args, "train_env") or {})
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, ("net", *first["loc"])))
        raise UserError(f"{path}: {key}: found {first['input']!r:.80}, allowed: {first['msg']}") from None


def _node(parent: Any, key: str) -> dict[str, Any] | None:
    child = parent.get(key) if isinstance(parent, dict) else None
    return child if isinstance(child, dict) else None


def _board(train_env: dict[str, Any]) -> tuple[int, int] | None:
    room = train_env.get("dim_room")
    if isinstance(room, list) and len(room) == 2 and all(type(n) is int and n > 0 for n in room):
        return room[0], room[1]
    return None
