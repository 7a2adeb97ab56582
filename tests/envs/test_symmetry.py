"""The symmetries of the square: against numpy's own flips and turns."""

import numpy as np
import pytest

from drc_lab.envs.symmetry import COUNT, DIRECTIONS, TRANSPOSE, place, places

STEPS = {0: (-1, 0), 1: (1, 0), 2: (0, -1), 3: (0, 1)}


def image(array, symmetry):
    array = array[::-1] if symmetry & 1 else array
    array = array[:, ::-1] if symmetry & 2 else array
    return array.T if symmetry & 4 else array


@pytest.mark.parametrize("symmetry", range(8))
def test_cells_go_where_numpy_moves_them(symmetry):
    cells = np.arange(3 * 5).reshape(3, 5)
    np.testing.assert_array_equal(image(cells, symmetry).reshape(-1)[places(3, 5)[symmetry]], cells.reshape(-1))


@pytest.mark.parametrize("symmetry", range(8))
def test_a_step_in_a_direction_becomes_a_step_in_the_turned_direction(symmetry):
    rows, cols = (5, 3) if symmetry & TRANSPOSE else (3, 5)
    for direction, (dr, dc) in STEPS.items():
        before, after = 1 * 5 + 2, (1 + dr) * 5 + 2 + dc
        moved = np.subtract(*(np.unravel_index(place(x, symmetry, 3, 5), (rows, cols)) for x in (after, before)))
        assert STEPS[int(DIRECTIONS[symmetry, direction])] == tuple(moved)


def test_the_eight_symmetries_differ():
    assert len({tuple(row) for row in DIRECTIONS}) == COUNT == len({tuple(row) for row in places(4, 4)})
