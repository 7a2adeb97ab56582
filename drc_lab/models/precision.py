"""A recurrence in bfloat16: what is rounded, and where there are instructions for it.

What the gate convolutions read (weights, encoding, hidden states), and on the way back the gradients that they take to
their inputs, is rounded to bfloat16; products are added up in float32. Carry, gates, pooling, boundary, encoder, head
and the gradients of all weights are in float32. On a GPU the sums come rounded, as its convolutions return them.
"""

import torch

from drc_lab.models.compiled.vectors import multiplies_pairs


def has_bfloat16(device: torch.device) -> bool:
    """AVX512-BF16 on a CPU (Intel since Cooper Lake, AMD since Zen 4), compute capability 8.0 on a GPU."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and multiplies_pairs()
