"""Labels of what an agent is about to do in Sokoban. The two direction labels are the concepts C_A and C_B of Bush et
al. (2025)."""

from collections.abc import Iterator

import numpy as np

from drc_lab.envs.sokoban.level import BOX, BOX_ON_TARGET
from drc_lab.interpretation.episodes import Episode
from drc_lab.interpretation.labels.backward import NEVER_OR_DIRECTION, next_event, next_only, number_left
from drc_lab.interpretation.labels.registry import register_label

GAME = "drc_lab/Sokoban-v0"


def moves(episode: Episode) -> Iterator[tuple[int, int, int]]:
    """Yields (step, direction, cell that the player moves to) for each step in which the player moves."""
    player = episode.boards["player"]
    for step, direction in enumerate(episode.actions):
        if player[step + 1] != player[step]:
            yield step, int(direction), int(player[step + 1])


def pushes(episode: Episode) -> Iterator[tuple[int, int, int, int]]:
    """Yields (step, direction, cell of the box before, cell of the box after) for each push."""
    strides = (-episode.width, episode.width, -1, 1)
    for step, direction, cell in moves(episode):
        if episode.boards["tiles"][step, cell] in (BOX, BOX_ON_TARGET):
            yield step, direction, cell, cell + strides[direction]


def as_maps(episode: Episode, found: np.ndarray) -> np.ndarray:
    return found.reshape(len(episode), episode.height, episode.width)


@register_label(
    "agent_approach_direction",
    classes=NEVER_OR_DIRECTION,
    cells=True,
    game=GAME,
    text="The direction of the move with which the agent next steps onto the cell (C_A of Bush et al. 2025).",
)
def agent_approach_direction(episode: Episode) -> np.ndarray:
    events = [(step, cell, direction + 1) for step, direction, cell in moves(episode)]
    return as_maps(episode, next_event(len(episode), episode.height * episode.width, events))


@register_label(
    "box_push_direction",
    classes=NEVER_OR_DIRECTION,
    cells=True,
    game=GAME,
    text="The direction in which a box is next pushed off the cell (C_B of Bush et al. 2025).",
)
def box_push_direction(episode: Episode) -> np.ndarray:
    events = [(step, cell, direction + 1) for step, direction, cell, _ in pushes(episode)]
    return as_maps(episode, next_event(len(episode), episode.height * episode.width, events))


@register_label(
    "next_box", classes=("no", "yes"), cells=True, game=GAME, text="The box that is pushed next, where it stands."
)
def next_box(episode: Episode) -> np.ndarray:
    events = [(step, cell) for step, _, cell, _ in pushes(episode)]
    cells = episode.height * episode.width
    found, boxes = next_only(len(episode), cells, events), np.isin(episode.boards["tiles"][:-1], (BOX, BOX_ON_TARGET))
    return as_maps(episode, found * boxes)


@register_label(
    "next_target", classes=("no", "yes"), cells=True, game=GAME, text="The target that a box comes onto next."
)
def next_target(episode: Episode) -> np.ndarray:
    tiles = episode.boards["tiles"]
    events = [(step, cell) for step, _, _, cell in pushes(episode) if tiles[step + 1, cell] == BOX_ON_TARGET]
    return as_maps(episode, next_only(len(episode), episode.height * episode.width, events))


@register_label("pushes_left", game=GAME, text="How many pushes the rest of the episode has.")
def pushes_left(episode: Episode) -> np.ndarray:
    return number_left(len(episode), [step for step, *_ in pushes(episode)])
