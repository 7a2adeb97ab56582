"""Limits of a position: a lower bound of the pushes it needs, and whether boxes in it are stuck for good."""

from drc_lab.envs.sokoban.survey import FAR
from drc_lab.numerics import jit

WORK_ROWS = 6


@jit
def fewest_pushes(survey, boxes, player, cost, work):
    """A lower bound of the pushes to go: the smallest sum of pushes over all assignments of boxes to distinct targets,
    if boxes did not get in each other's way.

    It never exceeds the real number of pushes, a push lowers it by at most 1, and it is 0 only if every box is on a
    target.

    Args:
        boxes: uint16 [B], their cells; player: its cell.
        cost: int64 [B, B], work: int64 [WORK_ROWS, B + 1], overwritten.

    Returns:
        the bound; FAR or more if there is no such assignment, so that the position has no solution.
    """
    count = len(boxes)
    for i in range(count):
        part = survey.side[boxes[i], player]
        for t in range(count):
            cost[i, t] = survey.pushes[t, boxes[i], part]
    return cheapest_matching(cost, work)


@jit
def cheapest_matching(cost, work):
    """The cost of a cheapest perfect matching of rows to columns, by the Hungarian method.

    Rows enter one by one, each along a shortest augmenting path over costs reduced by prices; the column ``count``
    stands for "not matched yet".

    Args:
        cost: int64 [B, B].
        work: int64 [WORK_ROWS, B + 1], overwritten.
    """
    count = len(cost)
    row_price, column_price, row_of, slack, previous, visited = work
    row_price[:], column_price[:], row_of[:] = 0, 0, -1
    for entering in range(count):
        row_of[count], column = entering, count
        slack[:], visited[:] = FAR * FAR, 0
        while row_of[column] >= 0:
            visited[column] = 1
            row, least, best = row_of[column], FAR * FAR, -1
            for j in range(count):
                if visited[j]:
                    continue
                reduced = cost[row, j] - row_price[row] - column_price[j]
                if reduced < slack[j]:
                    slack[j], previous[j] = reduced, column
                if slack[j] < least:
                    least, best = slack[j], j
            for j in range(count + 1):
                if visited[j]:
                    row_price[row_of[j]] += least
                    column_price[j] -= least
                else:
                    slack[j] -= least
            column = best
        while column != count:
            row_of[column] = row_of[previous[column]]
            column = previous[column]
    total = 0
    for j in range(count):
        total += cost[row_of[j], j]
    return total


@jit
def can_move(survey, stuck, box):
    """Whether a box could ever be pushed along some axis, if the boxes in the cells ``stuck`` (bool [n]) stay there."""
    for axis in (0, 2):
        a, b = survey.neighbour[box, axis], survey.neighbour[box, axis + 1]
        if a >= 0 and b >= 0 and not (stuck[a] or stuck[b] or (survey.dead[a] and survey.dead[b])):
            return True
    return False


@jit
def frozen(survey, boxes, occupied, stuck):
    """Whether a box that is not on a target can never be moved again, because walls and other boxes hold it.

    The stuck boxes are the largest set of boxes none of which can move while the others of the set stay. A solution
    moves none of them, because the first that it moved would have to be able to move.

    Args:
        boxes: uint16 [B], their cells.
        occupied: bool [n], true in these cells.
        stuck: bool [n], overwritten.
    """
    stuck[:] = occupied
    changed = True
    while changed:
        changed = False
        for box in boxes:
            if stuck[box] and can_move(survey, stuck, box):
                stuck[box], changed = False, True
    deadlock = False
    for box in boxes:
        deadlock |= stuck[box] and not survey.target[box]
    return deadlock
