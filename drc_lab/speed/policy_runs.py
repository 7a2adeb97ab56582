"""The workloads of task=policy_speed: steps and gradients of the library's DRC and of the plain one, and bare
convolutions."""

import copy
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from drc_lab.app.specs import PolicySpeedSpec
from drc_lab.errors import UserError
from drc_lab.learning.actor import GraphedActor
from drc_lab.learning.unroll import GraphedUnroll
from drc_lab.models.drc import DRCPolicy
from drc_lab.models.drc_plain import plain_step, plain_unroll
from drc_lab.models.policy import Policy
from drc_lab.models.precision import has_bfloat16
from drc_lab.speed.timing import Run

LAYOUTS = {"naive": torch.contiguous_format, "naive_nhwc": torch.channels_last}
SAVING, BFLOAT16, GRAPHS = "recomputing", "bf16", "graphs"
PASSES = ("forward", "input_gradient", "weight_gradient")
STEPS = 4  # steps without gradient in one timing; the weights stay the same, as in a rollout


class Ours:
    """A policy of the library, as training and evaluation use it.

    Args:
        policy: on its device.
        obs_shape: (C, H, W).
    """

    layout = torch.channels_last

    def __init__(self, policy: Policy, obs_shape: list[int]):
        self.policy, self.obs_shape = policy, obs_shape
        self.device = next(policy.parameters()).device

    def ready(self) -> AbstractContextManager[Any]:
        """Context in which the weights do not change, so that steps may reuse what was prepared from them."""
        return self.policy.frozen()

    def step(self, obs: Tensor, state: Any) -> Any:
        """Takes a step; returns the next carry."""
        return self.policy(obs, state)[1]

    def unroll(self, obs: Tensor, state: Any, resets: Tensor) -> tuple[Tensor, Tensor]:
        """Unrolls a sequence; returns logits [T, B, A] and values [T, B, 1]."""
        return self.policy.unroll(obs, state, resets)[0]

    def stepping(self, envs: int) -> Run:
        """Returns a run of steps without gradient for that many envs. Each call continues from the previous carry."""
        obs, state = self._obs(1, envs)[0], self._start(envs)

        @torch.no_grad()
        def run() -> int:
            nonlocal state
            with self.ready():
                for _ in range(STEPS):
                    state = self.step(obs, state)
            return self._done(STEPS * envs)

        return run

    def learning(self, steps: int, batch: int) -> Run:
        """Returns a run of one forward and backward pass over ``steps`` steps of ``batch`` envs."""
        obs, state = self._obs(steps, batch), self._start(batch)
        resets = torch.zeros(steps, batch, dtype=torch.bool, device=self.device)

        def run() -> int:
            logits, values = self.unroll(obs, state, resets)
            (logits.sum() + values.sum()).backward()
            self.policy.zero_grad()
            return self._done(steps * batch)

        return run

    def _obs(self, steps: int, batch: int) -> Tensor:
        obs = torch.rand(steps * batch, *self.obs_shape, device=self.device)
        return obs.contiguous(memory_format=self.layout).unflatten(0, (steps, batch))  # (T, B, C, H, W)

    def _start(self, batch: int) -> Any:
        _, H, W = self.obs_shape
        return self.policy.init_state(batch, H, W, self.device)

    def _done(self, steps: int) -> int:
        synchronize(self.device)
        return steps


class Plain(Ours):
    """The plain implementation of the same DRC, `drc_lab.models.drc_plain`.

    Args:
        policy: whose weights are copied.
        obs_shape: (C, H, W).
        layout: memory format of its maps and weights.
    """

    policy: DRCPolicy

    def __init__(self, policy: DRCPolicy, obs_shape: list[int], layout: torch.memory_format):
        own: DRCPolicy = copy.deepcopy(policy).to(memory_format=layout)  # type: ignore[call-overload] # torch's stub
        super().__init__(own, obs_shape)
        self.layout = layout

    def step(self, obs: Tensor, state: Any) -> Any:
        return plain_step(self.policy, obs, state, self.policy.repeats_per_step)[2]

    def unroll(self, obs: Tensor, state: Any, resets: Tensor) -> tuple[Tensor, Tensor]:
        repeats = [self.policy.repeats_per_step] * len(obs)
        return plain_unroll(self.policy, obs, state, resets, repeats)[:2]

    def _start(self, batch: int) -> Any:
        return tree_map(lambda x: x.contiguous(memory_format=self.layout), super()._start(batch))


