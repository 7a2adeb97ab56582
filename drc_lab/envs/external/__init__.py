"""Any Gymnasium env with an image, grid or vector observation and discrete actions, as a batch env of this project."""

from drc_lab.envs.external.env import GymVectorEnv
from drc_lab.envs.external.registry import find_spec, our_ids

__all__ = ["GymVectorEnv", "find_spec", "our_ids"]
