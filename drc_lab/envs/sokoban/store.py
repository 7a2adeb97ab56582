"""The states of a search: each is stored once and found by its hash, and the open ones are ordered by their costs.

Costs are small integers, so the open states are in linked lists, one for each f = g + h. A cheaper way to a state moves
it from one list to another, so memory grows with the number of states only.
"""

from typing import NamedTuple

import numpy as np

from drc_lab.envs.levels import mix64
from drc_lab.numerics import jit

NONE = -1
SIZE, LOWEST = 0, 1


class Store(NamedTuple):
    """The states seen so far. The capacity S grows with them.

    Attributes:
        boxes: uint16 [S, B], ascending; player: uint16 [S].
        g: int32 [S], cost of the cheapest way to the state found so far; f: int32 [S], g + lower bound of the rest.
        parent: int32 [S], index of the state before; push: int32 [S], 4 * cell of the box + direction of the push that
            led from it to the state.
        above, below: int32 [S], neighbours in the list of open states with the same f.
        first: int32 [F], the first state of each list.
        table: int32 [2 S], open addressing from a state's hash to its index.
        counts: int64 [2]: at SIZE the number of states; at LOWEST an f below which all lists are empty.
    """

    boxes: np.ndarray
    player: np.ndarray
    g: np.ndarray
    f: np.ndarray
    parent: np.ndarray
    push: np.ndarray
    above: np.ndarray
    below: np.ndarray
    first: np.ndarray
    table: np.ndarray
    counts: np.ndarray


@jit
def new_store(capacity, num_boxes, longest):
    """An empty store with room for ``capacity`` states (a power of two) and lists for costs below ``longest``."""
    boxes, player = np.empty((capacity, num_boxes), np.uint16), np.empty(capacity, np.uint16)
    g, f = np.empty(capacity, np.int32), np.empty(capacity, np.int32)
    parent, push = np.empty(capacity, np.int32), np.empty(capacity, np.int32)
    above, below = np.empty(capacity, np.int32), np.empty(capacity, np.int32)
    first, table = np.full(longest, NONE, np.int32), np.full(2 * capacity, NONE, np.int32)
    return Store(boxes, player, g, f, parent, push, above, below, first, table, np.zeros(2, np.int64))


@jit
def hash_state(boxes, player):
    """The hash of a state, uint64; it does not depend on the order of the boxes."""
    total = mix64(np.uint64(player) + np.uint64(1 << 32))
    for box in boxes:
        total += mix64(np.uint64(box) + np.uint64(1))
    return mix64(total)


@jit
def find_place(store, boxes, player):
    """The place in the table that holds a state, or where it has to be put."""
    mask = np.uint64(len(store.table) - 1)
    place = hash_state(boxes, player) & mask
    while True:
        state = store.table[place]
        if state == NONE:
            return place
        if store.player[state] == player:
            same = True
            for i in range(len(boxes)):
                same &= store.boxes[state, i] == boxes[i]
            if same:
                return place
        place = (place + np.uint64(1)) & mask


@jit
def grow(store):
    """A store with the same states and twice the capacity."""
    size, capacity = store.counts[SIZE], len(store.player)
    more = new_store(2 * capacity, store.boxes.shape[1], len(store.first))
    more.boxes[:size], more.player[:size] = store.boxes[:size], store.player[:size]
    more.g[:size], more.f[:size] = store.g[:size], store.f[:size]
    more.parent[:size], more.push[:size] = store.parent[:size], store.push[:size]
    more.above[:size], more.below[:size] = store.above[:size], store.below[:size]
    more.first[:], more.counts[:] = store.first, store.counts
    for state in range(size):
        more.table[find_place(more, store.boxes[state], store.player[state])] = state
    return more


@jit
def lengthen(store, f):
    """A store of the same states that has lists for costs up to ``f`` and beyond."""
    first = np.full(2 * f, NONE, np.int32)
    first[: len(store.first)] = store.first
    return Store(
        store.boxes,
        store.player,
        store.g,
        store.f,
        store.parent,
        store.push,
        store.above,
        store.below,
        first,
        store.table,
        store.counts,
    )


@jit
def open_state(store, state):
    """Adds a state to the list of its f."""
    f = store.f[state]
    old = store.first[f]
    store.above[state], store.below[state] = NONE, old
    if old != NONE:
        store.above[old] = state
    store.first[f] = state
    store.counts[LOWEST] = min(store.counts[LOWEST], f)


@jit
def close_state(store, state):
    """Removes a state from the list of its f."""
    above, below = store.above[state], store.below[state]
    if above == NONE:
        store.first[store.f[state]] = below
    else:
        store.below[above] = below
    if below != NONE:
        store.above[below] = above
