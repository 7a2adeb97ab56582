"""Labels of what an agent is about to do in Ricochet Robots."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from drc_lab.envs.directions import stride_of
from drc_lab.envs.ricochet.level import Boards
from drc_lab.envs.ricochet.solve import solve_many
from drc_lab.envs.specs.ricochet import ROBOT_NAMES
from drc_lab.interpretation.episodes import Episode
from drc_lab.interpretation.labels.backward import NEVER_OR_DIRECTION, next_event, next_only, number_left
from drc_lab.interpretation.labels.registry import register_label

GAME = "drc_lab/RicochetRobots-v0"
SOLVER_STATES = 200_000  # positions that the solver visits at most for one board
LABELLED_ROBOTS = 4  # robots that have a label of their own: as many as the board game has


def moves(episode: Episode) -> Iterator[tuple[int, int, int, int, int]]:
    """Yields (step, robot, direction, cell that it leaves, cell that it stops on) for each step in which a robot
    moves."""
    robots = episode.boards["robots"]
    for step, action in enumerate(episode.actions):
        robot, direction = divmod(int(action), 4)
        if robot < robots.shape[1] and robots[step + 1, robot] != robots[step, robot]:
            yield step, robot, direction, int(robots[step, robot]), int(robots[step + 1, robot])


def path(start: int, end: int, direction: int, width: int) -> range:
    """Returns the cells from start to end, both included."""
    stride = stride_of(direction, width)
    return range(start, end + stride, stride)


def as_maps(episode: Episode, found: np.ndarray) -> np.ndarray:
    return found.reshape(len(episode), episode.height, episode.width)


@register_label("next_robot", classes=("none", *ROBOT_NAMES), game=GAME, text="The robot that moves next.")
def next_robot(episode: Episode) -> np.ndarray:
    events = [(step, 0, robot + 1) for step, robot, *_ in moves(episode)]
    return next_event(len(episode), 1, events)[:, 0]


@register_label(
    "stop_cell", classes=("no", "yes"), cells=True, game=GAME, text="Where the next robot that moves comes to a stop."
)
def stop_cell(episode: Episode) -> np.ndarray:
    events = [(step, end) for step, *_, end in moves(episode)]
    return as_maps(episode, next_only(len(episode), episode.height * episode.width, events))


def departure_direction(episode: Episode, robot: int) -> np.ndarray:
    """Returns the direction in which one robot next leaves each cell, int8 [T, H, W]; -1 if there is no such robot."""
    events = [(step, cell, direction + 1) for step, mover, direction, cell, _ in moves(episode) if mover == robot]
    found = as_maps(episode, next_event(len(episode), episode.height * episode.width, events))
    return found if robot < episode.boards["robots"].shape[1] else np.full_like(found, -1)


def _register_departures() -> None:
    for number, name in enumerate(ROBOT_NAMES[:LABELLED_ROBOTS]):
        register_label(
            f"departure_direction_{name}",
            classes=NEVER_OR_DIRECTION,
            cells=True,
            game=GAME,
            text=f"The direction in which robot {name} next leaves the cell.",
        )(partial(departure_direction, robot=number))


_register_departures()


@register_label(
    "swept_cells",
    classes=("no", "yes"),
    cells=True,
    game=GAME,
    text="The cells that robots go over or stop on in the rest of the episode.",
)
def swept_cells(episode: Episode) -> np.ndarray:
    events = [
        (step, cell, 1)
        for step, _, direction, start, end in moves(episode)
        for cell in path(start, end, direction, episode.width)[1:]
    ]
    return as_maps(episode, next_event(len(episode), episode.height * episode.width, events))


@register_label("moves_left", game=GAME, text="How many moves the rest of the episode has.")
def moves_left(episode: Episode) -> np.ndarray:
    return number_left(len(episode), [step for step, *_ in moves(episode)])


@register_label("moves_to_goal", game=GAME, text="The fewest moves that solve the board, by the exact solver.")
def moves_to_goal(episode: Episode) -> np.ndarray:
    """Returns the length of a shortest solution; nan where the solver gives up or the goal cannot be reached."""
    walls, robots, goal, target = (episode.boards[name][:-1] for name in ("walls", "robots", "goal", "target"))
    shape = (len(episode), episode.height, episode.width)
    boards = Boards(walls.reshape(shape), robots, goal, target, np.full(len(episode), -1))
    moves, _ = solve_many(boards, SOLVER_STATES)
    return np.where(moves < 0, np.nan, moves)
