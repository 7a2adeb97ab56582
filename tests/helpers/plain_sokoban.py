"""Sokoban's rules in plain Python, for tests: slow, and short enough to be believed."""

from collections import deque

import numpy as np

from drc_lab.envs.search import UNSOLVABLE
from drc_lab.envs.sokoban.level import BOX, BOX_ON_TARGET, FLOOR, PLAYER, PLAYER_ON_TARGET, SYMBOLS, TARGET, WALL

STEPS = ((-1, 0), (1, 0), (0, -1), (0, 1))


def read(text: str) -> np.ndarray:
    rows = text.strip("\n").split("\n")
    return np.array([[SYMBOLS.index(symbol) for symbol in row.ljust(len(rows[0]))] for row in rows], np.uint8)


def random_level(rng, height, width, boxes) -> np.ndarray:
    """Anything that is a level at all: most are unsolvable, parts may be out of the player's reach."""
    while True:
        tiles = np.zeros((height, width), np.uint8)
        tiles[1:-1, 1:-1] = rng.random((height - 2, width - 2)) > rng.uniform(0, 0.4)
        floor = np.argwhere(tiles)
        if len(floor) > boxes:
            break
    targets = rng.permutation(floor)[:boxes]
    player, *placed = rng.permutation(floor)[: boxes + 1]
    tiles[tuple(targets.T)] = TARGET
    for cell in map(tuple, placed):
        tiles[cell] = BOX if tiles[cell] == FLOOR else BOX_ON_TARGET
    tiles[tuple(player)] = PLAYER if tiles[tuple(player)] == FLOOR else PLAYER_ON_TARGET
    return tiles


def cells(tiles, *codes) -> frozenset:
    return frozenset(map(tuple, np.argwhere(np.isin(tiles, codes)).tolist()))


def plain_step(walls, state, action):
    """The rule: walk onto a free cell, or push one box onto a free cell. Returns the next state, and if it pushed."""
    (r, c), boxes = state
    dr, dc = STEPS[action]
    ahead, beyond = (r + dr, c + dc), (r + 2 * dr, c + 2 * dc)
    if ahead in walls or (ahead in boxes and (beyond in walls or beyond in boxes)):
        return state, False
    if ahead in boxes:
        return (ahead, boxes - {ahead} | {beyond}), True
    return (ahead, boxes), False


def plain_start(tiles):
    walls = cells(tiles, WALL)
    targets = cells(tiles, TARGET, BOX_ON_TARGET, PLAYER_ON_TARGET)
    (player,) = cells(tiles, PLAYER, PLAYER_ON_TARGET)
    return walls, targets, (player, cells(tiles, BOX, BOX_ON_TARGET))


def plain_length(tiles, optimal):
    """Breadth-first search over single moves; for pushes, with moves that push nothing for free. No tricks."""
    walls, targets, start = plain_start(tiles)
    best, queue = {start: 0}, deque([start])
    while queue:
        state = queue.popleft()
        if state[1] == targets:
            return best[state]
        for action in range(4):
            following, pushed = plain_step(walls, state, action)
            cost = best[state] + (1 if optimal == "moves" else pushed)
            if cost < best.get(following, 10**9):
                best[following] = cost
                (queue.append if optimal == "moves" or pushed else queue.appendleft)(following)
    return UNSOLVABLE
