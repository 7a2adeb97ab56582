"""One step of a policy as a module whose inputs and outputs are plain tensors, which exporters can trace."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_unflatten

from drc_lab.errors import ConfigError
from drc_lab.models.drc_core import DRCStack, State
from drc_lab.models.policy import Policy
from drc_lab.models.taps import Taps


@dataclass(frozen=True)
class Interface:
    """The inputs and outputs of an exported step, all with a leading batch axis of any length.

    Args:
        obs_shape: shape of one observation.
        obs_dtype: "uint8" (0 to 255, scaled inside the step) or "float32" (used unchanged).
        carry: name and shape of each tensor of the carry, float32, zeros at the start of an episode; empty in a policy
            without memory.
        repeats: number of ticks of the step.
    """

    obs_shape: tuple[int, ...]
    obs_dtype: str
    carry: dict[str, tuple[int, ...]]
    repeats: int

    @property
    def inputs(self) -> list[str]:
        """Names of the inputs: obs [B, ...]; and with a carry also resets, bool [B], and the carry's tensors.

        Where resets is true, the carry is zeroed before it is used.
        """
        return ["obs", *(["resets"] if self.carry else []), *self.carry]

    @property
    def outputs(self) -> list[str]:
        """Names of the outputs: logits [B, A], value [B, 1] and the carry after the step, all float32."""
        return ["logits", "value", *(f"new_{name}" for name in self.carry)]

    def example(self, batch: int) -> tuple[Tensor, ...]:
        """Inputs that are all zeros."""
        obs = torch.zeros(batch, *self.obs_shape, dtype=getattr(torch, self.obs_dtype))
        resets = (torch.zeros(batch, dtype=torch.bool),) if self.carry else ()
        return obs, *resets, *self.init_carry(batch)

    def init_carry(self, batch: int) -> list[Tensor]:
        """The carry at the start of an episode."""
        return [torch.zeros(batch, *shape) for shape in self.carry.values()]


class PolicyStep(nn.Module):
    """A copy of a policy, reduced to one step of inference.

    The compiled tick engine cannot be traced, so the stacks of the copy run `DRCStack.tick`, which is plain torch.
    Inputs and outputs keep the dtypes of `Interface` if the step is converted to another precision with `to`.

    Args:
        policy: any policy; it is not changed.
        obs_dtype: see `Interface`.
        repeats: ticks of the exported step, which are fixed; None: the policy's own number.
        obs_shape: shape of the observations of the exported step, which is fixed; None: the shape that the policy was
            built for.

    Raises:
        ConfigError: about ``repeats`` or ``obs_dtype``.
    """

    def __init__(
        self,
        policy: Policy,
        obs_dtype: str = "uint8",
        repeats: int | None = None,
        obs_shape: tuple[int, ...] | None = None,
    ):
        super().__init__()
        if obs_dtype not in ("uint8", "float32"):
            raise ConfigError("obs_dtype", obs_dtype, "uint8 | float32")
        (ticks,) = policy.repeats_of(repeats, 1)
        self.policy = copy.deepcopy(policy).cpu().eval().requires_grad_(False)
        for module in self.policy.modules():
            if isinstance(module, DRCStack):
                module.__class__ = PlainStack
        self.policy.repeats_per_step = ticks
        shape = tuple(policy.obs_shape if obs_shape is None else obs_shape)
        H, W = shape[1:] if len(shape) == 3 else (None, None)
        state = self.policy.init_state(1, H, W)
        leaves, self._structure = tree_flatten(state)
        names = carry_names(state, len(leaves))
        shapes = {name: tuple(leaf.shape[1:]) for name, leaf in zip(names, leaves, strict=True)}
        self.interface = Interface(shape, obs_dtype, shapes, ticks)

    def another(self) -> "PolicyStep":
        """A copy, which can be converted to another precision without changing this one."""
        return PolicyStep(self.policy, self.interface.obs_dtype, None, self.interface.obs_shape)

    def forward(
        self, obs: Shaped[Tensor, "B *obs"], *resets_and_carry: Shaped[Tensor, "B ..."]
    ) -> tuple[Float[Tensor, "B ..."], ...]:
        """Takes `Interface.inputs` in that order, returns `Interface.outputs`."""
        if self.interface.carry:
            resets, *carry = resets_and_carry
        else:
            resets, carry = torch.zeros(obs.shape[0], dtype=torch.bool), []  # len() would fix the batch size
        dtype = next(self.parameters()).dtype
        obs = obs if obs.dtype == torch.uint8 else obs.to(dtype)
        state: Any = tree_unflatten([x.to(dtype) for x in carry], self._structure)
        out, state = self.policy.unroll(obs[None], state, resets[None])
        logits, value = (x[0].float() for x in out)  # (1, B, A), (1, B, 1) -> (B, A), (B, 1)
        return logits, value, *(x.float() for x in tree_flatten(state)[0])


class PlainStack(DRCStack):
    """A `DRCStack` for sequences of a single step, which runs tick by tick in plain torch."""

    def forward(
        self,
        e: Float[Tensor, "1 B C H W"],
        state: State,
        resets: Bool[Tensor, "1 B"],
        repeats: Sequence[int],
        taps: Taps | None = None,
    ) -> tuple[Float[Tensor, "1 B C H W"], State]:
        """Returns h_top and the carry, as in `DRCStack.forward`."""
        (ticks,) = repeats
        keep = (~resets[0]).to(e.dtype)[:, None, None, None]  # (B, 1, 1, 1)
        h, c = ([x * keep for x in maps] for maps in state)
        for tick in range(ticks):
            if taps is not None:
                taps.tick = tick
            h, c = self.tick(e[0], (h, c), taps)
        return h[-1][None], (h, c)


def carry_names(state: Any, leaves: int) -> list[str]:
    """Names of the carry's tensors: h_0, h_1, ..., c_0, c_1, ... for (h_list, c_list) of an LSTM, else carry_0, ..."""
    if isinstance(state, tuple) and len(state) == 2 and all(isinstance(part, list) for part in state):
        return [f"{letter}_{i}" for letter, part in zip("hc", state, strict=True) for i in range(len(part))]
    return [f"carry_{i}" for i in range(leaves)]
