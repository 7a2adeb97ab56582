"""The compiled A* search over pushes, for the fewest moves or the fewest pushes.

A state is the boxes' cells and the player's cell: its cell after a push for the fewest moves, the lowest cell that it
can walk to for the fewest pushes. An edge is a walk to a box and one push of it. The bound h is consistent: it never
falls by more than an edge costs (see `bounds`), so the cost of a state is final when the state is expanded.
"""

import numpy as np

from drc_lab.envs.search import LIMIT, UNSOLVABLE
from drc_lab.envs.sokoban.bounds import WORK_ROWS, can_move, fewest_pushes, frozen
from drc_lab.envs.sokoban.store import (
    LOWEST,
    NONE,
    SIZE,
    close_state,
    find_place,
    grow,
    lengthen,
    new_store,
    open_state,
)
from drc_lab.envs.sokoban.survey import FAR
from drc_lab.numerics import jit

RUNNING = -3


@jit
def walk(survey, occupied, start, steps, queue):
    """Finds the cells that the player can walk to from ``start``.

    Fills steps int32 [n] with the lengths of the shortest walks, -1 where there is none, and queue int32 [n] with the
    cells that are reached, nearest first. Returns the lowest of them.
    """
    steps[:] = -1
    steps[start], queue[0] = 0, start
    head, tail, lowest = 0, 1, start
    while head < tail:
        cell = queue[head]
        head += 1
        lowest = min(lowest, cell)
        for d in range(4):
            following = survey.neighbour[cell, d]
            if following >= 0 and steps[following] < 0 and not occupied[following]:
                steps[following] = steps[cell] + 1
                queue[tail] = following
                tail += 1
    return lowest


@jit
def begin(survey, by_moves):
    """A store that holds the level's initial state, or no state if it is clear without a search that there is no
    solution."""
    n, num_boxes = len(survey.target), len(survey.boxes)
    store = new_store(128, num_boxes, 256)
    if survey.hopeless:
        return store
    occupied = np.zeros(n, np.bool_)
    for box in survey.boxes:
        occupied[box] = True
    player = survey.player
    if not by_moves:
        player = walk(survey, occupied, player, np.empty(n, np.int32), np.empty(n, np.int32))
    bound = fewest_pushes(
        survey,
        survey.boxes,
        player,
        np.empty((num_boxes, num_boxes), np.int64),
        np.empty((WORK_ROWS, num_boxes + 1), np.int64),
    )
    if bound >= FAR or frozen(survey, survey.boxes, occupied, np.empty(n, np.bool_)):
        return store
    if bound >= len(store.first):
        store = lengthen(store, bound)
    store.boxes[0], store.player[0] = survey.boxes, player
    store.g[0], store.f[0], store.parent[0], store.push[0] = 0, bound, NONE, NONE
    store.table[find_place(store, store.boxes[0], player)] = 0
    store.counts[SIZE], store.counts[LOWEST] = 1, bound
    open_state(store, 0)
    return store


