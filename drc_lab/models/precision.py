"""The recurrence in bfloat16: what is rounded, and which hardware supports it.

In the forward pass, what the gate convolutions read (weights, encoding, hidden states) is rounded to bfloat16. In the
backward pass, so are the gradients from which they compute the gradients of their inputs. Products are accumulated in
float32. Carry, gates, pooling, boundary, encoder, head and the gradients of all weights stay in float32. On a GPU the
sums are rounded as well, because its convolutions return bfloat16.
"""

import torch

from drc_lab.models.compiled.emit import multiplies_pairs


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device has bfloat16 instructions.

    On a CPU that is AVX512-BF16 (Intel since Cooper Lake, AMD since Zen 4), on a GPU compute capability 8.0.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and multiplies_pairs()
