"""Acting with a DRC whose weights are frozen: from observations to logits, value and carry in one compiled call.

A step of a small net takes only a few hundred thousand multiply-adds, so that the dozen torch operations before and
after the tick loop would take as long as the loop itself.
"""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Shaped
from torch import Tensor, nn

from drc_lab.models.compiled.engine import CompiledTicks
from drc_lab.models.compiled.forward import ZERO, forward
from drc_lab.models.compiled.kernels import SAMPLES, convolution, product, tile
from drc_lab.models.compiled.memory import at, call, lines
from drc_lab.models.heads import ActorCriticHead
from drc_lab.models.policy import PolicyValue
from drc_lab.models.workers import in_workers
from drc_lab.numerics import jit

if TYPE_CHECKING:
    from drc_lab.models.drc import DRCPolicy


class Encoder(NamedTuple):
    """The encoder's weights.

    convolve: address of a convolution kernel.
    weights: [k * k, inputs, C] of each layer, flattened and concatenated.
    biases: [layers, C].
    relu: whether there is a ReLU between consecutive layers.
    """

    convolve: int
    weights: np.ndarray
    biases: np.ndarray
    relu: bool


class Answers(NamedTuple):
    """The flatten head's weights.

    product: address of a matrix-product kernel for ``samples`` samples.
    samples: number of samples per call of ``product``.
    shared: [P * F, J], the shared layer, which reads F features of each cell: h, or encoding and h if F is 2C.
    shared_bias: [J].
    outputs: [A + 1, J], the weights of the logits and, last, of the value.
    output_bias: [A + 1].
    adds_encoding: whether the encoding is added to h.
    """

    product: int
    samples: int
    shared: np.ndarray
    shared_bias: np.ndarray
    outputs: np.ndarray
    output_bias: np.ndarray
    adds_encoding: bool


@jit
def act(first, last, whole, obs, encoder, e, ticks, head, h_top, answers):
    """Fills samples ``first`` to ``last`` of answers [T, B, A + 1] with the logits and, last, the value.

    Args:
        first, last: range of samples, without ``last``.
        whole: float32; the encoder reads obs / whole.
        obs: [T, B, planes, H, W].
        encoder: see `Encoder`.
        e, h_top: float32 [T, B, P, C]; filled with the encoding and the top layer's h after each step.
        ticks: the other arguments of `drc_lab.models.compiled.forward.forward`.
        head: see `Answers`.
        answers: float32, filled with the results.
    """
    T, _, planes, H, W = obs.shape
    C = e.shape[3]
    layers = len(encoder.biases)
    seen, between = lines(H * W, planes), lines(2 * H * W, C).reshape(2, H * W, C)
    taps = len(encoder.weights) // (C * (planes + (layers - 1) * C))
    for t in range(T):
        for b in range(first, last):
            for d in range(planes):
                for y in range(H):
                    for x in range(W):
                        seen[y * W + x, d] = np.float32(obs[t, b, d, y, x]) / whole
            source, D, weights = at(seen), planes, at(encoder.weights)
            for layer in range(layers):
                target = at(e[t, b]) if layer == layers - 1 else at(between[layer % 2])
                call(encoder.convolve, (
                    target, 4 * C, at(encoder.biases[layer]), 0, source, 4 * D, D, weights, 4 * C, C, H,
                ))  # fmt: skip
                weights += 4 * taps * D * C
                source, D = target, C
                if encoder.relu and layer < layers - 1:
                    for p in range(H * W):
                        for j in range(C):
                            between[layer % 2, p, j] = max(between[layer % 2, p, j], ZERO)
    forward(first, last, *ticks)
    P, J, G = H * W, head.shared.shape[1], head.samples
    F = len(head.shared) // P
    features, hidden = lines(G, P * F).reshape(G, P, F), lines(G, J)
    for t in range(T):
        for group in range(first, last, G):
            for g in range(min(G, last - group)):
                for p in range(P):
                    for j in range(C):
                        top, encoded = h_top[t, group + g, p, j], e[t, group + g, p, j]
                        features[g, p, F - C + j] = top + encoded if head.adds_encoding else top
                        if F > C:
                            features[g, p, j] = encoded
            call(head.product, (at(hidden), at(features), P * F, at(head.shared), J, at(head.shared_bias), 1))
            for g in range(min(G, last - group)):
                for j in range(J):
                    hidden[g, j] = max(hidden[g, j], ZERO)
                for a in range(len(head.outputs)):
                    total = ZERO
                    for j in range(J):
                        total += hidden[g, j] * head.outputs[a, j]
                    answers[t, group + g, a] = total + head.output_bias[a]


