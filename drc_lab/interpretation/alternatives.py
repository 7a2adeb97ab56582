"""Moves that a policy could make on its first observations and does not: what it is steered to. One rule a label."""

import numpy as np
import torch

from drc_lab.envs.ricochet.step import RicochetBatch
from drc_lab.envs.sokoban.level import FLOOR, TARGET
from drc_lab.envs.sokoban.step import SokobanBatch
from drc_lab.envs.specs.ricochet import ROBOT_NAMES
from drc_lab.envs.vector import LevelVectorEnv
from drc_lab.errors import ConfigError
from drc_lab.interpretation.labels.ricochet import LABELLED_ROBOTS
from drc_lab.interpretation.steering import Moves
from drc_lab.models.policy import Policy

APPROACH, DEPARTURE = "agent_approach_direction", "departure_direction_"
LABELLED = tuple(ROBOT_NAMES[:LABELLED_ROBOTS])
Possible = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # env, cell of the game's board, class, action


def approaches(batch: SokobanBatch) -> Possible:
    """Steps of the player onto free cells."""
    strides = np.array([-batch.width, batch.width, -1, 1])
    ahead = batch.player[:, None] + strides  # (B, 4)
    env, direction = np.nonzero(np.isin(np.take_along_axis(batch.tiles, ahead, axis=1), (FLOOR, TARGET)))
    return env, ahead[env, direction], direction + 1, direction


def departures(batch: RicochetBatch, robot: int) -> Possible:
    """Moves of one robot, where it can go."""
    if robot >= batch.robots.shape[1]:
        raise ConfigError("steer.label", f"{DEPARTURE}{ROBOT_NAMES[robot]}", "a robot that is on the board")
    env, direction = np.nonzero(batch.action_masks()[:, 4 * robot : 4 * robot + 4])
    return env, batch.robots[env, robot], direction + 1, 4 * robot + direction


def possible_moves(batch: object, label: str) -> Possible:
    """Of a label that stands for single moves.

    Raises:
        ConfigError: it does not.
    """
    if isinstance(batch, SokobanBatch) and label == APPROACH:
        return approaches(batch)
    if isinstance(batch, RicochetBatch) and label.startswith(DEPARTURE) and label[len(DEPARTURE) :] in LABELLED:
        return departures(batch, ROBOT_NAMES.index(label[len(DEPARTURE) :]))
    allowed = APPROACH if isinstance(batch, SokobanBatch) else f"{DEPARTURE}A to {DEPARTURE}D"
    raise ConfigError("steer.label", label, allowed)


def default_label(batch: object) -> str:
    """What stands for a single move in this game."""
    return f"{DEPARTURE}A" if isinstance(batch, RicochetBatch) else APPROACH


@torch.no_grad()
def alternatives(policy: Policy, env: LevelVectorEnv, label: str, board: tuple[int, int], seed: int = 0) -> Moves:
    """One move of each of the env's first levels that the policy does not make there by itself, drawn among those that
    can be made; levels without any are left out.

    Args:
        policy: greedy.
        env: without autoreset, as many levels as it has boards.
        label: what stands for the moves.
        board: height and width of the policy's maps.
        seed: of the env, and of what is drawn.
    """
    obs, _ = env.reset(seed=seed)
    seen = torch.from_numpy(obs)
    device = next(policy.parameters()).device
    own = policy(seen.to(device))[0].policy_logits.argmax(-1).cpu().numpy()
    everything = possible_moves(env.batch, label)
    others = everything[3] != own[everything[0]]
    at, cell, kind, action = (each[others] for each in everything)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(at))
    _, first = np.unique(at[order], return_index=True)
    chosen = np.sort(order[first])
    width = env.batch.width  # type: ignore[attr-defined]

    def inside(cells: np.ndarray) -> np.ndarray:
        row, column = np.divmod(cells, width)
        border = (width - board[1]) // 2
        return (row - border) * board[1] + column - border

    own_cell = np.full(len(own), -1)
    own_cell[everything[0][~others]] = inside(everything[1][~others])  # of the policy's own moves
    places = inside(cell[chosen])
    own_cell = own_cell[at[chosen]]
    return Moves(seen[at[chosen]], places, kind[chosen], action[chosen], np.where(own_cell == places, -1, own_cell))
