"""Which rank of a training this process is, known before torch is imported. Light to import: errors are told by it."""

import os


def rank() -> int:
    """The number of this process among those of one training; 0 is the one that speaks, records and writes."""
    for name in ("RANK", "SLURM_PROCID"):  # torchrun; Slurm
        if name in os.environ:
            return int(os.environ[name])
    # Lightning, on one machine or started by hand on each
    return int(os.environ.get("LOCAL_RANK", 0)) + int(os.environ.get("NODE_RANK", 0))
