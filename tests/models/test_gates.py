"""The kernels between two convolutions, beside torch's operations in double precision.

They run on a GPU, or in Triton's interpreter (TRITON_INTERPRET=1), which needs none.
"""

import os

import pytest
import torch

from drc_lab.models import gates
from drc_lab.models.drc import DRCPolicy
from drc_lab.models.spatial import tap_kinds
from drc_lab.models.torch_ticks import gates_for

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
SIZES = ((1, 4, 1, 1), (3, 5, 7, 6), (2, 32, 10, 10), (2, 20, 13, 12))  # batch, channels, height, width: odd and large


@pytest.fixture
def kernels():
    pytest.importorskip("triton", reason="triton is not here: it comes with torch's builds for GPUs")
    if DEVICE == "cpu" and not os.environ.get("TRITON_INTERPRET"):
        pytest.skip("needs a GPU, or TRITON_INTERPRET=1")
    from drc_lab.models import triton_gates

    return triton_gates


def tensors(size, seed=0):
    """Arguments of all three functions by name, in double precision; parts of wider rows where the loop has such."""
    batch, C, height, width = size
    P, generator = height * width, torch.Generator().manual_seed(seed)

    def random(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    inside, kind = tap_kinds(height, width, 3, torch.device("cpu"))
    masks = torch.ones(2, batch, dtype=torch.float64)
    masks[:, 0] = 0  # an episode that starts
    return {
        "z": random(batch, P, 4 * C), "drive": random(batch, P, 12 * C), "inject": random(batch, len(inside), 4 * C),
        "kind": kind, "keep": masks[0], "keep_next": masks[1].flip(0).contiguous(), "c": random(batch, P, C),
        "c_next": random(batch, P, C), "x_next": random(batch, P, 2 * C), "pooled": random(batch, 2 * C),
        "argmax": torch.randint(P, (batch, C), generator=generator, dtype=torch.int32), "up": random(batch, P, 2 * C),
        "dh": random(batch, P, C), "dc": random(batch, P, C), "d_drive": random(batch, P, 12 * C),
        "d_inject": random(batch, len(inside), 4 * C), "dx": random(batch, P, 2 * C), "below": random(batch, P, C),
    }  # fmt: skip


def both_alike(kernels, size, call):
    """Compares all tensors after the call, of the plain functions and of the kernels in float32."""
    found = []
    for module, dtype, device in ((gates, torch.float64, "cpu"), (kernels, torch.float32, DEVICE)):
        own = {n: x.to(device, dtype if x.is_floating_point() else x.dtype) for n, x in tensors(size).items()}
        call(module, own, size[1])
        found.append({n: x.to("cpu", torch.float32 if x.is_floating_point() else x.dtype) for n, x in own.items()})
    expected, actual = found
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("sigmoid", [True, False])
@pytest.mark.parametrize("size", SIZES)
def test_the_gates(kernels, size, sigmoid):
    def call(module, x, C):
        module.gates_forward(
            x["z"],
            x["drive"][..., 4 * C : 8 * C],
            x["inject"],
            x["kind"],
            x["keep"],
            x["c"],
            x["keep_next"],
            x["c_next"],
            x["x_next"][..., C:],
            x["pooled"],
            x["argmax"],
            x["up"][..., :C],
            sigmoid,
        )

    both_alike(kernels, size, call)


@pytest.mark.parametrize("sigmoid", [True, False])
@pytest.mark.parametrize("size", SIZES)
def test_their_gradients(kernels, size, sigmoid):
    def call(module, x, C):
        x["z"].sigmoid_()
        module.gates_backward(
            x["z"],
            x["dh"],
            x["dc"],
            x["c"],
            x["c_next"],
            x["keep"],
            x["kind"],
            x["d_drive"][..., 4 * C : 8 * C],
            x["d_inject"],
            sigmoid,
        )

    both_alike(kernels, size, call)


@pytest.mark.parametrize("below", ["another", "same", "none"])
@pytest.mark.parametrize("size", SIZES)
def test_the_gradient_of_the_recurrent_input(kernels, size, below):
    def call(module, x, C):
        dx = x["dx"] if below != "none" else x["dx"][..., C:].contiguous()
        to = x["dh"] if below == "same" else x["below"]
        module.input_backward(dx, x["pooled"], x["argmax"], x["keep"], x["dh"], x["keep_next"], to)

    both_alike(kernels, size, call)


@pytest.mark.gpu
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"top_to_bottom": True},
        {"num_layers": 1, "pool_and_inject": False},
        {"kernel_size": 5, "output_gate": "sigmoid", "recompute_steps": 2},
    ],
)
def test_on_a_gpu_a_sequence_and_its_gradient_are_those_of_the_cpu(options, monkeypatch):
    """Also when it is cut into steps of unequal ticks, with episodes that start within."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    torch.manual_seed(0)
    options = {"num_layers": 3} | options
    policy = DRCPolicy((3, 10, 10), 4, 8, repeats_per_step=3, proj_dim=16, **options).double()
    obs, resets = torch.rand(5, 6, 3, 10, 10).double(), torch.rand(5, 6) < 0.3
    found = []
    for device, dtype in (("cpu", torch.float64), ("cuda", torch.float32)):
        own = policy.to(device, dtype)
        own.zero_grad()
        assert device == "cpu" or gates_for(own.head.proj.weight).__name__.endswith("triton_gates")
        (logits, values), carry = own.unroll(
            obs.to(device, dtype), own.init_state(6, device=device, dtype=dtype), resets.to(device), (3, 1, 2, 3, 3)
        )
        (logits.square().sum() + values.sum() + sum(h.sum() for h in carry[0])).backward()
        found.append(
            [x.detach().cpu().float() for x in (logits, values, *carry[0], *carry[1])]
            + [p.grad.cpu().float() for p in own.parameters() if p.grad is not None]
        )
    torch.testing.assert_close(found[1], found[0], rtol=1e-3, atol=1e-4)
