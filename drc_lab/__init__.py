"""drc_lab: train recurrent agents that plan, give them more time to think, and look inside them."""

import os

# Torch's threads would spin for milliseconds after each of its operations, on the cores that the tick loop's threads
# wait for. OpenMP reads this when torch is imported.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

from drc_lab import envs

__version__ = "0.1.0"
__all__ = ["envs"]
