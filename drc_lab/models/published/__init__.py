"""Weights of published agents as policies of this project, and back. Nothing in a file is executed.

`load` reads
- a folder ``cp_*`` of train-learned-planner (Taufeeque et al. 2024; DRC and ResNet), and
- the DRC of Bush et al. (2025), as .npz or as the .tar or .pt file that its training wrote.

`save_flax` writes a folder of the first kind, which the original JAX code reads.
"""

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
    """What a file of published weights says, converted and checked.

    Args:
        path: of the folder or file.
        board: (H, W). The files hold only its number of cells: without it the board is square, or what a cp_* folder's
            training env says.
        num_actions: more than the weights have adds actions that are never chosen, such as a no-op.
        repeats_per_step: ticks a step. None is what the weights were trained with: a cp_* folder says it, the DRC of
            Bush et al. has 3.

    Raises:
        UserError: no such file, damaged, or not representable; one line that names the file and what was found.
    """
    path = Path(path)
    if path.is_dir():
        found = learned_planner.read(path, board)
    elif path.is_file():
        found = bush2025.read(path, board)
    else:
        raise UserError(f"{path}: no such file or folder")
    return found.with_repeats(repeats_per_step).with_actions(num_actions)


def load(
    path: str | Path, board: Board = None, num_actions: int | None = None, repeats_per_step: int | None = None
) -> Policy:
    """The policy with published weights in evaluation mode; arguments and errors as `read`.

    It reads observations and numbers actions as the original code does; for this project's Sokoban see
    `Published.for_sokoban`. uint8 is divided by 255: give the 0/1 planes of Bush et al. as floats.
    """
    return read(path, board, num_actions, repeats_per_step).build()
