"""Generates levels backwards, as Boxoban's were: carve a room, put the boxes on their targets, pull them away.

The scheme and its score are those of Racanière et al. 2017 (arXiv 1707.06203, appendix on Sokoban), from which Boxoban
was made: the room is the trail of a random walk with small brushes; reverse play is a depth-first search with pulls,
which keeps the position with the highest score. The score is the number of times that the pulled box changed, times the
summed distance of the boxes from their targets.
"""

import numpy as np

from drc_lab.envs.levels import split_of
from drc_lab.envs.sokoban.generate import (
    STATES,
    STATES_AT_ONCE,
    TRIES,
    TRIES_AT_ONCE,
    LevelGenerator,
    measure,
)
from drc_lab.envs.sokoban.identity import identity
from drc_lab.envs.sokoban.level import BOX, FLOOR, PLAYER, PLAYER_ON_TARGET, TARGET, WALL, Levels
from drc_lab.envs.sokoban.search import walk
from drc_lab.envs.sokoban.store import hash_state
from drc_lab.envs.sokoban.survey import survey
from drc_lab.envs.specs.sokoban import ReverseSpec
from drc_lab.numerics import jit

P_TURN = 0.35  # probability that the walk draws a new direction at a step
# What a step of the walk clears around it, rows of three bits from the top: bars, corners, a square.
BRUSHES = np.array([0b000_111_000, 0b010_010_010, 0b000_110_010, 0b000_011_010, 0b000_110_110], np.int64)


class ReverseGenerator(ReverseSpec, LevelGenerator):
    """Levels that look like Boxoban's, solvable because they were played backwards; no box starts on a target.

    The solver runs on them, within STATES_PER_LEVEL states, only if `ReverseSpec.prove` or limits on their solutions
    require it.
    """

    def fill(
        self, rng: np.random.Generator, levels: Levels, filled: int, split: int, limits: np.ndarray, spent: np.ndarray
    ) -> int:
        steps = max(1, round(self.carving * (self.height - 2) * (self.width - 2)))
        return _fill_reversed(
            rng,
            levels.tiles,
            levels.optimal,
            levels.pushes,
            filled,
            self.num_boxes,
            steps,
            self.effort,
            self.prove or self.limited,
            split,
            limits,
            spent,
        )


@jit
def _fill_reversed(rng, tiles, optimal, pushes, filled, num_boxes, steps, effort, prove, split, limits, spent):
    states = 0
    for _ in range(TRIES_AT_ONCE):
        if filled == len(tiles) or states >= STATES_AT_ONCE:
            break
        spent[TRIES] += 1
        level = tiles[filled]
        carve(rng, level, steps)
        states += effort
        if not play_backwards(rng, level, num_boxes, effort) or split_of(identity(level)) != split:
            continue
        if prove:
            optimal[filled], pushes[filled], searched = measure(level, limits)
            states += searched
            if optimal[filled] < 0:
                continue
        filled += 1
    spent[STATES] += states
    return filled


@jit
def carve(rng, tiles, steps):
    """Fills tiles uint8 [H, W] with walls and one connected room of floor."""
    height, width = tiles.shape
    tiles[:] = WALL
    r, c, direction = rng.integers(1, height - 1), rng.integers(1, width - 1), rng.integers(0, 4)
    for _ in range(steps):
        brush = BRUSHES[rng.integers(0, len(BRUSHES))]
        for cell in range(9):
            y, x = r + cell // 3 - 1, c + cell % 3 - 1
            if brush & (1 << (8 - cell)) and 1 <= y < height - 1 and 1 <= x < width - 1:
                tiles[y, x] = FLOOR
        if rng.random() < P_TURN:
            direction = rng.integers(0, 4)
        r = min(max(r + (direction == 1) - (direction == 0), 1), height - 2)
        c = min(max(c + (direction == 3) - (direction == 2), 1), width - 2)


