"""Any Gymnasium env with an image, grid or vector observation and discrete actions, as a batch env of this project."""

from typing import TYPE_CHECKING, Any

from drc_lab.envs.external.registry import find_spec

if TYPE_CHECKING:
    from drc_lab.envs.external.env import GymVectorEnv

__all__ = ["GymVectorEnv", "find_spec"]


def __getattr__(name: str) -> Any:
    """Imports `GymVectorEnv` on first use, as its compiled code is slow to load."""
    if name == "GymVectorEnv":
        from drc_lab.envs.external.env import GymVectorEnv

        return GymVectorEnv
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
