"""Routes for steering: moves that a policy could make from its first observations but does not make by itself. Each
label that stands for single moves has its own rule for which moves are possible."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from drc_lab.envs.batch import SKIP
from drc_lab.envs.ricochet.level import Boards
from drc_lab.envs.ricochet.step import RicochetBatch
from drc_lab.envs.ricochet.symmetry import transform as transform_boards
from drc_lab.envs.sokoban.level import FLOOR, TARGET, Levels
from drc_lab.envs.sokoban.step import SokobanBatch
from drc_lab.envs.sokoban.symmetry import transform as transform_levels
from drc_lab.envs.specs.ricochet import ROBOT_NAMES
from drc_lab.envs.symmetry import COUNT, TRANSPOSE
from drc_lab.envs.vector import LevelVectorEnv
from drc_lab.errors import ConfigError
from drc_lab.interpretation.labels.ricochet import LABELLED_ROBOTS
from drc_lab.interpretation.recorder import size_of
from drc_lab.models.policy import Policy

APPROACH, DEPARTURE = "agent_approach_direction", "departure_direction_"
LABELLED = tuple(ROBOT_NAMES[:LABELLED_ROBOTS])


@dataclass(frozen=True)
class Moves:
    """M moves on the boards of a batch env.

    Args:
        env: int64 [M], the board of each move.
        cell: int64 [M], the cell of the game's board that the move is about.
        kind: int64 [M], the class of the label that stands for the move in that cell.
        action: int64 [M], the action that makes the move.
    """

    env: np.ndarray
    cell: np.ndarray
    kind: np.ndarray
    action: np.ndarray

    def __len__(self) -> int:
        return len(self.env)

    def __getitem__(self, which: np.ndarray) -> "Moves":
        """Selects moves by a mask or by indices."""
        return Moves(self.env[which], self.cell[which], self.kind[which], self.action[which])


@dataclass(frozen=True)
class Routes:
    """Routes of K consecutive moves on N boards. The policy by itself makes another first move.

    Args:
        boards: the game's arrays before the first move, [N, ...] (`drc_lab.envs.batch.Batch.STATE`).
        cell: int64 [N, K], the cell of the policy's maps that each move is about. ``cell``, ``kind`` and ``action``
            are -1 where a board has no such route.
        kind: int64 [N, K], the class of the label that stands for the move in that cell.
        action: int64 [N, K], the action that makes the move.
        own_cell: int64 [N], the cell of the first move that the policy makes by itself; -1 if the label has no cell
            for it, or if it is the cell of the route's first move.
    """

    boards: Mapping[str, np.ndarray]
    cell: np.ndarray
    kind: np.ndarray
    action: np.ndarray
    own_cell: np.ndarray

    @property
    def there(self) -> np.ndarray:
        """Which boards have a route, bool [N]."""
        return self.action[:, 0] >= 0


def approaches(batch: SokobanBatch) -> Moves:
    """Lists the player's steps onto free cells."""
    strides = np.array([-batch.width, batch.width, -1, 1])
    ahead = batch.player[:, None] + strides  # (B, 4)
    env, direction = np.nonzero(np.isin(np.take_along_axis(batch.tiles, ahead, axis=1), (FLOOR, TARGET)))
    return Moves(env, ahead[env, direction], direction + 1, direction)


def departures(batch: RicochetBatch, robot: int) -> Moves:
    """Lists the possible moves of one robot.

    Raises:
        ConfigError: the boards have no such robot.
    """
    if robot >= batch.robots.shape[1]:
        raise ConfigError("steer.label", f"{DEPARTURE}{ROBOT_NAMES[robot]}", "a robot that is on the board")
    env, direction = np.nonzero(batch.action_masks()[:, 4 * robot : 4 * robot + 4])
    return Moves(env, batch.robots[env, robot], direction + 1, 4 * robot + direction)


def possible_moves(batch: object, label: str) -> Moves:
    """Lists the moves that are possible on the boards and that a label stands for.

    Raises:
        ConfigError: the label does not stand for single moves of this game.
    """
    if isinstance(batch, SokobanBatch) and label == APPROACH:
        return approaches(batch)
    if isinstance(batch, RicochetBatch) and label.startswith(DEPARTURE) and label[len(DEPARTURE) :] in LABELLED:
        return departures(batch, ROBOT_NAMES.index(label[len(DEPARTURE) :]))
    allowed = APPROACH if isinstance(batch, SokobanBatch) else f"{DEPARTURE}A to {DEPARTURE}D"
    raise ConfigError("steer.label", label, allowed)