@jit
def play_backwards(rng, tiles, num_boxes, effort):
    """Puts targets, boxes and the player into a carved room.

    Args:
        tiles: uint8 [H, W], one connected room of floor.
        effort: the most positions to visit.

    Returns:
        False if the room is too small, or no position with all boxes off the targets was found.
    """
    flat = tiles.reshape(-1)
    places, count = np.empty(len(flat), np.int64), 0
    for place in range(len(flat)):
        if flat[place] == FLOOR:
            places[count] = place
            count += 1
    if count < 2 * num_boxes + 1:
        return False
    flat[places[0]] = PLAYER  # for the survey, which then numbers the cells like ``places``
    room = survey(tiles)
    flat[places[0]] = FLOOR
    order = np.arange(count)
    for i in range(num_boxes + 1):
        other = rng.integers(i, count)
        order[i], order[other] = order[other], order[i]
    targets, boxes = order[:num_boxes], np.empty(num_boxes, np.int64)
    player = _pull_away(rng, room, places, tiles.shape[1], targets, order[num_boxes], effort, boxes)
    if player < 0:
        return False
    occupied = np.zeros(count, np.bool_)
    for i in range(num_boxes):
        flat[places[targets[i]]] = TARGET
        flat[places[boxes[i]]] = BOX
        occupied[boxes[i]] = True
    # The player starts anywhere that it could have walked to before its first push.
    steps, reached = np.empty(count, np.int32), np.empty(count, np.int32)
    walk(room, occupied, player, steps, reached)
    start = places[reached[rng.integers(0, (steps >= 0).sum())]]
    flat[start] = PLAYER if flat[start] == FLOOR else PLAYER_ON_TARGET
    return True


@jit
def _pull_away(rng, room, places, width, targets, player, effort, best):
    """Pulls the boxes away from the targets, by a depth-first search in random order.

    Fills best (int64 [B]) with the boxes' cells in the position with the highest score of those with all boxes off the
    targets. Returns the player's cell in it, or -1 if none was found.
    """
    num_boxes, count = len(targets), len(room.target)
    boxes = np.empty((effort, num_boxes), np.int64)  # by depth, on the path to the current position
    players, changes, last = np.empty(effort, np.int64), np.empty(effort, np.int64), np.empty(effort, np.int64)
    boxes[0], players[0], changes[0], last[0] = targets, player, 0, -1
    size = 2
    while size < 2 * effort:
        size *= 2
    seen = np.zeros(size, np.uint64)
    is_target, occupied = np.zeros(count, np.bool_), np.zeros(count, np.bool_)
    for target in targets:
        is_target[target] = True
    steps, after, queue = np.empty(count, np.int32), np.empty(count, np.int32), np.empty(count, np.int32)
    pulls = np.arange(4 * num_boxes)
    depth, looked_at, best_score, best_player = 0, 1, 0, -1
    while depth >= 0 and looked_at < effort:
        for box in boxes[depth]:
            occupied[box] = True
        walk(room, occupied, players[depth], steps, queue)
        moved_on = False
        for k in range(len(pulls)):
            other = rng.integers(k, len(pulls))
            pulls[k], pulls[other] = pulls[other], pulls[k]
            moved, d = pulls[k] // 4, pulls[k] % 4
            old = boxes[depth, moved]
            new = room.neighbour[old, d]
            if new < 0 or steps[new] < 0 or room.neighbour[new, d] < 0 or occupied[room.neighbour[new, d]]:
                continue
            player = np.int64(room.neighbour[new, d])
            boxes[depth + 1], boxes[depth + 1, moved] = boxes[depth], new
            occupied[old], occupied[new] = False, True
            lowest = walk(room, occupied, player, after, queue)
            occupied[old], occupied[new] = True, False
            if _is_new(seen, hash_state(boxes[depth + 1], lowest)):
                moved_on = True
                break
        for box in boxes[depth]:
            occupied[box] = False
        if not moved_on:
            depth -= 1
            continue
        depth, looked_at = depth + 1, looked_at + 1
        players[depth], last[depth] = player, moved
        changes[depth] = changes[depth - 1] + (moved != last[depth - 1])
        distance, off = 0, True
        for i in range(num_boxes):
            here, there = places[boxes[depth, i]], places[targets[i]]
            distance += abs(here // width - there // width) + abs(here % width - there % width)
            off &= not is_target[boxes[depth, i]]
        if off and changes[depth] * distance > best_score:
            best_score, best_player = changes[depth] * distance, player
            best[:] = boxes[depth]
    return best_player


@jit
def _is_new(seen, key):
    """Adds a key to an open-addressing set (0 is an empty slot). False if the set had it already."""
    mask, key = np.uint64(len(seen) - 1), key | np.uint64(1)
    place = key >> np.uint64(1) & mask
    while seen[place] != 0:
        if seen[place] == key:
            return False
        place = (place + np.uint64(1)) & mask
    seen[place] = key
    return True
