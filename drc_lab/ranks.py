"""The rank of this process in a training, before torch is imported. Light to import, because errors depend on it."""

import os


def rank() -> int:
    """The number of this process among those of one training; only rank 0 prints, records and writes files."""
    for name in ("RANK", "SLURM_PROCID"):  # torchrun; Slurm
        if name in os.environ:
            return int(os.environ[name])
    # Set by Lightning on one machine, or by the user who starts the training on each of several machines.
    return int(os.environ.get("LOCAL_RANK", 0)) + int(os.environ.get("NODE_RANK", 0))