class Graphed(Ours):
    """The DRC as trainings run it on a GPU, as CUDA graphs that are recorded once and replayed."""

    def __init__(self, policy: DRCPolicy, obs_shape: list[int]):
        super().__init__(policy, obs_shape)
        self.actor, self.learner = GraphedActor(policy, self._fail), GraphedUnroll(policy, self._fail)

    def _fail(self, line: str) -> None:
        raise UserError(f"task=policy_speed: {line}")

    def ready(self) -> AbstractContextManager[Any]:
        return self.actor.ready()

    def step(self, obs: Tensor, state: Any) -> Any:
        resets = torch.zeros(len(obs), dtype=torch.bool, device=self.device)
        return self.actor.act(obs, state, resets, self.policy.repeats_per_step)[1]

    def unroll(self, obs: Tensor, state: Any, resets: Tensor) -> tuple[Tensor, Tensor]:
        return self.learner(obs, state, resets, (self.policy.repeats_per_step,) * len(obs))


def implementations(spec: PolicySpeedSpec) -> dict[str, Ours]:
    """Makes the DRCs that are compared, by name: the plain one in both layouts, the library's, and the library's with
    recomputing; on a GPU also as CUDA graphs, and in bfloat16 if the device has it. All have the same weights."""
    device, policy = torch.device(spec.device), spec.drc()
    subjects: dict[str, Ours] = {name: Plain(policy, spec.obs_shape, layout) for name, layout in LAYOUTS.items()}
    subjects |= {
        "ours": Ours(policy, spec.obs_shape),
        SAVING: Ours(spec.drc(recompute_steps=spec.recompute_steps), spec.obs_shape),
    }
    if device.type == "cuda":
        subjects[GRAPHS] = Graphed(policy, spec.obs_shape)
    if has_bfloat16(device):
        half = spec.drc(recurrent_precision="bfloat16")
        subjects[BFLOAT16] = Ours(half, spec.obs_shape)
        if device.type == "cuda":
            subjects[f"{GRAPHS} {BFLOAT16}"] = Graphed(half, spec.obs_shape)
    for subject in subjects.values():
        subject.policy.load_state_dict(policy.state_dict())
    return subjects


def convolutions(spec: PolicySpeedSpec) -> dict[tuple[str, int], Run]:
    """Returns runs of the recurrent convolution alone (2C -> 4C, channels-last) by pass and batch size. They return how
    many floating-point operations they did."""
    C, (_, H, W), runs = spec.hidden_channels, spec.obs_shape, {}
    weight = _channels_last(4 * C, 2 * C, 3, 3, device=spec.device)
    for batch in spec.conv_batches:
        x, dz = (_channels_last(batch, n * C, H, W, device=spec.device) for n in (2, 4))
        for name in PASSES:
            times = max(1, max(spec.conv_batches) // batch)  # about the same amount of work in every timing
            times *= 20 if spec.device == "cuda" else 1  # and enough to keep a GPU from waiting for Python
            runs[name, batch] = _repeated(_convolution(name, x, weight, dz), times, 2 * weight.numel() * batch * H * W)
    return runs


def _channels_last(*shape: int, device: str) -> Tensor:
    return torch.rand(shape, device=device).contiguous(memory_format=torch.channels_last)


def _convolution(name: str, x: Tensor, weight: Tensor, dz: Tensor) -> Callable[[], Any]:
    if name == "forward":
        return lambda: torch.conv2d(x, weight, padding=1)
    want = [name == "input_gradient", name == "weight_gradient", False]
    arguments = dz, x, weight, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1, want
    return lambda: torch.ops.aten.convolution_backward(*arguments)


def _repeated(call: Callable[[], Any], times: int, operations: int) -> Run:
    def run() -> int:
        for _ in range(times):
            out = call()
        synchronize(next(t for t in out if t is not None).device)
        return times * operations

    return run


def synchronize(device: torch.device) -> None:
    """Waits until a GPU has finished all queued work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