def default_label(batch: object) -> str:
    """Returns the name of the label that stands for a single move in this game."""
    return f"{DEPARTURE}A" if isinstance(batch, RicochetBatch) else APPROACH


def symmetries_of(height: int, width: int) -> range:
    """Returns the symmetries under which a board keeps its height and width."""
    return range(COUNT if height == width else TRANSPOSE)


def turn(batch: object, symmetry: int) -> None:
    """Applies a symmetry, one of `symmetries_of` their size, to all boards in place."""
    if isinstance(batch, SokobanBatch):
        tiles = batch.tiles.reshape(len(batch.tiles), -1, batch.width)
        every = np.arange(len(tiles))
        batch.load(every, transform_levels(Levels(tiles, batch.optimal, np.full(len(tiles), -1)), symmetry), every)
    elif isinstance(batch, RicochetBatch):
        walls = batch.walls.reshape(len(batch.walls), -1, batch.width)
        every = np.arange(len(walls))
        boards = Boards(walls, batch.robots, batch.goal, batch.target, batch.optimal)
        batch.load(every, transform_boards(boards, symmetry), every)


def _one_each(moves: Moves, rng: np.random.Generator) -> Moves:
    """Draws one move for each board that has any."""
    order = rng.permutation(len(moves))
    _, first = np.unique(moves.env[order], return_index=True)
    return moves[order[first]]


@torch.no_grad()
def routes_of(
    policy: Policy, env: LevelVectorEnv, label: str, board: tuple[int, int], length: int = 1, seed: int = 0
) -> Routes:
    """Draws a random route on each of the env's current boards.

    The first move is drawn from the possible moves that the policy does not make by itself, each later one from those
    about a cell that the route has not been about yet.

    Args:
        policy: whose greedy action is its own move.
        env: without autoreset; its boards are left as they were.
        label: the label that stands for the moves.
        board: height and width of the policy's maps.
        length: number of moves, K.
        seed: of the draws.
    """
    batch, N, rng = env.batch, env.num_envs, np.random.default_rng(seed)
    boards, (height, width) = batch.get_state(), size_of(env)
    device = next(policy.parameters()).device

    def inside(cells: np.ndarray) -> np.ndarray:
        """Converts cells of the game's boards to cells of the policy's maps, which may lack the border."""
        row, column = np.divmod(cells, width)
        border = (width - board[1]) // 2
        return (row - border) * board[1] + column - border

    logits = policy(torch.from_numpy(batch.observation).to(device))[0].policy_logits
    own_action = logits.argmax(-1).cpu().numpy()
    possible = possible_moves(batch, label)
    is_own = possible.action == own_action[possible.env]
    own_cell = np.full(N, -1)
    own_cell[possible.env[is_own]] = inside(possible.cell[is_own])
    possible = possible[~is_own]
    cell, kind, action = (np.full((N, length), -1) for _ in range(3))
    visited = np.zeros((N, height * width), bool)
    if isinstance(batch, SokobanBatch):  # a move is about the cell that the player moves to
        visited[np.arange(N), batch.player] = True
    for k in range(length):
        chosen = _one_each(possible, rng)
        cell[chosen.env, k], kind[chosen.env, k], action[chosen.env, k] = chosen.cell, chosen.kind, chosen.action
        visited[chosen.env, chosen.cell] = True
        if k + 1 < length:
            batch.step(np.where(action[:, k] >= 0, action[:, k], SKIP))
            possible = possible_moves(batch, label)
            on_route = (action[possible.env, k] >= 0) & ~batch.solved[possible.env]
            possible = possible[on_route & ~visited[possible.env, possible.cell]]
    batch.set_state(boards)
    whole, first = action[:, -1] >= 0, inside(cell[:, 0])
    cell, kind, action = (np.where(whole[:, None], each, -1) for each in (inside(cell), kind, action))
    return Routes(boards, cell, kind, action, np.where(own_cell == first, -1, own_cell))
