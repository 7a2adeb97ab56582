"""drc_lab: train recurrent agents that plan, give them more time to think, and look inside them."""

from drc_lab import envs

__version__ = "0.1.0"
__all__ = ["envs"]
