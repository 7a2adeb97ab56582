"""Checks of saved states, which may come from somebody else's checkpoint: compiled code checks no index."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from drc_lab.errors import UserError


def impossible(what: str) -> UserError:
    """The error about a saved state that cannot be."""
    return UserError(f"the saved state of the envs is damaged: {what}")


def check_array(name: str, saved: Any, own: np.ndarray) -> None:
    """Raises a UserError if a saved array has another shape or kind of numbers than the own one."""
    fits = isinstance(saved, np.ndarray) and saved.shape == own.shape
    if not fits or not np.can_cast(saved.dtype, own.dtype, "same_kind"):
        raise impossible(name)


def saved_number(state: Mapping[str, Any], name: str) -> int:
    """A seed or count in a saved state.

    Raises:
        UserError: it is not there, or is no integer from 0 on.
    """
    number = state.get(name)
    if not isinstance(number, int | np.integer) or not 0 <= number < 2**63:
        raise impossible(name)
    return int(number)