@jit
def advance(survey, store, by_moves, max_cost, max_states, expansions):
    """Continues a search for at most ``expansions`` expansions. States that need more than max_cost are ignored.

    Returns:
        the store (it may have grown), and the index of the solved state, UNSOLVABLE, LIMIT or RUNNING.
    """
    n, num_boxes = len(survey.target), len(survey.boxes)
    steps, child_steps = np.empty(n, np.int32), np.empty(n, np.int32)
    queue = np.empty(n, np.int32)
    occupied, stuck = np.zeros(n, np.bool_), np.empty(n, np.bool_)
    boxes = np.empty(num_boxes, np.uint16)
    cost, work = np.empty((num_boxes, num_boxes), np.int64), np.empty((WORK_ROWS, num_boxes + 1), np.int64)
    for _ in range(expansions):
        if store.counts[SIZE] == 0:
            return store, UNSOLVABLE
        while store.counts[LOWEST] < len(store.first) and store.first[store.counts[LOWEST]] == NONE:
            store.counts[LOWEST] += 1
        if store.counts[LOWEST] == len(store.first) or store.counts[LOWEST] > max_cost:
            return store, UNSOLVABLE
        state = store.first[store.counts[LOWEST]]
        if store.f[state] == store.g[state]:
            return store, state
        close_state(store, state)
        for box in store.boxes[state]:
            occupied[box] = True
        walk(survey, occupied, np.int64(store.player[state]), steps, queue)
        for i in range(num_boxes):
            box = np.int64(store.boxes[state, i])
            for d in range(4):
                onto, behind = survey.neighbour[box, d], survey.neighbour[box, d ^ 1]
                if onto < 0 or behind < 0 or steps[behind] < 0 or occupied[onto] or survey.dead[onto]:
                    continue
                _put(boxes, store.boxes[state], i, onto)
                occupied[box], occupied[onto] = False, True
                player = box if by_moves else np.int64(walk(survey, occupied, box, child_steps, queue))
                g = store.g[state] + (steps[behind] + 1 if by_moves else 1)
                place = find_place(store, boxes, player)
                child = np.int64(store.table[place])
                if child != NONE:
                    if g < store.g[child]:
                        close_state(store, child)
                        store.f[child] += g - store.g[child]
                        store.g[child], store.parent[child], store.push[child] = g, state, 4 * box + d
                        open_state(store, child)
                elif can_move(survey, occupied, onto) or not frozen(survey, boxes, occupied, stuck):
                    f = g + fewest_pushes(survey, boxes, player, cost, work)
                    if f < FAR and f <= max_cost:
                        child = store.counts[SIZE]
                        if child >= max_states:
                            return store, LIMIT
                        if f >= len(store.first):
                            store = lengthen(store, f)
                        store.boxes[child], store.player[child] = boxes, player
                        store.g[child], store.f[child] = g, f
                        store.parent[child], store.push[child] = state, 4 * box + d
                        store.table[place] = child
                        store.counts[SIZE] += 1
                        open_state(store, child)
                        if store.counts[SIZE] == len(store.player):
                            store = grow(store)
                occupied[box], occupied[onto] = True, False
        for box in store.boxes[state]:
            occupied[box] = False
    return store, RUNNING


@jit
def _put(boxes, old, index, cell):
    """Copies ``old`` (ascending) to ``boxes`` with its entry ``index`` replaced by ``cell``, in ascending order."""
    boxes[:] = old
    while index > 0 and boxes[index - 1] > cell:
        boxes[index] = boxes[index - 1]
        index -= 1
    while index < len(boxes) - 1 and boxes[index + 1] < cell:
        boxes[index] = boxes[index + 1]
        index += 1
    boxes[index] = cell


@jit
def fewest(survey, by_moves, max_cost, max_states):
    """Moves (or pushes) of an optimal solution, UNSOLVABLE (also if it takes more than max_cost) or LIMIT; and the
    number of states that were stored."""
    store = begin(survey, by_moves)
    store, end = advance(survey, store, by_moves, max_cost, max_states, np.iinfo(np.int64).max)
    return (np.int64(store.g[end]) if end >= 0 else end), store.counts[SIZE]


@jit
def actions_to(survey, store, state):
    """The actions (int64 [moves], 0 up, 1 down, 2 left, 3 right) that lead from the start to a state."""
    pushes = 0
    node = state
    while store.parent[node] != NONE:
        node = store.parent[node]
        pushes += 1
    order = np.empty(pushes, np.int64)
    node = state
    for i in range(pushes - 1, -1, -1):
        order[i], node = store.push[node], store.parent[node]
    n = len(survey.target)
    steps, queue, occupied = np.empty(n, np.int32), np.empty(n, np.int32), np.zeros(n, np.bool_)
    for box in survey.boxes:
        occupied[box] = True
    player, length = np.int64(survey.player), 0
    actions = np.empty(n * (pushes + 1), np.int64)
    for push in order:
        box, direction = push // 4, push % 4
        walk(survey, occupied, np.int64(survey.neighbour[box, direction ^ 1]), steps, queue)
        while steps[player] > 0:
            for d in range(4):
                following = survey.neighbour[player, d]
                if following >= 0 and steps[following] == steps[player] - 1:
                    player, actions[length] = following, d
                    length += 1
                    break
        occupied[box], occupied[survey.neighbour[box, direction]] = False, True
        player, actions[length] = box, direction
        length += 1
    return actions[:length].copy()
