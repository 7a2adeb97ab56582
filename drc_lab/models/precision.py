"""Whether a device has instructions for convolutions in bfloat16."""

import torch

from drc_lab.models.compiled.vectors import multiplies_pairs


def has_bfloat16(device: torch.device) -> bool:
    """AVX512-BF16 on a CPU (Intel since Cooper Lake, AMD since Zen 4), compute capability 8.0 on a GPU."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and multiplies_pairs()