class CompiledActing:
    """Runs the steps of a DRC while its weights are frozen; they are converted to the kernels' layout once.

    Args:
        policy: a policy for which `suits` is true.
    """

    def __init__(self, policy: "DRCPolicy"):
        F, H, W = policy.head.shape
        self.board = H, W
        convs = [conv for conv in policy.encoder.convs if isinstance(conv, nn.Conv2d)]
        k, channels = convs[0].kernel_size[0], convs[0].out_channels
        self.stack = policy.stack
        with torch.no_grad():
            weights = torch.cat([conv.weight.permute(2, 3, 1, 0).flatten() for conv in convs])
            biases = torch.stack([conv.get_parameter("bias") for conv in convs])
            kernel = convolution(*tile(channels, W, k), W, k).address
            self.encoder = Encoder(kernel, weights.numpy(), biases.numpy(), policy.encoder.relu_between)
            head = policy.head
            shared = head.proj.weight.unflatten(1, (F, H * W)).permute(2, 1, 0).flatten(0, 1)  # (P * F, J)
            outputs = torch.cat([head.policy.weight, head.value.weight])
            self.head = Answers(
                product(SAMPLES, *tile(shared.shape[1], SAMPLES, 1)).address,
                SAMPLES,
                shared.contiguous().numpy(),
                head.proj.bias.detach().numpy(),
                outputs.numpy(),
                torch.cat([head.policy.bias, head.value.bias]).numpy(),
                policy.encoding_to_head == "add",
            )

    @staticmethod
    def suits(policy: "DRCPolicy") -> bool:
        """Whether this class can run the policy: float32 on a CPU, a wiring with fused ticks, and a flatten head."""
        weight = policy.head.proj.weight
        plain = weight.device.type == "cpu" and weight.dtype == torch.float32
        return plain and policy.stack.wiring.runs_fused and type(policy.head) is ActorCriticHead

    def takes(self, obs: Tensor) -> bool:
        """Whether this class can process the observations now.

        They have to be uint8 or float32, on the board that the head was built for, without gradients or autocast.
        """
        plain = obs.dtype in (torch.uint8, torch.float32) and not torch.is_autocast_enabled("cpu")
        return plain and tuple(obs.shape[3:]) == self.board and not torch.is_grad_enabled()

    def unroll(
        self, obs: Shaped[Tensor, "T B planes H W"], state: Any, resets: Bool[Tensor, "T B"], repeats: Sequence[int]
    ) -> tuple[PolicyValue, Any]:
        """See `drc_lab.models.policy.Policy.unroll`; obs is float32 or uint8."""
        T, B, _, H, W = obs.shape
        plan, weights = self.stack.plan(resets, repeats, H, W), self.stack.tick_weights(H, W)
        ticks = CompiledTicks(plan, weights)
        e = torch.empty(T, B, H * W, weights.channels)
        h, c = (torch.stack(maps) for maps in self.stack.cells_of(state))
        arguments, h_top, carry = ticks.prepared(e, h, c, save=False)
        answers = torch.empty(T, B, len(self.head.outputs))
        given = (np.float32(255 if obs.dtype == torch.uint8 else 1), obs.contiguous().numpy(), self.encoder, e.numpy(),
                 arguments, self.head, h_top.numpy(), answers.numpy())  # fmt: skip
        in_workers([partial(act, part.start, part.stop, *given) for part in ticks.parts()])
        return PolicyValue(answers[..., :-1], answers[..., -1:]), self.stack.maps_of(carry, H, W)
