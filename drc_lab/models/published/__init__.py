"""Converts the weights of published agents to policies of this project and back. No code in a file is executed.

`load` reads
- a folder ``cp_*`` of train-learned-planner (Taufeeque et al. 2024; DRC and ResNet), and
- the DRC of Bush et al. (2025), as .npz or as the .tar or .pt file that its training wrote.

`save_flax` writes a folder of the first kind, which the original JAX code reads.
"""

import os
from pathlib import Path

from drc_lab.errors import UserError
from drc_lab.models.policy import Policy
from drc_lab.models.published import bush2025, learned_planner
from drc_lab.models.published.record import Board, Published
from drc_lab.models.published.save import save_flax

__all__ = ["Board", "Published", "load", "read", "save_flax"]


def read(
    path: str | Path, board: Board = None, num_actions: int | None = None, repeats_per_step: int | None = None
) -> Published:
    """Reads, converts and checks a file of published weights.

    Args:
        path: path of the folder or file.
        board: (H, W). The weights determine only the number of cells. None: the board of the training env in a cp_*
            folder's config, else a square one.
        num_actions: if larger than in the weights, actions that are never chosen, such as a no-op, are added.
        repeats_per_step: ticks per step. None: as in training, which a cp_* folder's config says; 3 for Bush et al.

    Raises:
        UserError: the file is missing or damaged, or this project has no such policy; in one line, with the file's
            name and what was found.
    """
    path = Path(path)
    if os.path.isdir(path):
        imported = learned_planner.read(path, board)
    elif os.path.exists(path):  # its reader refuses what is no regular file
        imported = bush2025.read(path, board)
    else:
        raise UserError(f"{path}: no such file or folder")
    return imported.with_repeats(repeats_per_step).with_actions(num_actions)


def load(
    path: str | Path, board: Board = None, num_actions: int | None = None, repeats_per_step: int | None = None
) -> Policy:
    """Builds the policy with published weights, in evaluation mode. Arguments and errors are those of `read`.

    Its observation planes and actions have the order of the original code; `Published.for_sokoban` converts them to
    this project's Sokoban. uint8 observations are divided by 255, so pass the 0/1 planes of Bush et al. as floats.
    """
    return read(path, board, num_actions, repeats_per_step).build()
